#include "policy/auth_checks.h"

#include <assert.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/digest.h"
#include "base/err.h"
#include "loop/job.h"
#include "net/net_table.h"

enum { KEY_BYTES = 32, CACHE_SETS = 256, CACHE_WAYS = 4 };

/* Good until then; all zero: free. */
struct remembered {
    unsigned char mac[SHA1_BYTES];
    uint64_t until;
};

/* One slow hash, on the heap: it may outlive the exchanges that wait for it. */
struct auth_check {
    struct job job;
    struct auth_worker *a;
    struct list link;  /* of those that wait, or of those under way */
    struct list waits; /* struct auth_wait */
    struct client_key {
        net_number number;
        int family;
    } client;
    unsigned char mac[SHA1_BYTES];
    uint64_t remember;
    bool known, good, running;
    size_t stored_n, given_n;
    char stored[PASSWORD_STORED_MAX], given[PASSWORD_MAX];
};

struct auth_worker {
    struct worker *w; /* NULL: the worker has ended, and the last job frees this */
    struct list waiting, running;
    uint64_t nwaiting, nrunning;
    struct auth_limits limits; /* of the newest check */
    char key[KEY_BYTES];
    struct remembered *cache; /* CACHE_SETS * CACHE_WAYS, made on first use */
};

/* ---- remembered ---- */

static void add_sized(struct digest *d, slice s)
{
    digest_add(d, slice_of((const char *)&s.n, sizeof(s.n)));
    digest_add(d, s);
}

static void make_mac(const struct auth_worker *a, struct exchange *x, const struct htpasswd_user *u, bool known,
                     const struct basic *given, unsigned char mac[SHA1_BYTES])
{
    struct digest d;
    slice key = slice_of(a->key, sizeof(a->key));
    hmac_sha1_init(&d, key);
    add_sized(&d, slice_of((const char *)&x->gen->gen->id, sizeof(x->gen->gen->id)));
    add_sized(&d, slice_of((const char *)&known, sizeof(known)));
    add_sized(&d, given->user);
    add_sized(&d, u->stored);
    add_sized(&d, given->password);
    hmac_sha1_done(&d, key, mac);
}

static struct remembered *set_of(const struct auth_worker *a, const unsigned char *mac)
{
    return &a->cache[(size_t)mac[0] % CACHE_SETS * CACHE_WAYS];
}

static bool remembers(const struct auth_worker *a, const unsigned char *mac)
{
    const struct remembered *r = a->cache ? set_of(a, mac) : NULL;
    for (unsigned i = 0; r && i < CACHE_WAYS; i++) {
        if (r[i].until > loop_now(&a->w->loop) && bytes_equal(r[i].mac, mac, SHA1_BYTES))
            return true;
    }
    return false;
}

static void remember(struct auth_worker *a, const struct auth_check *c)
{
    if (!c->remember)
        return;
    if (!a->cache)
        a->cache = calloc(CACHE_SETS * CACHE_WAYS, sizeof(*a->cache));
    if (!a->cache)
        return;
    struct remembered *r = set_of(a, c->mac), *oldest = r;
    for (unsigned i = 1; i < CACHE_WAYS; i++) {
        if (r[i].until < oldest->until)
            oldest = &r[i];
    }
    memcpy(oldest->mac, c->mac, SHA1_BYTES);
    oldest->until = loop_now(&a->w->loop) + c->remember;
}

static void forget_all(struct auth_worker *a)
{
    if (a->cache)
        explicit_bzero(a->cache, CACHE_SETS * CACHE_WAYS * sizeof(*a->cache));
    free(a->cache);
    a->cache = NULL;
}

/* ---- one check ---- */

static void check_free(struct auth_check *c)
{
    explicit_bzero(c, sizeof(*c));
    free(c);
}

static void stop_waiting(struct auth_wait *w)
{
    list_del(&w->link);
    w->check = NULL;
    exchange_unhold(w->x, &w->hold);
}

