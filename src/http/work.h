/*
 * Work: a job done on behalf of an exchange.
 *
 * It is heap memory of its own (allocated by the caller, freed by `finished`), so it may outlive the exchange: when the
 * exchange ends first, `x` is NULL by the time that `finished` runs, and `run` is left out if its turn had not come
 * yet. The usual `finished` keeps the result where the policy finds it, posts X_WAKE, and frees the work.
 */
#ifndef HTTP_WORK_H
#define HTTP_WORK_H

#include "base/list.h"
#include "loop/job.h"

struct exchange;
struct gen_ref;

struct work {
    struct job job;
    struct list link;                 /* of the exchange's work under way */
    struct exchange *x;               /* NULL: it has ended */
    _Atomic bool unwanted;            /* it has ended: `run` need not begin */
    struct gen_ref *gen;              /* held until `finished` has returned: what belongs to it may be used in `run` */
    void (*run)(struct work *k);      /* on a pool thread: nothing but the work's own memory and descriptors */
    void (*finished)(struct work *k); /* on the worker's loop, once */
};

/* OK, or ERR_LIMIT (the pool's queue is full: `finished` will not run). */
int exchange_work(struct exchange *x, struct work *k);

/* The exchange ends: its work goes on without it. Called by exchange_free. */
void works_detach(struct exchange *x);

#endif
