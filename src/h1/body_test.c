/*
 * The reader of bodies: however the bytes arrive and however the consumer takes them, the pipe gets the same body, and
 * what lies behind it stays. recv of this program is defined here, so that a read can stop at any byte.
 */
#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/conn.h"

enum { CAPACITY = 64, BIG = 70000 };

/* What the peer sent: it arrives up to `stops[i]`, in that order, then a FIN (or nothing more, or an error). */
struct source {
    slice text;
    size_t at, stops[3];
    unsigned stop, nstops;
    size_t step; /* not 0: it arrives so many bytes at a time */
    bool waits;
    int end; /* 0: FIN; else errno */
};

/* How the consumer takes: all, so many bytes a kick, or nothing until told. */
struct sink {
    struct strb got;
    size_t takes;
    bool once;        /* after the first kick: nothing */
    int kicks, ended; /* of these, with bytes and the end behind them */
};

static struct worker w;
static struct h1_conn conn;
static struct exchange *x;
static struct source src;
static struct sink sink;
static struct end consumer;

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    size_t until = src.stop < src.nstops ? src.stops[src.stop] : src.text.n;
    if (src.at == until) {
        if (src.stop < src.nstops) {
            src.stop++;
            errno = EAGAIN;
            return -1;
        }
        errno = src.end;
        return src.end ? -1 : 0;
    }
    if (src.step && (src.waits = !src.waits) == false) {
        errno = EAGAIN;
        return -1;
    }
    if (n > until - src.at)
        n = until - src.at;
    if (src.step && n > src.step)
        n = src.step;
    memcpy(buf, src.text.p + src.at, n);
    src.at += n;
    return (ssize_t)n;
}

static void take(size_t most)
{
    struct iovec iov[PIPE_PIECES];
    size_t total, done = 0;
    int n = pipe_iov(&x->req_pipe, iov, PIPE_PIECES, &total);
    for (int i = 0; i < n && done < most; i++) {
        size_t k = iov[i].iov_len < most - done ? iov[i].iov_len : most - done;
        strb_add(&sink.got, slice_of(iov[i].iov_base, k));
        done += k;
    }
    pipe_take(&x->req_pipe, done);
}

static void kick_out(struct end *e)
{
    sink.kicks++;
    sink.ended += x->req_pipe.queued && x->req_pipe.state == PIPE_EOF;
    take(sink.takes);
    if (sink.once)
        sink.takes = 0;
}

static void nothing(struct end *e)
{
}

static const struct end_ops consumer_ops = { .name = "consumer", .kick_out = kick_out };
static const struct end_ops producer_ops = { .name = "producer", .kick_in = nothing };

static void no_io(struct io *io, unsigned events)
{
}

static void no_timer(struct timer *t)
{
}

static int setup(void **state)
{
    x = calloc(1, sizeof(*x));
    strb_init(&sink.got, 0);
    w.loop.owner = &w;
    return loop_init(&w.loop) < 0 || scratch_init(&w.scratch, SCRATCH_SIZE) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    loop_done(&w.loop);
    scratch_done(&w.scratch);
    strb_done(&sink.got);
    free(x);
    return w.budget.used ? -1 : 0;
}

static void begin(slice text, enum h1_body_kind kind, uint64_t length, uint64_t limit, size_t takes)
{
    static struct h1_chunked chunked;
    src = (struct source){ .text = text };
    sink.got.n = 0;
    sink.takes = takes;
    sink.once = false;
    sink.kicks = sink.ended = 0;
    arena_init(&x->arena, NULL, 0, 1024, 0);
    pipe_init(&x->req_pipe, &w.loop, &w.budget, CAPACITY);
    h1_conn_init(&conn, &w, -1, &producer_ops, no_io, no_timer, no_timer);
    end_init(&consumer, &consumer_ops);
    conn.end.x = consumer.x = x;
    conn.end.in = &x->req_pipe;
    x->req_pipe.producer = &conn.end;
    x->req_pipe.consumer = &consumer;
    x->req_pipe.ready = takes > 0;
    conn.readable = true;
    h1_body_begin(&conn.body, kind, length, limit);
    h1_chunked_init(&chunked);
    conn.body.chunked = kind == H1_BODY_CHUNKED ? &chunked : NULL;
}

