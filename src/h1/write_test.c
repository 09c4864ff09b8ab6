/*
 * Heads as written: their bytes, what may not be written, and that the parser reads back what the writer wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/attr.h"
#include "h1/chunk.h"
#include "h1/test_feed.h"
#include "h1/write.h"
#include "unit.h"

static struct h1_head h;

static struct field field_of(slice name, slice value)
{
    return (struct field){ .name = name, .value = value, .token = (uint16_t)token_find(name) };
}

static const struct body_fact no_body = { .kind = BODY_NONE };

static void test_request(void **state)
{
    struct strb b;
    struct field v[] = { field_of(SLICE("X-A"), SLICE("1")), field_of(SLICE("Cookie"), SLICE("")) };
    struct fields f = { .v = v, .n = 2, .cap = 2 };
    struct body_fact len = { .kind = BODY_LENGTH, .length = 18446744073709551615u }, unknown = { .kind = BODY_UNKNOWN };
    strb_init(&b, 0);
    strb_lit(&b, "before");
    assert_int_equal(h1_write_request(&b, SLICE("GET"), SLICE("/a?b"), 1, SLICE("h:1"), &f, &no_body, H1_CONN_NONE),
                     OK);
    same(strb_slice(&b), SLICE("beforeGET /a?b HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nCookie: \r\n\r\n"));
    b.n = 0;
    f.n = 0;
    assert_int_equal(h1_write_request(&b, SLICE("PUT"), SLICE("*"), 1, SLICE(""), &f, &len, H1_CONN_CLOSE), OK);
    same(strb_slice(&b), SLICE("PUT * HTTP/1.1\r\nHost: \r\nContent-Length: 18446744073709551615\r\n"
                               "Connection: close\r\n\r\n"));
    b.n = 0;
    assert_int_equal(h1_write_request(&b, SLICE("PUT"), SLICE("/"), 1, SLICE_NONE, &f, &unknown, H1_CONN_UPGRADE), OK);
    same(strb_slice(&b), SLICE("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: upgrade\r\n\r\n"));
    b.n = 0;
    assert_int_equal(h1_write_request(&b, SLICE("PUT"), SLICE("/"), 0, SLICE_NONE, &f, &unknown, H1_CONN_NONE),
                     ERR_SYNTAX);
    assert_int_equal(h1_write_request(&b, SLICE("GET"), SLICE("/"), 0, SLICE("h"), &f, &no_body, H1_CONN_KEEP_ALIVE),
                     OK);
    same(strb_slice(&b), SLICE("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"));
    strb_done(&b);
}

static void test_response(void **state)
{
    struct strb b;
    struct field v[] = { field_of(SLICE("Server"), SLICE("s")) };
    struct fields f = { .v = v, .n = 1, .cap = 1 };
    strb_init(&b, 0);
    assert_int_equal(h1_write_response(&b, 200, SLICE_NONE, &f, H1_FRAME_LENGTH, 0, H1_CONN_NONE), OK);
    same(strb_slice(&b), SLICE("HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 0\r\n\r\n"));
    b.n = f.n = 0;
    assert_int_equal(h1_write_response(&b, 299, SLICE_NONE, &f, H1_FRAME_CHUNKED, 7, H1_CONN_KEEP_ALIVE), OK);
    same(strb_slice(&b), SLICE("HTTP/1.1 299 \r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"));
    b.n = 0;
    assert_int_equal(h1_write_response(&b, 404, SLICE("No \xc3\xa4"), &f, H1_FRAME_CLOSE, 7, H1_CONN_CLOSE), OK);
    same(strb_slice(&b), SLICE("HTTP/1.1 404 No \xc3\xa4\r\nConnection: close\r\n\r\n"));
    b.n = 0;
    assert_int_equal(h1_write_response(&b, 100, SLICE_NONE, &f, H1_FRAME_NONE, 7, H1_CONN_NONE), OK);
    same(strb_slice(&b), SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    strb_done(&b);
}

/* Whatever a rule composed, it does not become a second line, a second message or a second length. */
static void test_refused_fields(void **state)
{
    static const struct {
        slice name, value;
        bool response_too;
    } bad[] = {
        { SLICE("X"), SLICE("a\r\nb: c"), true },
        { SLICE("X"), SLICE("a\n"), true },
        { SLICE("X"), SLICE("\r"), true },
        { SLICE("X"), SLICE("a\0b and more than a vector"), true },
        { SLICE("X"), SLICE("\x7f"), true },
        { SLICE(""), SLICE("a"), true },
        { SLICE("X "), SLICE("a"), true },
        { SLICE("X:"), SLICE("a"), true },
        { SLICE("X\r\nY"), SLICE("a"), true },
        { SLICE("\xc3\xa4"), SLICE("a"), true },
        { SLICE("content-length"), SLICE("5"), true },
        { SLICE("Transfer-Encoding"), SLICE("chunked"), true },
        { SLICE("CONNECTION"), SLICE("close"), true },
        { SLICE("Host"), SLICE("b"), false },
    };
    struct strb b;
    strb_init(&b, 0);
    strb_lit(&b, "before");
    for (size_t i = 0; i < 2 * array_len(bad); i++) {
        struct field v[] = { field_of(SLICE("Good"), SLICE("g")), field_of(bad[i / 2].name, bad[i / 2].value) };
        struct fields f = { .v = v, .n = 2, .cap = 2 };
        if (i & 1)
            v[1].token = TOK_NONE; /* the name counts, whatever its token says */
        assert_int_equal(h1_write_request(&b, SLICE("GET"), SLICE("/"), 1, SLICE("h"), &f, &no_body, H1_CONN_NONE),
                         ERR_SYNTAX);
        same(strb_slice(&b), SLICE("before"));
        int rc = h1_write_response(&b, 200, SLICE_NONE, &f, H1_FRAME_NONE, 0, H1_CONN_NONE);
        assert_int_equal(rc, bad[i / 2].response_too ? ERR_SYNTAX : OK);
        b.n = 6;
    }
    strb_done(&b);
}

