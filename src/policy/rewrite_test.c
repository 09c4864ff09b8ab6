/*
 * rewrite, if, set, return, limit_except, add_header, types: what they make of an exchange; how a client's choice
 * spreads through `set`.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "policy/files.h"
#include "policy/headers.h"
#include "policy/limit_except.h"
#include "policy/rewrite.h"
#include "policy/rewrite_program.h"
#include "policy/types.h"

#define TEST_FEATURES &rewrite_feature, &types_feature, &headers_feature, &limit_except_feature, &files_feature
#define TEST_POLICIES \
    { &limit_except_policy, PHASE_REWRITE }, { &rewrite_policy, PHASE_REWRITE }, { &headers_policy, PHASE_RESPONSE },

#include "proxy/route_test.h"

#define KEY SLICE("127.0.0.1:80")

/* Runs the rewrite rules of the level that x is in; one that gives it another configuration is the last one here. */
static enum verdict rules(struct exchange *x)
{
    const struct location *l = x->pass.loc;
    for (const struct policy_use *u = l->policies; u->policy && x->pass.loc == l; u++) {
        enum verdict v = u->policy->on_request(x, u->conf);
        if (v != VERDICT_NEXT)
            return v;
    }
    return VERDICT_NEXT;
}

/* Server level, then locations, as the route and policies steps do. */
static enum verdict go(struct visit *v)
{
    enum verdict verdict = rules(&v->x);
    if (verdict != VERDICT_NEXT)
        return verdict;
    do {
        visit_location(v);
        verdict = rules(&v->x);
    } while (verdict == VERDICT_PASS);
    return verdict;
}

static slice field(const struct exchange *x, enum token t)
{
    const struct field *f = fields_find(&x->resp.fields, t);
    return f ? f->value : SLICE("");
}

struct answer {
    const char *inner, *target;
    unsigned status;
    const char *location, *body, *type;
};

