#include "net/resolver_cache.h"

#include <stdlib.h>

#include "base/map.h"

struct dns_addrs *dns_addrs_ref(struct dns_addrs *a)
{
    a->refs++;
    return a;
}

void dns_addrs_unref(struct dns_addrs *a)
{
    if (a && --a->refs == 0)
        free(a);
}

void resolver_cache_init(struct resolver_cache *c, uint32_t max)
{
    for (size_t i = 0; i < RESOLVER_BUCKETS; i++)
        list_init(&c->buckets[i]);
    list_init(&c->used);
    c->n = 0;
    c->max = max;
}

static void name_free(struct resolver_cache *c, struct resolver_name *n)
{
    if (n->lookup)
        dns_lookup_cancel(n->lookup);
    while (!list_empty(&n->waiting)) {
        struct resolve *r = list_entry(n->waiting.next, struct resolve, link);
        list_del(&r->link);
        timer_drop(r->loop, &r->timer);
        r->waiting = false;
    }
    list_del(&n->chain);
    list_del(&n->used);
    dns_addrs_unref(n->good);
    free(n);
    c->n--;
}

void resolver_cache_done(struct resolver_cache *c)
{
    while (!list_empty(&c->used))
        name_free(c, list_entry(c->used.next, struct resolver_name, used));
}

static bool make_room(struct resolver_cache *c)
{
    if (c->n < c->max)
        return true;
    for (struct list *at = c->used.prev; at != &c->used; at = at->prev) {
        struct resolver_name *n = list_entry(at, struct resolver_name, used);
        if (n->lookup)
            continue;
        name_free(c, n);
        return true;
    }
    return false;
}

struct resolver_name *resolver_cache_name(struct resolver_cache *c, slice name)
{
    uint64_t hash = hash_bytes(name, false);
    struct list *bucket = &c->buckets[hash % RESOLVER_BUCKETS];
    for (struct list *at = bucket->next; at != bucket; at = at->next) {
        struct resolver_name *n = list_entry(at, struct resolver_name, chain);
        if (n->hash != hash || !slice_eq(slice_of(n->name, n->len), name))
            continue;
        list_del(&n->used);
        list_add(&c->used, &n->used);
        return n;
    }
    struct resolver_name *n = make_room(c) ? calloc(1, sizeof(*n) + name.n) : NULL;
    if (!n)
        return NULL;
    n->hash = hash;
    n->len = name.n;
    memcpy(n->name, name.p, name.n);
    list_init(&n->waiting);
    list_add(bucket, &n->chain);
    list_add(&c->used, &n->used);
    c->n++;
    return n;
}
