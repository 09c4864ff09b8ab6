/* A transform between a scripted producer and a scripted consumer: order, back-pressure, end, failure. */
#include "http/transform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "http/exchange.h"

/* Doubles every byte, at most `burst` input bytes a step; fails at an exclamation mark. */
struct doubler {
    struct transform t;
    char mem[256];
    size_t burst;
    bool freed;
};

struct fixture {
    struct worker *w;
    struct exchange *x;
    struct end producer, consumer;
    struct doubler d;
    size_t takes;
    char got[8192];
    size_t ngot;
    int kicked;
};

static struct fixture *fx;

static enum transform_result double_step(struct transform *t, struct pipe *in, struct pipe *out)
{
    struct doubler *d = container_of(t, struct doubler, t);
    struct iovec iov;
    size_t total, n = 0;
    if (pipe_iov(in, &iov, 1, &total) == 0)
        return TRANSFORM_NEED_INPUT;
    for (; n < iov.iov_len && n < d->burst; n++) {
        char c = ((const char *)iov.iov_base)[n];
        if (c == '!')
            return TRANSFORM_FAILED;
        d->mem[2 * n] = d->mem[2 * n + 1] = c;
    }
    if (!pipe_put(out, PIECE_LOAN, slice_of(d->mem, 2 * n)))
        return TRANSFORM_NEED_ROOM;
    pipe_take(in, n);
    return TRANSFORM_MOVED;
}

static void double_done(struct transform *t)
{
    container_of(t, struct doubler, t)->freed = true;
}

static void consume(struct end *e)
{
    struct iovec iov[PIPE_PIECES];
    size_t total;
    int n = pipe_iov(e->out, iov, PIPE_PIECES, &total);
    for (int i = 0; i < n && fx->takes; i++) {
        size_t k = iov[i].iov_len < fx->takes ? iov[i].iov_len : fx->takes;
        memcpy(fx->got + fx->ngot, iov[i].iov_base, k);
        fx->ngot += k;
        fx->takes -= k;
        pipe_take(e->out, k);
        if (k < iov[i].iov_len)
            break;
    }
}

static void produce(struct end *e)
{
    fx->kicked++;
}

static const struct end_ops consumer_ops = { .name = "consumer", .kick_out = consume };
static const struct end_ops producer_ops = { .name = "producer", .kick_in = produce };

static int setup(void **state)
{
    fx = calloc(1, sizeof(*fx));
    fx->w = calloc(1, sizeof(*fx->w));
    fx->x = calloc(1, sizeof(*fx->x));
    if (loop_init(&fx->w->loop) < 0)
        return -1;
    fx->x->w = fx->w;
    pipe_init(&fx->x->req_pipe, &fx->w->loop, &fx->w->budget, 100);
    pipe_init(&fx->x->resp_pipe, &fx->w->loop, &fx->w->budget, 100);
    end_init(&fx->producer, &producer_ops);
    end_init(&fx->consumer, &consumer_ops);
    end_attach_front(&fx->consumer, fx->x);
    end_attach_back(&fx->producer, fx->x);
    fx->takes = SIZE_MAX;
    fx->d = (struct doubler){ .t = { .order = TRANSFORM_CODE, .step = double_step, .done = double_done }, .burst = 64 };
    transform_insert(fx->x, &fx->d.t);
    fx->consumer.out->ready = true;
    return 0;
}

static int teardown(void **state)
{
    end_detach(&fx->producer);
    end_detach(&fx->consumer);
    transforms_done(fx->x);
    bool ok = fx->d.freed;
    pipe_done(&fx->x->resp_pipe);
    pipe_done(&fx->x->req_pipe);
    ok = ok && fx->w->budget.used == 0;
    loop_done(&fx->w->loop);
    free(fx->x);
    free(fx->w);
    free(fx);
    return ok ? 0 : -1;
}

static int lend(const char *text)
{
    char scratch[512];
    const slice s = slice_str(text);
    assert_true(s.n <= sizeof(scratch));
    memcpy(scratch, s.p, s.n);
    assert_true(pipe_put(&fx->x->resp_pipe, PIECE_LOAN, slice_of(scratch, s.n)));
    int rc = pipe_push(&fx->x->resp_pipe);
    memset(scratch, '#', sizeof(scratch));
    return rc;
}

static void got_is(const char *text)
{
    assert_int_equal(fx->ngot, strlen(text));
    assert_memory_equal(fx->got, text, fx->ngot);
}

static void bytes_pass_changed_and_in_order(void **state)
{
    fx->d.burst = 2;
    lend("abcde");
    lend("fg");
    got_is("aabbccddeeffgg");
    pipe_end(&fx->x->resp_pipe, NULL);
    pipe_push(&fx->x->resp_pipe);
    assert_true(pipe_finished(fx->consumer.out));
}

static void a_slow_consumer_stops_the_producer(void **state)
{
    char text[61];
    memset(text, 'x', 60);
    text[60] = '\0';
    fx->takes = 0;
    int rc = PIPE_MORE, pushed = 0;
    for (; rc == PIPE_MORE; pushed++) {
        assert_true(pushed < 10);
        rc = lend(text);
    }
    assert_int_equal(rc, PIPE_FULL);
    pipe_end(&fx->x->resp_pipe, NULL);
    while (fx->ngot < (size_t)pushed * 120) {
        size_t before = fx->ngot;
        fx->takes = 50;
        fx->consumer.ops->kick_out(&fx->consumer);
        loop_drain(&fx->w->loop);
        assert_true(fx->ngot > before);
    }
    assert_int_equal(fx->kicked, 1);
    assert_true(pipe_finished(fx->consumer.out));
}

static void a_failure_breaks_the_body_off(void **state)
{
    lend("ab!c");
    assert_int_equal(fx->consumer.out->state, PIPE_ABORTED);
    assert_int_equal(lend("more"), PIPE_MORE); /* swallowed */
    assert_true(fx->ngot <= 4);
}

static void an_abort_is_passed_on_behind_what_came(void **state)
{
    lend("ab");
    pipe_abort(&fx->x->resp_pipe);
    pipe_push(&fx->x->resp_pipe);
    got_is("aabb");
    assert_int_equal(fx->consumer.out->state, PIPE_ABORTED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_pass_changed_and_in_order),
        T(a_slow_consumer_stops_the_producer),
        T(a_failure_breaks_the_body_off),
        T(an_abort_is_passed_on_behind_what_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
