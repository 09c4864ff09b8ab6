/*
 * One queue under one lock, and threads that sleep on a condition. A job is milliseconds of a disk or a hash, so the
 * lock is not what it waits for.
 *
 * A thread is through with a job only when loop_mail has returned: until then it still writes to the loop's eventfd,
 * though the loop may have had the letter already. So a thread keeps the name of the loop until it has the lock again,
 * and job_leave waits for that too.
 */
#include "loop/job.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "loop/job_pool.h"

struct pool_thread {
    pthread_t id;
    struct loop *serving; /* whose job it has in hand, or has just mailed */
    bool used;            /* started, and not joined yet */
    bool ended;           /* it is about to be gone: joining it does not wait */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t call; /* to threads: a job waits, or it is time to end */
    pthread_cond_t home; /* to job_leave: a thread is through with a job */
    struct job *head, **tail;
    size_t waiting, limit;
    unsigned wanted, started, idle;
    unsigned leaving; /* loops that wait on `home` */
    bool stopping, ending;
    pid_t process; /* whose threads they are */
    struct job *dropped;
    uint64_t refused;
    struct pool_thread threads[JOB_THREADS_MAX];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .call = PTHREAD_COND_INITIALIZER,
           .home = PTHREAD_COND_INITIALIZER,
           .tail = &pool.head,
           .limit = JOB_QUEUE,
           .wanted = JOB_THREADS };

static _Atomic uint64_t jobs_done;

static void come_home(struct loop *l, struct mail *m)
{
    struct job *j = container_of(m, struct job, mail);
    l->jobs--;
    j->done(j);
}

/* Takes the job out that *at points to. With the lock. */
static struct job *unqueue(struct job **at)
{
    struct job *j = *at;
    *at = j->next;
    if (!*at)
        pool.tail = at;
    pool.waiting--;
    return j;
}

/* The last that is known of the job here: with the letter it belongs to the loop's thread. */
static void do_job(struct job *j)
{
    j->work(j);
    atomic_fetch_add_explicit(&jobs_done, 1, memory_order_relaxed);
    loop_mail(j->loop, &j->mail, come_home);
}

/* ---- threads ---- */

/* With the lock; it is free while the thread sleeps. NULL: the thread shall end. */
static struct job *next_job(void)
{
    for (;;) {
        if (pool.ending || pool.started > pool.wanted)
            return NULL;
        if (pool.head && !pool.stopping)
            return unqueue(&pool.head);
        pool.idle++;
        pthread_cond_wait(&pool.call, &pool.lock);
        pool.idle--;
    }
}

static void *run(void *arg)
{
    struct pool_thread *t = arg;
    struct job *j;
    char name[16];
    snprintf(name, sizeof(name), "jobs %u", (unsigned)(t - pool.threads) % JOB_THREADS_MAX);
    pthread_setname_np(pthread_self(), name);
    pthread_mutex_lock(&pool.lock);
    while ((j = next_job()) != NULL) {
        t->serving = j->loop;
        pthread_mutex_unlock(&pool.lock);
        do_job(j);
        pthread_mutex_lock(&pool.lock);
        t->serving = NULL;
        if (pool.leaving)
            pthread_cond_broadcast(&pool.home);
    }
    t->ended = true;
    pool.started--;
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

/* Signals are the main thread's; those that a fault of the thread itself raises cannot wait. */
static void signals_of_threads(sigset_t *set)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS };
    sigfillset(set);
    for (size_t i = 0; i < array_len(own); i++)
        sigdelset(set, own[i]);
}

/* A thread inherits from the worker that happens to start it: neither its signals nor its CPUs (worker_cpu_affinity)
 * are meant for the pool. */
