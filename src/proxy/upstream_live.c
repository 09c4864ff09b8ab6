#include "proxy/upstream_live.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "base/strb.h"
#include "conf/generation.h"
#include "proxy/balance/balance.h"

enum { AGAIN_MIN = 1000, AGAIN_MAX = 3600 * 1000, AGAIN_FAILED = 2000, ADDRS_MAX = 64, FOUND_MAX = 32768 };

/* The peers as they are; heap, replaced whole. */
struct version {
    struct arena arena;
    struct upstream u;
};

struct upstream_live {
    struct gen_cleanup cleanup;
    struct upstream *conf;
    struct generation *gen;
    struct live_server *servers;
    uint32_t n;
    const struct resolver_level *own, *http;
    struct worker *worker; /* that follows; NULL: nobody does */
    pthread_mutex_t lock;  /* of `now` */
    struct version *now;
};

/* ---- what outlives a generation: the addresses last found for a name of a group ---- */

struct found {
    uint32_t n;
    struct addr v[ADDRS_MAX];
};

static pthread_mutex_t found_lock = PTHREAD_MUTEX_INITIALIZER;
static struct map found_map;
static uint32_t addresses; /* different ones ever found: each costs a line of the registry */

/* The entry of a group's name, made at its first use; under found_lock. NULL: no memory. */
static struct found *found_entry(slice group, slice host)
{
    char text[512];
    struct strb b;
    strb_init_fixed(&b, text, sizeof(text));
    strb_add(&b, group);
    strb_char(&b, '\0');
    strb_add(&b, host);
    if (b.failed)
        return NULL;
    struct found *f = map_get(&found_map, strb_slice(&b));
    if (f)
        return f;
    f = calloc(1, sizeof(*f) + b.n);
    if (!f)
        return NULL;
    memcpy(f + 1, b.p, b.n);
    if (map_put(&found_map, slice_of((const char *)(f + 1), b.n), f) == OK)
        return f;
    free(f);
    return NULL;
}

static void remember(const struct live_server *s)
{
    pthread_mutex_lock(&found_lock);
    struct found *f = found_entry(s->of->conf->name, s->at.text);
    if (f) {
        f->n = s->n;
        memcpy(f->v, s->v, s->n * sizeof(f->v[0]));
    }
    pthread_mutex_unlock(&found_lock);
}

static void recall(struct live_server *s)
{
    pthread_mutex_lock(&found_lock);
    const struct found *f = found_entry(s->of->conf->name, s->at.text);
    s->n = 0;
    if (f && f->n && (s->v = malloc(f->n * sizeof(f->v[0]))) != NULL) {
        memcpy(s->v, f->v, f->n * sizeof(f->v[0]));
        s->n = f->n;
    }
    pthread_mutex_unlock(&found_lock);
}

/* ---- versions ---- */

static void version_free(struct version *v)
{
    if (!v)
        return;
    arena_done(&v->arena);
    free(v);
}

static int fill(struct version *v, const struct upstream_live *l, struct peer_set *set, bool backup)
{
    size_t n = 0;
    for (uint32_t i = 0; i < l->n; i++)
        n += l->servers[i].peer.backup == backup ? l->servers[i].n : 0;
    set->peers = arena_new_n(&v->arena, struct peer, n + 1);
    set->cursor = registry_cursor(l->conf->name, backup);
    if (!set->peers || !set->cursor)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct live_server *s = &l->servers[i];
        for (uint32_t k = 0; s->peer.backup == backup && k < s->n; k++) {
            struct peer *p = &set->peers[set->n++];
            char text[ADDR_TEXT_MAX];
            *p = s->peer;
            p->addr = s->v[k];
            if (!arena_dup(&v->arena, slice_of(text, addr_text(text, &p->addr)), &p->text))
                return ERR_NOMEM;
            p->pool_key = hash_bytes(p->text, false);
            p->state = registry_peer(l->conf->name, p->text);
            if (!p->state)
                return ERR_NOMEM;
            v->u.nlive += !p->down;
        }
    }
    return set->n ? balance_sequence(&v->arena, set) : OK;
}

