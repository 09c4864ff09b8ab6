/*
 * The list of workers, for those who read counters. A lock guards the list, never the counting.
 */
#include "http/worker.h"

#include <pthread.h>

#include "base/attr.h"
#include "base/list.h"
#include "loop/job_pool.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list workers = { &workers, &workers };
static uint64_t gone[COUNTERS]; /* of workers that have ended */

static const slice counter_names[] = {
#define COUNTER(id, text) { #id, sizeof(#id) - 1 },
#include "http/counters.def"
#undef COUNTER
};

void worker_list(struct worker *w)
{
    pthread_mutex_lock(&lock);
    list_add_tail(&workers, &w->listed);
    pthread_mutex_unlock(&lock);
}

static void add(uint64_t *sum, const struct worker *w)
{
    for (size_t i = 0; i < COUNTERS; i++)
        sum[i] += __atomic_load_n(&w->count[i], __ATOMIC_RELAXED);
}

void worker_unlist(struct worker *w)
{
    pthread_mutex_lock(&lock);
    list_del(&w->listed);
    add(gone, w);
    pthread_mutex_unlock(&lock);
}

void worker_sum(uint64_t sum[COUNTERS], struct worker_now *now)
{
    *now = (struct worker_now){ 0 };
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < COUNTERS; i++)
        sum[i] = gone[i];
    for (struct list *at = workers.next; at != &workers; at = at->next) {
        const struct worker *w = list_entry(at, struct worker, listed);
        add(sum, w);
        now->connections += __atomic_load_n(&w->connections, __ATOMIC_RELAXED);
        now->reading += __atomic_load_n(&w->reading, __ATOMIC_RELAXED);
        now->writing += __atomic_load_n(&w->writing, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&lock);
    job_pool_count(&sum[COUNT_JOBS_DONE], &sum[COUNT_JOBS_REFUSED]); /* the process's own */
}

slice counter_name(enum counter c)
{
    return counter_names[c];
}
