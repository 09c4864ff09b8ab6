/*
 * A stream's input: what is lent, held and given back as credit, whoever takes it and however it comes; how it ends,
 * and how it breaks. DATA frames go through the connection's reader, whole and split at every point; what we say is
 * read at the other end of a socket pair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "failmalloc.h"
#include "h2/conn.h"

enum { WINDOW = 4000, ID = 5 };

static struct fixture {
    struct worker w;
    struct h2_conn c;
    struct exchange x;
    struct h2_stream s;
    struct end consumer;
    int peer; /* the other end of the connection */
    size_t takes;
    char got[20000];
    size_t ngot;
    /* what the role was told */
    int done, full, fails, erred;
    bool waiting, closed;
    enum x_why why;
    enum h2_error error;
} * fx;

/* ---- who takes the body ---- */

static void consume(struct end *e)
{
    struct iovec iov[PIPE_PIECES];
    size_t total, done = 0;
    int n = pipe_iov(e->out, iov, PIPE_PIECES, &total);
    for (int i = 0; i < n && fx->takes; i++) {
        size_t k = iov[i].iov_len < fx->takes ? iov[i].iov_len : fx->takes;
        memcpy(fx->got + fx->ngot, iov[i].iov_base, k);
        fx->ngot += k;
        fx->takes -= k;
        done += k;
    }
    pipe_take(e->out, done);
}

static void kick_in(struct end *e)
{
    h2_stream_want(container_of(e, struct h2_stream, end));
}

static const struct end_ops consumer_ops = { .name = "consumer", .kick_out = consume };
static const struct end_ops stream_ops = { .name = "stream", .kick_in = kick_in };

static void takes(size_t n)
{
    fx->takes = n;
    consume(&fx->consumer);
    loop_drain(&fx->w.loop);
}

/* ---- the role ---- */

static void in_done(struct h2_stream *s)
{
    fx->done++;
}

static void in_full(struct h2_stream *s)
{
    fx->full++;
}

static void in_wait(struct h2_stream *s, bool on)
{
    fx->waiting = on;
}

static void failed(struct h2_stream *s, enum x_why why, enum h2_error error)
{
    fx->fails++;
    fx->why = why;
    fx->error = error;
}

static void erred(struct h2_conn *c, enum h2_error e, const char *why)
{
    fx->erred = (int)e;
}

static void gone(struct h2_conn *c)
{
    fx->closed = true;
}

static void on_io(struct io *io, unsigned events)
{
}

static struct h2_role role = {
    .in_done = in_done, .in_full = in_full, .in_wait = in_wait, .failed = failed, .erred = erred, .gone = gone
};

/* ---- the world ---- */

static void make_stream(struct h2_stream *s, uint32_t id)
{
    h2_stream_init(s, &fx->c, id, &stream_ops);
    timer_init(&s->in_timer, NULL);
    timer_init(&s->out_timer, NULL);
}

static void attach(size_t capacity)
{
    fx->x.w = &fx->w;
    pipe_init(&fx->x.req_pipe, &fx->w.loop, &fx->w.budget, capacity);
    pipe_init(&fx->x.resp_pipe, &fx->w.loop, &fx->w.budget, capacity);
    make_stream(&fx->s, ID);
    end_attach_front(&fx->s.end, &fx->x);
    end_init(&fx->consumer, &consumer_ops);
    end_attach_back(&fx->consumer, &fx->x);
    fx->x.req_pipe.ready = true;
}

static void begin(size_t capacity)
{
    int fds[2];
    fx = calloc(1, sizeof(*fx));
    assert_non_null(fx);
    assert_int_equal(loop_init(&fx->w.loop), OK);
    fx->w.loop.owner = &fx->w;
    fx->w.budget.limit = 1 << 20;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    fx->peer = fds[1];
    role.server = true;
    assert_int_equal(h2_conn_init(&fx->c, &fx->w, fds[0], NULL, &role, on_io), OK);
    timer_init(&fx->c.timer, NULL);
    timer_init(&fx->c.out_timer, NULL);
    fx->c.preface_at = (uint8_t)H2_PREFACE.n;
    fx->c.greeted = true;
    fx->c.last_in = ID;
    fx->c.window = WINDOW;
    fx->c.recv_window += fx->c.credit;
    fx->c.credit = 0;
    attach(capacity);
}

