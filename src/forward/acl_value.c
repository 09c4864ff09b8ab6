/*
 * The values of conditions: addresses, domains, patterns, ports, times.
 */
#include "base/attr.h"
#include "base/err.h"
#include "forward/acl.h"

static struct fwd_value *add_value(struct fwd_acl *a, struct fwd_compile *c)
{
    struct fwd_value *v = arena_new(c->arena, struct fwd_value);
    if (v) {
        *a->last = v;
        a->last = &v->next;
    }
    return v;
}

/* "1.2.3" and "0x7f.1": what old resolvers take for addresses (RFC 3986 §7.4), nobody means as one. */
static bool ends_in_number(slice name)
{
    size_t at = name.n;
    while (at && name.p[at - 1] != '.')
        at--;
    return at < name.n && ascii_digit(name.p[at]);
}

/* A name in an address condition stands for what it resolves to when the configuration is read, as in Squid. */
static int names_addresses(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text)
{
    slice found, rest;
    bool loose;
    for (size_t i = 0; i < text.n; i++) {
        char ch = text.p[i];
        if (!ascii_alpha(ch) && !ascii_digit(ch) && ch != '.' && ch != '-' && ch != '_')
            return fwd_error(c, node, arg, "invalid address \"%.*s\" in acl \"%.*s\"", SLICE_FMT(text),
                             SLICE_FMT(a->name));
    }
    if (!text.n || ends_in_number(text) || bundle_name(c->bundle, text, &found) || !found.n)
        return fwd_error(c, node, arg, "host \"%.*s\" of acl \"%.*s\" has no address", SLICE_FMT(text),
                         SLICE_FMT(a->name));
    for (rest = found; rest.n;) {
        slice one = slice_upto(rest, strnlen(rest.p, rest.n));
        int rc = addr_set_add(&a->addresses, one, &loose);
        if (rc)
            return rc;
        rest = slice_from(rest, one.n + 1);
    }
    return OK;
}

static int address(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text)
{
    bool loose = false;
    int rc = addr_set_add(&a->addresses, text, &loose);
    if (rc == ERR_SYNTAX)
        return names_addresses(a, c, node, arg, text);
    if (rc == ERR_RANGE)
        return fwd_error(c, node, arg, "invalid mask or range \"%.*s\" in acl \"%.*s\"", SLICE_FMT(text),
                         SLICE_FMT(a->name));
    if (loose)
        fwd_warn(c, node, arg, "\"%.*s\" is not exact: it is taken as %s", SLICE_FMT(text),
                 slice_starts(text, SLICE("0")) ? "\"all\"" : "the network around it");
    return rc;
}

static int domain(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text)
{
    if (slice_eq(text, SLICE("-n"))) /* no look-ups of addresses: we never do them */
        return OK;
    if (fwd_is_keyword(text))
        fwd_warn(c, node, arg, "\"%.*s\" is taken as a domain, not as a directive: is a line end missing?",
                 SLICE_FMT(text));
    bool below = text.n && text.p[0] == '.';
    struct addr literal;
    char ip[ADDR_TEXT_MAX];
    if (addr_parse_ip(text, 0, &literal) == OK) /* one spelling, as the request's host has */
        text = slice_of(ip, addr_text_ip(ip, &literal));
    int rc = domain_set_add(&a->domains, text, below ? DOMAIN_BOTH : DOMAIN_SELF);
    if (rc == ERR_SYNTAX)
        return fwd_error(c, node, arg, "invalid domain \"%.*s\" in acl \"%.*s\"", SLICE_FMT(text), SLICE_FMT(a->name));
    return rc;
}

static int pattern(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text,
                   bool icase, slice field)
{
    char why[128];
    struct regex *re;
    int rc = regex_new(text, icase, &re, why, sizeof(why), NULL);
    if (rc == ERR_SYNTAX)
        return fwd_error(c, node, arg, "invalid regular expression \"%.*s\" in acl \"%.*s\": %s", SLICE_FMT(text),
                         SLICE_FMT(a->name), why);
    if (rc)
        return rc;
    struct fwd_value *v = add_value(a, c);
    if (!v) {
        regex_free(re);
        return ERR_NOMEM;
    }
    v->regex = re;
    v->word = field;
    return OK;
}

