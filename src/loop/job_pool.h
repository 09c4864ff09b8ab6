/*
 * The pool of loop/job.h, as whoever holds the process sees it: the engine sets its size and ends it, the end of a
 * worker's loop waits for what the loop has out, tests turn it by hand.
 *
 * There is one pool in the process. It belongs to the process that starts its threads; a fork of that one has none of
 * them and may not submit.
 */
#ifndef LOOP_JOB_POOL_H
#define LOOP_JOB_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

enum { JOB_THREADS = 4, JOB_THREADS_MAX = 256, JOB_QUEUE = 65536 };

/*
 * How many threads there may be, and how many jobs may wait for one. Any time, from any thread; threads come as jobs
 * need them, and those that are too many end when their job is done. No threads at all (tests): jobs wait for
 * job_pool_step.
 */
void job_pool_set(unsigned threads, size_t queue);

/*
 * The process is going to exit: no further job is begun or taken. Jobs that wait are dropped, their `done` is not
 * called, and their memory is left to the exit. A loop that is in job_leave looks again with its next mail.
 */
void job_pool_stop(void);

/* Ends the threads. Every loop that had jobs has been left. The pool can be used again. */
void job_pool_done(void);

/*
 * Before a loop goes: waits until every job of it is back and was given to its `done`, and no thread knows the loop any
 * more. On the loop's thread, outside of a turn.
 */
void job_leave(struct loop *l);

/* Jobs done and jobs refused since the process was started. From any thread. */
void job_pool_count(uint64_t *done, uint64_t *refused);

/* How many jobs wait. */
size_t job_pool_waiting(void);

/* For tests: runs the k-th waiting job (0: the oldest) on the caller's thread and mails it. false: there is none. */
bool job_pool_step(size_t k);

#endif
