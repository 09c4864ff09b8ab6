#include "conf/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/memfile.h"
#include "base/strb.h"
#include "conf/bundle_priv.h"

struct bundle *bundle_new(slice prefix)
{
    struct bundle *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    arena_init(&b->arena, NULL, 0, 4096, 0);
    for (size_t i = 0; i < BUNDLE_KINDS; i++)
        map_init(&b->by_key[i], false);
    b->last = &b->first;
    slice slash = prefix.n && prefix.p[prefix.n - 1] == '/' ? SLICE_NONE : SLICE("/");
    b->prefix = arena_printf(&b->arena, "%.*s%.*s", SLICE_FMT(prefix), SLICE_FMT(slash));
    if (b->prefix.p)
        return b;
    bundle_free(b);
    return NULL;
}

void bundle_free(struct bundle *b)
{
    if (!b)
        return;
    for (struct bundle_entry *e = b->first; e; e = e->next) {
        if (e->mapped)
            memfile_unmap(e->text.p, e->text.n + 1);
        for (uint32_t i = 0; e->fds && i < e->nfds; i++) {
            if (e->fds[i] >= 0)
                close(e->fds[i]);
        }
        free(e->fds);
    }
    for (size_t i = 0; i < BUNDLE_KINDS; i++)
        map_done(&b->by_key[i]);
    arena_done(&b->arena);
    free(b);
}

void bundle_set_resolver(struct bundle *b, bundle_resolve_fn fn, void *ctx)
{
    b->resolve = fn;
    b->resolve_ctx = ctx;
}

slice bundle_prefix(const struct bundle *b)
{
    return b->prefix;
}

void bundle_close(struct bundle *b)
{
    b->closed = true;
}

struct bundle_entry *bundle_first(struct bundle *b)
{
    return b->first;
}

/* With a NUL behind it. A NUL within stays, for whoever opens the path to refuse. */
static slice join(struct bundle *b, slice dir, slice path)
{
    size_t n;
    if (path.n && path.p[0] == '/')
        dir = SLICE_NONE;
    char *p = checked_add(dir.n, path.n, &n) && checked_add(n, 1, &n) ? arena_bytes(&b->arena, n) : NULL;
    if (!p)
        return SLICE_NONE;
    struct strb s;
    strb_init_fixed(&s, p, n);
    strb_add(&s, dir);
    strb_add(&s, path);
    strb_char(&s, '\0');
    return slice_of(p, n - 1);
}

slice bundle_path(struct bundle *b, slice path)
{
    return join(b, b->prefix, path);
}

slice bundle_conf_path(struct bundle *b, slice path)
{
    slice dir = bundle_option(b, SLICE("conf_dir"));
    return join(b, dir.n ? dir : b->prefix, path);
}

struct bundle_entry *bundle_add(struct bundle *b, enum bundle_kind kind, slice key, slice text, int error)
{
    struct bundle_entry *e = arena_new(&b->arena, struct bundle_entry);
    if (!e || !arena_dup(&b->arena, key, &e->key) || map_put(&b->by_key[kind], e->key, e) < 0)
        return NULL;
    e->kind = kind;
    e->text = text;
    e->error = error;
    *b->last = e;
    b->last = &e->next;
    b->nentries++;
    return e;
}

int bundle_file_set(struct bundle *b, slice path, slice text)
{
    slice key = bundle_path(b, path), copy;
    if (!key.p || !arena_dup(&b->arena, text, &copy))
        return ERR_NOMEM;
    if (map_get(&b->by_key[BUNDLE_FILE], key))
        return ERR_REFUSED;
    return bundle_add(b, BUNDLE_FILE, key, copy, 0) ? OK : ERR_NOMEM;
}

bool bundle_closed(const struct bundle *b)
{
    return b->closed;
}

struct bundle_entry *bundle_descriptor(struct bundle *b, enum bundle_kind kind, slice key)
{
    struct bundle_entry *e = map_get(&b->by_key[kind], key);
    if (e || b->closed)
        return e;
    return bundle_add(b, kind, key, SLICE_NONE, 0);
}

int bundle_option_set(struct bundle *b, slice name, slice value)
{
    struct bundle_entry *e = map_get(&b->by_key[BUNDLE_OPTION], name);
    slice copy;
    if (e && slice_eq(e->text, value))
        return OK;
    if (!arena_dup(&b->arena, value, &copy))
        return ERR_NOMEM;
    if (e) {
        e->text = copy;
        return OK;
    }
    return bundle_add(b, BUNDLE_OPTION, name, copy, 0) ? OK : ERR_NOMEM;
}

slice bundle_option(const struct bundle *b, slice name)
{
    const struct bundle_entry *e = map_get(&b->by_key[BUNDLE_OPTION], name);
    return e ? e->text : SLICE_NONE;
}