/* Makes the peers of the addresses known now. On failure those of before stay. */
static int renew(struct upstream_live *l)
{
    struct version *v = calloc(1, sizeof(*v)), *old;
    if (!v)
        return ERR_NOMEM;
    arena_init(&v->arena, NULL, 0, 2048, 0);
    v->u = *l->conf;
    v->u.live = NULL;
    int rc = fill(v, l, &v->u.primary, false);
    if (rc == OK)
        rc = fill(v, l, &v->u.backup, true);
    if (rc != OK) {
        version_free(v);
        return rc;
    }
    v->u.npeers = v->u.primary.n + v->u.backup.n;
    if (v->u.npeers == 1 && v->u.primary.n)
        v->u.primary.peers->alone = true;
    pthread_mutex_lock(&l->lock);
    old = l->now;
    l->now = v;
    pthread_mutex_unlock(&l->lock);
    version_free(old);
    return OK;
}

static bool copy_set(struct arena *a, struct peer_set *to, const struct peer_set *from)
{
    to->peers = arena_new_n(a, struct peer, from->n + 1);
    to->sequence = arena_new_n(a, uint32_t, from->nsequence + 1);
    if (!to->peers || !to->sequence)
        return false;
    for (uint32_t i = 0; i < from->n; i++) {
        to->peers[i] = from->peers[i];
        if (!arena_dup(a, from->peers[i].text, &to->peers[i].text))
            return false;
    }
    if (from->nsequence)
        memcpy(to->sequence, from->sequence, from->nsequence * sizeof(*to->sequence));
    return true;
}

const struct upstream *upstream_live_now(const struct upstream *u, struct arena *a)
{
    struct upstream_live *l = u->live;
    struct upstream *copy = arena_new(a, struct upstream);
    if (!copy)
        return NULL;
    pthread_mutex_lock(&l->lock);
    *copy = l->now->u;
    bool ok = copy_set(a, &copy->primary, &l->now->u.primary) && copy_set(a, &copy->backup, &l->now->u.backup);
    pthread_mutex_unlock(&l->lock);
    return ok ? copy : NULL;
}

static bool set_has_key(const struct peer_set *s, uint64_t key)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->peers[i].pool_key == key)
            return true;
    return false;
}

bool upstream_live_has_key(const struct upstream *u, uint64_t key)
{
    struct upstream_live *l = u->live;
    pthread_mutex_lock(&l->lock);
    bool has = set_has_key(&l->now->u.primary, key) || set_has_key(&l->now->u.backup, key);
    pthread_mutex_unlock(&l->lock);
    return has;
}

/* ---- following ---- */

static const struct resolver_level *level_of(const struct upstream_live *l)
{
    return l->own && l->own->conf ? l->own : l->http;
}

static void follow(struct live_server *s);

static int by_address(const void *a, const void *b)
{
    const struct addr *x = a, *y = b;
    return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(&x->sa, &y->sa, x->len);
}

/* Addresses that the registry would have to be given more memory for; false when that were too many. */
static bool may_know(const struct upstream_live *l, const struct addr *v, uint32_t n)
{
    uint32_t news = 0;
    for (uint32_t i = 0; i < n; i++) {
        char text[ADDR_TEXT_MAX];
        news += !registry_knows(l->conf->name, slice_of(text, addr_text(text, &v[i])));
    }
    if (addresses + news > FOUND_MAX)
        return false;
    addresses += news;
    return true;
}

/* Takes what was found, if that is news. Sorted: the turn in which DNS gives addresses is none. */
static void take(struct live_server *s, struct addr *v, uint32_t n)
{
    struct upstream_live *l = s->of;
    if (n)
        qsort(v, n, sizeof(*v), by_address);
    bool same = n == s->n;
    for (uint32_t i = 0; same && i < n; i++)
        same = addr_eq(&v[i], &s->v[i]);
    if (same)
        return;
    struct addr *copy = malloc((n + 1) * sizeof(*v)), *old = s->v;
    uint32_t nold = s->n;
    if (!copy || !may_know(l, v, n)) {
        log_line(&l->gen->log, LEVEL_ERROR, 0, "new addresses of \"%.*s\" in upstream \"%.*s\" are not taken: %s",
                 SLICE_FMT(s->at.host), SLICE_FMT(l->conf->name), copy ? "too many were found already" : "no memory");
        free(copy);
        return;
    }
    memcpy(copy, v, n * sizeof(*v));
    s->v = copy;
    s->n = n;
    if (renew(l) != OK) {
        s->v = old;
        s->n = nold;
        free(copy);
        return;
    }
    free(old);
    remember(s);
}

