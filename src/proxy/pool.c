#include "proxy/pool.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "h2/client.h"
#include "proxy/upstream_conf.h"
#include "proxy/upstream_live.h"

/* The first worker follows the names of groups, in the generation that it has now. */
static void follow_names(struct worker *w)
{
    if (w->index != 0)
        return;
    for (const struct upstream *u = w->proxy->followed; u; u = u->next)
        if (u->live)
            upstream_live_stop(u);
    w->proxy->followed = w->gen ? upstream_blocks_of(w->gen->gen) : NULL;
    for (const struct upstream *u = w->proxy->followed; u; u = u->next)
        if (u->live)
            upstream_live_start(w, u);
}

int proxy_worker_init(struct worker *w)
{
    w->proxy = calloc(1, sizeof(*w->proxy));
    if (!w->proxy)
        return ERR_NOMEM;
    follow_names(w);
    return OK;
}

static struct pool_shelf **bucket(struct worker *w, uint64_t key)
{
    return &w->proxy->buckets[(key ^ key >> 32) % POOL_BUCKETS];
}

static struct pool_shelf *shelf_find(struct worker *w, uint64_t key)
{
    struct pool_shelf *s = *bucket(w, key);
    while (s && s->key != key)
        s = s->next;
    return s;
}

/* NULL: no memory, or another address has the key: two with one hash are as good as never. */
static struct pool_shelf *shelf_make(struct worker *w, uint64_t key, const struct addr *addr)
{
    struct pool_shelf *s = shelf_find(w, key), **head = bucket(w, key);
    if (s)
        return addr_eq(&s->addr, addr) ? s : NULL;
    s = malloc(sizeof(*s));
    if (!s)
        return NULL;
    *s = (struct pool_shelf){ .next = *head, .key = key, .addr = *addr };
    list_init(&s->idle);
    *head = s;
    return s;
}

/* A shelf of connections that come from an address of their own (proxy_bind) goes with the last of them: such keys may
 * be a request's choice, and there are as many as there are addresses. */
static void shelf_left(struct worker *w, struct pool_shelf *s, const struct h1_client *cl)
{
    struct pool_shelf **at = bucket(w, s->key);
    if (likely(!cl->bound) || s->count)
        return;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    free(s);
}

static struct h1_client *entry(struct list *l)
{
    return list_entry(l, struct h1_client, link);
}

static void close_idle(struct pool_shelf *s, struct h1_client *cl)
{
    list_del(&cl->link);
    s->count--;
    h1_client_close(cl);
}

static void idle_ended(struct h1_client *cl)
{
    struct pool_shelf *s = shelf_find(cl->c.w, cl->key);
    close_idle(s, cl);
    shelf_left(cl->c.w, s, cl);
}

static void shelf_clear(struct pool_shelf *s)
{
    while (!list_empty(&s->idle))
        close_idle(s, entry(s->idle.next));
}

void proxy_worker_drain(struct worker *w)
{
    for (size_t i = 0; i < POOL_BUCKETS; i++) {
        for (struct pool_shelf *s = w->proxy->buckets[i]; s; s = s->next)
            shelf_clear(s);
    }
}

/* Frees the shelves for which `gone` holds, with what lies on them. */
static void shelves_free(struct worker *w, bool all)
{
    for (size_t i = 0; i < POOL_BUCKETS; i++) {
        struct pool_shelf **at = &w->proxy->buckets[i];
        while (*at) {
            struct pool_shelf *s = *at;
            if (!all && upstream_has_key(w->gen->gen, s->key)) {
                at = &s->next;
                continue;
            }
            shelf_clear(s);
            *at = s->next;
            free(s);
        }
    }
}

static bool key_is_named(struct worker *w, uint64_t key)
{
    return upstream_has_key(w->gen->gen, key);
}

void proxy_worker_gen_changed(struct worker *w)
{
    follow_names(w);
    shelves_free(w, false);
    if (w->h2)
        h2_clients_leave(w, key_is_named);
}

void proxy_worker_done(struct worker *w)
{
    if (!w->proxy)
        return;
    for (const struct upstream *u = w->proxy->followed; u; u = u->next)
        if (u->live)
            upstream_live_stop(u);
    shelves_free(w, true);
    free(w->proxy);
    w->proxy = NULL;
}

struct h1_client *pool_take(struct worker *w, const struct peer *p, uint64_t bound)
{
    struct pool_shelf *s = shelf_find(w, p->pool_key ^ bound);
    if (!s || !addr_eq(&s->addr, &p->addr))
        return NULL;
    for (struct list *at = s->idle.next; at != &s->idle; at = at->next) {
        struct h1_client *cl = entry(at);
        if (cl->bound != bound)
            continue;
        list_del(&cl->link);
        s->count--;
        shelf_left(w, s, cl);
        return cl;
    }
    return NULL;
}

void pool_put(struct worker *w, struct h1_client *cl, const struct upstream *u, const struct peer *p)
{
    uint64_t age = loop_now(&w->loop) - cl->since;
    bool keep =
        w->proxy && u->keepalive && !w->draining && cl->requests < u->keepalive_requests && age < u->keepalive_time;
    struct pool_shelf *s = keep ? shelf_make(w, p->pool_key ^ cl->bound, &p->addr) : NULL;
    if (!s) {
        h1_client_close(cl);
        return;
    }
    cl->key = p->pool_key ^ cl->bound;
    w->h1->idle_ended = idle_ended;
    list_add(&s->idle, &cl->link);
    s->count++;
    timer_set(&w->loop, &cl->c.in_timer, u->keepalive_timeout);
    if (s->count > u->keepalive)
        close_idle(s, entry(s->idle.prev));
}

const struct room_hooks proxy_room = {
    .name = "proxy",
    .init = proxy_worker_init,
    .done = proxy_worker_done,
    .gen_changed = proxy_worker_gen_changed,
    .drain = proxy_worker_drain,
};
