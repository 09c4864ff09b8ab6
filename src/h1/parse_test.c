/*
 * What the parser says about heads that are fine, its limits, its rules, and what an incomplete head costs. The
 * refusals are in rows_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/attr.h"
#include "h1/test_feed.h"
#include "unit.h"

static struct h1_head h;

static ptrdiff_t request(slice in)
{
    struct h1_rules rules = test_rules();
    return test_feed(in, &rules, false, &h);
}

static ptrdiff_t response(slice in)
{
    struct h1_rules rules = test_rules();
    return test_feed(in, &rules, true, &h);
}

static void field_is(const struct field *f, const char *name, const char *value, enum token t)
{
    same(f->name, slice_str(name));
    same(f->value, slice_str(value));
    assert_int_equal(f->token, t);
}

static void test_request(void **state)
{
    slice in = SLICE("GET /a?b HTTP/1.1\r\nHost: Example.com:80\r\nUser-Agent:  x y\t \r\nX-Empty:\r\n"
                     "Accept:*/*\r\n\r\nGET /next");
    assert_int_equal(request(in), in.n - SLICE("GET /next").n);
    assert_int_equal(h.method, METHOD_GET);
    same(h.method_text, SLICE("GET"));
    same(h.line, SLICE("GET /a?b HTTP/1.1"));
    same(h.target, SLICE("/a?b"));
    same(h.host, SLICE("Example.com:80"));
    assert_int_equal(h.minor, 1);
    assert_true(h.keep_alive);
    assert_int_equal(h.body.kind, BODY_NONE);
    assert_int_equal(h.nfields, 3);
    assert_int_equal(h.nhop, 0);
    field_is(&h.fields[0], "User-Agent", "x y", TOK_USER_AGENT);
    field_is(&h.fields[1], "X-Empty", "", TOK_NONE);
    field_is(&h.fields[2], "Accept", "*/*", TOK_ACCEPT);
}

