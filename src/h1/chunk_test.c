/*
 * Chunked bodies: what comes out, what is refused, and that neither depends on how the bytes were cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/attr.h"
#include "h1/chunk.h"
#include "h1/test_feed.h"

enum { MAX_TRAILER = 200 };

struct outcome {
    struct strb text; /* the data, then the trailers */
    size_t used;
    enum h1_error error;
    bool done;
};

/* Feeds in[from..to) from a block of exactly that size; false when the body ended or failed. */
static bool feed_part(struct h1_chunked *c, slice in, struct outcome *o, size_t to, struct arena *a, struct fields *f)
{
    size_t n = to - o->used, at = 0;
    char *mem = malloc(n ? n : 1);
    bool more = true;
    assert_non_null(mem);
    memcpy(mem, in.p + o->used, n);
    while (more && at < n) {
        size_t used = 12345;
        slice run;
        int rc = h1_chunked_next(c, mem + at, n - at, &used, &run, MAX_TRAILER, a, f);
        if (rc != OK) {
            assert_int_equal(rc, ERR_SYNTAX);
            assert_int_equal(used, 12345);
            o->error = c->error;
            more = false;
            break;
        }
        assert_in_range(used, c->done ? 0 : 1, n - at);
        assert_true(run.n == 0 || (run.p >= mem + at && run.p + run.n <= mem + at + used));
        strb_add(&o->text, run);
        at += used;
        more = !c->done;
    }
    o->used += at;
    o->done = c->done;
    free(mem);
    return more;
}

static void feed(slice in, size_t first, size_t step, bool keep, struct outcome *o)
{
    struct h1_chunked c;
    struct arena a;
    struct fields f = { 0 };
    h1_chunked_init(&c);
    arena_init(&a, NULL, 0, 1024, 0);
    *o = (struct outcome){ 0 };
    strb_init(&o->text, 0);
    for (size_t to = first < in.n ? first : in.n;; to = in.n - to < step ? in.n : to + step) {
        if (!feed_part(&c, in, o, to, keep ? &a : NULL, keep ? &f : NULL) || to == in.n)
            break;
    }
    for (uint32_t i = 0; i < f.n; i++)
        strb_printf(&o->text, "[%.*s=%.*s%s]", SLICE_FMT(f.v[i].name), SLICE_FMT(f.v[i].value),
                    f.v[i].token == TOK_NONE ? "" : " known");
    arena_done(&a);
}

static bool same_text(const struct strb *a, const struct strb *b)
{
    return a->n == b->n && (!a->p || !b->p || memcmp(a->p, b->p, a->n) == 0);
}

static void same_outcome(slice in, const struct outcome *a, const struct outcome *b)
{
    /* where an error is noticed inside a read is no part of the outcome */
    if (a->error != b->error || a->done != b->done || (!a->error && a->used != b->used) ||
        !same_text(&a->text, &b->text))
        fail_msg("[%.*s]: [%.*s] %d %zu, in pieces [%.*s] %d %zu", SLICE_FMT(in), SLICE_FMT(strb_slice(&a->text)),
                 a->error, a->used, SLICE_FMT(strb_slice(&b->text)), b->error, b->used);
}

/* All ways to feed it agree; the outcome of the whole. The caller ends o->text. */
static void decode(slice in, struct outcome *o)
{
    struct outcome other;
    feed(in, in.n, in.n, true, o);
    for (size_t k = 0; k <= in.n; k++) {
        feed(in, k ? k : 1, k ? in.n : 1, true, &other);
        same_outcome(in, o, &other);
        strb_done(&other.text);
    }
    feed(in, in.n, in.n, false, &other);
    assert_int_equal(o->error, other.error);
    assert_int_equal(o->done, other.done);
    strb_done(&other.text);
}

struct good_case {
    slice in;
    slice text;
    size_t rest;
};