static void end(void)
{
    task_cancel(&w.loop, &conn.end.kick);
    conn.in_n = 0;
    pipe_done(&x->req_pipe);
    h1_conn_close(&conn);
    arena_done(&x->arena);
    assert_int_equal(w.budget.used, 0);
}

/* Pumps until the body is over, one way or another. */
static enum h1_pump pump(void)
{
    for (int i = 0; i < 100000; i++) {
        enum h1_pump r = h1_body_pump(&conn);
        switch (r) {
        case H1_PUMP_WAIT:
            assert_true(conn.in_n == 0 || !conn.readable);
            conn.readable = true; /* the rest arrives */
            break;
        case H1_PUMP_FULL:
            assert_true(x->req_pipe.stalled || x->req_pipe.count == PIPE_PIECES);
            take(sink.takes ? sink.takes : SIZE_MAX);
            task_cancel(&w.loop, &conn.end.kick);
            break;
        case H1_PUMP_YIELD:
            assert_true(conn.end.kick.queued);
            task_cancel(&w.loop, &conn.end.kick);
            break;
        default:
            return r;
        }
    }
    fail_msg("it never ends");
    return H1_PUMP_ERROR;
}

static void body_is(slice want, slice behind)
{
    take(SIZE_MAX);
    const slice got = strb_slice(&sink.got);
    assert((got.p || got.n == 0) && (want.p || want.n == 0));
    if (!slice_eq(got, want))
        fail_msg("got [%.*s], want [%.*s]", SLICE_FMT(got), SLICE_FMT(want));
    assert_int_equal(x->req_pipe.state, PIPE_EOF);
    assert_int_equal(conn.body.seen, want.n);
    /* what lies behind is in the input, or not read yet */
    if (conn.in_n)
        assert_memory_equal(conn.in, behind.p, conn.in_n);
    assert_int_equal(conn.in_n + (src.text.n - src.at), behind.n);
}

struct body {
    enum h1_body_kind kind;
    slice wire, data, behind;
};

static const struct body bodies[] = {
    { H1_BODY_LENGTH, SLICE("abcdefghij"), SLICE("abcdefghij"), SLICE("") },
    { H1_BODY_LENGTH, SLICE("abcdefghijGET / HTTP"), SLICE("abcdefghij"), SLICE("GET / HTTP") },
    { H1_BODY_CHUNKED, SLICE("3\r\nabc\r\n7;x=y\r\ndefghij\r\n0\r\n\r\n"), SLICE("abcdefghij"), SLICE("") },
    { H1_BODY_CHUNKED, SLICE("a\r\nabcdefghij\r\n0\r\nT: v\r\n\r\nGET "), SLICE("abcdefghij"), SLICE("GET ") },
    { H1_BODY_CHUNKED, SLICE("0\r\n\r\nGET /"), SLICE(""), SLICE("GET /") },
    { H1_BODY_CLOSE, SLICE("abcdefghij"), SLICE("abcdefghij"), SLICE("") },
    { H1_BODY_CLOSE, SLICE(""), SLICE(""), SLICE("") },
};

static void read_body(const struct body *b, size_t takes, size_t first, size_t second)
{
    begin(b->wire, b->kind, b->data.n, 0, takes);
    src.stops[src.nstops++] = first;
    if (second > first)
        src.stops[src.nstops++] = second;
    assert_int_equal(pump(), H1_PUMP_DONE);
    assert_int_equal(h1_body_pump(&conn), H1_PUMP_DONE);
    body_is(b->data, b->behind);
    end();
}

static void test_every_split(void **state)
{
    static const size_t takes[] = { SIZE_MAX, 1, 3, 0 };
    for (size_t i = 0; i < array_len(bodies); i++) {
        for (size_t t = 0; t < array_len(takes); t++) {
            for (size_t first = 0; first <= bodies[i].wire.n; first++) {
                for (size_t second = first; second <= bodies[i].wire.n; second++)
                    read_body(&bodies[i], takes[t], first, second);
            }
        }
    }
}

