/*
 * The writer: whatever the kernel takes at a time, the bytes on the wire are the same. send, sendmsg and sendfile of
 * this program are defined here, so that a call can stop at any byte.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/conn.h"

#define HEAD "HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
#define ALL  SIZE_MAX

struct wire {
    struct strb got;
    size_t first, later; /* bytes that the next call takes, and each call behind it; 0: EAGAIN, once */
    int fail;            /* errno of the next call */
    int calls;
};

static struct wire wire;
static struct h1_conn conn;
static struct exchange *x;
static struct buf_budget budget;
static int file;

/* How many of n bytes this call takes. */
static ssize_t allowed(size_t n)
{
    size_t may = wire.first;
    wire.calls++;
    wire.first = wire.later ? wire.later : 1;
    if (wire.fail) {
        errno = wire.fail;
        wire.fail = 0;
        return -1;
    }
    if (may == 0) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)(n < may ? n : may);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    size_t total = 0;
    assert_true(flags & MSG_NOSIGNAL);
    for (size_t i = 0; i < m->msg_iovlen; i++)
        total += m->msg_iov[i].iov_len;
    assert_true(total > 0);
    ssize_t n = allowed(total);
    for (size_t i = 0, left = n > 0 ? (size_t)n : 0; left; i++) {
        slice part = slice_upto(slice_of(m->msg_iov[i].iov_base, m->msg_iov[i].iov_len), left);
        strb_add(&wire.got, part);
        left -= part.n;
    }
    return n;
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    assert_true(n > 0 && (flags & MSG_NOSIGNAL));
    ssize_t may = allowed(n);
    if (may > 0)
        strb_add(&wire.got, slice_of(p, (size_t)may));
    return may;
}

ssize_t sendfile(int fd, int from, off_t *offset, size_t n)
{
    char buf[256];
    ssize_t may = allowed(n < sizeof(buf) ? n : sizeof(buf));
    if (may <= 0)
        return may;
    ssize_t got = pread(from, buf, (size_t)may, *offset);
    if (got > 0) {
        strb_add(&wire.got, slice_of(buf, (size_t)got));
        *offset += got;
    }
    return got;
}

static int setup(void **state)
{
    file = memfd_create("pieces", MFD_CLOEXEC);
    x = calloc(1, sizeof(*x));
    arena_init(&x->arena, NULL, 0, 1024, 0);
    strb_init(&wire.got, 0);
    return file < 0 || pwrite(file, "0123456789", 10, 0) != 10 ? -1 : 0;
}

static int teardown(void **state)
{
    close(file);
    arena_done(&x->arena);
    strb_done(&wire.got);
    free(x);
    return 0;
}

static void begin(enum h1_framing framing, uint64_t length, size_t first, size_t later)
{
    memset(&conn, 0, sizeof(conn));
    wire.got.n = 0;
    wire.first = first;
    wire.later = later;
    wire.fail = wire.calls = 0;
    pipe_done(&x->resp_pipe);
    pipe_init(&x->resp_pipe, NULL, &budget, 1 << 20);
    conn.end.x = x;
    conn.end.out = &x->resp_pipe;
    h1_out_begin(&conn.out, SLICE(HEAD), framing, length);
}

static void put_text(slice s)
{
    assert_true(pipe_put(&x->resp_pipe, PIECE_MEM, s));
}

static void put_file(uint64_t offset, size_t n)
{
    assert_true(pipe_put_file(&x->resp_pipe, file, offset, n));
}

/* Writes until the kernel is not what it stops at; every stop at the kernel is counted as one. */
static enum h1_flush flush(void)
{
    for (int i = 0; i < 1000; i++) {
        enum h1_flush r = h1_out_flush(&conn);
        assert_int_equal(r == H1_FLUSH_BLOCKED, conn.out.blocked);
        if (r != H1_FLUSH_BLOCKED)
            return r;
        conn.out.blocked = false;
    }
    fail_msg("it never ends");
    return H1_FLUSH_ERROR;
}

static void wrote(const char *body)
{
    size_t n = strlen(body), head = strlen(HEAD);
    if (wire.got.n != head + n || memcmp(wire.got.p, HEAD, head) != 0 || memcmp(wire.got.p + head, body, n) != 0)
        fail_msg("wrote [%.*s], want the head and [%s]", (int)wire.got.n, wire.got.p, body);
    assert_true(conn.out.bytes == wire.got.n);
}