static void detach(void)
{
    end_detach(&fx->s.end);
    end_detach(&fx->consumer);
    pipe_done(&fx->x.req_pipe);
    pipe_done(&fx->x.resp_pipe);
    h2_stream_done(&fx->s);
}

static void end(void)
{
    if (fx->s.c)
        detach();
    assert_int_equal(fx->c.nstreams, 0);
    fx->c.lingering = false;
    if (!fx->c.closed)
        h2_conn_close(&fx->c);
    loop_reap_now(&fx->w.loop);
    assert_true(fx->closed);
    assert_int_equal(fx->w.budget.used, 0);
    assert_int_equal(fx->w.loop.timers, 0);
    loop_done(&fx->w.loop);
    close(fx->peer);
    free(fx);
}

/* ---- what comes, and what we say ---- */

/* A DATA frame in one read, or in two: its first `cut` bytes, then the rest. */
static void data_cut(slice body, bool ends, size_t cut)
{
    char frame[H2_HEAD + 16384];
    h2_put_head(frame, body.n, H2_DATA, ends ? H2_END_STREAM : 0, ID);
    memcpy(frame + H2_HEAD, body.p, body.n);
    slice all = slice_of(frame, H2_HEAD + body.n);
    fx->c.frames = 0;
    if (cut)
        h2_conn_feed(&fx->c, slice_upto(all, cut));
    h2_conn_feed(&fx->c, slice_from(all, cut));
    loop_drain(&fx->w.loop);
}

static void data(slice body, bool ends)
{
    data_cut(body, ends, 0);
}

static slice pattern(size_t at, size_t n)
{
    static char text[20000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7 + i / 256);
    return slice_of(text + at, n);
}

static void got(size_t n)
{
    assert_int_equal(fx->ngot, n);
    assert_memory_equal(fx->got, pattern(0, n).p, n);
}

/* The one frame of that kind that went out since the last look: its number; -1: there was none. */
static int64_t said(enum h2_type type, uint32_t stream)
{
    char in[4096];
    int64_t value = -1;
    h2_flush(&fx->c);
    ssize_t n = recv(fx->peer, in, sizeof(in), 0);
    struct h2_reader r;
    h2_reader_init(&r);
    for (slice rest = slice_of(in, n > 0 ? (size_t)n : 0); rest.n;) {
        struct h2_event e;
        size_t used;
        assert_int_equal(h2_read(&r, rest, &used, &e), OK);
        rest = slice_from(rest, used);
        if (e.type != type)
            continue;
        assert_int_equal(e.stream, stream);
        assert_int_equal(value, -1);
        value = h2_u32(e.run.p + (type == H2_GOAWAY ? 4 : 0));
    }
    return value;
}

/* ---- numbers ---- */

static void streams_are_found_by_number(void **state)
{
    static struct h2_stream more[3];
    begin(1000);
    for (uint32_t i = 0; i < 3; i++) /* all in one bucket, that of ID */
        make_stream(&more[i], ID + (i + 1) * 2 * H2_BUCKETS);
    assert_int_equal(fx->c.nstreams, 4);
    assert_ptr_equal(h2_stream_find(&fx->c, ID), &fx->s);
    for (uint32_t i = 0; i < 3; i++)
        assert_ptr_equal(h2_stream_find(&fx->c, more[i].id), &more[i]);
    assert_null(h2_stream_find(&fx->c, ID + 8 * H2_BUCKETS));
    assert_null(h2_stream_find(&fx->c, ID + 2));
    h2_stream_number(&more[1], 77);
    assert_ptr_equal(h2_stream_find(&fx->c, 77), &more[1]);
    assert_null(h2_stream_find(&fx->c, ID + 4 * H2_BUCKETS));
    assert_ptr_equal(h2_stream_find(&fx->c, more[0].id), &more[0]);
    more[2].head_bytes = 100;
    fx->c.head_bytes = 130;
    h2_stream_done(&more[2]);
    assert_int_equal(fx->c.head_bytes, 30);
    fx->c.head_bytes = 0;
    h2_stream_done(&more[0]);
    h2_stream_done(&more[1]);
    assert_ptr_equal(h2_stream_find(&fx->c, ID), &fx->s);
    end();
}

/* ---- the body ---- */

static void a_body_that_is_taken_at_once(void **state)
{
    slice body = pattern(0, 300);
    for (size_t cut = 0; cut < H2_HEAD + body.n; cut++) {
        begin(1000);
        fx->takes = SIZE_MAX;
        h2_stream_want(&fx->s);
        assert_true(fx->waiting);
        data_cut(body, true, cut);
        got(300);
        assert_int_equal(fx->done, 1);
        assert_false(fx->waiting);
        assert_true(fx->s.given && fx->x.req_pipe.state == PIPE_EOF);
        assert_int_equal(fx->s.seen, 300);
        end();
    }
}

