/*
 * Upstreams: named groups of peers, how one is picked, and what is remembered of each.
 *
 * An upstream is immutable and belongs to a generation. What must outlive a generation (failures, the round-robin
 * cursor) is in a struct peer_state, kept in the process's registry by upstream name and address and re-attached after
 * a reload. Workers share it through atomics.
 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "conf/schema.h"
#include "net/addr.h"

/*
 * Shared by all workers and generations; lives as long as the process. One cache line.
 *
 * The failure rules are nginx's: a peer with max_fails failures is left out until fail_timeout has passed since it was
 * last looked at; then one attempt may try it, whose failure leaves it out again and whose success clears the count.
 */
struct peer_state {
    _Atomic uint64_t failed_at; /* mono ms of the last failure */
    _Atomic uint64_t checked;   /* mono ms of the last failure, or of the attempt that looks whether it is well again */
    _Atomic uint32_t fails;     /* since the last success that followed a look; 0: well */
    _Atomic uint32_t active;    /* attempts and connections in use now */
    _Atomic uint64_t picked, failed;
    _Atomic uint64_t heard; /* of a parent: mono ms when it last answered for a target, whatever it said; 0: never */
};

struct peer {
    struct addr addr;
    slice text;   /* "127.0.0.1:8080", for logs and $upstream_addr */
    slice server; /* as written in the configuration */
    uint32_t weight, max_fails, max_conns;
    uint64_t fail_timeout; /* ms */
    bool backup, down;
    bool alone; /* the only peer of its upstream: failures do not take it out */
    struct peer_state *state;
    const struct chain *chain; /* of a parent (proxy/parent.h): the way on from there; else NULL */
    uint64_t pool_key;         /* equal keys may share idle connections: address, transport, bind */
};

struct chain;
struct upstream;
struct upstream_live;
struct peer_set;
struct tried;

/*
 * A balancing method: one file in proxy/balance/ and one line in proxy/balance/methods.def. `name` is its directive in
 * an upstream block ("" for the default).
 */
struct balance_ops {
    const char *name;
    const char *doc;
    bool backup; /* can be combined with `backup` servers */
    /* Prepares what picking needs, once at load, in cf's arena. OK or an error after conf_error. */
    int (*init)(struct conf_ctx *cf, struct upstream *u);
    /* A peer of the set for which peer_take succeeded, or NULL. `base`: number of the set's first peer in `tried`. */
    const struct peer *(*pick)(const struct peer_set *set, uint32_t base, const struct tried *tried, uint64_t now);
};

struct peer_set {
    struct peer *peers;
    uint32_t n;
    uint32_t *sequence; /* precomputed smooth weighted order: indexes into peers */
    uint32_t nsequence;
    _Atomic uint32_t *cursor; /* of the sequence; registry memory, so it survives a reload */
};

struct upstream {
    slice name;
    struct conf_pos pos;
    struct upstream *next; /* the next block of the file; of an implicit one: NULL */
    bool implicit;         /* made from an address in proxy_pass */
    const struct balance_ops *balance;
    struct peer_set primary, backup;
    uint32_t npeers;    /* all, for tried sets */
    uint32_t nlive;     /* of these, not `down`: how many attempts an exchange may make at most */
    uint64_t keepalive; /* idle connections kept per worker; 0: none */
    uint64_t keepalive_requests, keepalive_timeout, keepalive_time;
    struct upstream_live *live; /* its peers change (proxy/upstream_live.h), and the sets here are empty; else NULL */
};

struct generation;

/*
 * What one exchange has tried already: a bit per peer, primaries first. In an upstream of more than 64 peers several
 * share a bit (number modulo 64): those that share a tried one's are passed over too.
 */
struct tried {
    uint64_t bits;
};

static inline bool tried_has(const struct tried *t, uint32_t number)
{
    return t->bits >> (number & 63) & 1;
}

/*
 * Picks the next peer for an attempt and counts it as active, or NULL: no live upstreams. `now` is the worker's mono
 * clock. Skips what is down, failed out, over max_conns or tried; falls back to backups. An upstream that is one peer
 * and no backup is nginx's special case: its failures are not counted, and it is given again whatever was tried.
 */
const struct peer *upstream_pick(const struct upstream *u, struct tried *tried, uint64_t now);
/* Outcome of an attempt. peer_failed: true when this failure took the peer out ("temporarily disabled"). */
bool peer_failed(const struct peer *p, uint64_t now);
void peer_succeeded(const struct peer *p);
/* A parent has answered for a target, yes or no: it is there. And has it since then? */
void peer_heard(const struct peer *p, uint64_t now);
bool peer_was_heard(const struct peer *p, uint64_t since);

/* For balancing methods: might it be taken now; and take it, which fails when another worker was faster to try a peer
 * that is failed out. */
bool peer_usable(const struct peer *p, uint64_t now);
bool peer_take(const struct peer *p, uint64_t now);

/* The attempt is over, or the connection is idle. Not for peers that upstream_pick did not give. */
static inline void peer_release(const struct peer *p)
{
    atomic_fetch_sub_explicit(&p->state->active, 1, memory_order_relaxed);
}

/* Is there a peer left that might take another attempt? */
bool upstream_untried(const struct upstream *u, const struct tried *tried, uint64_t now);

/* The registry: state by upstream name and peer address; the same pointer for the same pair for the process's life. */
struct peer_state *registry_peer(slice upstream, slice addr);
/* Was this address of the upstream ever named? */
bool registry_knows(slice upstream, slice addr);
_Atomic uint32_t *registry_cursor(slice upstream, bool backup);

/* The upstream of that name (a block's name, or "host:port" of an address in some proxy_pass), or NULL. */
const struct upstream *upstream_find(const struct generation *g, slice name);

/* Does some peer of this configuration have that pool key? */
bool upstream_has_key(const struct generation *g, uint64_t key);

#endif
