/*
 * What proxy_pass does to the target, after nginx's manual ("proxy_pass").
 *
 * Without a URI part the target is sent as it came. With one, the part of the decoded path that the location matched is
 * replaced and the rest is escaped again. A path that was rewritten away from the location's prefix goes out whole.
 * With variables in proxy_pass the URI part is the target, as given; bytes that would break the request line are
 * escaped, so that a decoded `$uri` cannot split it.
 */
#include "proxy/target.h"

#include "base/checked.h"
#include "base/err.h"
#include "http/chars.h"
#include "http/uri.h"

/* a + b [+ "?" + query] in the arena. */
static int concat(struct arena *arena, slice a, slice b, bool has_query, slice query, slice *out)
{
    size_t n;
    if (!checked_add(a.n, b.n, &n) || !checked_add(n, has_query ? query.n + 1 : 0, &n))
        return ERR_NOMEM;
    char *p = arena_bytes(arena, n), *at = p;
    if (!p)
        return ERR_NOMEM;
    if (a.n)
        at = mempcpy(at, a.p, a.n);
    if (b.n)
        at = mempcpy(at, b.p, b.n);
    if (has_query) {
        *at++ = '?';
        if (query.n)
            memcpy(at, query.p, query.n);
    }
    *out = slice_of(p, n);
    return OK;
}

static int target_received(struct exchange *x, slice *out)
{
    const struct request *r = &x->req;
    slice path = r->normal_path;
    if (!r->has_query) {
        *out = path;
        return OK;
    }
    if (r->query.p == path.p + path.n + 1) { /* side by side in the head: no copy */
        *out = slice_of(path.p, path.n + 1 + r->query.n);
        return OK;
    }
    return concat(&x->arena, path, SLICE_NONE, true, r->query, out);
}

int target_make(struct exchange *x, bool has_uri, slice uri, slice location, slice *out)
{
    const struct pass *p = &x->pass;
    if (!has_uri && !p->rewritten)
        return target_received(x, out);
    slice rest = p->uri, escaped, before = SLICE_NONE;
    if (has_uri && !p->whole && slice_starts(p->uri, location)) {
        rest = slice_from(p->uri, location.n);
        before = uri;
    }
    if (!uri_escape(&x->arena, rest, URI_ESCAPE_PATH, &escaped))
        return ERR_NOMEM;
    slice whole;
    int rc = concat(&x->arena, before, escaped, p->has_args && p->args.n, p->args, &whole);
    return rc == OK ? target_given(&x->arena, whole, out) : rc; /* arguments may come from `set $args` */
}

int target_given(struct arena *a, slice uri, slice *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t room, bad = 0;
    bool slash = uri.n == 0 || uri.p[0] != '/';
    for (size_t i = 0; i < uri.n; i++)
        bad += !ch_is(uri.p[i], CH_TARGET);
    if (!slash && !bad) {
        *out = uri;
        return OK;
    }
    if (!checked_mul(bad, 2, &room) || !checked_add(room, uri.n, &room) || !checked_add(room, slash, &room))
        return ERR_NOMEM;
    char *p = arena_bytes(a, room), *at = p;
    if (!p)
        return ERR_NOMEM;
    if (slash)
        *at++ = '/';
    for (size_t i = 0; i < uri.n; i++) {
        char c = uri.p[i];
        if (ch_is(c, CH_TARGET)) {
            *at++ = c;
            continue;
        }
        *at++ = '%';
        *at++ = hex[(uint8_t)c >> 4];
        *at++ = hex[(uint8_t)c & 15];
    }
    *out = slice_of(p, room);
    return OK;
}
