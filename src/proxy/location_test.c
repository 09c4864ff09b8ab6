/*
 * Which location a path comes to: nginx's precedence, nesting, captures; which blocks are refused.
 */
#define TEST_FEATURES &error_page_feature

#include "proxy/error_page.h"
#include "proxy/route_test.h"

#define KEY     SLICE("127.0.0.1:80")
#define SITE(x) SLICE("http { server { listen 127.0.0.1; show server; " x " } }")

struct expect {
    const char *path, *shown;
};

static void check(slice text, const struct expect *e, size_t n)
{
    struct site *s = site_good(text);
    for (size_t i = 0; i < n; i++) {
        struct visit *v = visit_new(s, KEY, SLICE("a"), slice_str(e[i].path));
        visit_location(v);
        slice got = visit_show(v);
        if (!slice_eq(got, slice_str(e[i].shown)))
            fail_msg("%s comes to \"%.*s\", not \"%s\"", e[i].path, SLICE_FMT(got), e[i].shown);
        visit_free(v);
    }
    site_free(s);
}

static void precedence(void **state)
{
    static const struct expect table[] = {
        { "/", "exact root" },      { "/x", "root" },
        { "/ab", "root" },          { "/abc", "abc" },
        { "/abd", "abd" },          { "/abcd/e", "abcd" },
        { "/abc/x.php", "php" },    { "/x.gif", "gif" },
        { "/x.GIF", "gif" },        { "/images/x.gif", "images" },
        { "/doc", "exact doc" },    { "/doc/", "root" },
        { "/doc/x.php", "php" },    { "/first.php", "php" },
        { "/second/a.gif", "gif" }, { "/abc/first/x.php", "first" },
    };
    check(SITE("location = / { show \"exact root\"; } location / { show root; } location /abc { show abc; }"
               "location ~ /first/ { show first; } location /abd { show abd; } location /abcd/ { show abcd; }"
               "location ~ \\.php$ { show php; } location ~* \\.(gif|jpg)$ { show gif; }"
               "location ~ ^/second { show never; } location ^~ /images/ { show images; }"
               "location = /doc { show \"exact doc\"; }"),
          table, array_len(table));
}

static void nothing_matches(void **state)
{
    static const struct expect table[] = { { "/b", "server" }, { "/", "server" }, { "/a", "a" } };
    check(SITE("location /a { show a; }"), table, array_len(table));
    check(SITE(""), table, 2);
}

static void modifiers_without_a_space(void **state)
{
    static const struct expect table[] = {
        { "/a", "exact" }, { "/a/x", "server" }, { "/b/x.p", "keep" }, { "/x.p", "re" }, { "/X.q", "ire" }
    };
    check(SITE("location =/a { show exact; } location ^~/b { show keep; } location ~\\.p$ { show re; }"
               "location ~*\\.Q$ { show ire; }"),
          table, array_len(table));
}

static void nesting(void **state)
{
    static const struct expect table[] = {
        { "/a/x", "a" },           { "/a/b/x", "ab" },     { "/a/b/x.t", "ab t" }, { "/a/x.t", "t" },
        { "/a/e", "a exact" },     { "/a/e/", "a" },       { "/k/x.t", "keep" },   { "/k/in/x.t", "keep in" },
        { "/k/in/x.u", "keep u" }, { "/re/12", "digits" }, { "/re/1", "re" },      { "/a/keep/x.t", "t" },
    };
    check(
        SITE(
            "location /a/ { show a; location /a/b/ { show ab; location ~ \\.t$ { show \"ab t\"; } }"
            "  location = /a/e { show \"a exact\"; } location ^~ /a/keep/ { show \"a keep\"; } }"
            "location ^~ /k/ { show keep; location /k/in/ { show \"keep in\"; } location ~ \\.u$ { show \"keep u\"; } }"
            "location ~ ^/re/ { show re; location ~ [0-9][0-9]$ { show digits; } }"
            "location ~ \\.t$ { show t; }"),
        table, array_len(table));
}

static void captures(void **state)
{
    static const struct expect table[] = {
        { "/user/tom/12", "tom 12 tom" },
        { "/many/abcdefghij", "a i" },
        { "/opt/", "[]" },
        { "/opt/x", "[x]" },
    };
    check(SITE("location ~ ^/user/(?<name>[a-z]+)/(\\d+)$ { show \"$1 $2 $name\"; }"
               "location ~ ^/many/(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)$ { show \"$1 $9\"; }"
               "location ~ ^/opt/(x)? { show \"[$1]\"; }"),
          table, array_len(table));
}