/* The kernel has told of the FIN: the last bytes and the end are one push, however much came before. */
static void test_end_is_known(void **state)
{
    static char much[3 * CAPACITY];
    memset(much, 'x', sizeof(much));
    for (size_t n = 1; n <= sizeof(much); n++) {
        begin(slice_of(much, n), H1_BODY_CLOSE, 0, 0, SIZE_MAX);
        conn.hup = true;
        assert_int_equal(pump(), H1_PUMP_DONE);
        assert_int_equal(sink.kicks, 1);
        assert_int_equal(sink.ended, 1);
        body_is(slice_of(much, n), SLICE(""));
        end();
    }
    /* not told, or bytes that come between: the end comes by itself */
    begin(slice_of(much, 9), H1_BODY_CLOSE, 0, 0, SIZE_MAX);
    assert_int_equal(pump(), H1_PUMP_DONE);
    assert_int_equal(sink.ended, 0);
    body_is(slice_of(much, 9), SLICE(""));
    end();
    begin(slice_of(much, 9), H1_BODY_CLOSE, 0, 0, SIZE_MAX);
    conn.hup = true;
    src.stops[src.nstops++] = 4;
    assert_int_equal(pump(), H1_PUMP_DONE);
    assert_int_equal(sink.ended, 1);
    body_is(slice_of(much, 9), SLICE(""));
    end();
    /* a consumer that takes little, or nothing yet */
    for (size_t takes = 0; takes < 3; takes++) {
        begin(slice_of(much, sizeof(much)), H1_BODY_CLOSE, 0, 0, takes);
        conn.hup = true;
        assert_int_equal(pump(), H1_PUMP_DONE);
        body_is(slice_of(much, sizeof(much)), SLICE(""));
        end();
    }
}

/* A reset behind the bytes is told once they are passed on, with its own error, and is no end. */
static void test_reset_is_behind(void **state)
{
    begin(SLICE("abc"), H1_BODY_CLOSE, 0, 0, SIZE_MAX);
    conn.hup = true;
    src.end = ECONNRESET;
    assert_int_equal(h1_body_pump(&conn), H1_PUMP_ERROR);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(sink.kicks, 1);
    assert_true(slice_eq(strb_slice(&sink.got), SLICE("abc")));
    assert_int_equal(x->req_pipe.state, PIPE_OPEN);
    src.end = 0; /* the kernel tells an error once */
    assert_int_equal(h1_body_pump(&conn), H1_PUMP_ERROR);
    assert_int_equal(x->req_pipe.state, PIPE_OPEN);
    end();
}

/* Bytes that were read with the head come first. */
static void test_already_there(void **state)
{
    for (size_t i = 0; i < array_len(bodies); i++) {
        const struct body *b = &bodies[i];
        for (size_t n = 1; n <= b->wire.n; n++) {
            begin(b->wire, b->kind, b->data.n, 0, SIZE_MAX);
            src.stops[src.nstops++] = n;
            assert_int_equal(h1_conn_read(&conn, 1000), n);
            assert_int_equal(pump(), H1_PUMP_DONE);
            body_is(b->data, b->behind);
            end();
        }
    }
}

static void test_trailers(void **state)
{
    struct fields trailers = { 0 };
    begin(SLICE("1\r\na\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n"), H1_BODY_CHUNKED, 0, 0, SIZE_MAX);
    conn.body.trailers = &trailers;
    src.stops[src.nstops++] = 14;
    assert_int_equal(pump(), H1_PUMP_DONE);
    assert_ptr_equal(x->req_pipe.trailers, &trailers);
    assert_int_equal(trailers.n, 2);
    assert_true(slice_eq(trailers.v[1].value, SLICE("d")));
    end();
}

