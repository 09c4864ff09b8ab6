/* Pacing: what is allowed when, nothing lost or held for ever, and what is passed on is not copied. */
#include "http/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/exchange.h"
#include "loop/timer.h"

enum { BODY = 1000 };

struct fixture {
    struct worker *w;
    struct exchange *x;
    struct end producer, consumer;
    char got[4 * BODY];
    size_t ngot;
    int kicked;
};

static struct fixture *fx;

static void consume(struct end *e)
{
    struct iovec iov[PIPE_PIECES];
    size_t total;
    int n = pipe_iov(e->out, iov, PIPE_PIECES, &total);
    for (int i = 0; i < n; i++) {
        memcpy(fx->got + fx->ngot, iov[i].iov_base, iov[i].iov_len);
        fx->ngot += iov[i].iov_len;
    }
    pipe_take(e->out, total);
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
    arena_init(&fx->x->arena, NULL, 0, 4096, 0);
    pipe_init(&fx->x->req_pipe, &fx->w->loop, &fx->w->budget, BODY);
    pipe_init(&fx->x->resp_pipe, &fx->w->loop, &fx->w->budget, BODY);
    end_init(&fx->producer, &producer_ops);
    end_init(&fx->consumer, &consumer_ops);
    end_attach_front(&fx->consumer, fx->x);
    end_attach_back(&fx->producer, fx->x);
    return 0;
}

static int teardown(void **state)
{
    end_detach(&fx->producer);
    end_detach(&fx->consumer);
    transforms_done(fx->x);
    pipe_done(&fx->x->resp_pipe);
    bool ok = fx->w->budget.used == 0 && fx->w->loop.timers == 0;
    arena_done(&fx->x->arena);
    loop_done(&fx->w->loop);
    free(fx->x);
    free(fx->w);
    free(fx);
    return ok ? 0 : -1;
}

/* `ms` later, by the loop's clock alone. */
static void pass_time(uint64_t ms)
{
    struct loop *l = &fx->w->loop;
    for (uint64_t i = 0; i < ms; i += LOOP_TICK_MS) {
        l->clock.mono += LOOP_TICK_MS;
        timer_run(l);
        loop_drain(l);
    }
}

static void lend_body(size_t n)
{
    char scratch[BODY];
    for (size_t i = 0; i < n; i++)
        scratch[i] = (char)('a' + i % 26);
    assert_true(pipe_put(&fx->x->resp_pipe, PIECE_LOAN, slice_of(scratch, n)));
    assert_true(pipe_push(&fx->x->resp_pipe) >= 0);
    memset(scratch, '#', sizeof(scratch));
}

static void got_in_order(void)
{
    for (size_t i = 0; i < fx->ngot; i++)
        assert_int_equal(fx->got[i], 'a' + (int)(i % BODY) % 26);
}

static void what_is_allowed(void **state)
{
    assert_int_equal(pace_allowed(100, 0, 0), 100);
    assert_int_equal(pace_allowed(100, 50, 0), 150);
    assert_int_equal(pace_allowed(100, 50, 2500), 400);
    assert_int_equal(pace_allowed(1, 0, 999), 1);
    assert_true(pace_allowed(UINT64_MAX, 0, 1000) == UINT64_MAX);
    assert_true(pace_allowed(1000, UINT64_MAX, 1000) == UINT64_MAX);
    assert_true(pace_allowed(1, 0, UINT64_MAX) == UINT64_MAX);
}

static void a_body_passes_at_its_rate(void **state)
{
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 100, 200), OK);
    fx->consumer.out->ready = true;
    lend_body(BODY);
    pipe_end(&fx->x->resp_pipe, NULL);
    pipe_push(&fx->x->resp_pipe);
    assert_int_equal(fx->ngot, 300); /* the free ones, and a second's share */
    uint64_t ms = 0;
    size_t before = fx->ngot;
    while (fx->consumer.out->state == PIPE_OPEN) {
        assert_true(ms < 8000);
        pass_time(LOOP_TICK_MS);
        ms += LOOP_TICK_MS;
        assert_true(fx->ngot <= pace_allowed(100, 200, ms));
        assert_true(fx->ngot == before || fx->ngot - before >= 10 || fx->ngot == BODY);
        before = fx->ngot;
    }
    assert_int_equal(fx->ngot, BODY);
    assert_true(ms >= 7000 - LOOP_TICK_MS);
    got_in_order();
}

static void a_short_body_is_not_held(void **state)
{
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 400, 0), OK);
    fx->consumer.out->ready = true;
    lend_body(400);
    pipe_end(&fx->x->resp_pipe, NULL);
    pipe_push(&fx->x->resp_pipe);
    assert_int_equal(fx->ngot, 400);
    assert_true(pipe_finished(fx->consumer.out));
}

static void the_producer_waits_with_the_pace(void **state)
{
    assert_int_equal(pace_insert(fx->x, TRANSFORM_INTAKE, 100, 0), OK);
    fx->consumer.out->ready = true;
    lend_body(BODY); /* 100 pass, 900 wait */
    lend_body(200);
    assert_true(fx->x->resp_pipe.stalled);
    pass_time(9000);
    assert_int_equal(fx->kicked, 1);
    got_in_order();
}

static void what_came_before_an_abort_still_passes(void **state)
{
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 100, 0), OK);
    fx->consumer.out->ready = true;
    lend_body(150);
    pipe_abort(&fx->x->resp_pipe);
    pipe_push(&fx->x->resp_pipe);
    assert_int_equal(fx->consumer.out->state, PIPE_OPEN);
    pass_time(600);
    assert_int_equal(fx->ngot, 150);
    assert_int_equal(fx->consumer.out->state, PIPE_ABORTED);
}

