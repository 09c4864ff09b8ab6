/*
 * Which server a host comes to, what addresses `listen` asks for, and what is refused or warned about.
 */
#define TEST_FEATURES &error_page_feature

#include "proxy/error_page.h"
#include "proxy/route_test.h"

#define KEY SLICE("127.0.0.1:80")

struct expect {
    const char *host, *server;
};

static void check(struct site *s, slice key, const struct expect *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct visit *v = visit_new(s, key, slice_str(e[i].host), SLICE("/"));
        slice got = visit_show(v);
        if (!slice_eq(got, slice_str(e[i].server)))
            fail_msg("%s comes to \"%.*s\", not \"%s\"", e[i].host, SLICE_FMT(got), e[i].server);
        visit_free(v);
    }
}

static void precedence(void **state)
{
    static const struct expect table[] = {
        { "a.test", "exact" },
        { "b.test", "exact" },
        { "x.a.test", "head" },
        { "x.y.a.test", "head" },
        { "x.deep.a.test", "deep" },
        { "deep.a.test", "head" },
        { "www.a.test", "exact www" },
        { "dot.test", "dot" },
        { "x.dot.test", "dot" },
        { "xdot.test", "regex xdot" },
        { "mail.any", "tail" },
        { "mail.any.thing", "tail" },
        { "mail.long.x", "tail long" },
        { "mail.a.test", "head" },
        { "mail", "default" },
        { "tom.users.test", "user tom" },
        { "123.users.test", "regex 123.users" },
        { "nothing", "default" },
        { "test", "default" },
        { "", "empty" },
        { "192.0.2.1", "empty" },
    };
    struct site *s = site_good(
        SLICE("http { server { listen 127.0.0.1; show default; server_name _; }\n"
              "server { listen 127.0.0.1; server_name A.test b.TEST; show exact; }\n"
              "server { listen 127.0.0.1; server_name www.a.test; show \"exact www\"; }\n"
              "server { listen 127.0.0.1; server_name *.a.test; show head; }\n"
              "server { listen 127.0.0.1; server_name *.deep.a.test; show deep; }\n"
              "server { listen 127.0.0.1; server_name .dot.test; show dot; }\n"
              "server { listen 127.0.0.1; server_name mail.*; show tail; }\n"
              "server { listen 127.0.0.1; server_name mail.long.*; show \"tail long\"; }\n"
              "server { listen 127.0.0.1; server_name ~^(?<user>[A-Z]+)\\.users\\.test$; show \"user $user\"; }\n"
              "server { listen 127.0.0.1; server_name ~^(.+)\\.test$; show \"regex $1\"; }\n"
              "server { listen 127.0.0.1; server_name \"\" 192.0.2.1; show empty; }\n"
              "server { listen 127.0.0.1; show never; }\n"
              "server { listen 127.0.0.2; server_name a.test; show other; } }"));
    check(s, KEY, table, array_len(table));
    assert_int_equal(s->diag.warnings, 1);
    assert_slice(site_message(s, CONF_WARN), "conflicting server name \"\" on 127.0.0.1:80, ignored");
    site_free(s);
}

static void defaults(void **state)
{
    static const struct expect first[] = { { "x", "one" } }, claimed[] = { { "x", "four" }, { "three", "three" } };
    struct site *s = site_good(SLICE("http { server { listen 127.0.0.1; server_name one; show one; }\n"
                                     "server { listen 127.0.0.1; server_name two; show two; }\n"
                                     "server { listen 127.0.0.2:81; server_name three; show three; }\n"
                                     "server { listen 127.0.0.2:81 default_server; server_name four; show four; }\n"
                                     "server { listen 127.0.0.2:81; server_name five; show five; } }"));
    check(s, KEY, first, 1);
    check(s, SLICE("127.0.0.2:81"), claimed, 2);
    assert_int_equal(s->diag.warnings, 0);
    site_free(s);
}

