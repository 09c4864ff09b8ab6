/*
 * The exchange knows its work by a ring without a head, so that one that has none pays for one pointer. A work holds
 * its exchange's generation until it is finished: descriptors and texts that `run` was given may belong to it. It takes
 * and drops that on the worker's thread, where references are counted.
 */
#include "http/work.h"

#include <stdatomic.h>

#include "base/err.h"
#include "http/exchange.h"

static void run(struct job *j)
{
    struct work *k = container_of(j, struct work, job);
    if (!atomic_load_explicit(&k->unwanted, memory_order_relaxed))
        k->run(k);
}

static void unlink_work(struct exchange *x, struct work *k)
{
    if (x->works == &k->link)
        x->works = list_linked(&k->link) ? k->link.next : NULL;
    list_del(&k->link);
}

static void done(struct job *j)
{
    struct work *k = container_of(j, struct work, job);
    struct gen_ref *gen = k->gen;
    if (k->x)
        unlink_work(k->x, k);
    k->finished(k);
    gen_drop(gen);
}

int exchange_work(struct exchange *x, struct work *k)
{
    k->job.work = run;
    k->job.done = done;
    atomic_store_explicit(&k->unwanted, false, memory_order_relaxed);
    int rc = job_submit(&x->w->loop, &k->job);
    if (rc < 0)
        return rc;
    k->x = x;
    k->gen = gen_use(x->gen);
    list_init(&k->link);
    if (x->works)
        list_add_tail(x->works, &k->link);
    else
        x->works = &k->link;
    return OK;
}

void works_detach(struct exchange *x)
{
    while (x->works) {
        struct work *k = list_entry(x->works, struct work, link);
        unlink_work(x, k);
        k->x = NULL;
        atomic_store_explicit(&k->unwanted, true, memory_order_relaxed);
    }
}