/* Peers that stop too early, break the framing, or fail. What came before is in the pipe; no end is. */
static void test_broken(void **state)
{
    static const struct {
        enum h1_body_kind kind;
        uint64_t length;
        slice text;
        enum h1_pump result;
    } cases[] = {
        { H1_BODY_LENGTH, 10, SLICE("abc"), H1_PUMP_CLOSED },
        { H1_BODY_LENGTH, 10, SLICE(""), H1_PUMP_CLOSED },
        { H1_BODY_CHUNKED, 0, SLICE("a\r\nabc"), H1_PUMP_CLOSED },
        { H1_BODY_CHUNKED, 0, SLICE("3\r\nabc\r\n"), H1_PUMP_CLOSED },
        { H1_BODY_CHUNKED, 0, SLICE("3\r\nabc\r\n0\r\n"), H1_PUMP_CLOSED },
        { H1_BODY_CHUNKED, 0, SLICE("3\r\nabcd\r\n"), H1_PUMP_BAD },
        { H1_BODY_CHUNKED, 0, SLICE("3\nabc"), H1_PUMP_BAD },
        { H1_BODY_CHUNKED, 0, SLICE("-3\r\nabc"), H1_PUMP_BAD },
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        for (size_t stop = 0; stop <= cases[i].text.n; stop++) {
            begin(cases[i].text, cases[i].kind, cases[i].length, 0, SIZE_MAX);
            src.stops[src.nstops++] = stop;
            assert_int_equal(pump(), cases[i].result);
            assert_int_equal(x->req_pipe.state, PIPE_OPEN);
            assert_false(conn.body.done);
            end();
        }
    }
    begin(SLICE("abc"), H1_BODY_CLOSE, 0, 0, SIZE_MAX);
    src.end = ECONNRESET; /* a reset is no end, not even of a body until close */
    assert_int_equal(pump(), H1_PUMP_ERROR);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(x->req_pipe.state, PIPE_OPEN);
    end();
}

/* The limit counts body bytes, and nothing beyond it reaches the pipe. */
static void test_limit(void **state)
{
    for (size_t i = 0; i < array_len(bodies); i++) {
        const struct body *b = &bodies[i];
        for (uint64_t limit = 1; limit <= 10; limit++) {
            for (size_t stop = 0; stop <= b->wire.n; stop++) {
                begin(b->wire, b->kind, b->data.n, limit, SIZE_MAX);
                src.stops[src.nstops++] = stop;
                assert_int_equal(pump(), b->data.n > limit ? H1_PUMP_BIG : H1_PUMP_DONE);
                assert_true(sink.got.n <= limit);
                end();
            }
        }
    }
}

/* More chunks than a pipe has places for, cut anywhere. */
static void test_many_chunks(void **state)
{
    static const size_t takes[] = { SIZE_MAX, 1, 0 };
    struct strb text, data;
    strb_init(&text, 0);
    strb_init(&data, 0);
    for (int i = 0; i < 3 * PIPE_PIECES; i++) {
        slice part = slice_upto(SLICE("abcde"), 1 + (size_t)i % 5);
        strb_printf(&text, "%zx\r\n%.*s\r\n", part.n, SLICE_FMT(part));
        strb_add(&data, part);
    }
    strb_lit(&text, "0\r\n\r\n");
    const struct body b = { H1_BODY_CHUNKED, strb_slice(&text), strb_slice(&data), SLICE("") };
    for (size_t t = 0; t < array_len(takes); t++) {
        for (size_t first = 0; first <= text.n; first++)
            read_body(&b, takes[t], first, 0);
    }
    strb_done(&text);
    strb_done(&data);
}

static slice big_text(void)
{
    static const slice extra = { "extra", 5 };
    static char text[BIG + 5];
    for (size_t i = 0; i < BIG; i++)
        text[i] = (char)('a' + i % 23);
    memcpy(text + BIG, extra.p, extra.n);
    return slice_of(text, sizeof(text));
}

/* Without a consumer the bytes go straight into buffers of the pipe, as far as it has room. */
static void test_nobody_ready(void **state)
{
    slice text = big_text();
    for (size_t capacity = 1; capacity < 100000; capacity = capacity * 3 + 1) {
        begin(text, H1_BODY_LENGTH, BIG, 0, 0);
        x->req_pipe.capacity = capacity;
        src.stops[src.nstops++] = 12345;
        enum h1_pump r = h1_body_pump(&conn);
        assert_int_equal(r, capacity > 12345 ? H1_PUMP_WAIT : H1_PUMP_FULL);
        assert_true(x->req_pipe.queued > 0 && x->req_pipe.queued <= (capacity < 12345 ? capacity : 12345));
        conn.readable = true;
        assert_int_equal(pump(), H1_PUMP_DONE);
        body_is(slice_upto(text, BIG), SLICE("extra"));
        end();
    }
}

