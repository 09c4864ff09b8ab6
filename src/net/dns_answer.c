#include "net/dns_answer.h"

#include "base/attr.h"
#include "base/err.h"

enum { HEADER = 12, RECORD = 10, CLASS_IN = 1, JUMPS_MAX = 32, TYPE_ANY_LEN = 4 };

struct name {
    char p[DNS_NAME_MAX + 2];
    size_t n; /* 0: the root, or a name that no question can hold */
};

struct record {
    struct name owner;
    uint16_t type;
    uint32_t ttl;
    size_t data, len;
};

static unsigned u16(slice m, size_t at)
{
    return (unsigned)((uint8_t)m.p[at] << 8 | (uint8_t)m.p[at + 1]);
}

static uint32_t u32(slice m, size_t at)
{
    return (uint32_t)u16(m, at) << 16 | u16(m, at + 2);
}

/* Appends a label; a byte that could be mistaken for something else makes the whole name one that equals none. */
static bool add_label(struct name *out, slice label, bool *odd)
{
    if (out->n + label.n + 1 > DNS_NAME_MAX + 1)
        return false;
    for (size_t i = 0; i < label.n; i++) {
        char c = label.p[i];
        *odd |= c <= ' ' || c == '.' || c == 127;
        out->p[out->n++] = ascii_lower(c);
    }
    out->p[out->n++] = '.';
    return true;
}

/* The name at `at`; *next stands behind it. */
static int read_name(slice m, size_t at, struct name *out, size_t *next)
{
    size_t end = 0;
    unsigned jumps = 0;
    bool odd = false;
    out->n = 0;
    for (;;) {
        if (at >= m.n)
            return ERR_SYNTAX;
        uint8_t len = (uint8_t)m.p[at];
        if (len >= 0xc0) {
            if (at + 1 >= m.n)
                return ERR_SYNTAX;
            size_t to = u16(m, at) & 0x3fff;
            if (to >= at || ++jumps > JUMPS_MAX) /* backwards only: no circle */
                return ERR_SYNTAX;
            if (jumps == 1)
                end = at + 2;
            at = to;
            continue;
        }
        if (len > DNS_LABEL_MAX)
            return ERR_SYNTAX;
        if (len == 0)
            break;
        if (len > m.n - at - 1 || !add_label(out, slice_of(m.p + at + 1, len), &odd))
            return ERR_SYNTAX;
        at += (size_t)len + 1;
    }
    *next = jumps ? end : at + 1;
    if (out->n)
        out->n--; /* the last dot */
    if (odd)
        out->n = 0;
    return OK;
}

static bool same_name(const struct name *a, slice b)
{
    return b.n && slice_eq(slice_of(a->p, a->n), b);
}

static int read_record(slice m, size_t at, struct record *r, size_t *next)
{
    int rc = read_name(m, at, &r->owner, &at);
    if (rc != OK)
        return rc;
    if (m.n - at < RECORD)
        return ERR_SYNTAX;
    unsigned class = u16(m, at + 2);
    r->type = (uint16_t)(class == CLASS_IN ? u16(m, at) : 0);
    r->ttl = u32(m, at + 4);
    if (r->ttl >> 31) /* RFC 2181 §8 */
        r->ttl = 0;
    r->len = u16(m, at + 8);
    r->data = at + RECORD;
    if (m.n - r->data < r->len)
        return ERR_SYNTAX;
    *next = r->data + r->len;
    return OK;
}

static bool has_address(const struct dns_answer *a, const struct dns_ip *ip)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (memcmp(a->v[i].b, ip->b, sizeof(ip->b)) == 0)
            return true;
    return false;
}

static void take_address(slice m, const struct record *r, struct dns_answer *out)
{
    struct dns_ip ip = { .v6 = r->type == DNS_AAAA };
    if (r->len != (ip.v6 ? 16 : 4) || out->n == DNS_ADDRS_MAX)
        return;
    memcpy(ip.b, m.p + r->data, r->len);
    if (has_address(out, &ip))
        return;
    out->v[out->n++] = ip;
    if (r->ttl < out->ttl)
        out->ttl = r->ttl;
}