static bool create(struct pool_thread *t)
{
    pthread_attr_t attr;
    sigset_t set, before;
    cpu_set_t cpus;
    if (pthread_attr_init(&attr) != 0)
        return false;
    if (sched_getaffinity(getpid(), sizeof(cpus), &cpus) == 0)
        pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
    signals_of_threads(&set);
    pthread_sigmask(SIG_SETMASK, &set, &before);
    bool ok = pthread_create(&t->id, &attr, run, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

/* With the lock. */
static void start_thread(void)
{
    struct pool_thread *t = pool.threads;
    while (t->used && !t->ended) /* there is one, for fewer are started than have a place */
        t++;
    if (t->used)
        pthread_join(t->id, NULL);
    *t = (struct pool_thread){ .used = true };
    if (create(t))
        pool.started++;
    else
        t->used = false;
}

/* Is somebody there who will take what waits, and one job more? With the lock. */
static bool manned(void)
{
    if (pool.wanted == 0)
        return true;
    assert(pool.started == 0 || pool.process == getpid());
    pool.process = getpid();
    if (pool.waiting >= pool.idle && pool.started < pool.wanted)
        start_thread();
    return pool.started > 0;
}

int job_submit(struct loop *l, struct job *j)
{
    pthread_mutex_lock(&pool.lock);
    bool taken = !pool.stopping && pool.waiting < pool.limit && manned();
    if (taken) {
        j->loop = l;
        j->next = NULL;
        *pool.tail = j;
        pool.tail = &j->next;
        pool.waiting++;
        pthread_cond_signal(&pool.call);
    } else {
        pool.refused++;
    }
    pthread_mutex_unlock(&pool.lock);
    if (!taken)
        return ERR_LIMIT;
    l->jobs++; /* only this thread opens the letter that takes it off again */
    return OK;
}

/* ---- the holder ---- */

void job_pool_set(unsigned threads, size_t queue)
{
    pthread_mutex_lock(&pool.lock);
    pool.wanted = threads < JOB_THREADS_MAX ? threads : JOB_THREADS_MAX;
    pool.limit = queue;
    pthread_cond_broadcast(&pool.call);
    pthread_mutex_unlock(&pool.lock);
}

void job_pool_stop(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    pthread_mutex_unlock(&pool.lock);
}

void job_pool_done(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.ending = true;
    pthread_cond_broadcast(&pool.call);
    pthread_mutex_unlock(&pool.lock);
    for (size_t i = 0; i < JOB_THREADS_MAX; i++) {
        if (pool.threads[i].used)
            pthread_join(pool.threads[i].id, NULL);
        pool.threads[i].used = false;
    }
    pool.ending = pool.stopping = false;
}

/* What waits of the loop's jobs when the process ends; how many. With the lock. */
static size_t drop_jobs(const struct loop *l)
{
    size_t n = 0;
    for (struct job **at = &pool.head; *at;) {
        if ((*at)->loop != l) {
            at = &(*at)->next;
            continue;
        }
        struct job *j = unqueue(at);
        j->next = pool.dropped;
        pool.dropped = j;
        n++;
    }
    return n;
}

static bool served(const struct loop *l)
{
    for (size_t i = 0; i < JOB_THREADS_MAX; i++) {
        if (pool.threads[i].used && pool.threads[i].serving == l)
            return true;
    }
    return false;
}

void job_leave(struct loop *l)
{
    while (l->jobs) {
        pthread_mutex_lock(&pool.lock);
        if (pool.stopping)
            l->jobs -= drop_jobs(l);
        pthread_mutex_unlock(&pool.lock);
        if (l->jobs)
            loop_wait_mail(l);
    }
    pthread_mutex_lock(&pool.lock);
    pool.leaving++;
    while (served(l))
        pthread_cond_wait(&pool.home, &pool.lock);
    pool.leaving--;
    pthread_mutex_unlock(&pool.lock);
}

void job_pool_count(uint64_t *done, uint64_t *refused)
{
    *done = atomic_load_explicit(&jobs_done, memory_order_relaxed);
    pthread_mutex_lock(&pool.lock);
    *refused = pool.refused;
    pthread_mutex_unlock(&pool.lock);
}

size_t job_pool_waiting(void)
{
    pthread_mutex_lock(&pool.lock);
    size_t n = pool.waiting;
    pthread_mutex_unlock(&pool.lock);
    return n;
}

bool job_pool_step(size_t k)
{
    struct job *j = NULL;
    pthread_mutex_lock(&pool.lock);
    struct job **at = &pool.head;
    while (*at && k--)
        at = &(*at)->next;
    if (*at)
        j = unqueue(at);
    pthread_mutex_unlock(&pool.lock);
    if (j)
        do_job(j);
    return j;
}