static void returns(void **state)
{
    static const struct answer table[] = {
        { "return 200 \"$uri-$arg_a\";", "/x?a=1", 200, "", "/x-1", "text/plain" },
        { "return 404 text;", "/x", 404, "", "text", "text/plain" },
        { "return 204;", "/x", 204, "", "", "" },
        { "return 301 /y;", "/x", 301, "http://h.test:8080/y", NULL, "text/html" },
        { "return 302 /y$is_args$args;", "/x?q", 302, "http://h.test:8080/y?q", NULL, "text/html" },
        { "return 307 http://o.test/;", "/x", 307, "http://o.test/", NULL, "text/html" },
        { "return https://o.test$request_uri;", "/x?y", 302, "https://o.test/x?y", NULL, "text/html" },
        { "return $scheme://o.test/;", "/x", 302, "http://o.test/", NULL, "text/html" },
        { "absolute_redirect off; return 301 /y;", "/x", 301, "/y", NULL, "text/html" },
        { "port_in_redirect off; return 301 /y;", "/x", 301, "http://h.test/y", NULL, "text/html" },
        { "server_name_in_redirect on; return 301 /y;", "/x", 301, "http://name.test:8080/y", NULL, "text/html" },
        { "return 403;", "/x", 403, "", NULL, "text/html" },
        { "return 200 x;", "/dir.d/file.HTML", 200, "", "x", "text/html" },
        { "return 200 x;", "/dir.html/file", 200, "", "x", "text/plain" },
        { "default_type a/b; return 200 x;", "/x.unknown", 200, "", "x", "a/b" },
        { "types { c/d ext e2; } return 200 x;", "/x.e2", 200, "", "x", "c/d" },
        { "types { c/d ext; } return 200 x;", "/x.html", 200, "", "x", "text/plain" },
        { "set $a 1; set $b $a$a; set $a 2; return 200 $a$b; return 200 never;", "/x", 200, "", "211", "text/plain" },
        { "set $a 1; break; set $a 2; return 200 never;", "/x", 200, "", "1", "text/plain" },
        { "set $args new=1; return 200 $args$is_args$arg_new;", "/x?old", 200, "", "new=1?1", "text/plain" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        const struct answer *e = &table[i];
        struct arena a;
        arena_init(&a, NULL, 0, 1024, 0);
        struct site *s =
            site_good(arena_printf(&a,
                                   "http { server { listen 127.0.0.1; server_name name.test; set $a 0; %s\n"
                                   " location / { return 200 $a; } } }",
                                   e->inner));
        struct visit *v = visit_new(s, KEY, SLICE("h.test"), slice_str(e->target));
        if (go(v) != VERDICT_REPLY)
            fail_msg("%s: no answer", e->inner);
        if (v->x.resp.status != e->status || !slice_eq(field(&v->x, TOK_LOCATION), slice_str(e->location)) ||
            (e->body && !slice_eq(v->x.reply_body, slice_str(e->body))) ||
            !slice_eq(field(&v->x, TOK_CONTENT_TYPE), slice_str(e->type)))
            fail_msg("%s: %u \"%.*s\" \"%.*s\" \"%.*s\"", e->inner, v->x.resp.status,
                     SLICE_FMT(field(&v->x, TOK_LOCATION)), SLICE_FMT(v->x.reply_body),
                     SLICE_FMT(field(&v->x, TOK_CONTENT_TYPE)));
        visit_free(v);
        site_free(s);
        arena_done(&a);
    }
}

static void levels(void **state)
{
    struct site *s = site_good(SLICE("http { server { listen 127.0.0.1; set $who server; set $n \"${n}s\";\n"
                                     " location /plain { location /plain/in { return 200 $who$n; } }\n"
                                     " location /own { set $who own; set $n \"${n}l\"; return 200 $who$n; }\n"
                                     " location /drop { return 444; } location /none { } } }"));
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/plain/in"));
    assert_int_equal(go(v), VERDICT_REPLY);
    assert_slice(v->x.reply_body, "servers");
    visit_free(v);
    v = visit_new(s, KEY, SLICE("h"), SLICE("/own"));
    assert_int_equal(go(v), VERDICT_REPLY);
    assert_slice(v->x.reply_body, "ownsl");
    visit_free(v);
    v = visit_new(s, KEY, SLICE("h"), SLICE("/drop"));
    assert_int_equal(go(v), VERDICT_DROP);
    visit_free(v);
    v = visit_new(s, KEY, SLICE("h"), SLICE("/none"));
    assert_int_equal(go(v), VERDICT_NEXT);
    visit_free(v);
    v = visit_new(s, KEY, SLICE("h"), SLICE("/unmatched"));
    assert_int_equal(go(v), VERDICT_NEXT);
    assert_null(v->x.pass.loc->policies->policy); /* the server's rules do not run again */
    visit_free(v);
    site_free(s);
}

/* What a request meets: the answer's text, else "URI?ARGS in LOCATION". */
static void expect_way(const char *inner, const char *target, const char *want)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s = site_good(arena_printf(&a, "http { server { listen 127.0.0.1; %s } }", inner));
    struct visit *v = visit_new(s, KEY, SLICE("h"), slice_str(target));
    struct exchange *x = &v->x;
    slice got;
    if (go(v) != VERDICT_REPLY)
        got = arena_printf(&a, "%.*s?%.*s in %.*s", SLICE_FMT(x->pass.uri), SLICE_FMT(x->pass.args),
                           SLICE_FMT(x->pass.loc->name));
    else if (x->plain_page)
        got = arena_printf(&a, "%u %.*s", x->resp.status, SLICE_FMT(field(x, TOK_LOCATION)));
    else
        got = x->reply_body;
    if (!slice_eq(got, slice_str(want)))
        fail_msg("%s\n of %s gives \"%.*s\", not \"%s\"", target, inner, SLICE_FMT(got), want);
    visit_free(v);
    site_free(s);
    arena_done(&a);
}

