/*
 * Idle backend connections of one worker: by key, the hottest first.
 *
 * No lock, no probing: a connection that its peer closes reports that by itself and leaves the pool. The key stands for
 * everything that must be equal for sharing (address and bind; later transport, TLS policy).
 */
#ifndef PROXY_POOL_H
#define PROXY_POOL_H

#include "h1/client.h"
#include "http/worker.h"
#include "proxy/upstream.h"

enum { POOL_BUCKETS = 256 };

/* The idle connections that share one key. Stays while the worker lives, or until no upstream names the key; with an
 * address of ours in the key (proxy_bind), until it is empty. */
struct pool_shelf {
    struct pool_shelf *next;
    uint64_t key, count;
    struct addr addr; /* of all that lie here */
    struct list idle; /* h1_client.link, newest first */
};

struct proxy_worker {
    const struct upstream *followed; /* the groups of the generation whose names the first worker follows */
    struct pool_shelf *buckets[POOL_BUCKETS];
};

extern const struct room_hooks proxy_room;

int proxy_worker_init(struct worker *w);
void proxy_worker_done(struct worker *w);
/* Closes every idle connection. */
void proxy_worker_drain(struct worker *w);
/* After a new generation: closes idle connections whose key no upstream of it names. */
void proxy_worker_gen_changed(struct worker *w);

/* The hottest idle connection to the peer that comes from `bound` (h1_client.bound), or NULL. */
struct h1_client *pool_take(struct worker *w, const struct peer *p, uint64_t bound);
/* Keeps a connection that its exchange has finished with, at most `limit` for this peer; the coldest goes. */
void pool_put(struct worker *w, struct h1_client *cl, const struct upstream *u, const struct peer *p);

#endif
