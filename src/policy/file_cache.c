/*
 * open_file_cache: files, directories and failures that were met, by their path, so that a request for what is asked
 * for often costs no look at the file system.
 *
 * Each worker has its own, one for each open_file_cache line, and makes it with the first file. An entry is believed
 * for open_file_cache_valid and then looked at again; what nobody has asked for during `inactive`, and what is too
 * much, goes from the cold end. A reload forgets everything, and exchanges of a configuration that was replaced open
 * their files without a cache (file_open.c). A file that is being sent stays open whatever becomes of its entry.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/map.h"
#include "policy/files.h"

enum { BUCKETS_MAX = 1 << 16, EXPIRE_AT_ONCE = 2 };

struct cached {
    struct cached *next; /* in the bucket */
    struct list lru;     /* the warm ones first */
    uint64_t hash;
    struct file *file; /* NULL: a failure, or too few uses to keep it open */
    const struct file_tree *tree;
    size_t unchecked;           /* disable_symlinks: bytes of the path that from= exempts */
    uint64_t created, accessed; /* ms */
    uint64_t uses;
    int error;
    uint8_t mode; /* enum file_links */
    size_t path_n;
    char path[];
};

/* What is looked for. Two locations share what they look at in the same way. */
struct asked {
    const struct files_conf *c;
    const struct file_place *p;
    size_t unchecked;
    uint64_t hash;
};

struct file_cache {
    struct list link;
    uint32_t number;
    size_t count, mask;
    struct list lru;
    struct cached *buckets[];
};

/* ---- caches ---- */

static struct file_cache *cache_new(struct files_worker *fw, const struct file_cache_conf *c)
{
    size_t n = 16;
    while (n < c->max && n < BUCKETS_MAX)
        n *= 2;
    struct file_cache *k = calloc(1, sizeof(*k) + n * sizeof(struct cached *));
    if (!k)
        return NULL;
    k->number = c->number;
    k->mask = n - 1;
    list_init(&k->lru);
    list_add(&fw->caches, &k->link);
    return k;
}

static struct file_cache *cache_of(struct exchange *x, const struct file_cache_conf *c)
{
    struct files_worker *fw = files_worker(x->w);
    if (!fw)
        return NULL;
    for (struct list *l = fw->caches.next; l != &fw->caches; l = l->next) {
        struct file_cache *k = list_entry(l, struct file_cache, link);
        if (k->number == c->number)
            return k;
    }
    return cache_new(fw, c);
}

static struct cached *find(const struct file_cache *k, const struct asked *a)
{
    for (struct cached *e = k->buckets[a->hash & k->mask]; e; e = e->next) {
        if (e->hash == a->hash && e->tree == a->p->tree && e->mode == a->c->links.mode &&
            e->unchecked == a->unchecked && slice_eq(slice_of(e->path, e->path_n), a->p->path))
            return e;
    }
    return NULL;
}

static void drop(struct worker *w, struct file_cache *k, struct cached *e)
{
    struct cached **at = &k->buckets[e->hash & k->mask];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    list_del(&e->lru);
    k->count--;
    if (e->file)
        file_unref(w, e->file);
    free(e);
}

static void cache_free(struct worker *w, struct file_cache *k)
{
    for (struct list *l = k->lru.next, *next; l != &k->lru; l = next) {
        struct cached *e = list_entry(l, struct cached, lru);
        next = l->next;
        if (e->file)
            file_unref(w, e->file);
        free(e);
    }
    free(k);
}

void file_caches_drop(struct worker *w)
{
    struct files_worker *fw = w->files;
    if (!fw)
        return;
    for (struct list *l = fw->caches.next, *next; l != &fw->caches; l = next) {
        next = l->next;
        cache_free(w, list_entry(l, struct file_cache, link));
    }
    list_init(&fw->caches);
}