static void outcome(struct live_server *s)
{
    struct upstream_live *l = s->of;
    struct addr v[ADDRS_MAX];
    uint64_t again = AGAIN_FAILED;
    if (s->ask.status == DNS_OK) {
        uint32_t n = resolver_addresses(&s->ask, s->at.port, v, ADDRS_MAX);
        again = s->ask.holds < AGAIN_MIN ? AGAIN_MIN : s->ask.holds < AGAIN_MAX ? s->ask.holds : AGAIN_MAX;
        take(s, v, n);
    } else {
        log_line(&l->gen->log, LEVEL_ERROR, 0, "%.*s could not be resolved (%u: %s) in upstream \"%.*s\"",
                 SLICE_FMT(s->at.host), s->ask.status, dns_status_text(s->ask.status), SLICE_FMT(l->conf->name));
        if (s->ask.status == DNS_NXDOMAIN)
            take(s, v, 0);
    }
    resolver_drop(&s->ask);
    timer_set(&l->worker->loop, &s->again, again);
}

static void on_answer(struct resolve *r)
{
    outcome(container_of(r, struct live_server, ask));
}

static void follow(struct live_server *s)
{
    const struct resolver_level *c = level_of(s->of);
    const struct resolve_terms terms = { .timeout = c->timeout };
    if (resolver_ask(s->of->worker->resolvers, c->conf, s->at.host, &terms, &s->ask, on_answer) == OK)
        outcome(s);
}

static void on_time(struct timer *t)
{
    follow(container_of(t, struct live_server, again));
}

void upstream_live_start(struct worker *w, const struct upstream *u)
{
    struct upstream_live *l = u->live;
    l->worker = w;
    for (uint32_t i = 0; i < l->n; i++) {
        struct live_server *s = &l->servers[i];
        if (!s->resolve)
            continue;
        timer_init(&s->again, on_time);
        follow(s);
    }
}

void upstream_live_stop(const struct upstream *u)
{
    struct upstream_live *l = u->live;
    if (!l->worker)
        return;
    for (uint32_t i = 0; i < l->n; i++) {
        if (!l->servers[i].resolve)
            continue;
        resolver_drop(&l->servers[i].ask);
        timer_drop(&l->worker->loop, &l->servers[i].again);
    }
    l->worker = NULL;
}

/* ---- making ---- */

static void live_free(struct gen_cleanup *c)
{
    struct upstream_live *l = container_of(c, struct upstream_live, cleanup);
    for (uint32_t i = 0; i < l->n; i++)
        if (l->servers[i].resolve)
            free(l->servers[i].v);
    version_free(l->now);
    pthread_mutex_destroy(&l->lock);
}

int upstream_live_make(struct conf_ctx *cf, struct upstream *u, struct live_server *servers, uint32_t n,
                       const struct resolver_level *own, const struct resolver_level *http)
{
    struct upstream_live *l = arena_new(cf->arena, struct upstream_live);
    if (!l)
        return ERR_NOMEM;
    *l = (struct upstream_live){ .conf = u, .gen = cf->gen, .servers = servers, .n = n, .own = own, .http = http };
    pthread_mutex_init(&l->lock, NULL);
    generation_cleanup(cf->gen, &l->cleanup, live_free);
    for (uint32_t i = 0; i < n; i++) {
        servers[i].of = l;
        if (servers[i].resolve)
            recall(&servers[i]);
    }
    int rc = renew(l);
    if (rc == OK)
        u->live = l;
    return rc;
}

bool upstream_live_has_resolver(const struct upstream *u)
{
    const struct resolver_level *c = level_of(u->live);
    return c && c->conf;
}