static void test_refused_lines(void **state)
{
    static const slice methods[] = { SLICE(""), SLICE("G T"), SLICE("G\r\n"), SLICE("G:") };
    static const slice targets[] = {
        SLICE(""), SLICE("/ "), SLICE("/\r\n"), SLICE("/\x80"), SLICE("/#"), SLICE("/\\")
    };
    static const slice reasons[] = { SLICE("a\r\nb"), SLICE("\0"), SLICE("\n") };
    struct fields f = { 0 };
    struct strb b;
    strb_init(&b, 0);
    for (size_t i = 0; i < array_len(methods); i++)
        assert_int_equal(h1_write_request(&b, methods[i], SLICE("/"), 1, SLICE("h"), &f, &no_body, 0), ERR_SYNTAX);
    for (size_t i = 0; i < array_len(targets); i++)
        assert_int_equal(h1_write_request(&b, SLICE("GET"), targets[i], 1, SLICE("h"), &f, &no_body, 0), ERR_SYNTAX);
    for (size_t i = 0; i < array_len(reasons); i++)
        assert_int_equal(h1_write_response(&b, 200, reasons[i], &f, H1_FRAME_NONE, 0, 0), ERR_SYNTAX);
    assert_int_equal(h1_write_response(&b, 99, SLICE_NONE, &f, H1_FRAME_NONE, 0, 0), ERR_SYNTAX);
    assert_int_equal(h1_write_response(&b, 1000, SLICE_NONE, &f, H1_FRAME_NONE, 0, 0), ERR_SYNTAX);
    assert_int_equal(h1_write_request(&b, SLICE("GET"), SLICE("/"), 1, SLICE("h\r\nX: y"), &f, &no_body, 0),
                     ERR_SYNTAX);
    assert_int_equal(b.n, 0);
    strb_done(&b);
}

static void test_no_room(void **state)
{
    struct field v[] = { field_of(SLICE("X-A"), SLICE("1")) };
    struct fields f = { .v = v, .n = 1, .cap = 1 };
    char mem[300];
    size_t fits = 0;
    for (size_t n = 0; n < sizeof(mem); n++) {
        struct strb b;
        strb_init_fixed(&b, mem, n);
        int rc = h1_write_response(&b, 200, SLICE_NONE, &f, H1_FRAME_LENGTH, 5, H1_CONN_CLOSE);
        assert_true(rc == OK || (rc == ERR_NOMEM && b.n == 0 && !fits));
        if (rc == OK && !fits)
            fits = n;
    }
    assert_in_range(fits, 60, 140);
}