static int number(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text,
                  uint64_t max)
{
    uint64_t from, to;
    slice first = text, last = text;
    slice_cut(text, '-', &first, &last);
    if (slice_to_u64(first, &from) || slice_to_u64(last, &to) || from > to || to > max)
        return fwd_error(c, node, arg, "invalid number or range \"%.*s\" in acl \"%.*s\"", SLICE_FMT(text),
                         SLICE_FMT(a->name));
    struct fwd_value *v = add_value(a, c);
    if (!v)
        return ERR_NOMEM;
    v->from = (uint32_t)from;
    v->to = (uint32_t)to;
    return OK;
}

static bool clock_of(slice text, uint32_t *minutes)
{
    slice h, m;
    uint64_t hour, minute;
    if (!slice_cut(text, ':', &h, &m) || slice_to_u64(h, &hour) || slice_to_u64(m, &minute) || minute > 59 ||
        hour > 24 || (hour == 24 && minute))
        return false;
    *minutes = (uint32_t)(hour * 60 + minute);
    return true;
}

/* Days as Squid letters them, S M T W H F A, and D for Monday to Friday; 0: something else. */
static uint8_t days_of(slice text)
{
    static const slice letters = SLICE("SMTWHFA");
    uint8_t days = 0;
    for (size_t i = 0; i < text.n; i++) {
        ptrdiff_t at = slice_find(letters, text.p[i]);
        if (text.p[i] != 'D' && at < 0)
            return 0;
        days = (uint8_t)(days | (text.p[i] == 'D' ? 0x3eu : 1u << at));
    }
    return days;
}

/* Days, then hours; each may stand alone. Hours behind days on one line belong to them. */
static int times(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text)
{
    slice first, last;
    uint32_t from = 0, to = 24 * 60;
    uint8_t days = days_of(text);
    if (!days && (!slice_cut(text, '-', &first, &last) || !clock_of(first, &from) || !clock_of(last, &to) || from > to))
        return fwd_error(c, node, arg, "invalid days or hours \"%.*s\" in acl \"%.*s\"", SLICE_FMT(text),
                         SLICE_FMT(a->name));
    bool joins = !days && a->values && arg > 2 && days_of(node->args[arg - 1].text);
    struct fwd_value *v = joins ? container_of(a->last, struct fwd_value, next) : add_value(a, c);
    if (!v)
        return ERR_NOMEM;
    if (!joins)
        v->days = days ? days : 0x7f;
    v->from = from;
    v->to = to;
    return OK;
}

static int word(struct fwd_acl *a, struct fwd_compile *c, slice text)
{
    struct fwd_value *v = add_value(a, c);
    return v && arena_dup(c->arena, text, &v->word) ? OK : ERR_NOMEM;
}

/* req_header and rep_header: the field's name is the line's first value. */
static int header(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text,
                  bool icase)
{
    if (arg == 2)
        return node->nargs > 3 ? OK : fwd_error(c, node, arg, "acl \"%.*s\" lacks a pattern", SLICE_FMT(a->name));
    return pattern(a, c, node, arg, text, icase, node->args[2].text);
}

int fwd_acl_value(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text,
                  bool icase)
{
    switch (a->type) {
    case ACL_SRC:
    case ACL_DST:
    case ACL_LOCALIP:
        return address(a, c, node, arg, text);
    case ACL_DSTDOMAIN:
        return domain(a, c, node, arg, text);
    case ACL_DSTDOM_REGEX:
    case ACL_URL_REGEX:
    case ACL_URLPATH_REGEX:
        return slice_eq(text, SLICE("-n")) ? OK : pattern(a, c, node, arg, text, icase, SLICE_NONE);
    case ACL_BROWSER:
        return pattern(a, c, node, arg, text, icase, SLICE("User-Agent"));
    case ACL_REQ_MIME_TYPE:
    case ACL_REP_MIME_TYPE:
        return pattern(a, c, node, arg, text, icase, SLICE("Content-Type"));
    case ACL_REFERER_REGEX:
        return pattern(a, c, node, arg, text, icase, SLICE("Referer"));
    case ACL_REQ_HEADER:
    case ACL_REP_HEADER:
        return header(a, c, node, arg, text, icase);
    case ACL_PORT:
        return number(a, c, node, arg, text, 65535);
    case ACL_HTTP_STATUS:
        return number(a, c, node, arg, text, 999);
    case ACL_MAXCONN:
        return number(a, c, node, arg, text, UINT32_MAX - 1);
    case ACL_TIME:
        return times(a, c, node, arg, text);
    default:
        a->icase = a->icase || (a->type == ACL_PROXY_AUTH && icase);
        return a->type == ACL_PROXY_AUTH && slice_eq(text, SLICE("-i")) ? OK : word(a, c, text);
    }
}
