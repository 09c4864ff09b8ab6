#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/uri.h"
#include "unit.h"

/* The slice in a block of exactly its size, so that a sanitizer sees a read over its end. */
static slice exact(slice s, char **mem)
{
    *mem = malloc(s.n ? s.n : 1);
    assert_non_null(*mem);
    memcpy(*mem, s.p, s.n);
    return slice_of(*mem, s.n);
}

static void test_authority(void **state)
{
    static const struct {
        slice in, host;
        uint16_t port;
    } good[] = {
        { SLICE("example.com"), SLICE("example.com"), 0 },
        { SLICE("Example.COM.:8080"), SLICE("Example.COM."), 8080 },
        { SLICE("a_b-c.x"), SLICE("a_b-c.x"), 0 },
        { SLICE("localhost:1"), SLICE("localhost"), 1 },
        { SLICE("h:65535"), SLICE("h"), 65535 },
        { SLICE("127.0.0.1:80"), SLICE("127.0.0.1"), 80 },
        { SLICE("255.255.255.255"), SLICE("255.255.255.255"), 0 },
        { SLICE("0.0.0.0"), SLICE("0.0.0.0"), 0 },
        { SLICE("1.2.3.4.nip.io"), SLICE("1.2.3.4.nip.io"), 0 },
        { SLICE("0x7f.1.example"), SLICE("0x7f.1.example"), 0 },
        { SLICE("0xyz"), SLICE("0xyz"), 0 },
        { SLICE("[::1]"), SLICE("[::1]"), 0 },
        { SLICE("[2001:DB8::1]:443"), SLICE("[2001:DB8::1]"), 443 },
        { SLICE("[::ffff:1.2.3.4]"), SLICE("[::ffff:1.2.3.4]"), 0 },
    };
    for (size_t i = 0; i < array_len(good); i++) {
        slice host;
        uint16_t port = 99;
        char *mem;
        slice in = exact(good[i].in, &mem);
        if (uri_authority(in, &host, &port) != OK)
            fail_msg("refused: %.*s", SLICE_FMT(good[i].in));
        same(host, good[i].host);
        assert_int_equal(port, good[i].port);
        free(mem);
    }
}

static const slice bad_authorities[] = {
    SLICE(""),
    SLICE(":80"),
    SLICE("."),
    SLICE(".a"),
    SLICE("a..b"),
    SLICE("a.."),
    SLICE("a:"),
    SLICE("a:0"),
    SLICE("a:00"),
    SLICE("a:080"),
    SLICE("a:65536"),
    SLICE("a:99999"),
    SLICE("a:100000"),
    SLICE("a:8a"),
    SLICE("a:-1"),
    SLICE("a:80:90"),
    SLICE("a b"),
    SLICE(" a"),
    SLICE("a\t"),
    SLICE("a,b"),
    SLICE("u@a"),
    SLICE("u:p@a:80"),
    SLICE("a/b"),
    SLICE("a?b"),
    SLICE("a%41"),
    SLICE("a#b"),
    SLICE("a\\b"),
    SLICE("\xc3\xa4"),
    SLICE("a\0b"),
    SLICE("*"),
    SLICE("a;b"),
    SLICE("a'b"),
    SLICE("a=b"),
    SLICE("a~b"),
    /* addresses in any form but the strict one (row S2) */
    SLICE("0177.0.0.1"),
    SLICE("2130706433"),
    SLICE("0x7f.1"),
    SLICE("0x7f000001"),
    SLICE("127.1"),
    SLICE("127.0.0.1."),
    SLICE("127.0.0.256"),
    SLICE("127.0.0.0001"),
    SLICE("127.00.0.1"),
    SLICE("1.2.3.4.5"),
    SLICE("1.2.3"),
    SLICE("a.1"),
    SLICE("a.0x1f"),
    SLICE("a.0x"),
    SLICE("127.0.0.1.:80"),
    /* brackets */
    SLICE("["),
    SLICE("[]"),
    SLICE("[::1"),
    SLICE("::1"),
    SLICE("[::1]a"),
    SLICE("[::1]:"),
    SLICE("[::1]:0"),
    SLICE("[::1%eth0]"),
    SLICE("[::1%25eth0]"),
    SLICE("[v1.a]"),
    SLICE("[1.2.3.4]"),
    SLICE("[::1\0]"),
    SLICE("[12345::]"),
    SLICE("[::1]]"),
    SLICE("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]"),
};