static void server_name_variable(void **state)
{
    static const struct expect table[] = { { "a", "~^a$" }, { "dot", "dot" }, { "x.star", "*.star" }, { "none", "" } };
    struct site *s = site_good(SLICE("http { server { listen 127.0.0.1 default_server; show $server_name; }\n"
                                     "server { listen 127.0.0.1; server_name ~^a$ b; show $server_name; }\n"
                                     "server { listen 127.0.0.1; server_name .dot; show $server_name; }\n"
                                     "server { listen 127.0.0.1; server_name *.star; show $server_name; } }"));
    check(s, KEY, table, array_len(table));
    site_free(s);
}

static void thousands_of_names(void **state)
{
    struct strb b;
    strb_init(&b, 0);
    strb_lit(&b, "http { server { listen 127.0.0.1; show none; }\n");
    for (unsigned i = 0; i < 3000; i++)
        strb_printf(&b, "server { listen 127.0.0.1; server_name n%u.test *.w%u.test; show s%u; }\n", i, i, i);
    strb_lit(&b, "}");
    struct site *s = site_good(strb_slice(&b));
    static const struct expect table[] = { { "n0.test", "s0" },
                                           { "n2999.test", "s2999" },
                                           { "x.w1500.test", "s1500" },
                                           { "n3000.test", "none" },
                                           { "w7.test", "none" } };
    check(s, KEY, table, array_len(table));
    site_free(s);
    strb_done(&b);
}