/* Before somebody asks, it is held: no more than the window, and no credit comes back. */
static void a_body_that_comes_too_early(void **state)
{
    for (size_t cut = 0; cut < 40; cut++) {
        begin(1000);
        fx->takes = SIZE_MAX;
        data_cut(pattern(0, 30), false, cut);
        for (size_t i = 30; i < WINDOW; i += 10) /* drops */
            data(pattern(i, 10), false);
        assert_int_equal(fx->ngot, 0);
        assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1);
        assert_int_equal(fx->s.recv_window, 0);
        h2_stream_want(&fx->s);
        got(WINDOW);
        assert_int_equal(said(H2_WINDOW_UPDATE, ID), WINDOW);
        assert_int_equal(fx->s.recv_window, WINDOW);
        assert_int_equal(fx->done, 0);
        data(SLICE(""), true);
        assert_int_equal(fx->done, 1);
        end();
    }
}

static void one_that_came_whole_before(void **state)
{
    begin(1000);
    data(pattern(0, 500), true);
    assert_int_equal(fx->done, 0);
    fx->takes = SIZE_MAX;
    h2_stream_want(&fx->s);
    got(500);
    assert_int_equal(fx->done, 1);
    h2_stream_want(&fx->s); /* asked again, nothing comes twice */
    got(500);
    assert_int_equal(fx->done, 1);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1); /* nothing more will come */
    end();
}

/* Nobody takes: the pipe fills, the rest of the window is held, and what is taken is what opens the window again. */
static void a_slow_taker(void **state)
{
    begin(1000);
    h2_stream_want(&fx->s);
    data(pattern(0, 1500), false);
    assert_int_equal(fx->full, 1);
    data(pattern(1500, WINDOW - 1500), false);
    assert_int_equal(fx->s.recv_window, 0);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1);
    takes(400); /* not half of the pipe yet: nobody is kicked */
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1);
    while (fx->ngot < WINDOW)
        takes(250);
    got(WINDOW);
    int64_t back = said(H2_WINDOW_UPDATE, ID);
    assert_true(back > 0 && back <= WINDOW);
    while ((back = said(H2_WINDOW_UPDATE, ID)) > 0)
        ;
    assert_true(fx->s.recv_window > WINDOW / 4 && fx->s.recv_window <= WINDOW);
    data(pattern(WINDOW, 100), true);
    takes(SIZE_MAX);
    got(WINDOW + 100);
    assert_int_equal(fx->done, 1);
    end();
}

/* The rest comes while a part of what is held has moved on; behind the end no credit is given any more. */
static void a_slow_taker_and_the_end(void **state)
{
    begin(1000);
    h2_stream_want(&fx->s);
    data(pattern(0, 1500), false);
    data(pattern(1500, 1500), false);
    takes(1200);
    assert_true(fx->s.held && fx->s.held_at);
    data(pattern(3000, 1000), true);
    said(H2_WINDOW_UPDATE, ID); /* for what had left before the end came */
    while (fx->ngot < WINDOW)
        takes(100);
    got(WINDOW);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1);
    assert_int_equal(fx->done, 1);
    end();
}

/* Where a whole body is gathered in the pipe, the window grows to what the pipe holds. */
static void the_window_is_that_of_a_large_pipe(void **state)
{
    begin(10000);
    h2_stream_want(&fx->s);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), 10000 - WINDOW);
    data(pattern(0, 10000), false);
    assert_int_equal(fx->x.req_pipe.queued, 10000);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1);
    takes(SIZE_MAX);
    got(10000);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), 10000);
    end();
}

/* Credit is not given for a few bytes, but before the peer has to stand still. */
static void credit_comes_in_quarters(void **state)
{
    begin(1000);
    fx->takes = SIZE_MAX;
    h2_stream_want(&fx->s);
    data(pattern(0, WINDOW / 4 - 1), false);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1);
    data(pattern(WINDOW / 4 - 1, 16), false);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), WINDOW / 4 + 15);
    end();
}

/* ---- its end ---- */