static void named_and_inherited(void **state)
{
    struct site *s = site_good(SITE("location @fall { show fall; } location /i { internal; location /i/j { } }"));
    struct visit *v = visit_new(s, KEY, SLICE("a"), SLICE("/i/j"));
    const struct location *l = route_named_location(v->x.server, SLICE("@fall"));
    assert_non_null(l);
    assert_slice(l->name, "@fall");
    assert_ptr_equal(l, route_named_location(v->x.server, SLICE("fall")));
    assert_null(route_named_location(v->x.server, SLICE("@none")));
    assert_true(visit_location(v)->internal);
    visit_free(v);
    site_free(s);
}

static void thousands_of_prefixes(void **state)
{
    struct strb b;
    char path[32];
    strb_init(&b, 0);
    strb_lit(&b, "http { server { listen 127.0.0.1; show server;");
    for (unsigned i = 0; i < 3000; i++)
        strb_printf(&b, "location /p%u/ { show \"p%u\"; }\n", i * 7, i * 7);
    strb_lit(&b, "} }");
    struct site *s = site_good(strb_slice(&b));
    for (unsigned i = 0; i < 3000; i++) {
        int n = snprintf(path, sizeof(path), "/p%u/x", i * 7);
        struct visit *v = visit_new(s, KEY, SLICE("a"), slice_of(path, (size_t)n));
        visit_location(v);
        path[n - 2] = '\0';
        assert_slice(visit_show(v), path + 1);
        visit_free(v);
    }
    site_free(s);
    strb_done(&b);
}

static void a_slash_is_added_where_requests_are_handed_on(void **state)
{
    struct site *s =
        site_good(SITE("location /on/ { answer; } location = /eq/ { answer; } location /both { show both; }"
                       "location /both/ { answer; } location /plain/ { show plain; }"
                       "location \"/sp ce/\" { answer; }"));
    static const char *const redirected[] = { "/on", "/eq", "/sp%20ce" }, *const left[] = { "/both", "/plain", "/o" };
    for (size_t i = 0; i < array_len(redirected); i++) {
        struct visit *v = visit_new(s, KEY, SLICE("host.test"), arena_printf(&s->arena, "%s?q", redirected[i]));
        const struct location *l = visit_location(v);
        assert_non_null(l->content);
        assert_int_equal(l->content->select(&v->x, l->content_conf), VERDICT_REPLY);
        assert_int_equal(v->x.resp.status, 301);
        slice want = arena_printf(&s->arena, "http://host.test:8080%s/?q", redirected[i]);
        assert_slice(fields_find(&v->x.resp.fields, TOK_LOCATION)->value, want.p);
        visit_free(v);
    }
    for (size_t i = 0; i < array_len(left); i++) {
        struct visit *v = visit_new(s, KEY, SLICE("a"), slice_str(left[i]));
        assert_null(visit_location(v)->content);
        visit_free(v);
    }
    site_free(s);
}