struct section {
    size_t at;
    unsigned n;
};

/*
 * One link: addresses of `name` go to `out`; else *alias is where its CNAME leads. *end stands behind the records that
 * were looked at.
 */
static int follow(slice m, struct section s, slice name, enum dns_type type, struct dns_answer *out, struct name *alias,
                  size_t *end)
{
    struct record r;
    uint32_t alias_ttl = UINT32_MAX;
    alias->n = 0;
    for (unsigned i = 0; i < s.n; i++) {
        size_t behind;
        int rc = read_record(m, s.at, &r, &s.at);
        if (rc != OK)
            return rc;
        if (!same_name(&r.owner, name))
            continue;
        if (r.type == type)
            take_address(m, &r, out);
        if (r.type != DNS_CNAME || alias->n)
            continue;
        rc = read_name(m, r.data, alias, &behind);
        if (rc != OK || behind != r.data + r.len)
            return ERR_SYNTAX;
        alias_ttl = r.ttl;
    }
    *end = s.at;
    if (out->n == 0 && alias_ttl < out->ttl)
        out->ttl = alias_ttl;
    return OK;
}

/* RFC 2308 §5: how long it may be believed that there is nothing. */
static uint32_t negative_ttl(slice m, struct section s)
{
    struct record r;
    for (unsigned i = 0; i < s.n; i++) {
        if (read_record(m, s.at, &r, &s.at) != OK)
            return 0;
        if (r.type != DNS_SOA || r.len < 22)
            continue;
        uint32_t least = u32(m, r.data + r.len - 4);
        return least < r.ttl ? least : r.ttl;
    }
    return 0;
}

static int check_question(slice m, slice name, enum dns_type type, size_t *next)
{
    struct name asked;
    if (m.n < HEADER || !((uint8_t)m.p[2] & 0x80) || ((uint8_t)m.p[2] & 0x78) || u16(m, 4) != 1)
        return ERR_SYNTAX;
    if (read_name(m, HEADER, &asked, next) != OK || !same_name(&asked, name) || m.n - *next < TYPE_ANY_LEN)
        return ERR_SYNTAX;
    if (u16(m, *next) != (unsigned)type || u16(m, *next + 2) != CLASS_IN)
        return ERR_SYNTAX;
    *next += TYPE_ANY_LEN;
    return OK;
}

int dns_answer_parse(slice m, slice name, enum dns_type type, struct dns_answer *out)
{
    struct section answers, authority;
    struct dns_answer a = { .ttl = UINT32_MAX };
    struct name alias[2];
    size_t at;
    int rc = check_question(m, name, type, &at);
    if (rc != OK)
        return rc;
    a.status = (uint8_t)m.p[3] & 15;
    answers = (struct section){ at, u16(m, 6) };
    authority.n = u16(m, 8) < DNS_RECORDS_MAX ? u16(m, 8) : DNS_RECORDS_MAX;
    if (answers.n > DNS_RECORDS_MAX) { /* nobody needs more; what follows is not looked at */
        answers.n = DNS_RECORDS_MAX;
        authority.n = 0;
    }
    for (unsigned link = 0;; link++) {
        struct name *to = &alias[link % 2];
        rc = follow(m, answers, name, type, &a, to, &authority.at);
        if (rc != OK)
            return rc;
        if (a.n || to->n == 0)
            break;
        if (link == DNS_CHAIN_MAX)
            return ERR_LIMIT;
        name = slice_of(to->p, to->n);
    }
    if (a.status != DNS_OK)
        a.n = 0;
    if (a.n == 0)
        a.ttl = negative_ttl(m, authority);
    *out = a;
    return OK;
}

const char *dns_status_text(unsigned status)
{
    static const char *const texts[] = {
        "OK", "Format error", "Server failure", "Host not found", "Unimplemented", "Operation refused"
    };
    if (status < array_len(texts))
        return texts[status];
    if (status == DNS_SHARE)
        return "Too many names are asked for on behalf of this client";
    return status == DNS_TIMEDOUT ? "Operation timed out" : "Unknown error";
}