static void an_end_by_a_header_block(void **state)
{
    static const struct fields trailers;
    begin(1000);
    fx->takes = SIZE_MAX;
    h2_stream_want(&fx->s);
    data(pattern(0, 20), false);
    fx->s.trailers = &trailers;
    assert_true(h2_stream_ended(&fx->s));
    got(20);
    assert_ptr_equal(fx->x.req_pipe.trailers, &trailers);
    assert_int_equal(fx->done, 1);
    end();
}

static void lengths_that_were_announced(void **state)
{
    static const struct {
        uint64_t length;
        size_t comes;
        bool by_head, good;
    } rows[] = {
        { 30, 30, false, true },  { 30, 30, true, true }, { 30, 29, false, false }, { 30, 29, true, false },
        { 30, 31, false, false }, { 0, 1, false, false }, { 0, 0, true, true },     { 0, 0, false, true },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        begin(1000);
        fx->takes = SIZE_MAX;
        fx->s.length = rows[i].length;
        h2_stream_want(&fx->s);
        data(pattern(0, rows[i].comes), !rows[i].by_head);
        if (rows[i].by_head)
            assert_int_equal(h2_stream_ended(&fx->s), rows[i].good);
        assert_int_equal(fx->done, rows[i].good);
        assert_int_equal(fx->fails, !rows[i].good);
        if (!rows[i].good) {
            assert_int_equal(fx->why, WHY_CLIENT_BODY);
            assert_int_equal(fx->error, H2_PROTOCOL_ERROR);
            assert_int_equal(fx->x.req_pipe.state, PIPE_OPEN); /* never a whole body */
        }
        end();
    }
}

static void more_than_was_announced_before_its_end(void **state)
{
    begin(1000);
    fx->takes = SIZE_MAX;
    fx->s.length = 10;
    h2_stream_want(&fx->s);
    data(pattern(0, 11), false);
    assert_int_equal(fx->fails, 1);
    data(pattern(11, 5), false); /* told once; the rest is dropped */
    assert_int_equal(fx->fails, 1);
    assert_int_equal(fx->ngot, 0);
    end();
}

/* RFC 9113 §8.1: an answer begins with its head. */
static void data_of_a_backend_before_its_head(void **state)
{
    begin(1000);
    role.server = false;
    fx->c.next_id = ID + 2;
    h2_stream_want(&fx->s);
    data(pattern(0, 10), true);
    assert_int_equal(fx->fails, 1);
    assert_int_equal(fx->error, H2_PROTOCOL_ERROR);
    assert_int_equal(fx->x.req_pipe.queued, 0);
    end();
}

static void nobody_wants_the_rest(void **state)
{
    begin(1000);
    data(pattern(0, 100), false);
    h2_stream_stop(&fx->s);
    assert_null(fx->s.held);
    assert_int_equal(fx->w.budget.used, 0);
    data(pattern(100, 100), false);
    assert_int_equal(fx->w.budget.used, 0);
    h2_stream_want(&fx->s);
    takes(SIZE_MAX);
    data(SLICE(""), true);
    assert_int_equal(fx->ngot, 0);
    assert_int_equal(fx->done, 0);
    assert_int_equal(said(H2_WINDOW_UPDATE, ID), -1); /* not invited to go on */
    end();
}

/* ---- what breaks ---- */

static void a_reset_is_said_once(void **state)
{
    begin(1000);
    list_add_tail(&fx->c.sent, &fx->s.link);
    h2_stream_reset(&fx->s, H2_CANCEL);
    assert_false(list_linked(&fx->s.link));
    assert_int_equal(said(H2_RST_STREAM, ID), H2_CANCEL);
    h2_stream_reset(&fx->s, H2_PROTOCOL_ERROR);
    assert_int_equal(said(H2_RST_STREAM, ID), -1);
    fx->takes = SIZE_MAX;
    data(pattern(0, 10), true);
    assert_int_equal(fx->ngot, 0);
    detach();
    fx->s.c = NULL;
    assert_true(h2_stream_forgotten(&fx->c, ID));
    data(pattern(0, 10), true); /* it was on its way */
    assert_int_equal(said(H2_RST_STREAM, ID), -1);
    end();
}

/* A stream that ended well is not forgotten: a peer that goes on with it is told. */
static void data_behind_the_end(void **state)
{
    begin(1000);
    fx->takes = SIZE_MAX;
    h2_stream_want(&fx->s);
    data(pattern(0, 10), true);
    data(pattern(0, 10), false);
    assert_int_equal(said(H2_RST_STREAM, ID), H2_STREAM_CLOSED);
    assert_int_equal(fx->fails, 1);
    assert_int_equal(fx->ngot, 10);
    end();
}