static void a_runaway_expression_is_a_500(void **state)
{
    struct site *s = site_good(SITE("location ~ ^/(([a-z])+.)+[A-Z]([a-z])+$ { show re; }"));
    struct visit *v =
        visit_new(s, KEY, SLICE("a"),
                  SLICE("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    const struct location *l = visit_location(v);
    struct log quiet = { .level = 0 };
    v->x.log = &quiet;
    assert_non_null(l->content);
    assert_int_equal(l->content->select(&v->x, l->content_conf), VERDICT_REPLY);
    assert_int_equal(v->x.resp.status, 500);
    visit_free(v);
    site_free(s);
}

static void error_pages(void **state)
{
    struct site *s =
        site_good(SITE("error_page 404 /404; error_page 500 502 =200 /5xx; error_page 403 = @f; error_page 494 /big;"
                       "location /in { } location /own { error_page 401 http://a/; }"));
    struct visit *v = visit_new(s, KEY, SLICE("a"), SLICE("/in"));
    const struct location *l = visit_location(v);
    assert_int_equal(error_page_find(l, 404)->overwrite, -1);
    assert_int_equal(error_page_find(l, 502)->overwrite, 200);
    assert_slice(error_page_find(l, 502)->uri.source, "/5xx");
    assert_int_equal(error_page_find(l, 403)->overwrite, 0);
    assert_int_equal(error_page_find(l, 494)->overwrite, 400);
    assert_null(error_page_find(l, 501));
    v->x.pass.uri = SLICE("/own");
    l = visit_location(v);
    assert_null(error_page_find(l, 404));
    assert_non_null(error_page_find(l, 401));
    visit_free(v);
    site_free(s);
}

/* Where a line leads to a named location that no request can be given to, there is a warning with its place. */
static void missing_named_locations(void **state)
{
    struct site *s = site_good(
        SLICE("http {\n"
              " error_page 500 @everywhere;\n"
              " error_page 501 @nowhere;\n"
              " server { listen 127.0.0.1:1; error_page 404 403 @here; error_page 405 =200 @missing;\n"
              "  error_page 406 /@path; error_page 407 @$host;\n"
              "  location @here { } location /a { error_page 404 @there; } }\n"
              " server { listen 127.0.0.1:2; error_page 404 @there; location @there { } location @everywhere { } }\n"
              "}\n"));
    static const struct {
        unsigned line;
        const char *text;
    } want[] = {
        { 3, "named location \"@nowhere\" does not exist" },
        { 4, "named location \"@missing\" does not exist in this server" },
        { 6, "named location \"@there\" does not exist in this server" },
    };
    const struct conf_message *m = s->diag.first;
    for (size_t i = 0; i < array_len(want); i++, m = m->next) {
        assert_non_null(m);
        assert_int_equal(m->severity, CONF_WARN);
        assert_int_equal(m->pos.line, want[i].line);
        assert_true(slice_eq(m->text, slice_str(want[i].text)));
    }
    assert_null(m);
    site_free(s);
}

static void refused(void **state)
{
    static const struct {
        const char *inner, *text;
    } table[] = {
        { "server { location x / { } }", "invalid location modifier \"x\"" },
        { "server { location /a { } location /a { } }", "duplicate location \"/a\"" },
        { "server { location = /a { } location /a { } location = /a { } }", "duplicate location \"/a\"" },
        { "server { location @a { } location @a { } }", "duplicate location \"@a\"" },
        { "server { location ^~ /a { } location /a { } }", "duplicate location \"/a\"" },
        { "server { location /a { location /b { } } }", "location \"/b\" is outside location \"/a\"" },
        { "server { location = /a { location /a/b { } } }",
          "location \"/a/b\" cannot be inside the exact location \"/a\"" },
        { "server { location @a { location /b { } } }", "location \"/b\" cannot be inside the named location \"@a\"" },
        { "server { location /a { location @b { } } }", "named location \"@b\" can be on the server level only" },
        { "server { location ~ a( { } }", "pcre2_compile() failed: missing closing parenthesis in \"a(\"" },
        { "server { error_page 404; }", "invalid number of arguments in \"error_page\" directive" },
        { "server { error_page x /a; }", "invalid value \"x\"" },
        { "server { error_page 200 /a; }", "value \"200\" must be between 300 and 599" },
        { "server { error_page 404 =x /a; }", "invalid value \"=x\"" },
        { "server { error_page 404 =100 /a; }", "invalid value \"=100\"" },
        { "server { error_page 404 =101 /a; }", "invalid value \"=101\"" },
        { "server { error_page 404 =199 /a; }", "invalid value \"=199\"" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        site_refused(table[i].inner, table[i].text);
}

static void no_memory(void **state)
{
    site_without_memory(SLICE(
        "http { server { listen 127.0.0.1:80-82; listen unix:/s; server_name a *.b .c d.* ~^(?<u>x)$ $hostname;\n"
        " error_page 404 500 /x; location / { show $u; location ~ ^/(?<v>.)$ { answer; } } location = /e/ { answer; }\n"
        " location @n { internal; } location ^~ /lp/ { answer; } }\n"
        "server { listen [::1]:80 default_server; client_body_temp_path /tmp 1 2; keepalive_timeout 1 2; } server { } "
        "}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precedence),
        cmocka_unit_test(nothing_matches),
        cmocka_unit_test(modifiers_without_a_space),
        cmocka_unit_test(nesting),
        cmocka_unit_test(captures),
        cmocka_unit_test(named_and_inherited),
        cmocka_unit_test(thousands_of_prefixes),
        cmocka_unit_test(a_slash_is_added_where_requests_are_handed_on),
        cmocka_unit_test(a_runaway_expression_is_a_500),
        cmocka_unit_test(error_pages),
        cmocka_unit_test(missing_named_locations),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