static void answer(struct auth_check *c, enum auth_result result)
{
    while (!list_empty(&c->waits)) {
        struct auth_wait *w = list_entry(c->waits.next, struct auth_wait, link);
        stop_waiting(w);
        w->result = (uint8_t)result;
        exchange_post(w->x, X_WAKE);
    }
}

/* The exchange ends. A check that is in line for nobody else goes; one that is under way goes on. */
static void leave(struct x_hold *h, struct exchange *x)
{
    struct auth_wait *w = container_of(h, struct auth_wait, hold);
    struct auth_check *c = w->check;
    stop_waiting(w);
    if (!list_empty(&c->waits) || c->running)
        return;
    list_del(&c->link);
    c->a->nwaiting--;
    check_free(c);
}

static void join(struct auth_check *c, struct auth_wait *w, struct exchange *x)
{
    *w = (struct auth_wait){ .check = c, .x = x };
    list_add_tail(&c->waits, &w->link);
    exchange_hold(x, &w->hold, leave);
}

/* On a thread of the pool. */
static void work(struct job *j)
{
    struct auth_check *c = container_of(j, struct auth_check, job);
    bool same = password_matches(slice_of(c->stored, c->stored_n), slice_of(c->given, c->given_n));
    c->good = same & c->known;
    explicit_bzero(c->given, sizeof(c->given));
}

/* ---- the line ---- */

static bool same_client(const struct auth_check *c, const struct client_key *k)
{
    return c->client.family == k->family && c->client.number == k->number;
}

static uint64_t count(const struct list *all, const struct client_key *k)
{
    uint64_t n = 0;
    for (const struct list *at = all->next; at != all; at = at->next)
        n += same_client(list_entry(at, struct auth_check, link), k);
    return n;
}