struct fund {
    struct pace_share share;
    uint64_t left, taken;
};

static uint64_t fund_take(struct pace_share *s, uint64_t now, uint64_t want)
{
    struct fund *f = container_of(s, struct fund, share);
    uint64_t n = want < f->left ? want : f->left;
    f->left -= n;
    f->taken += n;
    return n;
}

static void fund_give(struct pace_share *s, uint64_t n)
{
    struct fund *f = container_of(s, struct fund, share);
    f->left += n;
    f->taken -= n;
}

/* What is passed is what was taken, and what is too little is left to others. */
static void what_is_shared(void **state)
{
    struct fund f = { .share = { .rate = 100, .take = fund_take, .give = fund_give }, .left = 300 };
    assert_int_equal(pace_shared(fx->x, &f.share), OK);
    assert_int_equal(pace_shared(fx->x, &f.share), OK); /* it is there */
    assert_null(fx->x->transforms->next);
    fx->consumer.out->ready = true;
    lend_body(BODY);
    pipe_end(&fx->x->resp_pipe, NULL);
    pipe_push(&fx->x->resp_pipe);
    assert_int_equal(fx->ngot, 300);
    f.left = 10;
    pass_time(5000);
    assert_int_equal(fx->ngot, 300);
    assert_int_equal(f.left, 10);
    f.left = 400;
    pass_time(500);
    assert_int_equal(fx->ngot, 700);
    f.left = 5000;
    pass_time(500);
    assert_int_equal(fx->ngot, BODY);
    assert_int_equal(f.taken, BODY);
    assert_true(pipe_finished(fx->consumer.out));
    got_in_order();
}

static void one_a_place_and_none_without_a_rate(void **state)
{
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 0, 5), OK);
    assert_null(fx->x->transforms);
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 100, 0), OK);
    const struct transform *first = fx->x->transforms;
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 900, 0), OK);
    assert_ptr_equal(fx->x->transforms, first);
    assert_null(first->next);
}

static void order_is_not_that_of_insertion(void **state)
{
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 1000, BODY), OK);
    assert_int_equal(pace_insert(fx->x, TRANSFORM_INTAKE, 1000, BODY), OK);
    const struct transform *near = fx->x->transforms, *far = near->next;
    assert_int_equal(near->order, TRANSFORM_PACE);
    assert_int_equal(far->order, TRANSFORM_INTAKE);
    assert_ptr_equal(near->in, &far->out);
    assert_ptr_equal(far->in, &fx->x->resp_pipe);
    assert_ptr_equal(fx->consumer.out, &near->out);
    fx->consumer.out->ready = true;
    lend_body(BODY);
    pipe_end(&fx->x->resp_pipe, NULL);
    pipe_push(&fx->x->resp_pipe);
    assert_int_equal(fx->ngot, BODY);
    assert_true(pipe_finished(fx->consumer.out));
    got_in_order();
}

static void what_was_inserted_can_be_taken_out(void **state)
{
    assert_int_equal(pace_insert(fx->x, TRANSFORM_PACE, 100, 0), OK);
    assert_int_equal(pace_insert(fx->x, TRANSFORM_INTAKE, 100, 0), OK);
    transforms_remove(fx->x);
    assert_null(fx->x->transforms);
    assert_ptr_equal(fx->consumer.out, &fx->x->resp_pipe);
    fx->consumer.out->ready = true;
    lend_body(BODY);
    assert_int_equal(fx->ngot, BODY);
}

/* Pieces of each kind, cut anywhere. */
static void pieces_move_whole(void **state)
{
    for (size_t cut = 1; cut < 12; cut++) {
        struct pipe a, b;
        struct iovec iov[PIPE_PIECES];
        size_t total, skip;
        pipe_init(&a, &fx->w->loop, &fx->w->budget, BODY);
        pipe_init(&b, &fx->w->loop, &fx->w->budget, BODY);
        struct buf *buf = buf_new(&fx->w->budget, 16);
        memcpy(buf->data, "3456", 4);
        buf->len = 4;
        pipe_put(&a, PIECE_MEM, SLICE("012"));
        pipe_put_buf(&a, buf, slice_of(buf->data, 4));
        pipe_put_file(&a, 7, 100, 5);
        for (size_t left = 12; left;) {
            size_t n = pipe_move(&a, &b, cut);
            assert_true(n > 0 && n <= cut);
            left -= n;
            pipe_push(&b);
        }
        assert_int_equal(a.queued, 0);
        assert_int_equal(a.filed, 0);
        assert_int_equal(b.queued, 12);
        assert_int_equal(b.filed, 5);
        int n = pipe_iov(&b, iov, PIPE_PIECES, &total);
        assert_int_equal(total, 7);
        char text[8] = "";
        for (int i = 0, at = 0; i < n; at += (int)iov[i++].iov_len)
            memcpy(text + at, iov[i].iov_base, iov[i].iov_len);
        assert_string_equal(text, "0123456");
        pipe_take(&b, 7);
        uint64_t at = 100;
        while (b.queued) {
            const struct piece *e = pipe_front(&b, &skip);
            assert_int_equal(e->kind, PIECE_FILE);
            assert_int_equal(e->offset + skip, at);
            at += e->n - skip;
            pipe_take(&b, e->n - skip);
        }
        assert_int_equal(at, 105);
        pipe_done(&a);
        pipe_done(&b);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(what_is_allowed),
        T(a_body_passes_at_its_rate),
        T(a_short_body_is_not_held),
        T(the_producer_waits_with_the_pace),
        T(what_came_before_an_abort_still_passes),
        T(what_is_shared),
        T(one_a_place_and_none_without_a_rate),
        T(order_is_not_that_of_insertion),
        T(what_was_inserted_can_be_taken_out),
        T(pieces_move_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
