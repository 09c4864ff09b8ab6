/*
 * set, return, add_header, types: what they make of an exchange; how a client's choice spreads through `set`.
 */
#include "policy/headers.h"
#include "policy/rewrite.h"
#include "policy/types.h"

#define TEST_FEATURES &rewrite_feature, &types_feature, &headers_feature
#define TEST_POLICIES { &rewrite_policy, PHASE_REWRITE }, { &headers_policy, PHASE_RESPONSE },

#include "proxy/route_test.h"

#define KEY SLICE("127.0.0.1:80")

/* Runs the rewrite rules of the level that x is in. */
static enum verdict rules(struct exchange *x)
{
    for (const struct policy_use *u = x->pass.loc->policies; u->policy; u++) {
        enum verdict v = u->policy->on_request(x, u->conf);
        if (v != VERDICT_NEXT)
            return v;
    }
    return VERDICT_NEXT;
}

/* Server level, then location, as the route and policies steps do. */
static enum verdict go(struct visit *v)
{
    enum verdict verdict = rules(&v->x);
    if (verdict != VERDICT_NEXT)
        return verdict;
    visit_location(v);
    return rules(&v->x);
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
        { "server { return 200 $nothing; }", "unknown \"nothing\" variable" },
        { "add_header \"a b\" c;", "\"a b\" is no name of a header field" },
        { "add_header a b c;", "invalid parameter \"c\"" },
        { "add_header Content-Length 1;",
          "\"Content-Length\" cannot be added: how a message is framed follows from its body alone" },
        { "add_trailer a b;", "\"add_trailer\" is not supported by this version; trailers of backends are passed on" },
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
              " location / { set $c $b; break; return 302 /x$c; } location /t { types { a/b c; } return 200; } } }"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returns), cmocka_unit_test(levels),  cmocka_unit_test(a_clients_choice_spreads),
        cmocka_unit_test(headers), cmocka_unit_test(refused), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