/* What is written is read back: the same fields in the same order, and the framing asked for. */
static void test_round_trip(void **state)
{
    struct h1_rules rules = test_rules();
    struct strb b;
    struct field v[] = {
        field_of(SLICE("Accept"), SLICE("*/*")),
        field_of(SLICE("X-Long-Name-That-Fills-Vectors"), SLICE("value that fills\tvectors, \xff and more")),
        field_of(SLICE("Via"), SLICE("")),
    };
    struct fields f = { .v = v, .n = 3, .cap = 3 };
    strb_init(&b, 0);
    for (unsigned kind = BODY_NONE; kind <= BODY_UNKNOWN; kind++) {
        for (unsigned conn = H1_CONN_NONE; conn <= H1_CONN_UPGRADE; conn++) {
            struct body_fact body = { .kind = kind, .length = kind == BODY_LENGTH ? 42 : 0 };
            b.n = 0;
            assert_int_equal(h1_write_request(&b, SLICE("PUT"), SLICE("/x?y"), 1, SLICE("h:1"), &f, &body, conn), OK);
            assert_int_equal(test_feed(strb_slice(&b), &rules, false, &h), b.n);
            same(h.target, SLICE("/x?y"));
            same(h.host, SLICE("h:1"));
            assert_int_equal(h.body.kind, kind);
            assert_int_equal(h.body.length, body.length);
            assert_int_equal(h.keep_alive, conn != H1_CONN_CLOSE);
            assert_int_equal(h.nfields, 3);
            for (int i = 0; i < 3; i++) {
                same(h.fields[i].name, v[i].name);
                same(h.fields[i].value, v[i].value);
                assert_int_equal(h.fields[i].token, v[i].token);
            }
        }
    }
    for (unsigned framing = H1_FRAME_NONE; framing <= H1_FRAME_CLOSE; framing++) {
        b.n = 0;
        assert_int_equal(h1_write_response(&b, 503, SLICE("so so"), &f, framing, 9, H1_CONN_NONE), OK);
        assert_int_equal(test_feed(strb_slice(&b), &rules, true, &h), b.n);
        assert_int_equal(h.status, 503);
        same(h.reason, SLICE("so so"));
        assert_int_equal(h.nfields, 3);
        assert_int_equal(h.chunked, framing == H1_FRAME_CHUNKED);
        assert_int_equal(h.body.kind, framing == H1_FRAME_LENGTH ? BODY_LENGTH : BODY_UNKNOWN);
    }
    strb_done(&b);
}

static void test_chunks(void **state)
{
    static const uint64_t sizes[] = { 1, 9, 10, 15, 16, 255, 4096, 0xffffffff, 0x7fffffffffffffff };
    for (size_t i = 0; i < array_len(sizes); i++) {
        char line[H1_CHUNK_LINE];
        struct h1_chunked c;
        size_t used, n = h1_write_chunk(line, sizes[i]);
        slice run;
        assert_in_range(n, 3, sizeof(line));
        h1_chunked_init(&c);
        assert_int_equal(h1_chunked_next(&c, line, n, &used, &run, 0, NULL, NULL), OK);
        assert_int_equal(used, n);
        assert_true(c.left == sizes[i]);
    }
}

static void test_last_chunk(void **state)
{
    struct strb b;
    struct field v[] = { field_of(SLICE("X-Sum"), SLICE("1")), field_of(SLICE("Content-Length"), SLICE("5")),
                         field_of(SLICE("X"), SLICE("2")), field_of(SLICE("Y"), SLICE("a\r\nb")) };
    struct fields f = { .v = v, .n = 3, .cap = 4 };
    strb_init(&b, 0);
    assert_int_equal(h1_write_last_chunk(&b, NULL), OK);
    same(strb_slice(&b), SLICE("0\r\n\r\n"));
    b.n = 0;
    v[1].token = TOK_NONE;
    assert_int_equal(h1_write_last_chunk(&b, &f), OK);
    same(strb_slice(&b), SLICE("0\r\nX-Sum: 1\r\nX: 2\r\n\r\n"));
    b.n = 0;
    f.n = 4;
    assert_int_equal(h1_write_last_chunk(&b, &f), ERR_SYNTAX);
    assert_int_equal(b.n, 0);
    strb_done(&b);
    strb_init_fixed(&b, NULL, 0);
    assert_int_equal(h1_write_last_chunk(&b, NULL), ERR_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),       cmocka_unit_test(test_response),   cmocka_unit_test(test_refused_fields),
        cmocka_unit_test(test_refused_lines), cmocka_unit_test(test_no_room),    cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_chunks),        cmocka_unit_test(test_last_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
