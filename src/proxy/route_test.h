/*
 * What the tests of routing and of policies share: a configuration compiled from text with the features that the test
 * names in TEST_FEATURES (and policies in TEST_POLICIES), and an exchange put together by hand that enters it.
 */
#ifndef PROXY_ROUTE_TEST_H
#define PROXY_ROUTE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "failmalloc.h"
#include "h2/conf.h"
#include "http/client_conf.h"
#include "http/uri.h"
#include "http/vars.h"
#include "proxy/http_block.h"
#include "proxy/location.h"

#ifndef TEST_POLICIES
#define TEST_POLICIES
#endif

/* The program's own tables are of a higher room. */
const struct policy_entry policy_table[] = { TEST_POLICIES{ NULL, PHASES } };
const size_t policy_count = array_len(policy_table) - 1;

/* `answer;` hands requests on, as proxy_pass does. */
static enum verdict answer_select(struct exchange *x, const void *conf)
{
    return VERDICT_DROP;
}

static const struct content answer_content = { .name = "answer", .select = answer_select, .slash_redirect = true };

static int set_answer(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return content_set(cf, node, &answer_content, NULL);
}

/* `show TEMPLATE;` keeps a template for a test to evaluate. */
struct test_level {
    struct template show;
};

static const struct directive test_directives[] = {
    { .name = "answer",
      .contexts = CONF_SERVER | CONF_LOCATION,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .set = set_answer,
      .usage = "answer;",
      .doc = "A test." },
    { .name = "show",
      .contexts = CONF_SERVER | CONF_LOCATION,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_TEMPLATE,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct test_level, show),
      .usage = "show TEMPLATE;",
      .doc = "A test." },
};

static struct feature test_feature = {
    .name = "test",
    .doc = "A test.",
    .directives = test_directives,
    .ndirectives = array_len(test_directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct test_level) },
};

static struct feature *test_features[] = {
    &http_feature,          &client_feature, &h2_feature,  &request_vars_feature, &connection_vars_feature,
    &response_vars_feature, &test_feature,   TEST_FEATURES
};

struct site {
    struct schema schema;
    struct arena arena;
    struct conf_diag diag;
    struct bundle *bundle;
    struct generation *gen; /* NULL: refused */
};

static inline struct site *site_new(slice text)
{
    struct site *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    assert_int_equal(schema_init(&s->schema, test_features, array_len(test_features)), OK);
    arena_init(&s->arena, NULL, 0, 4096, 0);
    conf_diag_init(&s->diag, &s->arena);
    s->bundle = bundle_new(SLICE("/p"));
    assert_non_null(s->bundle);
    assert_int_equal(bundle_option_set(s->bundle, SLICE("conf-text"), text), OK);
    if (generation_compile(&s->schema, s->bundle, &s->diag, &s->gen) != OK)
        s->gen = NULL;
    return s;
}

static inline void site_free(struct site *s)
{
    if (s->gen)
        generation_unref(s->gen);
    else
        bundle_free(s->bundle);
    arena_done(&s->arena);
    schema_done(&s->schema);
    free(s);
}

/* The text of the first message of that severity, or "". */
static inline slice site_message(const struct site *s, enum conf_severity severity)
{
    for (const struct conf_message *m = s->diag.first; m; m = m->next)
        if (m->severity == severity)
            return m->text;
    return SLICE("");
}

static inline struct site *site_good(slice text)
{
    struct site *s = site_new(text);
    if (!s->gen)
        fail_msg("%.*s", SLICE_FMT(site_message(s, CONF_EMERG)));
    return s;
}

/* `inner`, inside http { }, is refused with that text. */
static inline void site_refused(const char *inner, const char *want)
{
    struct arena a;
    arena_init(&a, NULL, 0, 4096, 0);
    struct site *s = site_new(arena_printf(&a, "http {\n%s\n}\n", inner));
    slice got = site_message(s, CONF_EMERG);
    if (s->gen)
        fail_msg("accepted: %s", inner);
    else if (!slice_eq(got, slice_str(want)))
        fail_msg("%s\n gives: %.*s\n not:   %s", inner, SLICE_FMT(got), want);
    site_free(s);
    arena_done(&a);
}

