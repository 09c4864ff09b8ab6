/*
 * A worker thread: its loop, its listeners, its holds on generations.
 *
 * The engine's main thread steers a worker by letters only (struct mail); a worker answers by engine_ack. Taking a new
 * generation is one letter: listeners of addresses that stay are kept with their queues, those of addresses that go are
 * emptied first, and whatever is under way goes on in the generation that it began in.
 */
#ifndef APP_WORKER_H
#define APP_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "http/worker.h"
#include "net/listen.h"

struct engine;

/* A worker's hold on one generation; freed at the end of the turn in which nobody uses it any more. */
struct worker_ref {
    struct gen_ref ref;
    struct worker_thread *thread;
    struct timer cut; /* worker_shutdown_timeout */
    struct reap reap;
    bool leaving;
};

struct worker_thread {
    struct worker w; /* first: the loop's owner */
    struct engine *engine;
    struct worker_thread *next;
    pthread_t thread;
    bool bound;    /* to CPUs of its own */
    bool retiring; /* told to end; its place is free */
    _Atomic bool ended, failed;
    struct gen_ref *refs;       /* all generations held, the current one first */
    struct listener *listeners; /* that it accepts from */
    struct listener *closed;    /* and those it did: connections still name the one that they came by */
    struct generation *taking;  /* with the letter `take` */
    struct mail take, quit, stop;
    bool empty_queues; /* with the letter `quit`: nobody else will accept what waits */
    uint64_t warned;   /* ms: when accepting last complained */
    uint64_t beat;     /* the watchdog's: the heartbeat last seen, and for how many ticks */
    unsigned stuck;
};

/* Makes and starts one; it takes `g` first and acknowledges that. NULL when that cannot be done. */
struct worker_thread *worker_start(struct engine *e, unsigned index, struct generation *g);
/* Letters. Each is one at a time: the next only after the last was acknowledged. */
void worker_take(struct worker_thread *t, struct generation *g);
/* Graceful end. empty: accept what waits in the listeners' queues first. Acknowledged when it accepts no more. */
void worker_quit(struct worker_thread *t, bool empty);
void worker_stop(struct worker_thread *t);
/* After `ended`: joins and frees. */
void worker_free(struct worker_thread *t);

/* app/accept.c: one listening socket of this worker. NULL when out of memory or not watchable. */
struct listener *accept_open(struct worker_thread *t, slice key, const struct addr *addr, int fd);
/*
 * Stops accepting; the descriptor stays open, it is the engine's. empty: accepts what waits first. The object stays
 * until the worker ends, or is used again when its address comes back, for connections refer to it as long as they
 * live.
 */
void accept_close(struct worker_thread *t, struct listener *l, bool empty);
/* Frees all that were closed. */
void accept_free(struct worker_thread *t);

#endif
