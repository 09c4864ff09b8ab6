/*
 * Backend addresses out of configuration text, and, for proxy_pass with variables, out of evaluated text: so this is
 * strict about what a name may hold (http/uri.h) and never looks anything up by itself.
 */
#include "proxy/endpoint.h"

#include <string.h>

#include "base/err.h"
#include "conf/bundle.h"
#include "http/uri.h"

slice endpoint_text(struct arena *a, slice host, uint16_t port)
{
    enum { PORT = 1 + 5 + 1 }; /* and a NUL */
    char *p = arena_bytes(a, host.n + PORT), *at = p;
    if (!p)
        return SLICE_NONE;
    if (host.n)
        at = (char *)memcpy(p, host.p, host.n) + host.n;
    *at++ = ':';
    at += u64_to_dec(at, port);
    *at = '\0';
    return slice_of(p, (size_t)(at - p));
}

static const slice unix_prefix = SLICE("unix:");

static int fail(const char **why, const char *text)
{
    *why = text;
    return ERR_SYNTAX;
}

static int parse_unix(slice text, struct endpoint *out, const char **why)
{
    struct endpoint e = { .text = text, .host = slice_from(text, unix_prefix.n), .is_unix = true, .literal = true };
    if (e.host.n == 0)
        return fail(why, "no path in the unix domain socket");
    int rc = addr_parse(text, &e.addr);
    if (rc == ERR_RANGE)
        return fail(why, "too long path in the unix domain socket");
    if (rc != OK)
        return fail(why, "invalid path in the unix domain socket");
    *out = e;
    return OK;
}

/* The port's text behind the host; false when the host part itself is broken. */
static bool cut_port(slice text, slice *host, slice *port, bool *has_port)
{
    slice rest;
    if (text.n && text.p[0] == '[') {
        ptrdiff_t close = slice_find(text, ']');
        if (close < 0)
            return false;
        *host = slice_upto(text, (size_t)close + 1);
        rest = slice_from(text, (size_t)close + 1);
        if (rest.n && rest.p[0] != ':')
            return false;
    } else {
        ptrdiff_t colon = slice_find(text, ':');
        *host = colon < 0 ? text : slice_upto(text, (size_t)colon);
        rest = slice_from(text, host->n);
    }
    *has_port = rest.n > 0;
    *port = slice_from(rest, 1);
    return true;
}

int endpoint_parse(slice text, uint16_t port, struct endpoint *out, const char **why)
{
    if (slice_istarts(text, unix_prefix))
        return parse_unix(text, out, why);
    struct endpoint e = { .text = text, .port = port };
    bool has_port;
    if (!cut_port(text, &e.host, &e.port_text, &has_port))
        return fail(why, "invalid host");
    if (e.host.n == 0)
        return fail(why, "no host");
    if (has_port) {
        uint64_t v;
        if (slice_to_u64(e.port_text, &v) != OK || v == 0 || v > 65535)
            return fail(why, "invalid port");
        e.port = (uint16_t)v;
    }
    slice host;
    uint16_t none;
    if (uri_authority(e.host, &host, &none) != OK)
        return fail(why, "invalid host");
    e.literal = addr_parse_ip(e.host, e.port, &e.addr) == OK;
    *out = e;
    return OK;
}

void endpoint_cut(slice text, slice *endpoint, slice *uri)
{
    size_t at = 0;
    if (slice_istarts(text, unix_prefix)) {
        ptrdiff_t colon = slice_find(slice_from(text, unix_prefix.n), ':');
        *endpoint = colon < 0 ? text : slice_upto(text, unix_prefix.n + (size_t)colon);
        *uri = colon < 0 ? SLICE_NONE : slice_from(text, unix_prefix.n + (size_t)colon + 1);
        return;
    }
    while (at < text.n && text.p[at] != '/' && text.p[at] != '?')
        at++;
    *endpoint = slice_upto(text, at);
    *uri = at < text.n ? slice_from(text, at) : SLICE_NONE;
}

int endpoint_resolve(struct conf_ctx *cf, const struct endpoint *e, struct addr **out, uint32_t *n)
{
    slice list = SLICE_NONE;
    uint32_t count = 1, got = 0;
    if (!e->literal) {
        if (bundle_name(cf->bundle, e->host, &list) != OK)
            return ERR_NOTFOUND;
        count = 0;
        for (size_t i = 0; i < list.n; i++)
            count += list.p[i] == '\0';
    }
    struct addr *v = arena_new_n(cf->arena, struct addr, count ? count : 1);
    if (!v)
        return ERR_NOMEM;
    if (e->literal)
        v[got++] = e->addr;
    slice one;
    while (slice_cut(list, '\0', &one, &list) && got < count)
        got += addr_parse_ip(one, e->port, &v[got]) == OK;
    if (got == 0)
        return ERR_NOTFOUND;
    *out = v;
    *n = got;
    return OK;
}