static const struct fields *some_trailers(void)
{
    static struct field v[] = { { .name = { "X-Sum", 5 }, .value = { "12", 2 } },
                                { .name = { "Y", 1 }, .value = { "z", 1 } } };
    static struct fields f = { .v = v, .n = 2, .cap = 2 };
    return &f;
}

struct form {
    enum h1_framing framing;
    uint64_t length;
    bool files, trailers;
    const char *body; /* on the wire */
};

static const struct form forms[] = {
    { H1_FRAME_LENGTH, 6, false, false, "abcxyz" },
    { H1_FRAME_LENGTH, 16, true, false, "abc23456780123xyz" + 1 },
    { H1_FRAME_CLOSE, 0, false, false, "abcxyz" },
    { H1_FRAME_CLOSE, 0, true, false, "abc23456780123xyz" },
    { H1_FRAME_CHUNKED, 0, false, false, "6\r\nabcxyz\r\n0\r\n\r\n" },
    { H1_FRAME_CHUNKED, 0, false, true, "6\r\nabcxyz\r\n0\r\nX-Sum: 12\r\nY: z\r\n\r\n" },
    { H1_FRAME_CHUNKED, 0, true, false, "11\r\nabc23456780123xyz\r\n0\r\n\r\n" },
    { H1_FRAME_CHUNKED, 0, true, true, "11\r\nabc23456780123xyz\r\n0\r\nX-Sum: 12\r\nY: z\r\n\r\n" },
};

static void put_all(const struct form *f)
{
    /* the second form has 16 bytes: one less in front */
    put_text(f->length == 16 ? SLICE("bc") : SLICE("abc"));
    if (f->files) {
        put_file(2, 7);
        put_file(0, 4);
    }
    put_text(SLICE("xyz"));
    pipe_end(&x->resp_pipe, f->trailers ? some_trailers() : NULL);
}

static void write_form(const struct form *f, size_t first, size_t later)
{
    begin(f->framing, f->length, first, later);
    put_all(f);
    assert_int_equal(flush(), H1_FLUSH_DONE);
    wrote(f->body);
    assert_false(conn.out.active);
    assert_true(conn.out.body == x->resp_pipe.taken && x->resp_pipe.queued == 0);
    assert_int_equal(h1_out_flush(&conn), H1_FLUSH_IDLE);
}

/* The first call stops at every byte; the rest goes at once, by threes, or byte by byte. */
static void test_every_stop(void **state)
{
    for (size_t i = 0; i < array_len(forms); i++) {
        size_t n = strlen(HEAD) + strlen(forms[i].body);
        for (size_t first = 0; first <= n; first++) {
            write_form(&forms[i], first, ALL);
            write_form(&forms[i], first, 3);
            write_form(&forms[i], first, 1);
        }
    }
}

/* Head, body and what ends it leave in one call when there is room. */
static void test_one_call(void **state)
{
    for (size_t i = 0; i < array_len(forms); i++) {
        if (forms[i].files)
            continue;
        write_form(&forms[i], ALL, ALL);
        assert_int_equal(wire.calls, 1);
    }
}

/* The body comes in three parts, with stops at every byte of the way; chunks are what was there at the time. */
static void test_stages(void **state)
{
    static const char *const chunked = "1\r\na\r\na\r\n0123456789\r\n2\r\nbc\r\n0\r\n\r\n";
    for (size_t step = 1; step < 60; step++) {
        for (unsigned framing = H1_FRAME_LENGTH; framing <= H1_FRAME_CLOSE; framing++) {
            begin(framing, 13, step, step);
            assert_int_equal(flush(), H1_FLUSH_IDLE);
            wrote("");
            put_text(SLICE("a"));
            assert_int_equal(flush(), H1_FLUSH_IDLE);
            put_file(0, 10);
            assert_int_equal(flush(), H1_FLUSH_IDLE);
            put_text(SLICE("bc"));
            assert_int_equal(flush(), framing == H1_FRAME_LENGTH ? H1_FLUSH_DONE : H1_FLUSH_IDLE);
            pipe_end(&x->resp_pipe, NULL);
            assert_int_equal(flush(), framing == H1_FRAME_LENGTH ? H1_FLUSH_IDLE : H1_FLUSH_DONE);
            wrote(framing == H1_FRAME_CHUNKED ? chunked : "a0123456789bc");
        }
    }
}

