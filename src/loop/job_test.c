/* The pool by hand, and with threads: order, the queue's limit, growing and shrinking, loops and a process that end. */
#include "loop/job.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "loop/job_pool.h"

enum { N = 200 };

struct note {
    struct job job;
    int number;
    int *gate; /* a pipe's reading end: the work waits for a byte */
    pthread_t by;
    unsigned worked, done;
    sigset_t mask;
    char name[16];
};

static int order[N], norder;

static void work(struct job *j)
{
    struct note *n = container_of(j, struct note, job);
    char c;
    if (n->gate && read(*n->gate, &c, 1) != 1)
        abort();
    n->by = pthread_self();
    pthread_sigmask(SIG_SETMASK, NULL, &n->mask);
    pthread_getname_np(n->by, n->name, sizeof(n->name));
    n->worked++;
}

static void done(struct job *j)
{
    struct note *n = container_of(j, struct note, job);
    n->done++;
    order[norder++] = n->number;
}

static void notes_init(struct note *n, int count, int *gate)
{
    norder = 0;
    memset(n, 0, sizeof(*n) * (size_t)count);
    for (int i = 0; i < count; i++) {
        n[i].job.work = work;
        n[i].job.done = done;
        n[i].number = i;
        n[i].gate = gate;
    }
}

static struct loop *loop_make(void)
{
    struct loop *l = malloc(sizeof(*l));
    assert_non_null(l);
    assert_int_equal(loop_init(l), OK);
    return l;
}

static void loop_unmake(struct loop *l)
{
    assert_int_equal(l->jobs, 0);
    loop_done(l);
    free(l);
}

static void submit_all(struct loop *l, struct note *n, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(job_submit(l, &n[i].job), OK);
}

static void turn_until_home(struct loop *l)
{
    while (l->jobs)
        loop_turn(l, -1);
}

static void assert_each_once(const struct note *n, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(n[i].worked, 1);
        assert_int_equal(n[i].done, 1);
    }
}

static void one_thread_keeps_the_order(void **state)
{
    static struct note n[N];
    struct loop *l = loop_make();
    notes_init(n, N, NULL);
    job_pool_set(1, JOB_QUEUE);
    submit_all(l, n, N);
    assert_int_equal(l->jobs, N);
    turn_until_home(l);
    assert_each_once(n, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(order[i], i);
        assert_true(pthread_equal(n[i].by, n[0].by));
    }
    assert_false(pthread_equal(n[0].by, pthread_self()));
    assert_string_equal(n[0].name, "jobs 0");
    assert_true(sigismember(&n[0].mask, SIGTERM) && sigismember(&n[0].mask, SIGRTMIN));
    assert_false(sigismember(&n[0].mask, SIGSEGV));
    job_leave(l);
    job_pool_done();
    loop_unmake(l);
}

/* As many threads as jobs need, and no more than are allowed. */
static void threads_come_as_needed(void **state)
{
    struct note n[5];
    struct loop *l = loop_make();
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    notes_init(n, 5, &gate[0]);
    job_pool_set(3, JOB_QUEUE);
    for (int i = 0; i < 5; i++) { /* none can end, so the first three take a thread each */
        assert_int_equal(job_submit(l, &n[i].job), OK);
        while (job_pool_waiting() > (i < 3 ? 0u : (unsigned)i - 2))
            usleep(1000);
    }
    assert_int_equal(job_pool_waiting(), 2);
    assert_int_equal(write(gate[1], "12345", 5), 5);
    turn_until_home(l);
    assert_each_once(n, 5);
    /* one is left, and does all of it */
    job_pool_set(1, JOB_QUEUE);
    job_pool_set(1, JOB_QUEUE);
    notes_init(n, 5, NULL);
    submit_all(l, n, 5);
    turn_until_home(l);
    assert_each_once(n, 5);
    /* and places of those that ended are used again */
    job_pool_set(JOB_THREADS_MAX + 1, JOB_QUEUE);
    notes_init(n, 5, &gate[0]);
    submit_all(l, n, 5);
    while (job_pool_waiting())
        usleep(1000);
    assert_int_equal(write(gate[1], "12345", 5), 5);
    turn_until_home(l);
    assert_each_once(n, 5);
    job_leave(l);
    job_pool_done();
    loop_unmake(l);
    close(gate[0]);
    close(gate[1]);
}