static void test_bad_authority(void **state)
{
    for (size_t i = 0; i < array_len(bad_authorities); i++) {
        slice host = SLICE("untouched");
        uint16_t port = 99;
        char *mem;
        slice in = exact(bad_authorities[i], &mem);
        if (uri_authority(in, &host, &port) != ERR_SYNTAX)
            fail_msg("accepted: %.*s", SLICE_FMT(bad_authorities[i]));
        same(host, SLICE("untouched"));
        assert_int_equal(port, 99);
        free(mem);
    }
}

static void test_hide_password(void **state)
{
    static const char *const rows[][2] = {
        { "GET http://u:secret@h/a:b@c HTTP/1.1", "GET http://u:******@h/a:b@c HTTP/1.1" },
        { "GET ftp://u:s@e:c@h", "GET ftp://u:*****@h" },
        { "CONNECT u:p@h:443 HTTP/1.1", "CONNECT u:*@h:443 HTTP/1.1" },
        { "u:p@h", "u:*@h" },
        { "http://u:@h/", "http://u:@h/" },
        { "GET http://u@h:80/", "GET http://u@h:80/" },
        { "GET http://h:80/x@y?http://a:b@c", "GET http://h:80/x@y?http://a:b@c" },
        { "GET /a:b@c HTTP/1.1", "GET /a:b@c HTTP/1.1" },
        { "GET http://u:p", "GET http://u:p" },
        { "://", "://" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[64];
        size_t n = strlen(rows[i][0]);
        memcpy(text, rows[i][0], n);
        uri_hide_password(text, n);
        same(slice_of(text, n), slice_of(rows[i][1], strlen(rows[i][1])));
    }
}

static void test_host_normal(void **state)
{
    slice out, plain = SLICE("example.com");
    assert_true(uri_host_normal(&arena, SLICE("ExAmple.COM."), &out));
    same(out, SLICE("example.com"));
    assert_true(uri_host_normal(&arena, plain, &out));
    assert_ptr_equal(out.p, plain.p);
    assert_true(uri_host_normal(&arena, SLICE("[2001:DB8::A]"), &out));
    same(out, SLICE("[2001:db8::a]"));
    assert_true(uri_host_normal(&arena, SLICE_NONE, &out));
    assert_int_equal(out.n, 0);
}

struct path_case {
    slice raw, path, normal; /* normal.p NULL: not changed */
    bool no_merge;
};

#define P(raw, path)                                \
    {                                               \
        SLICE(raw), SLICE(path), { NULL, 0 }, false \
    }
#define C(raw, path, normal)                          \
    {                                                 \
        SLICE(raw), SLICE(path), SLICE(normal), false \
    }
#define NP(raw, path)                              \
    {                                              \
        SLICE(raw), SLICE(path), { NULL, 0 }, true \
    }
#define NC(raw, path, normal)                        \
    {                                                \
        SLICE(raw), SLICE(path), SLICE(normal), true \
    }

static const struct path_case path_cases[] = {
    P("/", "/"),
    P("/a/b.c", "/a/b.c"),
    P("/a.b/c..d/...", "/a.b/c..d/..."),
    P("/.well-known/x", "/.well-known/x"),
    P("/..a/.b/...", "/..a/.b/..."),
    P("/a\"<>^`{|}b", "/a\"<>^`{|}b"),
    /* decoding alone changes nothing of what goes out */
    P("/%61%2E%7e", "/a.~"),
    P("/%20a%09", "/ a\t"),
    P("/a%2fb", "/a/b"),
    P("/a%2Fb%2F", "/a/b/"),
    P("/%3f%23%25", "/?#%"),
    P("/%c3%a4", "/\xc3\xa4"),
    P("/%ff%c0%c1%c0x", "/\xff\xc0\xc1\xc0x"),
    P("/a%5cb", "/a\\b"),
    P("/%252e%252e/", "/%2e%2e/"),
    /* dot segments */
    C("/.", "/", "/"),
    C("/./", "/", "/"),
    C("/a/.", "/a/", "/a/"),
    C("/a/..", "/", "/"),
    C("/a/../", "/", "/"),
    C("/a/../b", "/b", "/b"),
    C("/a/b/../../c", "/c", "/c"),
    C("/a/./b/.", "/a/b/", "/a/b/"),
    C("/a/%2e%2E/b", "/b", "/b"),
    C("/a/.%2e/b", "/b", "/b"),
    C("/%2e/b", "/b", "/b"),
    C("/a%2f..%2fb", "/b", "/b"),
    C("/x%2fa/../b", "/x/b", "/x/b"),
    C("/x/a%2f../b", "/x/b", "/x/b"),
    C("/x%2fa%2f..", "/x/", "/x%2F"),
    C("/x%2f.", "/x/", "/x%2F"),
    /* slashes */
    C("//", "/", "/"),
    C("///a//b//", "/a/b/", "/a/b/"),
    C("/%2fa", "/a", "/a"),
    C("/a/%2f%2Fb", "/a/b", "/a%2Fb"),
    C("/a%2f%2fb", "/a/b", "/a%2Fb"),
    C("/a%2f/b", "/a/b", "/a/b"),
    C("/a//../b", "/b", "/b"),
    C("/a/..//b", "/b", "/b"),
    NP("//", "//"),
    NP("///a//b//", "///a//b//"),
    NP("/%2fa", "//a"),
    NC("/a//../b", "/a/b", "/a/b"),
    NC("//..", "/", "/"),
    NC("/a//.", "/a//", "/a//"),
    NC("/a/./%2f/b", "/a///b", "/a/%2F/b"),
    /* what the normal form keeps, and what it encodes */
    C("/./%3B%2c%40;,@", "/;,@;,@", "/%3B%2C%40;,@"),
    C("/./%41%7e%2d", "/A~-", "/A~-"),
    C("/./a\"<>^`{|}", "/a\"<>^`{|}", "/a%22%3C%3E%5E%60%7B%7C%7D"),
    C("/./%c3%a4%20%5c", "/\xc3\xa4 \\", "/%C3%A4%20%5C"),
    C("/./%252e%252E", "/%2e%2E", "/%252e%252E"),
};

static void check_path(const struct path_case *t)
{
    struct uri_path got, again;
    char *mem;
    slice raw = exact(t->raw, &mem);
    if (uri_path_parse(&arena, raw, !t->no_merge, &got) != OK)
        fail_msg("refused: %.*s", SLICE_FMT(t->raw));
    same(got.path, t->path);
    assert_int_equal(got.changed, t->normal.p != NULL);
    if (t->normal.p) {
        same(got.normal, t->normal);
        assert_int_equal(uri_path_parse(&arena, got.normal, !t->no_merge, &again), OK);
        assert_false(again.changed);
        same(again.path, got.path);
    }
    free(mem);
}

static void test_paths(void **state)
{
    for (size_t i = 0; i < array_len(path_cases); i++)
        check_path(&path_cases[i]);
}

static void test_bad_paths(void **state)
{
    static const slice bad[] = {
        SLICE(""),
        SLICE("a"),
        SLICE("%2fa"),
        SLICE("*"),
        SLICE("/%"),
        SLICE("/%4"),
        SLICE("/%4g"),
        SLICE("/%g4"),
        SLICE("/%%41"),
        SLICE("/a%2"),
        SLICE("/%00"),
        SLICE("/a%00b"),
        SLICE("/%0d"),
        SLICE("/%0a"),
        SLICE("/%0D%0A"),
        SLICE("/\0"),
        SLICE("/\r"),
        SLICE("/\n"),
        /* above the root */
        SLICE("/.."),
        SLICE("/../"),
        SLICE("/../a"),
        SLICE("/a/../.."),
        SLICE("/a/../../x"),
        SLICE("/%2e%2e/a"),
        SLICE("/./.."),
        SLICE("//.."),
        SLICE("/a%2f..%2f.."),
        /* overlong '/', '.' and NUL */
        SLICE("/%c0%af"),
        SLICE("/%c0%ae%c0%ae/"),
        SLICE("/%c0%80"),
        SLICE("/%e0%80%af"),
        SLICE("/%e0%80%ae"),
        SLICE("/%f0%80%80%af"),
        SLICE("/%f8%80%80%80%af"),
        SLICE("/%fc%80%80%80%80%af"),
        SLICE("/a\xc0\xaf"),
        /* dot segments with parameters */
        SLICE("/a/..;/b"),
        SLICE("/a/..;x=y"),
        SLICE("/.;/"),
        SLICE("/a/%2e.;/b"),
        SLICE("/a/..%3b/b"),
    };
    for (size_t i = 0; i < array_len(bad); i++) {
        struct uri_path got = { .path = SLICE("untouched") };
        char *mem;
        slice raw = exact(bad[i], &mem);
        if (uri_path_parse(&arena, raw, true, &got) != ERR_SYNTAX)
            fail_msg("accepted: %.*s", SLICE_FMT(bad[i]));
        same(got.path, SLICE("untouched"));
        free(mem);
    }
}

static void test_path_memory(void **state)
{
    char page[64];
    struct arena small;
    struct uri_path got;
    slice plain = SLICE("/plain/path");
    arena_init(&small, page, sizeof(page), 1024, 1);
    assert_int_equal(uri_path_parse(&small, plain, true, &got), OK);
    assert_ptr_equal(got.path.p, plain.p);
    assert_ptr_equal(small.at, page);
    /* refused: everything comes back; decoded: only the decoded bytes are kept */
    assert_int_equal(uri_path_parse(&small, SLICE("/%"), true, &got), ERR_SYNTAX);
    assert_ptr_equal(small.at, page);
    assert_int_equal(uri_path_parse(&small, SLICE("/%41"), true, &got), OK);
    assert_ptr_equal(small.at, page + 2);
    assert_int_equal(uri_path_parse(&small, SLICE("/%41234567890123456789"), true, &got), ERR_NOMEM);
    arena_done(&small);
}

static void test_escape(void **state)
{
    slice out, plain = SLICE("/a-b_c.d~e/f!$&'()*+,;=:@");
    assert_true(uri_escape(&arena, plain, URI_ESCAPE_PATH, &out));
    assert_ptr_equal(out.p, plain.p);
    assert_true(uri_escape(&arena, SLICE("/a b%?#\"<>\\^`{|}\x01\x7f\x80"), URI_ESCAPE_PATH, &out));
    same(out, SLICE("/a%20b%25%3F%23%22%3C%3E%5C%5E%60%7B%7C%7D%01%7F%80"));
    assert_true(uri_escape(&arena, SLICE("a=b&c+d;e"), URI_ESCAPE_ARGS, &out));
    same(out, SLICE("a=b%26c%2Bd%3Be"));
    assert_true(uri_escape(&arena, SLICE("/a b~c='\0"), URI_ESCAPE_COMPONENT, &out));
    same(out, SLICE("%2Fa%20b~c%3D%27%00"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authority),   cmocka_unit_test(test_bad_authority), cmocka_unit_test(test_hide_password),
        cmocka_unit_test(test_host_normal), cmocka_unit_test(test_paths),         cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_path_memory), cmocka_unit_test(test_escape),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