static void addresses(void **state)
{
    static const struct {
        const char *line;
        const char *keys[3];
    } table[] = {
        { "listen 127.0.0.1:8080;", { "127.0.0.1:8080" } },
        { "listen 8080;", { "0.0.0.0:8080" } },
        { "listen *:8080;", { "0.0.0.0:8080" } },
        { "listen *;", { "0.0.0.0:80" } },
        { "listen 127.0.0.1;", { "127.0.0.1:80" } },
        { "listen [::1]:81;", { "[::1]:81" } },
        { "listen [::];", { "[::]:80" } },
        { "listen unix:/tmp/s;", { "unix:/tmp/s" } },
        { "listen 127.0.0.1:8080-8082;", { "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082" } },
        { "listen 90-91;", { "0.0.0.0:90", "0.0.0.0:91" } },
        { "listen 81 backlog=5 reuseport deferred bind rcvbuf=8k sndbuf=16k fastopen=3 so_keepalive=30s::5;",
          { "0.0.0.0:81" } },
        { "listen [::]:82 ipv6only=off so_keepalive=on; listen 82;", { "[::]:82", "0.0.0.0:82" } },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct arena a;
        arena_init(&a, NULL, 0, 1024, 0);
        struct site *s = site_good(arena_printf(&a, "http { server { %s } }", table[i].line));
        for (size_t k = 0; k < 3 && table[i].keys[k]; k++) {
            if (!route_listener(s->gen, slice_str(table[i].keys[k])))
                fail_msg("%s does not listen on %s", table[i].line, table[i].keys[k]);
        }
        site_free(s);
        arena_done(&a);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *inner, *text;
    } table[] = {
        { "server { listen 127.0.0.1:0; }", "invalid port in \"127.0.0.1:0\" of the \"listen\" directive" },
        { "server { listen 127.0.0.1:65536; }", "invalid port in \"127.0.0.1:65536\" of the \"listen\" directive" },
        { "server { listen 127.0.0.1:x; }", "invalid port in \"127.0.0.1:x\" of the \"listen\" directive" },
        { "server { listen 127.0.0.1:90-80; }", "invalid port in \"127.0.0.1:90-80\" of the \"listen\" directive" },
        { "server { listen :80; }", "no host in \":80\" of the \"listen\" directive" },
        { "server { listen nosuch.invalid:80; }",
          "host not found in \"nosuch.invalid:80\" of the \"listen\" directive" },
        { "server { listen 127.1:80; }", "host not found in \"127.1:80\" of the \"listen\" directive" },
        { "server { listen unix:; }", "no path in the unix domain socket in \"unix:\" of the \"listen\" directive" },
        { "server { listen 80; listen *:80; }", "a duplicate listen 0.0.0.0:80" },
        { "server { listen 80 default_server; } server { listen 80 default_server; }",
          "a duplicate default server for 0.0.0.0:80" },
        { "server { listen 80 backlog=1; } server { listen 80 backlog=2; }",
          "duplicate listen options for 80: another line sets one of them differently" },
        { "server { listen 80 backlog=0; }", "invalid backlog \"0\"" },
        { "server { listen 80 so_keepalive=::; }", "invalid so_keepalive value: \"::\"" },
        { "server { listen 80 so_keepalive=1:2; }", "invalid so_keepalive value: \"1:2\"" },
        { "server { listen 80 rcvbuf=x; }", "invalid size \"x\"" },
        { "server { listen 80 ipv6only=yes; }", "invalid ipv6only flags \"yes\"" },
        { "server { listen 80 wrong; }", "invalid parameter \"wrong\"" },
        { "server { listen 80 proxy_protocol=on; }", "invalid parameter \"proxy_protocol=on\"" },
        { "server { server_name a.*.b; }", "invalid server name or wildcard \"a.*.b\"" },
        { "server { server_name *a.b; }", "invalid server name or wildcard \"*a.b\"" },
        { "server { server_name *.a.*; }", "invalid server name or wildcard \"*.a.*\"" },
        { "server { server_name *.; }", "invalid server name or wildcard \"*.\"" },
        { "server { server_name ~; }", "empty regex in server name \"~\"" },
        { "server { server_name ~(; }", "pcre2_compile() failed: missing closing parenthesis in \"(\"" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        site_refused(table[i].inner, table[i].text);
}

static void client_directives(void **state)
{
    struct site *s =
        site_good(SLICE("http { large_client_header_buffers 2 16k; keepalive_timeout 5s 7s; http1_compat bare_lf;\n"
                        " server { listen 127.0.0.1; client_max_body_size 2g; http1_compat fragment bare_lf;\n"
                        "  location /l { keepalive_timeout 0; server_tokens off; client_max_body_size 0; "
                        "lingering_close always; } } }"));
    struct visit *v = visit_new(s, KEY, SLICE("a"), SLICE("/l"));
    const struct client_server_conf *c = v->x.server->client;
    assert_int_equal(c->header_timeout, 60000);
    assert_int_equal(c->large_buffers, 2);
    assert_int_equal(c->large_buffer_size, 16384);
    assert_int_equal(c->max_fields, 100);
    assert_true(c->ignore_invalid && c->merge_slashes && !c->underscores);
    assert_int_equal(c->compat, COMPAT_BARE_LF | COMPAT_FRAGMENT);
    const struct client_location_conf *l = v->x.server->base->client;
    assert_int_equal(l->keepalive_timeout, 5000);
    assert_int_equal(l->keepalive_header, 7);
    assert_int_equal(l->keepalive_requests, 1000);
    assert_int_equal(l->keepalive_time, 3600000);
    assert_true(l->max_body_size == 2ull << 30);
    assert_int_equal(l->lingering_close, 1);
    l = visit_location(v)->client;
    assert_int_equal(l->keepalive_timeout, 0);
    assert_int_equal(l->keepalive_header, 0);
    assert_int_equal(l->max_body_size, 0);
    assert_true(slice_eq(l->server_field.source, SLICE("hinge")));
    assert_int_equal(l->lingering_close, 2);
    visit_free(v);
    site_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precedence),         cmocka_unit_test(defaults),  cmocka_unit_test(server_name_variable),
        cmocka_unit_test(thousands_of_names), cmocka_unit_test(addresses), cmocka_unit_test(refused),
        cmocka_unit_test(client_directives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