/* A body that comes in drops: they share buffers, so that neither places nor memory run out before the room does. */
static void test_drops(void **state)
{
    slice text = big_text();
    for (size_t step = 1; step < 5000; step = step * 3 + 1) {
        begin(text, H1_BODY_LENGTH, BIG, 0, 0);
        x->req_pipe.capacity = 20000;
        src.step = step;
        enum h1_pump r = H1_PUMP_WAIT;
        while (r == H1_PUMP_WAIT || r == H1_PUMP_YIELD) {
            conn.readable = true;
            task_cancel(&w.loop, &conn.end.kick);
            r = h1_body_pump(&conn);
        }
        assert_int_equal(r, H1_PUMP_FULL);
        assert_in_range(x->req_pipe.queued, 20000, 25000);
        assert_in_range(w.budget.used, 20000, 30000);
        assert_int_equal(pump(), H1_PUMP_DONE);
        body_is(slice_upto(text, BIG), SLICE("extra"));
        end();
    }
}

/* Without memory the pieces are as small as the reads: a pipe may be full of them long before it is full of bytes. */
static void test_no_places(void **state)
{
    struct strb text, data;
    strb_init(&text, 0);
    strb_init(&data, 0);
    for (int i = 0; i < 2 * PIPE_PIECES; i++) {
        strb_printf(&text, "1\r\n%c\r\n", 'a' + i % 20);
        strb_printf(&data, "%c", 'a' + i % 20);
    }
    strb_lit(&text, "0\r\n\r\n");
    begin(strb_slice(&text), H1_BODY_CHUNKED, 0, 0, 0);
    w.budget.limit = 1;
    assert_int_equal(h1_body_pump(&conn), H1_PUMP_FULL);
    assert_true(x->req_pipe.stalled);
    assert_int_equal(x->req_pipe.queued, PIPE_PIECES);
    assert_int_equal(h1_body_pump(&conn), H1_PUMP_FULL);
    assert_int_equal(pump(), H1_PUMP_DONE);
    body_is(strb_slice(&data), SLICE(""));
    end();
    w.budget.limit = 0;
    strb_done(&text);
    strb_done(&data);
}

/* A consumer that stops: the pipe holds what it has room for and one read more, and nothing is read meanwhile. */
static void test_full(void **state)
{
    slice text = big_text();
    begin(text, H1_BODY_LENGTH, BIG, 0, 10);
    x->req_pipe.capacity = 1000;
    x->req_pipe.burst = 900;
    sink.once = true;
    assert_int_equal(h1_body_pump(&conn), H1_PUMP_FULL);
    assert_true(x->req_pipe.stalled);
    assert_in_range(x->req_pipe.queued, 1000, 1900);
    size_t read = src.at;
    assert_int_equal(h1_body_pump(&conn), H1_PUMP_FULL);
    assert_int_equal(src.at, read);
    assert_false(conn.end.kick.queued);
    sink.once = false;
    sink.takes = SIZE_MAX;
    take(SIZE_MAX);
    assert_true(conn.end.kick.queued); /* room again: the producer will be told */
    assert_int_equal(pump(), H1_PUMP_DONE);
    body_is(slice_upto(text, BIG), SLICE("extra"));
    end();
}

/* A peer that always has more does not keep the worker to itself. */
static void test_yield(void **state)
{
    slice text = big_text();
    begin(text, H1_BODY_LENGTH, BIG, 0, SIZE_MAX);
    x->req_pipe.burst = 64;
    int turns = 1;
    while (h1_body_pump(&conn) == H1_PUMP_YIELD) {
        assert_true(conn.end.kick.queued);
        task_cancel(&w.loop, &conn.end.kick);
        turns++;
    }
    assert_true(conn.body.done);
    assert_in_range(turns, 2, 70);
    body_is(slice_upto(text, BIG), SLICE("extra"));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),     cmocka_unit_test(test_already_there),
        cmocka_unit_test(test_trailers),        cmocka_unit_test(test_many_chunks),
        cmocka_unit_test(test_drops),           cmocka_unit_test(test_no_places),
        cmocka_unit_test(test_broken),          cmocka_unit_test(test_limit),
        cmocka_unit_test(test_nobody_ready),    cmocka_unit_test(test_full),
        cmocka_unit_test(test_yield),           cmocka_unit_test(test_end_is_known),
        cmocka_unit_test(test_reset_is_behind),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