/* Compiles the text with each allocation failing in turn: no leak, and no talk of a fault in the text. */
static inline void site_without_memory(slice text)
{
    bool failed = true;
    for (size_t n = 0; failed; n++) {
        struct site s = { 0 };
        assert_int_equal(schema_init(&s.schema, test_features, array_len(test_features)), OK);
        arena_init(&s.arena, NULL, 0, 4096, 0);
        conf_diag_init(&s.diag, &s.arena);
        s.bundle = bundle_new(SLICE("/p"));
        assert_int_equal(bundle_option_set(s.bundle, SLICE("conf-text"), text), OK);
        fail_alloc_at(n, false);
        int rc = generation_compile(&s.schema, s.bundle, &s.diag, &s.gen);
        failed = fail_alloc_off();
        if (rc != OK && (rc != ERR_NOMEM || s.diag.errors))
            fail_msg("allocation %zu: %s, \"%.*s\"", n, err_name(rc), SLICE_FMT(site_message(&s, CONF_EMERG)));
        if (rc == OK)
            generation_unref(s.gen);
        else
            bundle_free(s.bundle);
        arena_done(&s.arena);
        schema_done(&s.schema);
    }
}

struct visit {
    struct worker worker;
    struct gen_ref ref;
    struct client client;
    struct exchange x;
};

/* A GET of an origin-form target that came in on the listener of that key; routed to its server, not yet further. */
static inline struct visit *visit_new(struct site *s, slice key, slice host, slice target)
{
    struct visit *v = calloc(1, sizeof(*v));
    assert_non_null(v);
    struct exchange *x = &v->x;
    struct request *r = &x->req;
    struct uri_path path;
    v->ref = (struct gen_ref){ .gen = s->gen, .users = 1, .current = true };
    v->client.fd = -1;
    v->client.peer.in.sin_family = AF_INET;
    v->client.peer.in.sin_addr.s_addr = htonl(0xc0000207); /* 192.0.2.7 */
    v->client.local.in.sin_family = AF_INET;
    v->client.local.in.sin_addr.s_addr = htonl(0x7f000001);
    v->client.local.in.sin_port = htons(8080);
    v->client.listener = route_listener(s->gen, key);
    assert_non_null(v->client.listener);
    clock_set(&v->worker.loop.clock, 1000, 784111777000);
    arena_init(&x->arena, NULL, 0, 4096, 1 << 20);
    x->w = &v->worker;
    x->gen = &v->ref;
    x->client = &v->client;
    x->log = log_main;
    x->known = VAR_ROUTE;
    r->method = METHOD_GET;
    r->method_text = SLICE("GET");
    r->minor = 1;
    r->target = r->raw_path = target;
    r->has_query = slice_cut(target, '?', &r->raw_path, &r->query);
    r->authority = r->host = host;
    r->line = arena_printf(&x->arena, "GET %.*s HTTP/1.1", SLICE_FMT(target));
    assert_int_equal(uri_path_parse(&x->arena, r->raw_path, true, &path), OK);
    r->path = path.path;
    x->pass = (struct pass){
        .method = r->method, .method_text = r->method_text, .uri = r->path, .args = r->query, .has_args = r->has_query
    };
    x->server = route_server(v->client.listener, x, host);
    x->pass.loc = x->server->base;
    return v;
}

static inline void visit_free(struct visit *v)
{
    arena_done(&v->x.arena);
    free(v);
}

/* Enters the location of the path. */
static inline const struct location *visit_location(struct visit *v)
{
    v->x.pass.loc = route_location(v->x.server, &v->x, v->x.pass.uri);
    return v->x.pass.loc;
}

/* The value of the `show` line here. */
static inline slice visit_show(struct visit *v)
{
    slice out = SLICE_NONE;
    const struct test_level *l = exchange_conf(&v->x, &test_feature);
    assert_int_equal(exchange_eval(&v->x, &l->show, &out), OK);
    return out;
}

#define assert_slice(got, want)                                                                              \
    do {                                                                                                     \
        slice got_ = (got);                                                                                  \
        slice want_ = slice_str(want);                                                                       \
        if (!slice_eq(got_, want_))                                                                          \
            fail_msg("line %d: got \"%.*s\", want \"%s\"", __LINE__, SLICE_FMT(got_), (const char *)(want)); \
    } while (0)

#endif
