/*
 * The neutral messages that parsed heads become: everything of them lives in the arena, and the target is taken apart.
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

/* Parses a copy that is overwritten afterwards, so that a slice which still points into it shows. */
static int make(slice in, bool fragment, struct request *out, enum h1_error *error)
{
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    char *mem = malloc(in.n);
    assert_non_null(mem);
    memcpy(mem, in.p, in.n);
    rules.fragment = true;
    ptrdiff_t n = h1_parse_request(&h, &scan, mem, in.n, &rules);
    assert_int_equal(n, in.n);
    int rc = h1_head_request(&h, slice_of(mem, in.n), &arena, true, fragment, out, error);
    memset(mem, '!', in.n);
    free(mem);
    return rc;
}

static void test_origin(void **state)
{
    struct request r;
    enum h1_error e = H1_OK;
    slice in =
        SLICE("POST /a/%41//../b?x=%00&y HTTP/1.1\r\nHost: EXAMPLE.com.:8080\r\nCookie: c\r\nExpect: 100-continue\r\n"
              "TE: trailers\r\nContent-Length: 3\r\nX-Y: z\r\nConnection: close\r\n\r\n");
    assert_int_equal(make(in, false, &r, &e), OK);
    assert_int_equal(r.method, METHOD_POST);
    same(r.method_text, SLICE("POST"));
    assert_int_equal(r.minor, 1);
    assert_int_equal(r.form, TARGET_ORIGIN);
    same(r.line, SLICE("POST /a/%41//../b?x=%00&y HTTP/1.1"));
    same(r.target, SLICE("/a/%41//../b?x=%00&y"));
    assert_int_equal(r.scheme.n, 0);
    same(r.authority, SLICE("EXAMPLE.com.:8080"));
    same(r.host, SLICE("example.com"));
    assert_int_equal(r.port, 8080);
    same(r.raw_path, SLICE("/a/%41//../b"));
    same(r.query, SLICE("x=%00&y"));
    assert_true(r.has_query);
    same(r.path, SLICE("/a/b"));
    assert_true(r.path_changed);
    same(r.normal_path, SLICE("/a/b"));
    assert_int_equal(r.fields.n, 2);
    same(fields_find(&r.fields, TOK_COOKIE)->value, SLICE("c"));
    same(fields_named(&r.fields, SLICE("x-y"))->value, SLICE("z"));
    assert_int_equal(r.hop.n, 4);
    same(fields_find(&r.hop, TOK_CONTENT_LENGTH)->value, SLICE("3"));
    assert_int_equal(r.body.kind, BODY_LENGTH);
    assert_int_equal(r.body.length, 3);
    assert_true(r.expect_continue && r.te_trailers && !r.keep_alive);
    assert_int_equal(r.head_size, in.n);
    /* both lists can grow on their own */
    struct field more = { .name = SLICE("More"), .value = SLICE("m") };
    assert_true(fields_add(&arena, &r.fields, more) && fields_add(&arena, &r.hop, more));
    same(r.hop.v[0].name, SLICE("Expect"));
    same(r.fields.v[2].name, SLICE("More"));
}

struct target_case {
    const char *head;
    enum target_form form;
    slice scheme, authority, host;
    unsigned port;
    slice raw_path, path, query;
    bool has_query;
};

#define HTTP SLICE("http")
#define NONE    \
    {           \
        NULL, 0 \
    }