static void test_bodies(void **state)
{
    assert_true(request(SLICE("PUT / HTTP/1.1\r\nHost: a\r\ncontent-length: 0042\r\n\r\n")) > 0);
    assert_int_equal(h.body.kind, BODY_LENGTH);
    assert_int_equal(h.body.length, 42);
    assert_true(h.has_length && !h.chunked);
    assert_int_equal(h.nfields, 0);
    field_is(&h.hop[0], "content-length", "0042", TOK_CONTENT_LENGTH);
    assert_true(request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")) > 0);
    assert_int_equal(h.body.kind, BODY_LENGTH);
    assert_int_equal(h.body.length, 0);
    assert_true(request(SLICE("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tChunKed \r\n\r\n")) > 0);
    assert_int_equal(h.body.kind, BODY_UNKNOWN);
    assert_true(h.chunked && !h.has_length);
    assert_int_equal(h.nhop, 1);
}

struct conn_case {
    slice in;
    bool keep, upgrade;
};

static void test_keep_alive(void **state)
{
    static const struct conn_case cases[] = {
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), true, false },
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), false, false },
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, CLOSE\r\n\r\n"), false, false },
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: x, Close\r\n\r\n"), false, false },
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n"), true, false },
        { SLICE("GET / HTTP/1.0\r\n\r\n"), false, false },
        { SLICE("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), true, false },
        { SLICE("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), false, false },
        { SLICE("GET / HTTP/1.7\r\nHost: a\r\n\r\n"), true, false },
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), true, true },
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"), true, false },
        { SLICE("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n"), true, false },
        { SLICE("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), false, false },
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        assert_true(request(cases[i].in) > 0);
        assert_int_equal(h.keep_alive, cases[i].keep);
        assert_int_equal(h.has_upgrade, cases[i].upgrade);
        assert_int_equal(h.nfields, 0);
    }
}

/* Row H12. */
static void test_named_fields(void **state)
{
    assert_true(request(SLICE("GET / HTTP/1.1\r\nX-A: 1\r\nCookie: c\r\nX-Forwarded-For: f\r\nVia: v\r\nHost: a\r\n"
                              "Connection: close, x-forwarded-for, cookie, HOST, x-b, via, authorization\r\nX-B: 2\r\n"
                              "Authorization: u\r\nTE: x, trailers;q=1\r\nKeep-Alive: 5\r\nX-B: 3\r\nX-Bc: 4\r\n"
                              "Proxy-Authorization: p\r\n\r\n")) > 0);
    assert_int_equal(h.nfields, 5);
    field_is(&h.fields[0], "X-A", "1", TOK_NONE);
    field_is(&h.fields[1], "X-Forwarded-For", "f", TOK_X_FORWARDED_FOR);
    field_is(&h.fields[2], "Via", "v", TOK_VIA);
    field_is(&h.fields[3], "Authorization", "u", TOK_AUTHORIZATION);
    field_is(&h.fields[4], "X-Bc", "4", TOK_NONE);
    assert_int_equal(h.nhop, 7);
    field_is(&h.hop[0], "Connection", "close, x-forwarded-for, cookie, HOST, x-b, via, authorization", TOK_CONNECTION);
    field_is(&h.hop[4], "Cookie", "c", TOK_COOKIE);
    field_is(&h.hop[6], "X-B", "3", TOK_NONE);
    assert_true(h.te_trailers);
    same(h.host, SLICE("a"));
}

static void test_te_and_expect(void **state)
{
    assert_true(request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=0.5\r\nTE: trailers\r\n\r\n")) > 0);
    assert_true(h.te_trailers);
    assert_true(request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nTE: trailersx\r\n\r\n")) > 0);
    assert_false(h.te_trailers);
    assert_true(request(SLICE("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n")) > 0);
    assert_true(h.expect_continue);
    assert_true(request(SLICE("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")) > 0);
    assert_false(h.expect_continue);
}

/* Row C14, and nginx's two directives on unusual names. */
static void test_unusual_names(void **state)
{
    slice in = SLICE("GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nX.Y: 1\r\nX-Z: 2\r\nTransfer_Encoding: chunked"
                     "\r\n\r\n");
    struct h1_rules rules = test_rules();
    for (int i = 0; i < 4; i++) {
        rules.ignore_invalid = i & 1;
        rules.underscores = i & 2;
        assert_true(test_feed(in, &rules, false, &h) > 0);
        assert_int_equal(h.body.kind, BODY_NONE);
        assert_int_equal(h.nhop, 0);
        unsigned dropped = !rules.ignore_invalid ? 0 : rules.underscores ? 1 : 3;
        assert_int_equal(h.ndropped, dropped);
        assert_int_equal(h.nfields, 4 - dropped);
    }
    /* dropped or not, a broken one is refused */
    assert_int_equal(request(SLICE("GET / HTTP/1.1\r\nHost: a\r\nA_b: \x01\r\n\r\n")), ERR_SYNTAX);
    assert_int_equal(h.error, H1_E_VALUE);
}

static void test_bare_lf(void **state)
{
    struct h1_rules rules = test_rules();
    rules.bare_lf = true;
    slice in = SLICE("\nPUT / HTTP/1.1\nHost: a\r\nContent-Length: 3\nX: \n\nabc");
    assert_int_equal(test_feed(in, &rules, false, &h), in.n - 3);
    assert_int_equal(h.body.length, 3);
    assert_int_equal(test_feed(SLICE("\n\nGET / HTTP/1.1\nHost: a\n\n"), &rules, false, &h), ERR_SYNTAX);
    assert_int_equal(h.error, H1_E_LINE);
    assert_int_equal(test_feed(SLICE("GET / HTTP/1.1\nHost: a\n b\n\n"), &rules, false, &h), ERR_SYNTAX);
    assert_int_equal(h.error, H1_E_FOLD);
    assert_int_equal(test_feed(SLICE("GET / HTTP/1.1\nHost: a\rb\n\n"), &rules, false, &h), ERR_SYNTAX);
    assert_int_equal(h.error, H1_E_EOL);
    in = SLICE("HTTP/1.1 200 OK\nX: y\n\r\n");
    assert_int_equal(test_feed(in, &rules, true, &h), in.n);
}

static void test_fragment(void **state)
{
    struct h1_rules rules = test_rules();
    rules.fragment = true;
    assert_true(test_feed(SLICE("GET /a#b#c?d HTTP/1.1\r\nHost: a\r\n\r\n"), &rules, false, &h) > 0);
    same(h.target, SLICE("/a#b#c?d"));
    assert_int_equal(test_feed(SLICE("GET /a#b\\ HTTP/1.1\r\nHost: a\r\n\r\n"), &rules, false, &h), ERR_SYNTAX);
    assert_int_equal(h.error, H1_E_TARGET);
}

/* `text` with each '*' replaced by `n` letters. */
static slice blown_up(struct strb *b, const char *text, size_t n)
{
    b->n = 0;
    for (; *text; text++) {
        for (size_t i = 0; i < (*text == '*' ? n : 1); i++)
            strb_char(b, *text == '*' ? 'x' : *text);
    }
    assert_false(b->failed);
    return strb_slice(b);
}

struct limit_case {
    const char *text;
    bool response;
    size_t fits; /* so many letters pass, one more does not */
    enum h1_error error;
};

static void test_limits(void **state)
{
    static const struct limit_case cases[] = {
        { "GET /* HTTP/1.1\r\nHost: a\r\n\r\n", false, 100 - 14, H1_E_LINE_LONG },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: *\r\n\r\n", false, 100 - 3, H1_E_FIELD_LONG },
        { "GET / HTTP/1.1\r\nHost: a\r\n*: y\r\n\r\n", false, 20, H1_E_NAME_LONG },
        { "GET / HTTP/1.1\r\nHost: a\r\nX: *\r\nY: *\r\nZ: *\r\n\r\n", false, 82, H1_E_HEAD_LONG },
        { "HTTP/1.1 200 *\r\n\r\n", true, 100 - 13, H1_E_LINE_LONG },
        { "HTTP/1.1 200 OK\r\nX: *\r\n\r\n", true, 100 - 3, H1_E_FIELD_LONG },
    };
    struct h1_rules rules = test_rules();
    struct strb b;
    rules.max_line = 100;
    rules.max_name = 20;
    rules.max_head = 288;
    strb_init(&b, 0);
    for (size_t i = 0; i < array_len(cases); i++) {
        const struct limit_case *c = &cases[i];
        slice in = blown_up(&b, c->text, c->fits);
        assert_int_equal(test_feed(in, &rules, c->response, &h), in.n);
        for (size_t more = 1; more < 200; more += 7) {
            in = blown_up(&b, c->text, c->fits + more);
            assert_int_equal(test_feed(in, &rules, c->response, &h), ERR_SYNTAX);
            bool line = c->error == H1_E_HEAD_LONG && c->fits + more + 3 > 100;
            assert_int_equal(h.error, line ? H1_E_FIELD_LONG : c->error);
        }
    }
    strb_done(&b);
}

static void test_field_count(void **state)
{
    struct h1_rules rules = test_rules();
    slice in = SLICE("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nA_b: c\r\n\r\n");
    rules.max_fields = 3;
    assert_int_equal(test_feed(in, &rules, false, &h), in.n);
    rules.max_fields = 2;
    assert_int_equal(test_feed(in, &rules, false, &h), ERR_SYNTAX);
    assert_int_equal(h.error, H1_E_FIELDS_MANY);
}

/* The table itself is never overrun, whatever the configured limit. */
static void test_full_table(void **state)
{
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    struct strb b;
    rules.max_fields = 1000000;
    strb_init(&b, 0);
    strb_lit(&b, "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\n");
    for (int i = 2; i < H1_FIELDS_MAX; i++)
        strb_lit(&b, "X: y\r\n");
    size_t n = b.n;
    strb_lit(&b, "\r\n");
    assert_int_equal(h1_parse_request(&h, &scan, b.p, b.n, &rules), b.n);
    assert_int_equal(h.nhop, H1_FIELDS_MAX - 1);
    b.n = n;
    strb_lit(&b, "X: y\r\n\r\n");
    scan = (struct h1_scan){ 0 };
    assert_int_equal(h1_parse_request(&h, &scan, b.p, b.n, &rules), ERR_SYNTAX);
    assert_int_equal(h.error, H1_E_FIELDS_MANY);
    strb_done(&b);
}

static void test_connection_flood(void **state)
{
    struct strb b;
    strb_init(&b, 0);
    for (int n = H1_OPTIONS_MAX; n <= H1_OPTIONS_MAX + 1; n++) {
        b.n = 0;
        strb_lit(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < n; i += 2)
            strb_printf(&b, "Connection: a%d%s\r\n", i, i + 1 < n ? ",b" : "");
        strb_lit(&b, "\r\n");
        bool fits = n == H1_OPTIONS_MAX;
        assert_int_equal(request(strb_slice(&b)), fits ? (ptrdiff_t)b.n : ERR_SYNTAX);
        assert_int_equal(h.error, fits ? H1_OK : H1_E_CONNECTION);
    }
    strb_done(&b);
}

/* A line that is too long is refused while it is still open, without waiting for twice the bytes. */
static void test_limit_at_once(void **state)
{
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    struct strb b;
    size_t n = 3000;
    rules.max_line = 1000;
    strb_init(&b, 0);
    strb_lit(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 30; i++)
        strb_printf(&b, "X: %090d\r\n", i);
    size_t open = b.n;
    strb_lit(&b, "Y: ");
    while (b.n < 5000)
        strb_char(&b, 'y');
    assert_int_equal(h1_parse_request(&h, &scan, b.p, n, &rules), ERR_MORE);
    while (n < 5000 && h1_parse_request(&h, &scan, b.p, n, &rules) == ERR_MORE)
        n++;
    assert_int_equal(n, open + 1000 + 2);
    assert_int_equal(h.error, H1_E_FIELD_LONG);
    strb_done(&b);
}

/* Counts full parses by what they leave behind: a head that grows byte by byte is parsed a logarithmic number of times.
 */
static void test_reparse_is_linear(void **state)
{
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    struct strb b;
    unsigned parses = 0;
    strb_init(&b, 0);
    strb_lit(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 90; i++)
        strb_printf(&b, "X-%d: %0200d\r\n", i, i);
    strb_lit(&b, "\r\n");
    for (size_t n = 1; n < b.n; n++) {
        h.status = 999; /* a full parse resets it */
        assert_int_equal(h1_parse_request(&h, &scan, b.p, n, &rules), ERR_MORE);
        parses += h.status != 999;
    }
    assert_int_equal(h1_parse_request(&h, &scan, b.p, b.n, &rules), b.n);
    assert_int_equal(h.nfields, 90);
    assert_in_range(parses, 10, 16);
    strb_done(&b);
}

/* What can be no request is refused before its line is complete. */
static void test_early(void **state)
{
    static const slice bad[] = {
        SLICE("\x16\x03\x01"),
        SLICE("GET\r"),
        SLICE("{"),
        SLICE("GET / X"),
        SLICE("GET / HTTP/2"),
        SLICE("GET /a\\"),
        SLICE("GET / HTTP/1.1\r\n "),
        SLICE("GET / HTTP/1.1\r\nA B"),
        SLICE("GET / HTTP/1.1x"),
    };
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(request(bad[i]), i == 4 ? ERR_MORE : ERR_SYNTAX);
    assert_int_equal(request(SLICE("GET / HTTP/2.0")), ERR_SYNTAX);
    assert_int_equal(response(SLICE("HTTP/1.1 6")), ERR_SYNTAX);
    assert_int_equal(response(SLICE("S")), ERR_SYNTAX);
    assert_int_equal(request(SLICE("")), ERR_MORE);
    assert_int_equal(request(SLICE("\r\n")), ERR_MORE);
    assert_int_equal(response(SLICE("")), ERR_MORE);
}

static void test_response(void **state)
{
    slice in = SLICE("HTTP/1.1 404 Not Found, sorry\r\nServer: s\r\nHost: h\r\nContent-Length: 7\r\nConnection: x-a\r\n"
                     "X-A: b\r\n\r\nbody...");
    assert_int_equal(response(in), in.n - 7);
    assert_int_equal(h.status, 404);
    same(h.reason, SLICE("Not Found, sorry"));
    same(h.line, SLICE("HTTP/1.1 404 Not Found, sorry"));
    assert_true(h.keep_alive);
    assert_null(h.host.p);
    assert_int_equal(h.nfields, 2);
    field_is(&h.fields[1], "Host", "h", TOK_HOST);
    assert_int_equal(h.nhop, 3);
    assert_true(response(SLICE("HTTP/1.0 200 \r\n\r\n")) > 0);
    assert_false(h.keep_alive);
    assert_int_equal(h.reason.n, 0);
}

struct body_case {
    const char *head;
    enum method method;
    enum body_kind kind;
    uint64_t length;
    bool keep;
};

/* RFC 9112 §6.3, and row Q2. */
static void test_response_body(void **state)
{
    static const struct body_case cases[] = {
        { "200 \r\nContent-Length: 5", METHOD_GET, BODY_LENGTH, 5, true },
        { "200 \r\nContent-Length: 5", METHOD_HEAD, BODY_NONE, 0, true },
        { "200 \r\nContent-Length: 5", METHOD_CONNECT, BODY_NONE, 0, true },
        { "404 \r\nContent-Length: 5", METHOD_CONNECT, BODY_LENGTH, 5, true },
        { "200 \r\nTransfer-Encoding: chunked", METHOD_GET, BODY_UNKNOWN, 0, true },
        { "200 \r\nTransfer-Encoding: chunked", METHOD_HEAD, BODY_NONE, 0, true },
        { "200 \r\nX: y", METHOD_GET, BODY_UNKNOWN, 0, true },
        { "204 \r\nX: y", METHOD_GET, BODY_NONE, 0, true },
        { "204 \r\nContent-Length: 0", METHOD_GET, BODY_NONE, 0, true },
        { "204 \r\nContent-Length: 5", METHOD_GET, BODY_NONE, 0, false },
        { "204 \r\nTransfer-Encoding: chunked", METHOD_GET, BODY_NONE, 0, false },
        { "304 \r\nContent-Length: 5", METHOD_GET, BODY_NONE, 0, true },
        { "304 \r\nX: y", METHOD_GET, BODY_NONE, 0, true },
        { "100 \r\nX: y", METHOD_GET, BODY_NONE, 0, true },
        { "101 \r\nContent-Length: 5", METHOD_GET, BODY_NONE, 0, false },
    };
    for (size_t i = 0; i < array_len(cases); i++) {
        char text[200];
        int n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n\r\n", cases[i].head);
        assert_true(response(slice_of(text, (size_t)n)) > 0);
        struct body_fact body = h1_response_body(&h, cases[i].method);
        assert_int_equal(body.kind, cases[i].kind);
        assert_int_equal(body.length, cases[i].length);
        assert_int_equal(h.keep_alive, cases[i].keep);
    }
    /* what a 304 announces is kept for the client, what a 204 announces is not */
    assert_true(response(SLICE("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n")) > 0);
    assert_int_equal(h.body.kind, BODY_LENGTH);
    assert_int_equal(h.body.length, 5);
    assert_true(response(SLICE("HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n")) > 0);
    assert_int_equal(h.body.kind, BODY_NONE);
    assert_int_equal(h.body.length, 0);
}

static void test_errors(void **state)
{
    for (unsigned e = H1_OK + 1; e < H1_ERRORS; e++) {
        assert_non_null(h1_error_text(e));
        assert_in_range(h1_error_status(e), 400, 505);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),       cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_keep_alive),    cmocka_unit_test(test_named_fields),
        cmocka_unit_test(test_te_and_expect), cmocka_unit_test(test_unusual_names),
        cmocka_unit_test(test_bare_lf),       cmocka_unit_test(test_fragment),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_field_count),
        cmocka_unit_test(test_full_table),    cmocka_unit_test(test_connection_flood),
        cmocka_unit_test(test_limit_at_once), cmocka_unit_test(test_reparse_is_linear),
        cmocka_unit_test(test_early),         cmocka_unit_test(test_response),
        cmocka_unit_test(test_response_body), cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
