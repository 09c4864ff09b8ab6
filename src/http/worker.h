/*
 * What one worker thread owns, as the rooms from http upwards see it.
 *
 * Everything here belongs to its thread. Rooms that keep state of their own per worker hang it on a pointer here and
 * make and free it in their worker_init / worker_done functions, which app/worker.c calls.
 */
#ifndef HTTP_WORKER_H
#define HTTP_WORKER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slab.h"
#include "base/slice.h"
#include "conf/generation.h"
#include "loop/loop.h"
#include "loop/scratch.h"

/* Counters: one line each, plain integers, summed over the workers by whoever reads them. */
enum counter {
#define COUNTER(id, text) COUNT_##id,
#include "http/counters.def"
#undef COUNTER
    COUNTERS
};

struct h1_worker;
struct h2_worker;
struct proxy_worker;
struct admin_worker;
struct auth_worker;
struct files_worker;
struct gzip_store;
struct resolvers;
struct handover;
struct socks_worker;
struct tls_worker;

enum { EXCHANGE_PAGE = 4096 };

struct worker {
    struct loop loop;
    struct scratch scratch;
    unsigned index;           /* 0 .. worker_processes - 1 */
    struct gen_ref *gen;      /* the current generation; never NULL while connections are accepted */
    struct slab pages;        /* EXCHANGE_PAGE bytes: the first chunk of every exchange's arena */
    struct buf_budget budget; /* queued body bytes */
    uint64_t count[COUNTERS];
    uint64_t connections;     /* open now, client and backend side */
    uint64_t reading;         /* client connections on which part of a head has come */
    uint64_t writing;         /* client connections with a request that is worked on, answered or drained */
    uint64_t max_connections; /* worker_connections */
    struct list listed;       /* worker_list */
    bool draining;            /* it ends when its connections have: nothing is kept alive any more */
    bool leaving;             /* draining while other workers serve on (fewer worker_processes) */
    struct h1_worker *h1;
    struct h2_worker *h2;
    struct socks_worker *socks;
    struct tls_worker *tls;
    struct proxy_worker *proxy;
    struct admin_worker *admin;
    struct auth_worker *auth;
    struct files_worker *files;
    struct gzip_store *gzip; /* NULL until something is compressed */
    struct resolvers *resolvers;
    /* Indexed by enum codec (http/handover.h): who serves a connection that HTTP/1 hands over; NULL: nobody. */
    void (*take[2])(struct worker *w, const struct handover *h);
};

struct listener;
struct addr;

/*
 * What a room has to do with workers: called in the order of app/features.def, `done` in reverse. Every call is on the
 * worker's own thread; any may be NULL.
 */
struct room_hooks {
    const char *name;
    int (*init)(struct worker *w);         /* w->gen is set; an error ends the engine */
    void (*done)(struct worker *w);        /* the loop has ended: free everything, connections included */
    void (*gen_changed)(struct worker *w); /* w->gen is a new one */
    void (*drain)(struct worker *w);       /* QUIT: w->draining is set; end what is idle, let the rest finish */
    /* worker_shutdown_timeout ran out: end every connection that still holds `r` (gen_use), now. */
    void (*cut)(struct worker *w, struct gen_ref *r);
    /* The room that serves accepted connections gives these two. */
    void (*accept)(struct worker *w, struct listener *l, int fd, const struct addr *peer);
    const void *(*listener_conf)(const struct generation *g, slice key); /* what listener->conf shall be */
};

/* A number for the error log and $connection; unique in the process. */
uint64_t worker_connection_number(void);

static inline struct worker *worker_of(struct loop *l)
{
    return l->owner;
}

/* Only the worker itself adds; others may read at any time, so the store is atomic. It costs what a plain one does. */
static inline void worker_count_n(struct worker *w, enum counter c, uint64_t n)
{
    __atomic_store_n(&w->count[c], w->count[c] + n, __ATOMIC_RELAXED);
}

static inline void worker_count(struct worker *w, enum counter c)
{
    worker_count_n(w, c, 1);
}

/* One of the numbers of what is there now: connections, reading, writing. */
static inline void worker_gauge_add(uint64_t *gauge, int n)
{
    __atomic_store_n(gauge, *gauge + (uint64_t)n, __ATOMIC_RELAXED);
}

static inline void worker_connections_add(struct worker *w, int n)
{
    worker_gauge_add(&w->connections, n);
}

/*
 * The counters of all workers of the process. A worker is listed from worker_list to worker_unlist; what it counted
 * stays in the sum when it is gone. Any thread may ask.
 */
void worker_list(struct worker *w);
void worker_unlist(struct worker *w);
struct worker_now {
    uint64_t connections, reading, writing;
};
void worker_sum(uint64_t sum[COUNTERS], struct worker_now *now);
/* The name of a counter, for whoever prints it: "REQUESTS". */
slice counter_name(enum counter c);

#endif
