#include "net/resolver.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "base/strb.h"
#include "net/resolver_cache.h"

enum {
    INSTANCES_MAX = 32,      /* ways of asking that are remembered */
    TTL_MAX = 24 * 3600,     /* s: no answer is believed longer */
    NEGATIVE_MAX = 300,      /* s */
    FAILURE_MS = 1000,       /* until servers that failed for a name are asked for it again */
    FAILURE_STALE_MS = 5000, /* ... while an old answer helps out */
    PARTIAL_MAX = 30,        /* s: one family answered, the other failed */
    HURRY_MS = 1800,         /* RFC 8767 §5: then an old answer is given rather than a late one */
};

/* One way of asking and what was learnt by it. */
struct resolver {
    struct list link; /* the latest used first */
    struct resolvers *all;
    struct arena arena;
    struct resolver_conf conf; /* a copy in the arena, without the hosts */
    struct resolver_cache cache;
    uint32_t first; /* the server that is asked first: the next one, once it was silent */
    uint32_t lookups;
};

struct resolvers {
    struct loop *loop;
    struct list list;
    uint32_t n, lookups;
    struct resolver_counts counts;
    struct resolver_name *running[RESOLVER_LOOKUPS_MAX]; /* the first `lookups` */
};

static void count(uint64_t *n)
{
    if (n)
        __atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}

/* ---- instances ---- */

struct resolvers *resolvers_new(struct loop *l, const struct resolver_counts *counts)
{
    struct resolvers *rs = calloc(1, sizeof(*rs));
    if (!rs)
        return NULL;
    rs->loop = l;
    rs->counts = *counts;
    list_init(&rs->list);
    return rs;
}

static void resolver_free(struct resolver *r)
{
    r->all->n--;
    list_del(&r->link);
    resolver_cache_done(&r->cache);
    arena_done(&r->arena);
    free(r);
}

void resolvers_free(struct resolvers *rs)
{
    if (!rs)
        return;
    for (struct list *at = rs->list.next, *next; at != &rs->list; at = next) {
        next = at->next;
        resolver_free(list_entry(at, struct resolver, link));
    }
    free(rs);
}

static int copy_conf(struct resolver *r, const struct resolver_conf *c)
{
    struct addr *servers = arena_new_n(&r->arena, struct addr, c->nservers);
    r->conf = *c;
    r->conf.hosts = NULL;
    r->conf.servers = servers;
    if (!servers || !arena_dup(&r->arena, c->identity, &r->conf.identity))
        return ERR_NOMEM;
    memcpy(servers, c->servers, c->nservers * sizeof(*servers));
    for (uint32_t i = 0; i < c->nsearch; i++)
        if (!arena_dup(&r->arena, c->search[i], &r->conf.search[i]))
            return ERR_NOMEM;
    return OK;
}

/* Room for one more: the one used longest ago that nobody waits for goes, when there are too many. */
static void instances_bound(struct resolvers *rs)
{
    for (struct list *at = rs->list.prev; rs->n >= INSTANCES_MAX && at != &rs->list;) {
        struct resolver *r = list_entry(at, struct resolver, link);
        at = at->prev;
        if (r->lookups == 0)
            resolver_free(r);
    }
}

static struct resolver *instance(struct resolvers *rs, const struct resolver_conf *c)
{
    for (struct list *at = rs->list.next; at != &rs->list; at = at->next) {
        struct resolver *r = list_entry(at, struct resolver, link);
        if (!slice_eq(r->conf.identity, c->identity))
            continue;
        list_del(&r->link);
        list_add(&rs->list, &r->link);
        return r;
    }
    struct resolver *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    arena_init(&r->arena, NULL, 0, 1024, 0);
    if (copy_conf(r, c) != OK) {
        arena_done(&r->arena);
        free(r);
        return NULL;
    }
    r->all = rs;
    resolver_cache_init(&r->cache, RESOLVER_NAMES_MAX);
    instances_bound(rs); /* before it is among them: it is the one that nobody waits for yet */
    list_add(&rs->list, &r->link);
    rs->n++;
    return r;
}

/* ---- shares of clients ---- */