static const struct target_case target_cases[] = {
    { "GET /?", TARGET_ORIGIN, NONE, SLICE("h:1"), SLICE("h"), 1, SLICE("/"), SLICE("/"), SLICE(""), true },
    { "GET /%2Fx", TARGET_ORIGIN, NONE, SLICE("h:1"), SLICE("h"), 1, SLICE("/%2Fx"), SLICE("/x"), NONE, false },
    { "GET http://A", TARGET_ABSOLUTE, HTTP, SLICE("A"), SLICE("a"), 0, SLICE("/"), SLICE("/"), NONE, false },
    { "GET HTTP://a:80/", TARGET_ABSOLUTE, HTTP, SLICE("a:80"), SLICE("a"), 80, SLICE("/"), SLICE("/"), NONE, false },
    { "GET http://a?b/c?", TARGET_ABSOLUTE, HTTP, SLICE("a"), SLICE("a"), 0, SLICE("/"), SLICE("/"), SLICE("b/c?"),
      true },
    { "GET https://[::A]/%62?q", TARGET_ABSOLUTE, SLICE("https"), SLICE("[::A]"), SLICE("[::a]"), 0, SLICE("/%62"),
      SLICE("/b"), SLICE("q"), true },
    { "OPTIONS *", TARGET_ASTERISK, NONE, SLICE("h:1"), SLICE("h"), 1, SLICE("*"), SLICE("*"), NONE, false },
    { "OPTIONS http://a", TARGET_ABSOLUTE, HTTP, SLICE("a"), SLICE("a"), 0, SLICE("/"), SLICE("/"), NONE, false },
    { "CONNECT B:443", TARGET_AUTHORITY, NONE, SLICE("B:443"), SLICE("b"), 443, NONE, NONE, NONE, false },
};

/* Row H5 among them: the target's authority wins over Host. */
static void test_targets(void **state)
{
    for (size_t i = 0; i < array_len(target_cases); i++) {
        const struct target_case *t = &target_cases[i];
        struct request r;
        enum h1_error e = H1_OK;
        char text[200];
        int n = snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: h:1\r\n\r\n", t->head);
        assert_int_equal(make(slice_of(text, (size_t)n), false, &r, &e), OK);
        assert_int_equal(r.form, t->form);
        same(r.scheme, t->scheme);
        same(r.authority, t->authority);
        same(r.host, t->host);
        assert_int_equal(r.port, t->port);
        same(r.raw_path, t->raw_path);
        same(r.path, t->path);
        same(r.query, t->query);
        assert_int_equal(r.has_query, t->has_query);
        assert_null(fields_find(&r.fields, TOK_HOST));
        assert_null(fields_find(&r.hop, TOK_HOST));
    }
}

static void test_no_host(void **state)
{
    struct request r;
    enum h1_error e = H1_OK;
    assert_int_equal(make(SLICE("GET /a HTTP/1.0\r\n\r\n"), false, &r, &e), OK);
    assert_int_equal(r.authority.n, 0);
    assert_int_equal(r.host.n, 0);
    assert_int_equal(r.minor, 0);
    assert_int_equal(r.fields.n + r.hop.n, 0);
}

/* No field at all, and a head that does not fit into a chunk of the arena: nothing is asked of an empty arena. */
static void test_no_fields(void **state)
{
    char text[600];
    struct arena a;
    struct request r;
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    enum h1_error e = H1_OK;
    int n = snprintf(text, sizeof(text), "GET /%0500d HTTP/1.0\r\n\r\n", 0);
    slice in = slice_of(text, (size_t)n);
    arena_init(&a, NULL, 0, 1024, 0);
    assert_int_equal(h1_parse_request(&h, &scan, in.p, in.n, &rules), in.n);
    assert_int_equal(h1_head_request(&h, in, &a, true, false, &r, &e), OK);
    assert_int_equal(r.fields.n + r.hop.n, 0);
    arena_done(&a);
}

