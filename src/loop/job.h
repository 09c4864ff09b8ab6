/*
 * The job pool: a few threads for work that would block a worker's loop (files, slow password hashes).
 *
 * A job is self-contained: `work` runs on a pool thread and touches nothing but what the job owns. When it has run,
 * the job travels back by mailbox and `done` runs on the loop that submitted it, exactly once, and owns the job again.
 * A job never touches an exchange; http/work.h ties the two together.
 */
#ifndef LOOP_JOB_H
#define LOOP_JOB_H

#include "loop/loop.h"

struct job {
    struct mail mail; /* brings it back */
    struct job *next; /* in the queue */
    struct loop *loop;
    void (*work)(struct job *j);
    void (*done)(struct job *j);
};

/* The process's pool; its threads start with the first job. OK, or ERR_LIMIT: the queue is full (nothing is kept). */
int job_submit(struct loop *l, struct job *j);

#endif