/* What is freed has left its list, which the analyser cannot see. NOLINTBEGIN(clang-analyzer-unix.Malloc) */
/* The first in line whose address may have one more under way. */
static struct auth_check *next_in_line(struct auth_worker *a)
{
    for (struct list *at = a->waiting.next; at != &a->waiting; at = at->next) {
        struct auth_check *c = list_entry(at, struct auth_check, link);
        if (count(&a->running, &c->client) < a->limits.address)
            return c;
    }
    return NULL;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static void done(struct job *j);

/* When the pool takes nothing, those under way will come back and try again; without any, nobody would. */
static void begin_some(struct auth_worker *a)
{
    struct auth_check *c;
    while (a->nrunning < a->limits.running && (c = next_in_line(a)) != NULL) {
        c->job = (struct job){ .work = work, .done = done };
        int rc = job_submit(&a->w->loop, &c->job);
        if (rc != OK && a->nrunning)
            return;
        list_del(&c->link);
        a->nwaiting--;
        if (rc != OK) {
            answer(c, AUTH_BUSY);
            check_free(c);
            continue;
        }
        worker_count(a->w, COUNT_AUTH_HASHES);
        list_add_tail(&a->running, &c->link);
        c->running = true;
        a->nrunning++;
    }
}

static void done(struct job *j)
{
    struct auth_check *c = container_of(j, struct auth_check, job);
    struct auth_worker *a = c->a;
    list_del(&c->link);
    a->nrunning--;
    if (a->w) {
        if (c->good)
            remember(a, c);
        answer(c, c->good ? AUTH_GOOD : AUTH_BAD);
        begin_some(a);
    } else if (a->nrunning == 0) {
        free(a);
    }
    check_free(c);
}

/* ---- asking ---- */

/* Whose checks count together: an IPv4 address, the network of an IPv6 one that a single customer has, unix sockets. */
static struct client_key key_of(const struct client *cl)
{
    const struct in6_addr *six = &cl->peer.in6.sin6_addr;
    if (cl->peer.sa.sa_family == AF_INET)
        return (struct client_key){ net_number_of4(&cl->peer.in.sin_addr), AF_INET };
    if (cl->peer.sa.sa_family != AF_INET6)
        return (struct client_key){ 0, AF_UNIX };
    if (IN6_IS_ADDR_V4MAPPED(six))
        return (struct client_key){ net_number_of4(&six->s6_addr[12]), AF_INET };
    return (struct client_key){ net_number_of6(six) >> 64, AF_INET6 };
}

static struct auth_check *find(const struct list *all, const unsigned char *mac)
{
    for (const struct list *at = all->next; at != all; at = at->next) {
        struct auth_check *c = list_entry(at, struct auth_check, link);
        if (bytes_equal(c->mac, mac, SHA1_BYTES))
            return c;
    }
    return NULL;
}

static struct auth_check *stand_in_line(struct auth_worker *a, struct exchange *x, const struct auth_limits *l,
                                        const unsigned char *mac)
{
    struct client_key key = key_of(x->client);
    uint64_t share = l->waiting / 4 ? l->waiting / 4 : 1;
    if (a->nwaiting >= l->waiting || count(&a->waiting, &key) >= share)
        return NULL;
    struct auth_check *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->a = a;
    c->client = key;
    c->remember = l->remember;
    memcpy(c->mac, mac, SHA1_BYTES);
    list_init(&c->waits);
    list_add_tail(&a->waiting, &c->link);
    a->nwaiting++;
    return c;
}

static enum auth_result check_slowly(struct exchange *x, struct auth_wait *w, const struct auth_limits *l,
                                     const struct htpasswd_user *u, bool known, const struct basic *given)
{
    struct auth_worker *a = x->w->auth;
    unsigned char mac[SHA1_BYTES];
    make_mac(a, x, u, known, given, mac);
    if (remembers(a, mac)) {
        worker_count(x->w, COUNT_AUTH_REMEMBERED);
        return AUTH_GOOD;
    }
    struct auth_check *c = find(&a->running, mac);
    if (!c)
        c = find(&a->waiting, mac);
    if (c) {
        join(c, w, x);
        return AUTH_PENDING;
    }
    c = stand_in_line(a, x, l, mac);
    if (!c) {
        worker_count(x->w, COUNT_AUTH_REFUSED);
        return AUTH_BUSY;
    }
    c->known = known;
    c->stored_n = u->stored.n;
    memcpy(c->stored, u->stored.p, u->stored.n);
    c->given_n = given->password.n;
    if (c->given_n)
        memcpy(c->given, given->password.p, c->given_n);
    join(c, w, x);
    a->limits = *l;
    begin_some(a);
    return w->check ? AUTH_PENDING : (enum auth_result)w->result;
}

enum auth_result auth_check(struct exchange *x, struct auth_wait *w, const struct auth_limits *l,
                            const struct htpasswd_user *u, bool known, const struct basic *given)
{
    if (given->password.n > PASSWORD_MAX)
        return AUTH_BAD;
    if (!x->trace && password_slow(password_kind(u->stored)))
        return check_slowly(x, w, l, u, known, given);
    bool same = password_matches(u->stored, given->password);
    return (same & known) ? AUTH_GOOD : AUTH_BAD;
}

/* ---- the room ---- */

static int auth_init(struct worker *w)
{
    struct auth_worker *a = calloc(1, sizeof(*a));
    if (!a)
        return ERR_NOMEM;
    a->w = w;
    list_init(&a->waiting);
    list_init(&a->running);
    rand_bytes(a->key, sizeof(a->key));
    w->auth = a;
    return OK;
}

/* Connections have gone before, and with them all who waited. What is under way comes back yet. */
static void auth_done(struct worker *w)
{
    struct auth_worker *a = w->auth;
    if (!a)
        return;
    assert(list_empty(&a->waiting));
    forget_all(a);
    explicit_bzero(a->key, sizeof(a->key));
    a->w = NULL;
    w->auth = NULL;
    if (a->nrunning == 0)
        free(a);
}

/* Whoever was let in by the configuration before is checked anew. */
static void auth_gen_changed(struct worker *w)
{
    forget_all(w->auth);
}

const struct room_hooks auth_room = {
    .name = "auth",
    .init = auth_init,
    .done = auth_done,
    .gen_changed = auth_gen_changed,
};