static void as_many_are_forgotten_as_there_may_be(void **state)
{
    begin(1000);
    assert_false(h2_stream_forgotten(&fx->c, ID));
    for (uint32_t id = 1; id <= 2 * H2_FORGOTTEN + 1; id += 2) {
        fx->s.id = id;
        h2_stream_forget(&fx->s);
    }
    fx->s.id = ID;
    assert_false(h2_stream_forgotten(&fx->c, 1));
    for (uint32_t id = 3; id <= 2 * H2_FORGOTTEN + 1; id += 2)
        assert_true(h2_stream_forgotten(&fx->c, id));
    assert_int_equal(said(H2_RST_STREAM, ID), -1);
    end();
}

static void forgetting_without_memory(void **state)
{
    begin(1000);
    fail_alloc_at(0, true);
    h2_stream_forget(&fx->s);
    assert_true(fail_alloc_off());
    assert_true(fx->s.reset);
    assert_false(h2_stream_forgotten(&fx->c, ID));
    end();
}

static void no_memory_to_hold_it(void **state)
{
    begin(1000);
    fail_alloc_at(0, true);
    data(pattern(0, 100), false);
    assert_true(fail_alloc_off());
    assert_int_equal(fx->fails, 1);
    assert_int_equal(fx->why, WHY_NOMEM);
    assert_int_equal(fx->error, H2_INTERNAL_ERROR);
    end();
}

static void failing_is_told_once(void **state)
{
    begin(1000);
    h2_stream_want(&fx->s);
    h2_stream_fail(&fx->s, WHY_CLIENT_CLOSED, H2_CANCEL);
    assert_false(fx->waiting);
    h2_stream_fail(&fx->s, WHY_NOMEM, H2_INTERNAL_ERROR);
    assert_int_equal(fx->fails, 1);
    assert_int_equal(fx->why, WHY_CLIENT_CLOSED);
    h2_stream_want(&fx->s);
    assert_false(fx->waiting);
    end();
}

static void faults_of_the_peer_are_counted(void **state)
{
    begin(1000);
    fx->c.resets_burst = 3;
    h2_stream_fault(&fx->c, &fx->s, ID, H2_FLOW_CONTROL_ERROR);
    assert_int_equal(said(H2_RST_STREAM, ID), H2_FLOW_CONTROL_ERROR);
    assert_int_equal(fx->fails, 1);
    for (uint32_t id = 1; id <= 3; id += 2) {
        h2_stream_fault(&fx->c, NULL, id, H2_STREAM_CLOSED);
        assert_int_equal(said(H2_RST_STREAM, id), H2_STREAM_CLOSED);
        assert_true(h2_stream_forgotten(&fx->c, id));
    }
    assert_int_equal(fx->w.count[COUNT_H2_FAULTS], 3);
    assert_false(fx->c.failing);
    h2_stream_fault(&fx->c, NULL, 3, H2_STREAM_CLOSED);
    assert_true(fx->c.failing);
    assert_int_equal(fx->erred, H2_ENHANCE_YOUR_CALM);
    assert_int_equal(fx->fails, 2); /* now with its connection */
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_found_by_number),
        cmocka_unit_test(a_body_that_is_taken_at_once),
        cmocka_unit_test(a_body_that_comes_too_early),
        cmocka_unit_test(one_that_came_whole_before),
        cmocka_unit_test(a_slow_taker),
        cmocka_unit_test(a_slow_taker_and_the_end),
        cmocka_unit_test(the_window_is_that_of_a_large_pipe),
        cmocka_unit_test(credit_comes_in_quarters),
        cmocka_unit_test(an_end_by_a_header_block),
        cmocka_unit_test(lengths_that_were_announced),
        cmocka_unit_test(more_than_was_announced_before_its_end),
        cmocka_unit_test(data_of_a_backend_before_its_head),
        cmocka_unit_test(nobody_wants_the_rest),
        cmocka_unit_test(a_reset_is_said_once),
        cmocka_unit_test(data_behind_the_end),
        cmocka_unit_test(as_many_are_forgotten_as_there_may_be),
        cmocka_unit_test(forgetting_without_memory),
        cmocka_unit_test(no_memory_to_hold_it),
        cmocka_unit_test(failing_is_told_once),
        cmocka_unit_test(faults_of_the_peer_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