static void rewrites(void **state)
{
    static const struct {
        const char *inner, *target, *want;
    } table[] = {
        { "rewrite ^/a(.*)$ /b$1; location /b { }", "/a/x?q", "/b/x?q in /b" },
        { "rewrite ^/a /b last; rewrite ^ /c; location /b { }", "/a", "/b? in /b" },
        { "rewrite ^/a /b break; rewrite ^ /c; location /b { }", "/a", "/b? in /b" },
        { "location /a { rewrite ^ /b break; } location /b { }", "/a", "/b? in /a" },
        { "location /a { rewrite ^ /b; } location /b { }", "/a", "/b? in /b" },
        { "location /a { rewrite ^ /b; break; } location /b { }", "/a", "/b? in /a" },
        { "location /a { rewrite ^ /b?x=1 last; } location /b { }", "/a?y=2", "/b?x=1&y=2 in /b" },
        { "location /a { rewrite ^ /b?x=1? last; } location /b { }", "/a?y=2", "/b?x=1 in /b" },
        { "location /a { rewrite ^ /b? last; } location /b { }", "/a?y=2", "/b? in /b" },
        { "location /a { rewrite ^/a/(.*)$ /b/$1?$1 break; }", "/a/%26 x+", "/b/& x+?%26%20x%2B in /a" },
        { "location /a { rewrite ^/a/(.*)$ /b/$1?$1 break; }", "/a/&", "/b/&?& in /a" },
        { "location /a { rewrite ^/a/((.)(.)) /$1$2$3$1$4 break; }", "/a/xy", "/xyxyxy? in /a" },
        { "location /a { rewrite ^/a(?<n>.*)$ /b?n=$n break; }", "/a%20", "/b?n=  in /a" },
        { "location /a { rewrite ^/(.*)$ http://o/$1?x; }", "/a%3F?y", "302 http://o/a??x&y" },
        { "location /a { rewrite ^ /%41%20 permanent; }", "/a", "301 http://h:8080/A%20" },
        { "location /a { rewrite ^ '?'; }", "/a", "500 " },
        { "location /a { rewrite ^ /a last; }", "/a", "500 " },
        { "location /a { if ($arg_x) { return 200 yes; } return 200 no; }", "/a?x=1", "yes" },
        { "location /a { if ($arg_x) { return 200 yes; } return 200 no; }", "/a?x=0", "no" },
        { "location /a { if ($arg_x = b) { set $v 1; } if ($arg_x != b) { set $v 2; } return 200 $v; }", "/a?x=b",
          "1" },
        { "location /a { if ($uri ~ (.)$) { return 200 $1; } }", "/axyz", "z" },
        { "location /a { if ($uri !~* Z$) { return 200 no; } return 200 \"[$1]\"; }", "/axyz", "[]" },
        { "location /a { if (-d /) { set $v d; } if (!-f /) { set $v \"$v!f\"; } if (-e /no) { set $v x; } return 200 "
          "$v; }",
          "/a", "d!f" },
        { "location /a { set $v 1; if ($arg_x) { set $v 2; break; set $v 3; } set $v 4; return 200 $v; }", "/a", "4" },
        { "if ($arg_x) { rewrite ^ /b; } location /b { }", "/a?x=1", "/b?x=1 in /b" },
        { "location /a { set $v %41$uri; return 200 $v; }", "/a%20", "%41/a " },
        { "location ~ ^/(.*)$ { set $v $1; return 200 \"$v $1\"; }", "/a%20b", "a%20b a b" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        expect_way(table[i].inner, table[i].target, table[i].want);
}

/* An `if` that holds gives its configuration; who answers and what is not set come from the location. */
static void an_if_is_a_configuration(void **state)
{
    struct site *s =
        site_good(SLICE("http { server { listen 127.0.0.1; show server; location / { answer; show location;\n"
                        " if ($arg_a) { add_header X-A 1; } if ($arg_b) { set $x 1; } } } }"));
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/?a=1"));
    assert_int_equal(go(v), VERDICT_NEXT);
    const struct location *outer = route_location(v->x.server, &v->x, v->x.pass.uri);
    assert_ptr_not_equal(v->x.pass.loc, outer);
    assert_ptr_equal(v->x.pass.loc->content, outer->content);
    assert_slice(v->x.pass.loc->name, "/");
    assert_slice(visit_show(v), "location");
    assert_non_null(v->x.pass.loc->response_policies->policy);
    assert_null(v->x.pass.loc->policies->policy); /* its lines are the location's */
    visit_free(v);
    v = visit_new(s, KEY, SLICE("h"), SLICE("/?a=1&b=1"));
    assert_int_equal(go(v), VERDICT_NEXT);
    assert_null(v->x.pass.loc->response_policies->policy); /* the last one counts */
    visit_free(v);
    site_free(s);
}

static void methods(void **state)
{
    static const struct {
        enum method method;
        bool limited;
    } table[] = { { METHOD_GET, false },  { METHOD_HEAD, false },   { METHOD_POST, true },   { METHOD_MKCOL, false },
                  { METHOD_OTHER, true }, { METHOD_OPTIONS, true }, { METHOD_UNLOCK, true }, { METHOD_DELETE, true } };
    struct site *s = site_good(SLICE("http { server { listen 127.0.0.1; location / { answer; return 200 x;\n"
                                     " limit_except get MKCOL { } location /in { } } } }"));
    for (size_t i = 0; i < array_len(table); i++) {
        struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
        v->x.pass.method = table[i].method;
        enum verdict verdict = go(v);
        if (verdict != (table[i].limited ? VERDICT_NEXT : VERDICT_REPLY))
            fail_msg("method %d: %d", (int)table[i].method, (int)verdict);
        assert_non_null(v->x.pass.loc->content);
        visit_free(v);
    }
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/in")); /* nothing of it is inherited by locations */
    v->x.pass.method = METHOD_POST;
    visit_location(v);
    assert_null(v->x.pass.loc->policies->policy);
    visit_free(v);
    site_free(s);
}

struct told {
    struct trace trace;
    struct strb text;
};

static void tell(struct trace *t, struct exchange *x, const struct conf_pos *pos, slice text)
{
    struct strb *b = &container_of(t, struct told, trace)->text;
    if (pos) /* values of variables are told without a place */
        strb_printf(b, "%u %.*s|", pos->line, SLICE_FMT(text));
}

/* Each decision is told with its line. */
static void a_trace(void **state)
{
    struct site *s = site_good(SLICE("http { server { listen 127.0.0.1;\nlocation / {\nset $a 1;\nif ($arg_x) {\n"
                                     "rewrite ^ /y?z=1;\n}\nif ($a = 2) { }\nlimit_except GET { }\n"
                                     "return 200 x;\n} location /b {\nrewrite ^ http://o/ permanent;\n} } }"));
    static const struct {
        const char *target, *want;
        enum method method;
    } table[] = {
        { "/?x=1",
          "3 set $a to \"1\"|4 if holds|5 rewritten to \"/y\", arguments \"z=1&x=1\"|7 if does not hold|9 return 200|",
          METHOD_GET },
        { "/b", "11 rewrite redirects to \"http://o/\"|", METHOD_GET },
        { "/", "8 limit_except does not name POST|", METHOD_POST },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct visit *v = visit_new(s, KEY, SLICE("h"), slice_str(table[i].target));
        struct told told = { .trace.line = tell };
        strb_init(&told.text, 0);
        v->x.trace = &told.trace;
        v->x.pass.method = table[i].method;
        v->x.pass.method_text = method_name(table[i].method);
        go(v);
        assert_slice(strb_slice(&told.text), table[i].want);
        strb_done(&told.text);
        visit_free(v);
    }
    site_free(s);
}

static void redirect_texts(void **state)
{
    static const struct {
        const char *in, *out;
    } table[] = {
        { "/plain", "/plain" },
        { "/%41%7e", "/A~" },
        { "/%20%25%7F%c3", "/%20%25%7F%c3" },
        { "/%3f%41?%41", "/?%41?%41" },
        { "/?%41", "/?%41" },
        { "/%", "/" },
        { "/%4", "/" },
        { "/%4z1", "/1" },
        { "/%zz", "/zz" },
        { "/%%41", "/%41" },
        { "%2F", "/" },
        { "", "" },
        { "/%0d%0a", "/%0d%0a" },
    };
    struct site *s = site_good(SLICE("http { server { listen 127.0.0.1; } }"));
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    for (size_t i = 0; i < array_len(table); i++) {
        slice out;
        assert_int_equal(value_redirect(&v->x, slice_str(table[i].in), &out), OK);
        if (!slice_eq(out, slice_str(table[i].out)))
            fail_msg("%s gives %.*s", table[i].in, SLICE_FMT(out));
    }
    visit_free(v);
    site_free(s);
}

static void files(void **state)
{
    char dir[] = "/tmp/file_test.XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    struct site *s = site_good(SLICE("http { server { listen 127.0.0.1; } }"));
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    struct exchange *x = &v->x;
    snprintf(path, sizeof(path), "%s/file", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(chmod(path, 0600), 0);
    slice file = slice_str(path), in = slice_str(dir);
    assert_true(file_test(x, FILE_PLAIN, file) && file_test(x, FILE_ANY, file));
    assert_false(file_test(x, FILE_DIRECTORY, file) || file_test(x, FILE_EXECUTABLE, file));
    assert_int_equal(chmod(path, 0700), 0);
    assert_true(file_test(x, FILE_EXECUTABLE, file));
    assert_true(file_test(x, FILE_DIRECTORY, in) && file_test(x, FILE_ANY, in));
    assert_false(file_test(x, FILE_PLAIN, in) || file_test(x, FILE_PLAIN, slice_upto(file, file.n - 1)));
    assert_false(file_test(x, FILE_ANY, SLICE("")) || file_test(x, FILE_ANY, SLICE("tmp")));
    assert_false(file_test(x, FILE_ANY, SLICE("/\0")) || file_test(x, FILE_ANY, SLICE("/dev/null")));
    char *large = malloc(8192);
    assert_non_null(large);
    memset(large, '/', 8192);
    assert_false(file_test(x, FILE_ANY, slice_of(large, 8192)));
    free(large);
    unlink(path);
    rmdir(dir);
    visit_free(v);
    site_free(s);
}

static bool client_chosen(const char *text)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s = site_good(arena_printf(&a, "http { server { listen 127.0.0.1; %s } }", text));
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    const struct test_level *l = exchange_conf(&v->x, &test_feature);
    bool client = template_client(&l->show);
    visit_free(v);
    site_free(s);
    arena_done(&a);
    return client;
}

static void a_clients_choice_spreads(void **state)
{
    assert_true(client_chosen("set $a $http_x; show $a;"));
    assert_true(client_chosen("show $c; set $c x$b; set $b $a; location / { set $a $arg_y; }"));
    assert_true(client_chosen("set $a fixed; set $a $host; show $a;"));
    assert_true(client_chosen("location ~ ^/(?<cap>.*) { set $a $cap; } show $a;"));
    assert_false(client_chosen("set $a $remote_addr; set $b $a; show $b;"));
    assert_false(client_chosen("set $a fixed; set $other $http_x; show $a;"));
}

static slice added(struct visit *v)
{
    slice out = SLICE("");
    for (const struct policy_use *u = v->x.pass.loc->response_policies; u->policy; u++)
        assert_int_equal(u->policy->on_response(&v->x, u->conf), OK);
    for (uint32_t i = 0; i < v->x.resp.fields.n; i++)
        out = arena_printf(&v->x.arena, "%.*s%s%.*s: %.*s", SLICE_FMT(out), i ? "|" : "",
                           SLICE_FMT(v->x.resp.fields.v[i].name), SLICE_FMT(v->x.resp.fields.v[i].value));
    return out;
}

static void headers(void **state)
{
    static const struct {
        const char *target;
        unsigned status;
        const char *want;
    } table[] = {
        { "/in", 200, "ETag: old|X-A: /in|X-B: always" },
        { "/in", 404, "ETag: old|X-B: always" },
        { "/in", 308, "ETag: old|X-A: /in|X-B: always" },
        { "/own", 200, "ETag: old|X-Own: 1" },
        { "/etag", 200, "ETag: new" },
        { "/empty", 200, "ETag: old" },
        { "/close", 200, "ETag: old" },
    };
    struct site *s =
        site_good(SLICE("http { add_header X-A $uri; add_header X-B always always;\n"
                        "server { listen 127.0.0.1; location /in { } location /own { add_header X-Own 1; }\n"
                        " location /etag { add_header ETag new; } location /empty { add_header X-E $arg_none; }\n"
                        " location /close { add_header Connection close; } } }"));
    for (size_t i = 0; i < array_len(table); i++) {
        struct visit *v = visit_new(s, KEY, SLICE("h"), slice_str(table[i].target));
        visit_location(v);
        v->x.req.keep_alive = true;
        v->x.resp.status = (uint16_t)table[i].status;
        struct field etag = { .name = SLICE("ETag"), .value = SLICE("old"), .token = TOK_ETAG };
        assert_true(fields_add(&v->x.arena, &v->x.resp.fields, etag));
        slice got = added(v);
        if (!slice_eq(got, slice_str(table[i].want)))
            fail_msg("%s %u: %.*s", table[i].target, table[i].status, SLICE_FMT(got));
        assert_int_equal(v->x.req.keep_alive, !slice_eq(slice_str(table[i].target), SLICE("/close")));
        visit_free(v);
    }
    site_free(s);
}

static void refused(void **state)
{
    static const struct {
        const char *inner, *text;
    } table[] = {
        { "server { return x; }", "invalid return code \"x\"" },
        { "server { return 1000; }", "invalid return code \"1000\"" },
        { "server { return 100; }", "invalid return code \"100\"" },
        { "server { return http://a/ b; }", "invalid return code \"http://a/\"" },
        { "server { set a 1; }", "invalid variable name \"a\"" },
        { "server { set $ 1; }", "invalid variable name \"$\"" },
        { "server { set $uri 1; }", "the duplicate \"uri\" variable" },
        { "server { rewrite ^ ''; }", "empty replacement" },
        { "server { rewrite ^ /x lst; }", "invalid parameter \"lst\"" },
        { "server { if () { } }", "invalid condition \")\"" },
        { "server { if ($host == a) { } }", "unexpected \"==\" in condition" },
        { "server { if ($host = a b) { } }", "invalid condition \"$host\"" },
        { "server { if (-q a) { } }", "invalid condition \"-q\"" },
        { "server { if ($host) { if ($host) { } } }", "\"if\" directive is not allowed here" },
        { "server { if ($host) { answer; } }", "\"answer\" directive is not allowed here" },
        { "server { location / { limit_except TRACE { } } }", "invalid method \"TRACE\"" },
        { "server { location / { limit_except GET { set $a 1; } } }", "\"set\" directive is not allowed here" },
        { "server { return 200 $nothing; }", "unknown \"nothing\" variable" },
        { "add_header \"a b\" c;", "\"a b\" is no name of a header field" },
        { "add_header a b c;", "invalid parameter \"c\"" },
        { "add_header Content-Length 1;",
          "\"Content-Length\" cannot be added: how a message is framed follows from its body alone" },
        { "add_trailer Host b;", "\"Host\" cannot be a trailer: recipients must know it before the body" },
        { "types { a/b; }", "a line of \"types\" is a type and its extensions, not \"a/b\"" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        site_refused(table[i].inner, table[i].text);
}

static void no_memory(void **state)
{
    site_without_memory(
        SLICE("http { add_header A $host always; types { a/b c d; } default_type x/y;\n"
              "server { listen 127.0.0.1; set $a $host; set $b \"$a/$arg_x\"; set $args $b;\n"
              " location / { set $c $b; break; return 302 /x$c; } location /t { types { a/b c; } return 200; }\n"
              " if ($a ~ ^(?<n>x)) { rewrite ^(.)$ /y$1$n?$a last; }\n"
              " location /i { if ($a = $b) { add_header X y; } if (-f /x$a) { rewrite ^ http://o permanent; }\n"
              " limit_except GET { } } } }"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returns),
        cmocka_unit_test(levels),
        cmocka_unit_test(rewrites),
        cmocka_unit_test(an_if_is_a_configuration),
        cmocka_unit_test(methods),
        cmocka_unit_test(redirect_texts),
        cmocka_unit_test(a_trace),
        cmocka_unit_test(files),
        cmocka_unit_test(a_clients_choice_spreads),
        cmocka_unit_test(headers),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
