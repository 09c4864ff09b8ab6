/* Work of exchanges that live on, and of exchanges that end first; with the pool by hand and with its threads. */
#include "http/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/exchange.h"
#include "loop/job_pool.h"

struct sum {
    struct work work;
    int number, result;
    bool slow;
};

struct fixture {
    struct worker w;
    struct generation gen;
    struct gen_ref ref;
    struct client client;
    struct end front[2];
    struct exchange *x[2];
};

static int finished, orphans, woken, results;
static _Atomic int begun;
static unsigned idle_calls;

static void idle(struct gen_ref *r)
{
    idle_calls++;
}

static void on_exchange(struct exchange *x)
{
    woken++;
}

static const struct end_ops ops = { .name = "test" };

static struct fixture *fixture_new(unsigned threads)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    finished = orphans = woken = results = 0;
    begun = 0;
    idle_calls = 0;
    exchange_run = on_exchange;
    job_pool_set(threads, JOB_QUEUE);
    assert_int_equal(loop_init(&f->w.loop), OK);
    f->w.loop.owner = &f->w;
    slab_init(&f->w.pages, EXCHANGE_PAGE, 1);
    f->ref = (struct gen_ref){ .gen = &f->gen, .current = true, .idle = idle };
    for (unsigned i = 0; i < 2; i++) {
        end_init(&f->front[i], &ops);
        f->x[i] = exchange_new(&f->w, &f->ref, &f->front[i], &f->client);
        assert_non_null(f->x[i]);
    }
    return f;
}

static void end_exchange(struct fixture *f, unsigned i)
{
    if (!f->x[i])
        return;
    end_detach(&f->front[i]);
    exchange_free(f->x[i]);
    f->x[i] = NULL;
}

static void fixture_free(struct fixture *f)
{
    end_exchange(f, 0);
    end_exchange(f, 1);
    job_leave(&f->w.loop);
    job_pool_done();
    assert_int_equal(f->ref.users, 0);
    assert_int_equal(f->w.pages.live, 0);
    loop_done(&f->w.loop);
    slab_done(&f->w.pages);
    free(f);
}

static void run_sum(struct work *k)
{
    struct sum *s = container_of(k, struct sum, work);
    begun++;
    if (s->slow)
        usleep(2000);
    s->result = s->number * 2;
}

static void sum_finished(struct work *k)
{
    struct sum *s = container_of(k, struct sum, work);
    finished++;
    if (k->x) {
        results += s->result;
        exchange_post(k->x, X_WAKE);
    } else {
        orphans++;
    }
    free(s);
}

static int ask(struct exchange *x, int number, bool slow)
{
    struct sum *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    *s = (struct sum){ .work = { .run = run_sum, .finished = sum_finished }, .number = number, .slow = slow };
    int rc = exchange_work(x, &s->work);
    if (rc < 0)
        free(s);
    return rc;
}

static void step(struct fixture *f, size_t k)
{
    assert_true(job_pool_step(k));
    loop_wait_mail(&f->w.loop);
}

static void a_result_wakes_the_exchange(void **state)
{
    struct fixture *f = fixture_new(0);
    assert_int_equal(ask(f->x[0], 21, false), OK);
    assert_non_null(f->x[0]->works);
    assert_int_equal(f->ref.users, 3);
    assert_int_equal(finished, 0);
    step(f, 0);
    assert_int_equal(finished, 1);
    assert_int_equal(results, 42);
    assert_int_equal(woken, 1);
    assert_true(f->x[0]->events & X_WAKE);
    assert_null(f->x[0]->works);
    assert_int_equal(f->ref.users, 2);
    fixture_free(f);
}

/* Three works under way: whichever order they end in, and wherever among them the exchange ends. */
static void an_exchange_may_end_first(void **state)
{
    static const size_t orders[6][3] = { { 0, 0, 0 }, { 0, 1, 0 }, { 1, 0, 0 }, { 1, 1, 0 }, { 2, 0, 0 }, { 2, 1, 0 } };
    for (unsigned o = 0; o < 6; o++) {
        for (int before = 0; before <= 3; before++) {
            struct fixture *f = fixture_new(0);
            for (int i = 0; i < 3; i++)
                assert_int_equal(ask(f->x[0], 1, false), OK);
            for (int i = 0; i < 3; i++) {
                if (i == before)
                    end_exchange(f, 0);
                step(f, orders[o][i]);
            }
            assert_int_equal(finished, 3);
            assert_int_equal(orphans, 3 - before);
            assert_int_equal(results, 2 * before);
            assert_int_equal(begun, before); /* nobody waits for the others */
            assert_int_equal(f->ref.users, before < 3 ? 1 : 2);
            fixture_free(f);
        }
    }
}

static void work_outlives_its_generation(void **state)
{
    struct fixture *f = fixture_new(0);
    assert_int_equal(ask(f->x[0], 1, false), OK);
    f->ref.current = false;
    end_exchange(f, 0);
    end_exchange(f, 1);
    assert_int_equal(f->ref.users, 1);
    assert_int_equal(idle_calls, 0);
    step(f, 0);
    assert_int_equal(idle_calls, 1);
    fixture_free(f);
}

static void a_refused_work_leaves_nothing(void **state)
{
    struct fixture *f = fixture_new(0);
    job_pool_set(0, 1);
    assert_int_equal(ask(f->x[0], 1, false), OK);
    assert_int_equal(ask(f->x[0], 2, false), ERR_LIMIT);
    assert_int_equal(ask(f->x[1], 3, false), ERR_LIMIT);
    assert_null(f->x[1]->works);
    assert_int_equal(f->ref.users, 3);
    step(f, 0);
    assert_int_equal(finished, 1);
    assert_int_equal(results, 2);
    fixture_free(f);
}

static void threads_and_exchanges_that_end(void **state)
{
    for (unsigned round = 0; round < 30; round++) {
        struct fixture *f = fixture_new(3);
        for (int i = 0; i < 20; i++)
            assert_int_equal(ask(f->x[i % 2], i, i % 3 == 0), OK);
        end_exchange(f, 0); /* in the middle of it */
        while (finished < 10)
            loop_turn(&f->w.loop, -1);
        end_exchange(f, 1);
        while (f->w.loop.jobs)
            loop_turn(&f->w.loop, -1);
        assert_int_equal(finished, 20);
        assert_in_range(orphans, 10, 20);
        fixture_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_wakes_the_exchange),    cmocka_unit_test(an_exchange_may_end_first),
        cmocka_unit_test(work_outlives_its_generation),   cmocka_unit_test(a_refused_work_leaves_nothing),
        cmocka_unit_test(threads_and_exchanges_that_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
