/*
 * The event loop of one worker: descriptors, tasks, timers, mail from other threads.
 *
 * epoll, edge-triggered. A descriptor is registered once, for reading and writing, and only when something must be
 * awaited: whoever accepts or connects tries its I/O first. After every callback the run queue is drained, so that what
 * was read into the worker's scratch buffer is consumed before the next read overwrites it (see loop/scratch.h).
 *
 * Nothing is freed under a callback's feet: an object whose io or timer may still be in the current batch is handed to
 * loop_reap and freed at the end of the turn. All of this belongs to one thread; only the mailbox may be used by
 * others.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"

struct loop;

enum io_event { IO_IN = 1, IO_OUT = 2, IO_HUP = 4 };

/* A descriptor and who is told about it. Embedded in its owner. */
struct io {
    int fd;                                     /* -1: closed */
    bool watched;                               /* registered with the kernel */
    void (*fn)(struct io *io, unsigned events); /* events since the last call; may be spurious */
    struct list soon;                           /* on the list of those to be registered shortly */
};

/* A thing to run soon on this loop. Embedded; posting it twice before it runs is one run. */
struct task {
    struct task *next;
    void (*fn)(struct task *t);
    bool queued;
};

/* A deadline. Embedded. Setting a later deadline costs one store; the wheel looks again when the earlier one passes. */
struct timer {
    struct list link;
    uint64_t at;   /* ms of the loop's monotonic clock; 0: not set */
    uint64_t slot; /* the wheel tick that the timer hangs on */
    void (*fn)(struct timer *t);
};

/* Something to be freed at the end of the turn. Embedded. */
struct reap {
    struct reap *next;
    void (*fn)(struct reap *r);
};

/* A letter from another thread. The sender allocates it; `fn` runs on the loop's thread and owns it from then on. */
struct mail {
    struct mail *next;
    void (*fn)(struct loop *l, struct mail *m);
};

enum { LOOP_TICK_MS = 16, LOOP_WHEEL = 4096, LOOP_EVENTS = 256 };

struct loop {
    int epfd, wakefd;
    struct clock clock;
    struct task *run_head, **run_tail;     /* run after the current callback */
    struct task *later_head, **later_tail; /* run once, in the next turn */
    struct list wheel[LOOP_WHEEL];
    uint64_t tick;      /* last wheel tick that was run */
    uint64_t next_tick; /* no slot before this one holds a timer */
    uint32_t timers;    /* timers that hang in the wheel */
    struct list soon;   /* io to register at the next tick */
    uint64_t soon_tick;
    struct reap *reaps;
    struct mail *mail; /* atomic: pushed by any thread */
    struct io wake;
    bool stop;
    uint64_t turns;
    uint32_t events;                  /* of this turn: how busy the loop is */
    size_t jobs;                      /* of this loop, out at the pool (loop/job.h) */
    _Atomic uint64_t heartbeat;       /* turns, for the watchdog; odd while in a callback */
    void (*turn_end)(struct loop *l); /* once a turn, before sleeping: flush logs; may be NULL */
    void *owner;
};

/* OK or ERR_SYS. */
int loop_init(struct loop *l);
void loop_done(struct loop *l);
/* Until loop_stop. */
void loop_run(struct loop *l);
/* One turn that waits at most max_wait ms (-1: as long as it takes). For tests and loop_run. */
void loop_turn(struct loop *l, int max_wait);
void loop_stop(struct loop *l);

static inline uint64_t loop_now(const struct loop *l)
{
    return l->clock.mono;
}

void io_init(struct io *io, int fd, void (*fn)(struct io *, unsigned));
/* Registers for all events, edge-triggered; events that are pending now will be reported. OK or ERR_SYS. */
int io_watch(struct loop *l, struct io *io);
/* A listening socket: level-triggered, so that who accepts need not find the queue empty; of workers that share it one
 * wakes. */
int io_watch_listener(struct loop *l, struct io *io);
/* Registers within two ticks unless it is closed before: for descriptors that probably end before anything is awaited.
 */
void io_watch_soon(struct loop *l, struct io *io);
void io_unwatch(struct loop *l, struct io *io);
/* Closes the descriptor. Its owner's memory must stay until the end of the turn (loop_reap). */
void io_close(struct loop *l, struct io *io);

void task_init(struct task *t, void (*fn)(struct task *));
/* Runs after the current callback. */
void task_post(struct loop *l, struct task *t);
/* Runs in the next turn, after other descriptors had theirs. */
void task_post_later(struct loop *l, struct task *t);
void task_cancel(struct loop *l, struct task *t);
/* Runs what is posted until nothing is. */
void loop_drain(struct loop *l);

void timer_init(struct timer *t, void (*fn)(struct timer *));
/* Fires at or soon after now + ms (granularity LOOP_TICK_MS). Replaces an earlier setting. */
void timer_set(struct loop *l, struct timer *t, uint64_t ms);
/* Keeps the object where it hangs; costs one store. The memory must not go before timer_drop. */
static inline void timer_clear(struct timer *t)
{
    t->at = 0;
}
/* Takes the timer off the wheel: before its memory goes. */
void timer_drop(struct loop *l, struct timer *t);

void loop_reap(struct loop *l, struct reap *r, void (*fn)(struct reap *));
/* Frees what waits to be freed; only outside of a turn. */
void loop_reap_now(struct loop *l);

/* Waits for mail and reads it, whatever else may be ready: for what is left to do when the loop has ended. */
void loop_wait_mail(struct loop *l);

/* From any thread. */
void loop_mail(struct loop *l, struct mail *m, void (*fn)(struct loop *, struct mail *));

#endif