static void test_good(void **state)
{
    static const struct good_case cases[] = {
        { SLICE("0\r\n\r\n"), SLICE(""), 0 },
        { SLICE("3\r\nabc\r\n0\r\n\r\n"), SLICE("abc"), 0 },
        { SLICE("3\r\nabc\r\n0\r\n\r\nGET /"), SLICE("abc"), 5 },
        { SLICE("1\r\na\r\n00002\r\nbc\r\n000\r\n\r\n"), SLICE("abc"), 0 },
        { SLICE("0000000000000001\r\na\r\n0\r\n\r\n"), SLICE("a"), 0 },
        { SLICE("a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), SLICE("0\r\n\r\n0\r\n\r\n"), 0 },
        { SLICE("C\r\n0123456789ab\r\n0\r\n\r\n"), SLICE("0123456789ab"), 0 },
        { SLICE("1;a\r\nx\r\n0;b=c;d=\"e\\\"\t;\xff\";f\r\n\r\n"), SLICE("x"), 0 },
        { SLICE("1;a=\"\"\r\nx\r\n0\r\n\r\n"), SLICE("x"), 0 },
        { SLICE("0\r\nX-Sum:  1 2\t \r\nETag:\r\n\r\nz"), SLICE("[X-Sum=1 2][ETag= known]"), 1 },
        /* row T8, and names of unusual bytes */
        { SLICE("1\r\nx\r\n0\r\nContent-Length: 5\r\nHost: h\r\nAuthorization: a\r\nTE: t\r\nCookie: c\r\nA_b: c\r\n"
                "transfer-encoding: chunked\r\nX: y\r\n\r\n"),
          SLICE("x[X=y]"), 0 },
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        struct outcome o;
        decode(cases[i].in, &o);
        if (!o.done || o.error)
            fail_msg("[%.*s]: %s", SLICE_FMT(cases[i].in), h1_error_text(o.error));
        assert_int_equal(o.used, cases[i].in.n - cases[i].rest);
        slice want = cases[i].text, got = strb_slice(&o.text);
        if (!slice_eq(got, want))
            fail_msg("got [%.*s], want [%.*s]", SLICE_FMT(got), SLICE_FMT(want));
        strb_done(&o.text);
    }
}

struct bad_case {
    const char *id;
    slice in;
    enum h1_error error;
};

static const struct bad_case bad_cases[] = {
    { "T1", SLICE("3\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T1", SLICE("3\r\nabc\n0\r\n\r\n"), H1_E_CHUNK_END },
    { "T1", SLICE("3;a\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T1", SLICE("0\n\r\n"), H1_E_CHUNK_SIZE },
    { "T1", SLICE("0\r\n\n"), H1_E_TRAILER },
    { "T2", SLICE("3\rabc\r0\r\r"), H1_E_CHUNK_SIZE },
    { "T2", SLICE("3\r\nabc\r0\r\n\r\n"), H1_E_CHUNK_END },
    { "T2", SLICE("0\r\n\rx"), H1_E_TRAILER },
    { "T3", SLICE("0x3\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("+3\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("-0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("3_\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE(" 3\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("00000000000000003\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("8000000000000000\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("ffffffffffffffff\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("10000000000000003\r\nabc\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE(";a\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("g\r\n"), H1_E_CHUNK_SIZE },
    { "T3", SLICE("3\0\r\nabc\r\n"), H1_E_CHUNK_SIZE },
    { "T4", SLICE("3 \r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T4", SLICE("3\t\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T4", SLICE("3 ;a\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T5", SLICE("3;\n\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a\rb\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_SIZE },
    { "T5", SLICE("3;a\0\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a=\"b\x01\"\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a=\"b\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a=\"b\n\"\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a=\"\\\n\"\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a=\"b\"c\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;;a\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;=a\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a=\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;a=b=c\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3; a\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T5", SLICE("3;\xff\r\nabc\r\n0\r\n\r\n"), H1_E_CHUNK_EXT },
    { "T6", SLICE("3\r\nabcd\r\n0\r\n\r\n"), H1_E_CHUNK_END },
    { "T6", SLICE("3\r\nabc0\r\n\r\n"), H1_E_CHUNK_END },
    { "T6", SLICE("3\r\nabcXX0\r\n\r\n"), H1_E_CHUNK_END },
    { "T9", SLICE("0\r\nX: y\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\nX: y\rz\r\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\nX: \0\r\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\nX : y\r\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\n X: y\r\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\nX: y\r\n z\r\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\n: y\r\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\nX\r\n\r\n"), H1_E_TRAILER },
    { "T9", SLICE("0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), H1_E_TRAILER },
};

static void test_bad(void **state)
{
    for (size_t i = 0; i < array_len(bad_cases); i++) {
        struct outcome o;
        decode(bad_cases[i].in, &o);
        if (o.error != bad_cases[i].error)
            fail_msg("%s [%.*s]: %s", bad_cases[i].id, SLICE_FMT(bad_cases[i].in), h1_error_text(o.error));
        assert_false(o.done);
        strb_done(&o.text);
    }
}

/* Row Q6: without its end a body is not done, wherever it stops. */
static void test_truncated(void **state)
{
    slice in = SLICE("3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\n");
    for (size_t n = 0; n < in.n; n++) {
        struct outcome o;
        feed(slice_upto(in, n), n, n + 1, true, &o);
        assert_false(o.done);
        assert_int_equal(o.error, H1_OK);
        strb_done(&o.text);
    }
}

static void test_line_limit(void **state)
{
    for (int n = 250; n < 262; n++) {
        char text[400];
        struct outcome o;
        int len = snprintf(text, sizeof(text), "1;%0*d\r\nx\r\n0\r\n\r\n", n - 2, 0);
        decode(slice_of(text, (size_t)len), &o);
        assert_int_equal(o.error, n <= H1_CHUNK_LINE_MAX ? H1_OK : H1_E_CHUNK_LINE);
        strb_done(&o.text);
    }
}

/* Row T7: chunks of one byte are fine for ever; chunks of one byte with long extensions are not. */
static void test_waste(void **state)
{
    struct strb b;
    struct outcome o;
    strb_init(&b, 0);
    for (int i = 0; i < 100000; i++)
        strb_lit(&b, "1\r\nx\r\n");
    strb_lit(&b, "0\r\n\r\n");
    feed(strb_slice(&b), b.n, b.n, true, &o);
    assert_true(o.done);
    assert_int_equal(o.text.n, 100000);
    strb_done(&o.text);
    b.n = 0;
    for (int i = 0; i < 1000; i++)
        strb_lit(&b, "1;a=012345678901234567890123456789\r\nx\r\n");
    feed(strb_slice(&b), b.n, b.n, true, &o);
    assert_int_equal(o.error, H1_E_CHUNK_WASTE);
    /* 38 bytes of framing for one of data; 16 and the grace are free */
    assert_in_range(o.text.n, 4096 / 38, 4096 / (38 - 16) + 1);
    struct outcome other;
    feed(strb_slice(&b), 1, 1, true, &other);
    same_outcome(SLICE("waste"), &o, &other);
    strb_done(&other.text);
    strb_done(&o.text);
    strb_done(&b);
}

static void test_trailer_limits(void **state)
{
    for (int n = MAX_TRAILER - 3; n < MAX_TRAILER + 4; n++) {
        char text[400];
        struct outcome o;
        int len = snprintf(text, sizeof(text), "0\r\nX: %0*d\r\n\r\n", n - 5, 0);
        decode(slice_of(text, (size_t)len), &o);
        assert_int_equal(o.error, n <= MAX_TRAILER ? H1_OK : H1_E_TRAILER);
        strb_done(&o.text);
    }
    struct h1_chunked c;
    struct strb b;
    size_t used;
    slice run;
    strb_init(&b, 0);
    strb_lit(&b, "0\r\n");
    for (int i = 0; i <= H1_TRAILER_FIELDS; i++)
        strb_lit(&b, "A:\r\n");
    h1_chunked_init(&c);
    assert_int_equal(h1_chunked_next(&c, b.p, b.n, &used, &run, 100000, NULL, NULL), ERR_SYNTAX);
    assert_int_equal(c.error, H1_E_TRAILER);
    assert_int_equal(h1_chunked_next(&c, "0", 1, &used, &run, 100000, NULL, NULL), ERR_SYNTAX);
    h1_chunked_init(&c);
    assert_int_equal(h1_chunked_next(&c, b.p, b.n - 4, &used, &run, 100000, NULL, NULL), OK);
    strb_done(&b);
}

static void test_largest(void **state)
{
    struct h1_chunked c;
    size_t used;
    slice run;
    slice in = SLICE("7fffffffffffffff\r\nab");
    h1_chunked_init(&c);
    assert_int_equal(h1_chunked_next(&c, in.p, in.n, &used, &run, 0, NULL, NULL), OK);
    assert_int_equal(used, in.n);
    assert_int_equal(run.n, 2);
    assert_true(c.left == 0x7fffffffffffffff - 2);
}

static void test_no_memory(void **state)
{
    struct h1_chunked c;
    struct arena a;
    struct fields f = { 0 };
    size_t used;
    slice run, in = SLICE("0\r\nX: y\r\n\r\n");
    char page[100];
    for (size_t n = 0; n <= 50; n += 50) {
        arena_init(&a, page, n, 256, 1);
        h1_chunked_init(&c);
        assert_int_equal(h1_chunked_next(&c, in.p, in.n, &used, &run, 40, &a, &f), ERR_NOMEM);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),       cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_line_limit), cmocka_unit_test(test_waste),     cmocka_unit_test(test_trailer_limits),
        cmocka_unit_test(test_largest),    cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
