/*
 * What files are refused with which words, and what accepted ones come to.
 */
#include "proxy/proxy_test.h"

#include <stdio.h>

#include "failmalloc.h"
#include "proxy/headers.h"

struct refusal {
    const char *inner; /* inside http { } */
    const char *text;  /* of the first error */
};

static void refuse(const struct refusal *r)
{
    struct arena a;
    arena_init(&a, NULL, 0, 4096, 0);
    slice text = arena_printf(&a, "http {\n%s\n}\n", r->inner);
    struct config *c = config_new(text);
    const struct conf_message *m = c->diag.first;
    while (m && m->severity != CONF_EMERG)
        m = m->next;
    if (c->gen || !m)
        fail_msg("accepted: %s", r->inner);
    else if (!slice_eq(m->text, slice_str(r->text)))
        fail_msg("%s\n gives: %.*s\n not:   %s", r->inner, SLICE_FMT(m->text), r->text);
    config_free(c);
    arena_done(&a);
}

#define LOC(x) "server { location / { " x " } }"

static void test_refused(void **state)
{
    static const struct refusal table[] = {
        { "upstream u { }", "no servers are inside upstream" },
        { "upstream u { server 127.0.0.1 backup; }", "no servers in upstream \"u\"" },
        { "upstream u { server 127.0.0.1; } upstream U { server 127.0.0.1; }", "duplicate upstream \"U\"" },
        { "upstream u { server nosuch.example:81; }", "host not found in upstream \"nosuch.example:81\"" },
        { "upstream u { server 127.0.0.1:0; }", "invalid port in upstream \"127.0.0.1:0\"" },
        { "upstream u { server 127.0.0.1:65536; }", "invalid port in upstream \"127.0.0.1:65536\"" },
        { "upstream u { server 127.1:80; }", "invalid host in upstream \"127.1:80\"" },
        { "upstream u { server :80; }", "no host in upstream \":80\"" },
        { "upstream u { server unix:; }", "no path in the unix domain socket in upstream \"unix:\"" },
        { "upstream u { server 127.0.0.1 weight=0; }", "invalid parameter \"weight=0\"" },
        { "upstream u { server 127.0.0.1 max_fails=x; }", "invalid parameter \"max_fails=x\"" },
        { "upstream u { server 127.0.0.1 service=x; }", "invalid parameter \"service=x\"" },
        { "upstream u { ip_hash; server 127.0.0.1; }", "load balancing method \"ip_hash\" is not supported" },
        { "upstream u { server 127.0.0.1; keepalive x; }", "invalid value \"x\" in \"keepalive\" directive" },
        { "upstream u { server 127.0.0.1; }" LOC("proxy_pass http://u:81;"), "upstream \"u\" may not have port 81" },
        { LOC("proxy_pass u;"), "invalid URL prefix" },
        { LOC("proxy_pass http://nosuch.example;"), "host not found in upstream \"nosuch.example\"" },
        { LOC("proxy_pass http://;"), "no host in upstream \"\"" },
        { LOC("proxy_pass \"http://127.0.0.1/a b\";"), "invalid character in the URI part \"/a b\"" },
        { "server { location ~ x { proxy_pass http://127.0.0.1/; } }",
          "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or "
          "inside \"if\" statement, or inside \"limit_except\" block" },
        { "server { location @x { proxy_pass http://127.0.0.1/; } }",
          "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or "
          "inside \"if\" statement, or inside \"limit_except\" block" },
        { LOC("proxy_buffers 1 4k;"), "there must be at least 2 \"proxy_buffers\"" },
        { LOC("proxy_busy_buffers_size 2k;"),
          "\"proxy_busy_buffers_size\" must be equal to or greater than the maximum of the value of "
          "\"proxy_buffer_size\" and one of the \"proxy_buffers\"" },
        { LOC("proxy_busy_buffers_size 32k;"),
          "\"proxy_busy_buffers_size\" must be less than the size of all \"proxy_buffers\" minus one buffer" },
        { LOC("proxy_max_temp_file_size 1k;"),
          "\"proxy_max_temp_file_size\" must be equal to zero to disable temporary files usage or must be equal to or "
          "greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"" },
        { LOC("proxy_set_header \"a b\" c;"), "invalid field name \"a b\"" },
        { LOC("proxy_set_header Host a; proxy_set_header host b;"), "duplicate \"Host\": a request has one" },
        { LOC("proxy_redirect off; proxy_redirect a b;"), "\"proxy_redirect\" directive is duplicate" },
        { LOC("proxy_redirect on;"), "invalid parameter \"on\"" },
        { LOC("proxy_pass http://$backend; proxy_redirect default;"),
          "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables" },
        { LOC("proxy_pass http://127.0.0.1; proxy_pass http://127.0.0.1;"), "\"proxy_pass\" directive is duplicate" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        refuse(&table[i]);
}

/* The usage is that of the line where it stands, also when something is found out about it later. */
static void test_usage(void **state)
{
    static const struct refusal table[] = {
        { "upstream u { server nosuch.example:81; }", "usage: server ADDRESS " },
        { "upstream u { server 127.0.0.1 weight=0; }", "usage: server ADDRESS " },
        { "upstream u { server; }", "usage: server ADDRESS " },
        { "server x { }", "usage: server { ... }" },
        { "server;", "usage: server { ... }" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        char text[256];
        snprintf(text, sizeof(text), "http { %s }", table[i].inner);
        struct config *c = config_new(slice_str(text));
        assert_null(c->gen);
        if (!slice_starts(c->diag.first->hint, slice_str(table[i].text)))
            fail_msg("%s: %.*s", text, SLICE_FMT(c->diag.first->hint));
        config_free(c);
    }
}

/* "LINE text" of each error. */
static void expect_errors(slice text, const char *const *want, size_t n)
{
    struct config *c = config_new(text);
    const struct conf_message *m = c->diag.first;
    assert_null(c->gen);
    for (size_t i = 0; i < n || m; i++, m = m ? m->next : NULL) {
        char got[512] = "";
        if (m)
            snprintf(got, sizeof(got), "%u %.*s", m->pos.line, SLICE_FMT(m->text));
        assert_string_equal(got, i < n ? want[i] : "");
    }
    config_free(c);
}

/* What only comes out when levels are merged and structures built is told beside what was wrong before. */
static void test_every_error(void **state)
{
    static const char busy[] =
        "10 \"proxy_busy_buffers_size\" must be equal to or greater than the maximum of the value "
        "of \"proxy_buffer_size\" and one of the \"proxy_buffers\"";
    static const char *const want[] = {
        "2 unknown directive \"foo\"",
        "3 host not found in upstream \"nosuch.example\"",
        "3 host not found in upstream \"other.example\"",
        "4 invalid parameter \"weight=q\"",
        "4 host not found in upstream \"third.example\"",
        "5 duplicate upstream \"v\"",
        "5 unknown directive \"bar\"",
        "8 pcre2_compile() failed: missing closing parenthesis in \"(\"",
        "8 unknown directive \"worse\"",
        "13 invalid value \"x\"",
        busy,
        "13 host not found in upstream \"fourth.example\"",
        "9 duplicate location \"/a\"",
        "12 a duplicate default server for 127.0.0.1:1",
    };
    expect_errors(SLICE("http {\n"
                        "  foo;\n"
                        "  upstream u { server nosuch.example; server other.example; }\n"
                        "  upstream v { server 127.0.0.1 weight=q; server third.example backup; }\n"
                        "  upstream v { server 127.0.0.1; bar; }\n"
                        "  server { listen 127.0.0.1:1 default_server;\n"
                        "    location /a { proxy_pass http://v; }\n"
                        "    location ~ ( { worse; }\n"
                        "    location /a { }\n"
                        "    location /b { proxy_busy_buffers_size 2k; location /b/c { proxy_method GET; } }\n"
                        "  }\n"
                        "  server { listen 127.0.0.1:1 default_server;\n"
                        "    location /c { proxy_buffers 2 x; proxy_busy_buffers_size 32k; proxy_pass "
                        "http://fourth.example; }\n"
                        "  }\n"
                        "}\n"),
                  want, array_len(want));
}

/* A line that was refused is not missed by others. */
static void test_no_error_of_an_error(void **state)
{
    static const char *const server[] = { "1 invalid parameter \"weight=q\"" };
    static const char *const listen[] = { "2 invalid port in \"127.0.0.1:x\" of the \"listen\" directive",
                                          "3 invalid port in \"127.0.0.1:y\" of the \"listen\" directive" };
    static const char *const partial[] = { "1 unexpected end of file, expecting \"}\"" };
    expect_errors(SLICE("http { upstream u { server 127.0.0.1 weight=q; server 127.0.0.2 backup; } }"), server, 1);
    expect_errors(SLICE("http { upstream u { server 127.0.0.1 weight=q; } }"), server, 1);
    expect_errors(SLICE("http {\nserver { listen 127.0.0.1:x; server_name a; }\n"
                        "server { listen 127.0.0.1:y; server_name a; } }"),
                  listen, 2);
    expect_errors(SLICE("http { upstream u { "), partial, 1);
}

static struct config *accept_text(slice text)
{
    struct config *c = config_new(text);
    if (!c->gen)
        fail_msg("%.*s", SLICE_FMT(c->diag.first->text));
    return c;
}

static void test_upstream(void **state)
{
    struct config *c = accept_text(
        SLICE("http { upstream up { server 127.0.0.1:81 weight=2 max_fails=3 fail_timeout=5s max_conns=7;\n"
              "  server two.example down; server [::1]:82; server unix:/s backup;\n"
              "  keepalive 8 local; keepalive_requests 9; keepalive_timeout 10s; keepalive_time 11s; zone z 64k; }\n"
              " upstream d { server 127.0.0.1; least_conn; } }"));
    const struct upstream *u = upstream_find(c->gen, SLICE("UP"));
    assert_non_null(u);
    assert_int_equal(u->primary.n, 4);
    assert_int_equal(u->backup.n, 1);
    assert_int_equal(u->npeers, 5);
    assert_int_equal(u->nlive, 3);
    const struct peer *p = u->primary.peers;
    assert_slice(p[0].text, "127.0.0.1:81");
    assert_int_equal(p[0].weight, 2);
    assert_int_equal(p[0].max_fails, 3);
    assert_int_equal(p[0].fail_timeout, 5000);
    assert_int_equal(p[0].max_conns, 7);
    assert_slice(p[1].text, "192.0.2.1:80");
    assert_slice(p[2].text, "[::2]:80");
    assert_true(p[1].down && p[2].down && !p[3].down);
    assert_slice(p[1].server, "two.example");
    assert_slice(p[3].text, "[::1]:82");
    assert_slice(u->backup.peers[0].text, "unix:/s");
    assert_int_equal(u->primary.nsequence, 3);
    assert_int_equal(u->keepalive, 8);
    assert_int_equal(u->keepalive_requests, 9);
    assert_int_equal(u->keepalive_timeout, 10000);
    assert_int_equal(u->keepalive_time, 11000);
    u = upstream_find(c->gen, SLICE("d"));
    assert_int_equal(u->keepalive, 16384);
    assert_int_equal(u->keepalive_requests, 1000);
    assert_int_equal(u->keepalive_timeout, 60000);
    assert_int_equal(u->keepalive_time, 3600000);
    assert_string_equal(u->balance->name, "least_conn");
    assert_true(u->primary.peers->alone);
    assert_null(upstream_find(c->gen, SLICE("nosuch")));
    config_free(c);
}

/* State outlives a reload when name and address are the same. */
static void test_reload(void **state)
{
    struct config *a = accept_text(SLICE("http { upstream r { server 127.0.0.1:81; server 127.0.0.1:82; } }"));
    struct config *b = accept_text(SLICE("http { upstream r { server 127.0.0.1:82; server 127.0.0.1:83; } }"));
    const struct upstream *ua = upstream_find(a->gen, SLICE("r")), *ub = upstream_find(b->gen, SLICE("r"));
    assert_ptr_equal(ua->primary.peers[1].state, ub->primary.peers[0].state);
    assert_ptr_not_equal(ua->primary.peers[0].state, ub->primary.peers[1].state);
    assert_ptr_equal(ua->primary.cursor, ub->primary.cursor);
    assert_true(ua->primary.peers[1].pool_key == ub->primary.peers[0].pool_key);
    config_free(a);
    config_free(b);
}

static const struct proxy_conf *conf_at(const struct config *c, slice path)
{
    return config_location(c, path)->conf[proxy_feature.id];
}

static void test_defaults(void **state)
{
    struct config *c = accept_text(SLICE("http { server { location / { proxy_pass http://127.0.0.1:81; } } }"));
    const struct proxy_conf *p = conf_at(c, SLICE("/"));
    assert_true(p->set && !p->dynamic && !p->has_uri && p->buffering && p->request_buffering);
    assert_false(p->intercept_errors || p->socket_keepalive);
    assert_int_equal(p->http_version, 1);
    assert_int_equal(p->connect_timeout, 60000);
    assert_int_equal(p->read_timeout, 60000);
    assert_int_equal(p->send_timeout, 60000);
    assert_int_equal(p->buffer_size, 4096);
    assert_int_equal(p->buffers_n, 8);
    assert_int_equal(p->buffers_size, 4096);
    assert_int_equal(p->busy, 8192);
    assert_int_equal(p->max_temp_file_size, 0);
    assert_int_equal(p->next_upstream, NEXT_ERROR | NEXT_TIMEOUT);
    assert_int_equal(p->next_tries, 0);
    assert_slice(p->temp_dir->key, "/var/tmp");
    assert_slice(p->host_header, "127.0.0.1:81");
    assert_slice(p->port_text, "81");
    assert_int_equal(p->nredirects, 1);
    assert_slice(p->redirects[0].from.source, "http://127.0.0.1:81/");
    assert_slice(p->redirects[0].to.source, "/");
    assert_slice(p->upstream->name, "127.0.0.1:81");
    assert_true(p->upstream->implicit);
    config_free(c);
}

static void test_inheritance(void **state)
{
    struct config *c = accept_text(SLICE(
        "http { proxy_set_header A 1; proxy_set_header B 2; proxy_hide_header H; proxy_read_timeout 5s;\n"
        " proxy_redirect http://x/ /y/; upstream u { server 127.0.0.1; }\n"
        " server { location /same { proxy_pass http://u/z/; }\n"
        "  location /own { proxy_pass http://u; proxy_set_header C 3; proxy_pass_header Server; proxy_redirect off;\n"
        "    proxy_read_timeout 7s; } } }"));
    const struct proxy_conf *s = conf_at(c, SLICE("/same")), *o = conf_at(c, SLICE("/own"));
    assert_int_equal(s->headers->nset, 2);
    assert_slice(s->headers->set[1].name, "B");
    assert_int_equal(o->headers->nset, 1);
    assert_slice(o->headers->set[0].name, "C");
    assert_int_equal(s->read_timeout, 5000);
    assert_int_equal(o->read_timeout, 7000);
    const struct field h = { .name = SLICE("h") }, server = { .name = SLICE("Server"), .token = TOK_SERVER };
    assert_true(name_set_has(&s->headers->hide, &h) && name_set_has(&s->headers->hide, &server));
    assert_true(name_set_has(&o->headers->hide, &h) && !name_set_has(&o->headers->hide, &server));
    assert_int_equal(s->nredirects, 1);
    assert_slice(s->redirects[0].from.source, "http://x/");
    assert_int_equal(o->nredirects, 0);
    assert_true(s->upstream == o->upstream && s->has_uri);
    config_free(c);
}

/* One implicit upstream for everybody who names the same place; names are resolved. */
static void test_implicit(void **state)
{
    struct config *c = accept_text(SLICE("http { server { location /a { proxy_pass http://Two.example; }\n"
                                         " location /b { proxy_pass http://two.example:80/x; }\n"
                                         " location /c { proxy_pass http://unix:/tmp/s:/x/; }\n"
                                         " location /d { proxy_pass http://[::1]:8080?q; } } }"));
    const struct proxy_conf *p = conf_at(c, SLICE("/c"));
    assert_slice(p->host_header, "localhost");
    assert_slice(p->uri, "/x/");
    assert_slice(p->upstream->primary.peers->text, "unix:/tmp/s");
    p = conf_at(c, SLICE("/d"));
    assert_slice(p->host_header, "[::1]:8080");
    assert_slice(p->uri, "/?q");
    assert_ptr_equal(conf_at(c, SLICE("/a"))->upstream, conf_at(c, SLICE("/b"))->upstream);
    assert_int_equal(conf_at(c, SLICE("/a"))->upstream->npeers, 2);
    assert_slice(conf_at(c, SLICE("/b"))->host_header, "two.example");
    config_free(c);
}

/* Every allocation fails once, and all from some point on: refused without a word about the file, and nothing leaks. */
static void compile_without_memory(size_t n, bool onward, bool *failed)
{
    struct config c = { 0 };
    assert_int_equal(schema_init(&c.schema, test_features, array_len(test_features)), OK);
    arena_init(&c.arena, NULL, 0, 4096, 0);
    conf_diag_init(&c.diag, &c.arena);
    c.bundle = bundle_new(SLICE("/p"));
    assert_non_null(c.bundle);
    bundle_set_resolver(c.bundle, test_resolve, NULL);
    assert_int_equal(
        bundle_option_set(c.bundle, SLICE("conf-text"),
                          SLICE("http { upstream u { server 127.0.0.1:81; server unix:/s backup; }\n"
                                " server { listen 127.0.0.1:8080; proxy_set_header A $host; proxy_hide_header B;\n"
                                "  location /a { proxy_pass http://u/x; proxy_redirect ~a(b) $1; }\n"
                                "  location /b { proxy_pass http://127.0.0.1:82; }\n"
                                "  location /c { proxy_pass http://$host; } } }")),
        OK);
    assert_non_null(bundle_descriptor(c.bundle, BUNDLE_LISTEN, SLICE("127.0.0.1:8080")));
    fail_alloc_at(n, onward);
    int rc = generation_compile(&c.schema, c.bundle, &c.diag, &c.gen);
    *failed = fail_alloc_off();
    if (rc == OK) {
        generation_unref(c.gen);
    } else {
        if (rc != ERR_NOMEM || c.diag.errors)
            fail_msg("allocation %zu: %s, \"%.*s\"", n, err_name(rc),
                     SLICE_FMT(c.diag.first ? c.diag.first->text : SLICE_NONE));
        bundle_free(c.bundle);
    }
    arena_done(&c.arena);
    schema_done(&c.schema);
}

static void test_out_of_memory(void **state)
{
    for (int onward = 0; onward < 2; onward++) {
        bool failed = true;
        for (size_t n = 0; failed; n++)
            compile_without_memory(n, onward, &failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_usage),
        cmocka_unit_test(test_every_error), cmocka_unit_test(test_no_error_of_an_error),
        cmocka_unit_test(test_upstream),    cmocka_unit_test(test_reload),
        cmocka_unit_test(test_defaults),    cmocka_unit_test(test_inheritance),
        cmocka_unit_test(test_implicit),    cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
