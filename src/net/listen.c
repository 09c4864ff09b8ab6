/*
 * Requests for listening addresses, kept in the bundle as text (net/listen.h). The sockets are opened in listen_open.c.
 *
 * The options of an address travel as a bundle option named "listen ADDRESS": they were gathered from all `listen`
 * lines for it and must look the same to the master that opens the sockets and to the engine that compiles the same
 * text.
 */
#include "net/listen.h"

#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"

static const struct {
    const char *name;
    enum listen_set bit;
    size_t offset;
} fields[] = {
    { "backlog", LISTEN_BACKLOG, offsetof(struct listen_opts, backlog) },
    { "reuseport", LISTEN_REUSEPORT, offsetof(struct listen_opts, reuseport) },
    { "deferred", LISTEN_DEFERRED, offsetof(struct listen_opts, deferred) },
    { "ipv6only", LISTEN_IPV6ONLY, offsetof(struct listen_opts, ipv6only) },
    { "keepalive", LISTEN_KEEPALIVE, offsetof(struct listen_opts, keepalive) },
    { "keepidle", LISTEN_KEEPIDLE, offsetof(struct listen_opts, keepidle) },
    { "keepintvl", LISTEN_KEEPINTVL, offsetof(struct listen_opts, keepintvl) },
    { "keepcnt", LISTEN_KEEPCNT, offsetof(struct listen_opts, keepcnt) },
    { "rcvbuf", LISTEN_RCVBUF, offsetof(struct listen_opts, rcvbuf) },
    { "sndbuf", LISTEN_SNDBUF, offsetof(struct listen_opts, sndbuf) },
    { "fastopen", LISTEN_FASTOPEN, offsetof(struct listen_opts, fastopen) },
};

static int *field_of(struct listen_opts *o, size_t i)
{
    return (int *)(void *)((char *)o + fields[i].offset);
}

static void encode(struct listen_opts *o, struct strb *out)
{
    for (size_t i = 0; i < array_len(fields); i++) {
        if (o->set & fields[i].bit)
            strb_printf(out, "%s=%d ", fields[i].name, *field_of(o, i));
    }
}

static int decode_one(struct listen_opts *o, slice word)
{
    slice name, value;
    uint64_t v;
    if (!slice_cut(word, '=', &name, &value) || slice_to_u64(value, &v) < 0 || v > INT32_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < array_len(fields); i++) {
        if (!slice_eq(name, slice_str(fields[i].name)))
            continue;
        *field_of(o, i) = (int)v;
        o->set |= fields[i].bit;
        return OK;
    }
    return ERR_SYNTAX;
}

static int decode(slice text, struct listen_opts *o)
{
    slice word;
    while (slice_cut(text, ' ', &word, &text)) {
        int rc = decode_one(o, word);
        if (rc < 0)
            return rc;
    }
    return text.n == 0 ? OK : ERR_SYNTAX;
}

static int join(struct listen_opts *have, struct listen_opts *more)
{
    for (size_t i = 0; i < array_len(fields); i++) {
        if (!(more->set & fields[i].bit))
            continue;
        if ((have->set & fields[i].bit) && *field_of(have, i) != *field_of(more, i))
            return ERR_REFUSED;
        *field_of(have, i) = *field_of(more, i);
        have->set |= fields[i].bit;
    }
    return OK;
}

enum { NAME_MAX_LEN = ADDR_TEXT_MAX + 8 };

static slice option_name(char *dst, slice key)
{
    int n = snprintf(dst, NAME_MAX_LEN, "listen %.*s", SLICE_FMT(key));
    return slice_of(dst, n > 0 && n < NAME_MAX_LEN ? (size_t)n : 0);
}

static void defaults(struct listen_opts *o)
{
    memset(o, 0, sizeof(*o));
    o->backlog = 511;
    o->ipv6only = 1;
}

int listen_options(struct bundle *b, slice key, struct listen_opts *out)
{
    struct listen_opts o;
    char name[NAME_MAX_LEN];
    defaults(&o);
    int rc = addr_parse(key, &o.addr);
    if (rc == OK)
        rc = decode(bundle_option(b, option_name(name, key)), &o);
    if (rc < 0)
        return ERR_SYNTAX;
    *out = o;
    return OK;
}

static int store(struct bundle *b, slice key, struct listen_opts *o)
{
    char name[NAME_MAX_LEN], mem[512];
    struct strb text;
    strb_init_fixed(&text, mem, sizeof(mem));
    encode(o, &text);
    return text.failed ? ERR_NOMEM : bundle_option_set(b, option_name(name, key), strb_slice(&text));
}

int listen_request(struct bundle *b, const struct listen_opts *o, struct bundle_entry **entry)
{
    char key[ADDR_TEXT_MAX];
    struct listen_opts have, more = *o;
    slice k = slice_of(key, addr_text(key, &o->addr));
    struct bundle_entry *e = bundle_descriptor(b, BUNDLE_LISTEN, k);
    if (!e)
        return bundle_closed(b) ? ERR_NOTFOUND : ERR_NOMEM;
    int rc = listen_options(b, k, &have);
    if (rc < 0)
        return rc;
    unsigned before = have.set;
    rc = join(&have, &more);
    if (rc == OK && have.set != before) /* a closed bundle holds the joined options already */
        rc = store(b, k, &have);
    if (rc < 0)
        return rc;
    if (entry)
        *entry = e;
    return OK;
}