/* From the cold end: what is too much, and a few of those that nobody wants any more. */
static void expire(struct worker *w, struct file_cache *k, const struct file_cache_conf *c, uint64_t now)
{
    for (int i = 0; i < EXPIRE_AT_ONCE && !list_empty(&k->lru); i++) {
        struct cached *e = list_entry(k->lru.prev, struct cached, lru);
        if (k->count <= c->max && now - e->accessed <= c->inactive)
            return;
        drop(w, k, e);
    }
}

/* ---- entries ---- */

static struct cached *add(struct file_cache *k, const struct asked *a)
{
    slice path = a->p->path;
    struct cached *e = malloc(sizeof(*e) + path.n);
    struct cached **at = &k->buckets[a->hash & k->mask];
    if (!e)
        return NULL;
    *e = (struct cached){ .next = *at,
                          .hash = a->hash,
                          .tree = a->p->tree,
                          .mode = a->c->links.mode,
                          .unchecked = a->unchecked,
                          .path_n = path.n };
    memcpy(e->path, path.p, path.n);
    *at = e;
    list_add(&k->lru, &e->lru);
    k->count++;
    return e;
}

static bool same(const struct file *a, const struct file *b)
{
    return a->inode == b->inode && a->device == b->device && a->mtime == b->mtime && a->size == b->size &&
           a->mode == b->mode;
}

/* Remembers the outcome of a real look: a file that was not asked for often enough is not kept open. */
static void keep(struct worker *w, struct cached *e, const struct files_conf *c, struct file *f, int error)
{
    if (e->file)
        file_unref(w, e->file);
    e->file = NULL;
    e->error = error;
    if (f && (e->uses >= c->cache_min_uses || f->fd < 0)) {
        f->refs++;
        e->file = f;
    }
}

/* Asks the file system. `e` may be NULL: the path is not known yet. */
static int look(struct exchange *x, struct file_cache *k, struct cached *e, const struct asked *a, struct file **out)
{
    uint64_t now = loop_now(&x->w->loop);
    struct file *fresh = NULL;
    int rc = file_open_now(x, a->p, &fresh), err = errno;
    bool remember = rc == OK || (rc == ERR_SYS && a->c->cache_errors);
    if (rc == OK && e && e->file && same(fresh, e->file)) {
        file_unref(x->w, fresh);
        fresh = e->file;
        fresh->refs++;
    } else if (remember) {
        if (!e)
            e = add(k, a);
        if (e) {
            e->uses += !e->uses;
            keep(x->w, e, a->c, fresh, rc == OK ? 0 : err);
        }
    } else if (e) {
        drop(x->w, k, e);
        e = NULL;
    }
    if (e)
        e->created = e->accessed = now;
    *out = fresh;
    errno = err;
    return rc;
}

static void warm(struct file_cache *k, struct cached *e, uint64_t now)
{
    e->accessed = now;
    e->uses++;
    if (k->lru.next == &e->lru)
        return;
    list_del(&e->lru);
    list_add(&k->lru, &e->lru);
}

int file_cache_open(struct exchange *x, const struct files_conf *c, const struct file_place *p, struct file **out)
{
    struct file_cache *k = cache_of(x, c->cache);
    uint64_t now = loop_now(&x->w->loop);
    const struct asked a = {
        .c = c, .p = p, .unchecked = file_links_unchecked(x, c, p), .hash = hash_bytes(p->path, false)
    };
    if (!k)
        return ERR_NOMEM;
    struct cached *e = find(k, &a);
    if (e)
        warm(k, e, now);
    bool valid = e && now - e->created < c->cache_valid;
    int rc = OK;
    if (valid && e->file) {
        *out = e->file;
        e->file->refs++;
    } else if (valid && e->error && c->cache_errors) {
        errno = e->error;
        rc = ERR_SYS;
    } else {
        rc = look(x, k, e, &a, out);
    }
    int err = errno;
    expire(x->w, k, c->cache, now);
    errno = err;
    return rc;
}