static void a_full_queue_refuses(void **state)
{
    struct note n[4];
    struct loop *l = loop_make();
    uint64_t done0, refused0, done1, refused1;
    job_pool_count(&done0, &refused0);
    notes_init(n, 4, NULL);
    job_pool_set(0, 2);
    submit_all(l, n, 2);
    assert_int_equal(job_submit(l, &n[2].job), ERR_LIMIT);
    assert_int_equal(l->jobs, 2);
    assert_true(job_pool_step(0));
    assert_int_equal(job_submit(l, &n[3].job), OK);
    assert_true(job_pool_step(1)); /* the youngest first: jobs may overtake each other */
    assert_true(job_pool_step(0));
    assert_false(job_pool_step(0));
    turn_until_home(l);
    assert_int_equal(norder, 3);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 3);
    assert_int_equal(order[2], 1);
    assert_int_equal(n[2].worked + n[2].done, 0);
    job_pool_count(&done1, &refused1);
    assert_int_equal(done1 - done0, 3);
    assert_int_equal(refused1 - refused0, 1);
    job_leave(l);
    job_pool_done();
    loop_unmake(l);
}

/* The process ends: what is under way comes home, what waits is dropped. */
static void the_process_may_end_while_jobs_run(void **state)
{
    static struct note n[6], late;
    struct note other = { .job = { .work = work, .done = done } };
    struct loop *l = loop_make(), *k = loop_make();
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    notes_init(n, 6, &gate[0]);
    job_pool_set(2, JOB_QUEUE);
    submit_all(l, n, 6);
    assert_int_equal(job_submit(k, &other.job), OK);
    while (job_pool_waiting() > 5)
        usleep(1000);
    job_pool_stop();
    assert_int_equal(job_submit(l, &late.job), ERR_LIMIT);
    job_leave(k); /* its job waits behind the others */
    assert_int_equal(other.worked + other.done, 0);
    assert_int_equal(write(gate[1], "12", 2), 2);
    job_leave(l);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(n[i].worked, i < 2);
        assert_int_equal(n[i].done, i < 2);
    }
    job_pool_done();
    loop_unmake(l);
    loop_unmake(k);
    close(gate[0]);
    close(gate[1]);
}

/* Workers that come, submit and go, again and again, while others do the same. */
static void *short_lived(void *arg)
{
    struct note n[20];
    for (int round = 0; round < 30; round++) {
        struct loop *l = loop_make();
        memset(n, 0, sizeof(n));
        for (int i = 0; i < 20; i++) {
            n[i].job = (struct job){ .work = work, .done = arg };
            if (job_submit(l, &n[i].job) != OK)
                abort();
        }
        job_leave(l);
        for (int i = 0; i < 20; i++) {
            if (n[i].worked != 1 || n[i].done != 1)
                abort();
        }
        loop_unmake(l);
    }
    return NULL;
}

static void done_quietly(struct job *j)
{
    container_of(j, struct note, job)->done++;
}

static void loops_may_end_any_time(void **state)
{
    pthread_t t[3];
    job_pool_set(4, JOB_QUEUE);
    for (size_t i = 0; i < array_len(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, short_lived, (void *)done_quietly), 0);
    for (unsigned i = 0; i < 100; i++) {
        job_pool_set(1 + i % 5, JOB_QUEUE);
        usleep(200);
    }
    for (size_t i = 0; i < array_len(t); i++)
        pthread_join(t[i], NULL);
    job_pool_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_keeps_the_order), cmocka_unit_test(threads_come_as_needed),
        cmocka_unit_test(a_full_queue_refuses),       cmocka_unit_test(the_process_may_end_while_jobs_run),
        cmocka_unit_test(loops_may_end_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