static struct resolver_payer payer_of(const struct sockaddr *sa)
{
    struct resolver_payer p = { .family = sa ? (uint8_t)sa->sa_family : 0 };
    if (p.family == AF_INET) {
        memcpy(p.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else if (p.family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(a);
        p.family = mapped ? AF_INET : AF_INET6;
        memcpy(p.bytes, &a->s6_addr[mapped ? 12 : 0], mapped ? 4 : 8);
    }
    return p;
}

/* Has the client of the asker as many questions under way as it may? All are looked at, once for a question. */
static bool has_its_share(const struct resolvers *rs, const struct resolver_payer *p, uint32_t share)
{
    uint32_t n = 0;
    if (!p->family || rs->lookups < share)
        return false;
    for (uint32_t i = 0; i < rs->lookups; i++)
        n += memcmp(&rs->running[i]->payer, p, sizeof(*p)) == 0;
    return n >= share;
}

static void now_running(struct resolvers *rs, struct resolver_name *n)
{
    n->place = rs->lookups;
    rs->running[rs->lookups++] = n;
}

static void runs_no_more(struct resolvers *rs, struct resolver_name *n)
{
    struct resolver_name *last = rs->running[--rs->lookups];
    rs->running[n->place] = last;
    last->place = n->place;
}

/* ---- what answers mean ---- */

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool says_none(const struct dns_answer *a)
{
    return a->n == 0 && (a->status == DNS_OK || a->status == DNS_NXDOMAIN);
}

struct learnt {
    unsigned status;
    uint32_t ttl; /* s */
    struct dns_addrs *addrs;
};

static struct dns_addrs *join(const struct dns_answer *a, const struct dns_answer *b)
{
    struct dns_addrs *all = malloc(sizeof(*all) + (a->n + b->n) * sizeof(all->v[0]));
    if (!all)
        return NULL;
    all->refs = 1;
    all->n = a->n + b->n;
    memcpy(all->v, a->v, a->n * sizeof(all->v[0]));
    memcpy(all->v + a->n, b->v, b->n * sizeof(all->v[0]));
    return all;
}

static struct learnt judge(const struct dns_found *f)
{
    static const struct dns_answer none = { .status = DNS_OK, .ttl = UINT32_MAX };
    const struct dns_answer *a = f->asked_a ? &f->a : &none, *b = f->asked_aaaa ? &f->aaaa : &none;
    struct learnt l = { .ttl = UINT32_MAX };
    if (a->n + b->n) {
        l.ttl = least(a->n ? a->ttl : l.ttl, b->n ? b->ttl : l.ttl);
        if ((!a->n && !says_none(a)) || (!b->n && !says_none(b)))
            l.ttl = least(l.ttl, PARTIAL_MAX);
        l.addrs = join(a, b);
        l.status = l.addrs ? DNS_OK : DNS_SERVFAIL;
        return l;
    }
    if (says_none(a) && says_none(b)) {
        l.status = DNS_NXDOMAIN;
        l.ttl = least(a->ttl, b->ttl);
        return l;
    }
    l.status = says_none(a) ? b->status : a->status;
    return l;
}

/* true: a failure that an old answer may bridge. */
static bool is_failure(unsigned status)
{
    return status != DNS_OK && status != DNS_NXDOMAIN;
}

static void learn(struct resolver_name *n, const struct dns_found *f)
{
    struct resolver *r = n->of;
    uint64_t now = loop_now(r->all->loop);
    struct learnt l = judge(f);
    n->failure = l.status;
    if (is_failure(l.status)) {
        count(r->all->counts.failed);
        n->failed = now + (n->good && now < n->stale ? FAILURE_STALE_MS : FAILURE_MS);
        return;
    }
    dns_addrs_unref(n->good);
    n->good = l.addrs; /* none, when the name does not exist: that is an answer */
    if (!l.addrs) {
        n->failed = now + 1000 * (uint64_t)least(l.ttl, NEGATIVE_MAX);
        return;
    }
    n->fresh = now + (r->conf.valid ? r->conf.valid : 1000 * (uint64_t)least(l.ttl, TTL_MAX));
    n->stale = n->fresh + r->conf.stale;
}

/* ---- answering ---- */

static int ask_name(struct resolve *r, slice name);

static void give(struct resolve *r, struct resolver_name *n, bool stale)
{
    r->status = DNS_OK;
    r->stale = stale;
    r->addrs = dns_addrs_ref(n->good);
    r->turn = n->turn++;
    r->holds = n->fresh > loop_now(r->loop) ? n->fresh - loop_now(r->loop) : 0;
}

/* What is remembered now, if that settles it. */
static bool answer(struct resolve *r, struct resolver_name *n)
{
    uint64_t now = loop_now(r->loop);
    if (n->good && now < n->fresh) {
        give(r, n, false);
        return true;
    }
    if (n->lookup && n->good && now < n->stale && now - n->asked >= HURRY_MS) {
        count(n->of->all->counts.stale);
        give(r, n, true);
        return true;
    }
    if (n->lookup || n->failure == DNS_OK || now >= n->failed)
        return false;
    if (is_failure(n->failure) && n->good && now < n->stale) {
        count(n->of->all->counts.stale);
        give(r, n, true);
    } else {
        r->status = n->failure;
    }
    return true;
}

/* The outcome of a question that was just answered, however short it holds. */
static void settle(struct resolve *r, struct resolver_name *n)
{
    uint64_t now = loop_now(r->loop);
    if (n->failure == DNS_OK) {
        give(r, n, false);
    } else if (is_failure(n->failure) && n->good && now < n->stale) {
        count(n->of->all->counts.stale);
        give(r, n, true);
    } else {
        r->status = n->failure;
    }
}

static void stop_waiting(struct resolve *r)
{
    list_del(&r->link);
    timer_drop(r->loop, &r->timer);
    r->waiting = false;
}

/*
 * The next name of the search list, when this one does not exist. ERR_AGAIN: it is being asked for; OK: r->status
 * tells, and if that is again DNS_NXDOMAIN there is no further one.
 */
static int search_on(struct resolve *r)
{
    struct resolver_conf *c = &r->resolver->conf;
    int rc = OK;
    while (rc == OK && r->status == DNS_NXDOMAIN && r->candidate < r->last_candidate) {
        char text[2 * DNS_NAME_MAX + 1];
        struct strb b;
        uint32_t i = r->candidate++;
        strb_init_fixed(&b, text, sizeof(text));
        strb_add(&b, slice_of(r->name, r->name_len));
        if (i != r->as_is) {
            strb_char(&b, '.');
            strb_add(&b, c->search[i - (r->as_is == 0)]);
        }
        if (b.n <= DNS_NAME_MAX)
            rc = ask_name(r, strb_slice(&b));
    }
    return rc;
}

static void deliver(struct resolve *r)
{
    if (search_on(r) == OK)
        r->fn(r);
}

static void on_found(void *ctx, const struct dns_found *f)
{
    struct resolver_name *n = ctx;
    struct resolver *r = n->of;
    struct list waiting = { &waiting, &waiting };
    n->lookup = NULL;
    runs_no_more(r->all, n);
    if (f->silent)
        r->first++;
    learn(n, f);
    while (!list_empty(&n->waiting)) { /* those who ask again meanwhile are not among them */
        struct list *at = n->waiting.next;
        list_del(at);
        list_add_tail(&waiting, at);
        settle(list_entry(at, struct resolve, link), n);
    }
    while (!list_empty(&waiting)) { /* n may be gone from here on */
        struct resolve *ask = list_entry(waiting.next, struct resolve, link);
        stop_waiting(ask);
        deliver(ask);
    }
    r->lookups--; /* only now may it go */
}

static void on_late(struct timer *t)
{
    struct resolve *r = container_of(t, struct resolve, timer);
    struct resolver_name *n = r->at;
    uint64_t now = loop_now(r->loop);
    bool bridge = n->good && now < n->stale;
    if (!bridge && now < r->deadline) {
        timer_set(r->loop, &r->timer, r->deadline - now);
        return;
    }
    stop_waiting(r);
    if (bridge) {
        count(n->of->all->counts.stale);
        give(r, n, true);
    } else {
        count(n->of->all->counts.timed_out);
        r->status = DNS_TIMEDOUT;
    }
    r->fn(r);
}

static void wait_for(struct resolve *r, struct resolver_name *n)
{
    uint64_t now = loop_now(r->loop), left = r->deadline > now ? r->deadline - now : 0;
    bool bridge = n->good && now < n->stale;
    r->at = n;
    r->waiting = true;
    list_add_tail(&n->waiting, &r->link);
    timer_init(&r->timer, on_late);
    timer_set(r->loop, &r->timer, bridge && left > HURRY_MS ? HURRY_MS : left);
}

/* ---- asking ---- */

/* DNS_OK: the name is being asked for. */
static unsigned begin(struct resolver_name *n, const struct resolve *ask)
{
    struct resolver *r = n->of;
    struct dns_servers s = { r->conf.servers, r->conf.nservers, r->conf.try_ms, r->conf.tries };
    struct resolver_payer payer = payer_of(ask->client);
    if (r->all->lookups >= RESOLVER_LOOKUPS_MAX)
        return DNS_SERVFAIL;
    if (has_its_share(r->all, &payer, ask->share))
        return DNS_SHARE;
    n->lookup = dns_lookup_start(r->all->loop, &s, r->first, slice_of(n->name, n->len), r->conf.ipv4, r->conf.ipv6,
                                 on_found, n);
    if (!n->lookup)
        return DNS_SERVFAIL;
    n->asked = loop_now(r->all->loop);
    n->payer = payer;
    r->lookups++;
    now_running(r->all, n);
    count(r->all->counts.asked);
    return DNS_OK;
}

/* `name` is normal. OK: r->status tells; ERR_AGAIN. */
static int ask_name(struct resolve *r, slice name)
{
    const struct resolver_counts *counts = &r->resolver->all->counts;
    struct resolver_name *n = resolver_cache_name(&r->resolver->cache, name);
    unsigned refused = DNS_SERVFAIL;
    if (n) {
        n->of = r->resolver;
        if (answer(r, n)) {
            count(counts->remembered);
            return OK;
        }
        if (n->lookup)
            count(counts->joined);
        refused = n->lookup ? DNS_OK : begin(n, r);
        if (refused == DNS_OK) {
            wait_for(r, n);
            return ERR_AGAIN;
        }
    }
    count(refused == DNS_SHARE ? counts->shares : counts->refused);
    r->status = refused;
    return OK;
}

static bool from_hosts(struct resolve *r, const struct resolver_conf *c)
{
    const struct hosts_entry *e = c->hosts ? map_get(c->hosts, slice_of(r->name, r->name_len)) : NULL;
    if (!e)
        return false;
    r->addrs = malloc(sizeof(*r->addrs) + e->n * sizeof(r->addrs->v[0]));
    r->status = r->addrs ? DNS_OK : DNS_SERVFAIL;
    if (!r->addrs)
        return true;
    *r->addrs = (struct dns_addrs){ .refs = 1, .n = e->n };
    for (uint32_t i = 0; i < e->n; i++) {
        struct dns_ip *ip = &r->addrs->v[i];
        *ip = (struct dns_ip){ .v6 = e->v[i].sa.sa_family == AF_INET6 };
        if (ip->v6)
            memcpy(ip->b, &e->v[i].in6.sin6_addr, 16);
        else
            memcpy(ip->b, &e->v[i].in.sin_addr, 4);
    }
    return true;
}

/* A name with a dot at its end is whole; with enough dots it is tried as it is first, else last (resolv.conf(5)). */
static void plan_search(struct resolve *r, const struct resolver_conf *c, slice name)
{
    uint32_t dots = 0;
    bool whole = name.p[name.n - 1] == '.';
    for (size_t i = 0; i < r->name_len; i++)
        dots += r->name[i] == '.';
    r->candidate = 0;
    r->last_candidate = (uint8_t)(whole ? 1 : c->nsearch + 1);
    r->as_is = (uint8_t)(whole || dots >= c->ndots ? 0 : c->nsearch);
}

int resolver_ask(struct resolvers *rs, const struct resolver_conf *c, slice name, const struct resolve_terms *terms,
                 struct resolve *r, void (*fn)(struct resolve *r))
{
    *r = (struct resolve){
        .loop = rs->loop, .fn = fn, .status = DNS_NXDOMAIN, .client = terms->client, .share = terms->share
    };
    list_init(&r->link);
    if (dns_name_normal(name, r->name, &r->name_len) != OK)
        return OK;
    if (from_hosts(r, c))
        return OK;
    r->resolver = instance(rs, c);
    if (!r->resolver) {
        r->status = DNS_SERVFAIL;
        return OK;
    }
    r->deadline = loop_now(rs->loop) + terms->timeout;
    plan_search(r, c, name);
    return search_on(r);
}

void resolver_drop(struct resolve *r)
{
    if (r->waiting)
        stop_waiting(r);
    dns_addrs_unref(r->addrs);
    r->addrs = NULL;
}

uint32_t resolver_addresses(const struct resolve *r, uint16_t port, struct addr *out, uint32_t max)
{
    uint32_t n = r->addrs ? r->addrs->n : 0;
    if (n > max)
        n = max;
    for (uint32_t i = 0; i < n; i++) {
        const struct dns_ip *ip = &r->addrs->v[(r->turn + i) % r->addrs->n];
        out[i] = (struct addr){ 0 };
        if (ip->v6) {
            out[i].len = sizeof(struct sockaddr_in6);
            out[i].in6.sin6_family = AF_INET6;
            memcpy(&out[i].in6.sin6_addr, ip->b, 16);
        } else {
            out[i].len = sizeof(struct sockaddr_in);
            out[i].in.sin_family = AF_INET;
            memcpy(&out[i].in.sin_addr, ip->b, 4);
        }
        addr_set_port(&out[i], port);
    }
    return n;
}