/* More comes while a chunk is stuck in the middle: it waits for the next chunk. */
static void test_growing_chunk(void **state)
{
    begin(H1_FRAME_CHUNKED, 0, strlen(HEAD) + 5, ALL);
    put_text(SLICE("abcd"));
    assert_int_equal(h1_out_flush(&conn), H1_FLUSH_BLOCKED);
    put_text(SLICE("efg"));
    pipe_end(&x->resp_pipe, NULL);
    conn.out.blocked = false;
    assert_int_equal(flush(), H1_FLUSH_DONE);
    wrote("4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n");
}

static void test_no_body(void **state)
{
    begin(H1_FRAME_NONE, 0, 4, 4);
    put_text(SLICE("nobody wants this"));
    assert_int_equal(flush(), H1_FLUSH_DONE);
    wrote("");
    begin(H1_FRAME_LENGTH, 0, 4, 4);
    assert_int_equal(flush(), H1_FLUSH_DONE);
    wrote("");
    begin(H1_FRAME_CHUNKED, 0, 4, 4);
    pipe_end(&x->resp_pipe, NULL);
    assert_int_equal(flush(), H1_FLUSH_DONE);
    wrote("0\r\n\r\n");
    begin(H1_FRAME_CLOSE, 0, 4, 4);
    pipe_end(&x->resp_pipe, NULL);
    assert_int_equal(flush(), H1_FLUSH_DONE);
    wrote("");
}

/* A pipe that holds more than was promised does not make the message longer. */
static void test_too_much(void **state)
{
    for (size_t step = 1; step < 40; step++) {
        begin(H1_FRAME_LENGTH, 5, step, step);
        put_text(SLICE("abc"));
        put_file(0, 10);
        assert_int_equal(flush(), H1_FLUSH_DONE);
        wrote("abc01");
    }
}

/* A message above what is copied together leaves as a vector, with the same bytes. */
static void test_large(void **state)
{
    static char body[9001];
    memset(body, 'a', sizeof(body) - 1);
    body[4000] = 'b';
    for (size_t first = 1; first < 9000; first += 97) {
        begin(H1_FRAME_CLOSE, 0, first, ALL);
        put_text(slice_of(body, 4001));
        put_text(slice_of(body + 4001, sizeof(body) - 1 - 4001));
        pipe_end(&x->resp_pipe, NULL);
        assert_int_equal(flush(), H1_FLUSH_DONE);
        wrote(body);
    }
}

/* A body that breaks off: what came goes out, and then no end. */
static void test_broken(void **state)
{
    for (size_t step = 1; step < 40; step++) {
        begin(H1_FRAME_CHUNKED, 0, step, step);
        put_text(SLICE("abc"));
        pipe_abort(&x->resp_pipe);
        assert_int_equal(flush(), H1_FLUSH_BROKEN);
        wrote("3\r\nabc\r\n");
        begin(H1_FRAME_LENGTH, 10, step, step);
        put_text(SLICE("abc"));
        pipe_abort(&x->resp_pipe);
        assert_int_equal(flush(), H1_FLUSH_BROKEN);
        wrote("abc");
        begin(H1_FRAME_CLOSE, 0, step, step);
        put_text(SLICE("abc"));
        pipe_abort(&x->resp_pipe);
        assert_int_equal(flush(), H1_FLUSH_BROKEN);
        wrote("abc");
    }
}

static void test_errors(void **state)
{
    begin(H1_FRAME_LENGTH, 3, ALL, ALL);
    put_text(SLICE("abc"));
    wire.fail = EINTR;
    assert_int_equal(h1_out_flush(&conn), H1_FLUSH_DONE);
    wrote("abc");
    begin(H1_FRAME_LENGTH, 3, ALL, ALL);
    wire.fail = EPIPE;
    assert_int_equal(h1_out_flush(&conn), H1_FLUSH_ERROR);
    assert_int_equal(errno, EPIPE);
    begin(H1_FRAME_LENGTH, 20, ALL, ALL);
    put_file(5, 20); /* the file ends behind five of them */
    assert_int_equal(h1_out_flush(&conn), H1_FLUSH_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_stop),    cmocka_unit_test(test_one_call), cmocka_unit_test(test_stages),
        cmocka_unit_test(test_growing_chunk), cmocka_unit_test(test_no_body),  cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_large),         cmocka_unit_test(test_broken),   cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