static void test_fragment(void **state)
{
    struct request r;
    enum h1_error e = H1_OK;
    slice in = SLICE("GET /a?b#c?d HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(make(in, true, &r, &e), OK);
    same(r.target, SLICE("/a?b"));
    same(r.query, SLICE("b"));
    same(r.line, SLICE("GET /a?b#c?d HTTP/1.1"));
    assert_int_equal(make(in, false, &r, &e), ERR_SYNTAX);
    assert_int_equal(e, H1_E_TARGET);
    assert_int_equal(make(SLICE("GET #/a HTTP/1.1\r\nHost: h\r\n\r\n"), true, &r, &e), ERR_SYNTAX);
    assert_int_equal(e, H1_E_FORM);
}

/* A refused request still says what it was, for the log. */
static void test_refused(void **state)
{
    struct request r;
    enum h1_error e = H1_OK;
    assert_int_equal(make(SLICE("GET /.. HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n"), false, &r, &e), ERR_SYNTAX);
    assert_int_equal(e, H1_E_PATH);
    same(r.line, SLICE("GET /.. HTTP/1.1"));
    same(r.host, SLICE("h"));
    same(fields_find(&r.fields, TOK_USER_AGENT)->value, SLICE("u"));
}

static void test_no_memory(void **state)
{
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    slice in = SLICE("GET /%41 HTTP/1.1\r\nHost: EXAMPLE\r\nX: y\r\n\r\n");
    struct request r;
    enum h1_error e = H1_OK;
    int rc = ERR_NOMEM;
    assert_true(h1_parse_request(&h, &scan, in.p, in.n, &rules) > 0);
    size_t n = 0;
    for (; rc == ERR_NOMEM && n < 1000; n++) {
        char *page = malloc(n + 1);
        struct arena a;
        assert_non_null(page);
        arena_init(&a, page, n, 256, 1); /* no heap chunk is allowed */
        rc = h1_head_request(&h, in, &a, true, false, &r, &e);
        arena_done(&a);
        free(page);
    }
    assert_int_equal(rc, OK);
    assert_true(n > in.n);
}

static void test_response(void **state)
{
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    struct response r;
    char text[] = "HTTP/1.0 301 Moved away\r\nServer: s\r\nTransfer-Encodings: x\r\nConnection: keep-alive\r\n"
                  "Content-Length: 9\r\n\r\n";
    slice in = slice_of(text, sizeof(text) - 1);
    assert_int_equal(h1_parse_response(&h, &scan, in.p, in.n, &rules), in.n);
    assert_int_equal(h1_head_response(&h, in, &arena, &r), OK);
    memset(text, '!', sizeof(text));
    assert_int_equal(r.status, 301);
    assert_int_equal(r.minor, 0);
    same(r.reason, SLICE("Moved away"));
    same(fields_find(&r.fields, TOK_SERVER)->value, SLICE("s"));
    assert_int_equal(r.fields.n, 2);
    assert_int_equal(r.hop.n, 2);
    assert_int_equal(r.body.kind, BODY_LENGTH);
    assert_int_equal(r.body.length, 9);
    assert_true(r.keep_alive);
    assert_int_equal(r.head_size, in.n);
    struct arena none;
    arena_init(&none, NULL, 0, 256, 1);
    assert_int_equal(h1_head_response(&h, in, &none, &r), ERR_NOMEM);
    arena_done(&none);
}

static void test_host_agrees(void **state)
{
    static const struct {
        slice head;
        bool differs;
    } t[] = {
        { SLICE("GET http://a.b/ HTTP/1.1\r\nHost: A.b:80\r\n\r\n"), false },
        { SLICE("GET http://a.b:80/ HTTP/1.1\r\nHost: a.b\r\n\r\n"), false },
        { SLICE("GET https://a.b/ HTTP/1.1\r\nHost: a.b:443\r\n\r\n"), false },
        { SLICE("GET http://a.b/ HTTP/1.1\r\nHost: a.b:81\r\n\r\n"), true },
        { SLICE("GET http://a.b/ HTTP/1.1\r\nHost: a.c\r\n\r\n"), true },
        { SLICE("GET http://a.b/ HTTP/1.0\r\n\r\n"), false },
        { SLICE("CONNECT a.b:22 HTTP/1.1\r\nHost: a.b\r\n\r\n"), false },
        { SLICE("CONNECT a.b:22 HTTP/1.1\r\nHost: a.b:23\r\n\r\n"), true },
        { SLICE("GET / HTTP/1.1\r\nHost: a.b\r\n\r\n"), false },
    };
    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct request r;
        enum h1_error e = H1_OK;
        assert_int_equal(make(t[i].head, false, &r, &e), OK);
        assert_int_equal(r.host_differs, t[i].differs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin),    cmocka_unit_test(test_targets),  cmocka_unit_test(test_no_host),
        cmocka_unit_test(test_no_fields), cmocka_unit_test(test_fragment), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_response), cmocka_unit_test(test_host_agrees),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
