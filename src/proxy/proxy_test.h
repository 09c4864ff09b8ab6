/*
 * What the tests of proxy_pass and its kin share: a configuration compiled from text, and an exchange put together by
 * hand in one of its locations, without ends, worker threads or sockets.
 */
#ifndef PROXY_PROXY_TEST_H
#define PROXY_PROXY_TEST_H

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "h2/conf.h"
#include "http/client_conf.h"
#include "http/uri.h"
#include "proxy/egress_dir.h"
#include "proxy/resolver_dir.h"
#include "proxy/http_block.h"
#include "proxy/proxy.h"
#include "proxy/upstream_conf.h"

extern struct feature upstream_vars_feature;

/* No policies: the program's table is of a higher room. */
const struct policy_entry policy_table[1];
const size_t policy_count;

/* $host and $arg_x are the client's choice, $backend is not; all give what the test put here. */
static slice test_host, test_arg, test_backend;

static int get_test(struct exchange *x, const struct var *v, slice *out)
{
    *out = v->def->data == 0 ? test_host : v->def->data == 1 ? test_backend : test_arg;
    return out->p ? OK : ERR_NOTFOUND;
}

static int get_capture(struct exchange *x, const struct var *v, slice *out)
{
    if (v->def->data >= x->pass.ncaptures)
        return ERR_NOTFOUND;
    *out = x->pass.captures[v->def->data];
    return OK;
}

static const struct var_def test_vars[] = {
    { .name = "1", .data = 1, .get = get_capture, .client = true, .doc = "A test." },
    { .name = "2", .data = 2, .get = get_capture, .client = true, .doc = "A test." },
    { .name = "host", .data = 0, .get = get_test, .client = true, .doc = "A test." },
    { .name = "backend", .data = 1, .get = get_test, .doc = "A test." },
    { .name = "arg_", .prefix = true, .data = 2, .get = get_test, .client = true, .doc = "A test." },
};

static struct feature test_feature = {
    .name = "test", .doc = "A test.", .vars = test_vars, .nvars = array_len(test_vars)
};

static struct feature *test_features[] = { &http_feature,     &client_feature,        &h2_feature,
                                           &upstream_feature, &upstream_vars_feature, &proxy_feature,
                                           &test_feature,     &egress_feature,        &resolver_feature };

struct config {
    struct schema schema;
    struct arena arena; /* of the messages */
    struct conf_diag diag;
    struct bundle *bundle;
    struct generation *gen; /* NULL: refused */
};

/* Names that the tests may look up. */
static int test_resolve(void *ctx, slice name, struct strb *out)
{
    if (!slice_ieq(name, SLICE("two.example")))
        return ERR_NOTFOUND;
    strb_add(out, (slice){ "192.0.2.1\0::2\0", 14 });
    return out->failed ? ERR_NOMEM : OK;
}

static inline struct config *config_new(slice text)
{
    struct config *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    assert_int_equal(schema_init(&c->schema, test_features, array_len(test_features)), OK);
    arena_init(&c->arena, NULL, 0, 4096, 0);
    conf_diag_init(&c->diag, &c->arena);
    c->bundle = bundle_new(SLICE("/p"));
    assert_non_null(c->bundle);
    bundle_set_resolver(c->bundle, test_resolve, NULL);
    assert_int_equal(bundle_option_set(c->bundle, SLICE("conf-text"), text), OK);
    if (generation_compile(&c->schema, c->bundle, &c->diag, &c->gen) != OK)
        c->gen = NULL;
    return c;
}

static inline void config_free(struct config *c)
{
    if (c->gen)
        generation_unref(c->gen);
    else
        bundle_free(c->bundle);
    arena_done(&c->arena);
    schema_done(&c->schema);
    free(c);
}

/* The configuration of a location of the first server, by its path. */
static inline const struct location *config_location(const struct config *c, slice path)
{
    assert(c->gen);
    const struct http_main *m = c->gen->main[http_feature.id];
    for (const struct location_build *l = m->servers->base.children; l; l = l->next)
        if (slice_eq(l->path, path))
            return l->loc;
    fail_msg("no location %.*s", SLICE_FMT(path));
    return NULL;
}

struct talk {
    struct worker worker;
    struct gen_ref ref;
    struct client client;
    struct listener_conf listener;
    struct exchange x;
    struct log log;
    int log_fd;
};

/* A GET of `target` (origin form) in the location of that path. */
static inline struct talk *talk_new(struct config *c, slice location, slice target)
{
    struct talk *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    struct exchange *x = &t->x;
    struct request *r = &x->req;
    struct uri_path path;
    t->ref = (struct gen_ref){ .gen = c->gen, .users = 1, .current = true };
    t->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(t->log_fd >= 0);
    assert_true(log_add(&t->log, t->log_fd, LEVEL_INFO));
    t->client.fd = -1;
    t->client.listener = &t->listener;
    t->client.peer.in.sin_family = AF_INET;
    t->client.peer.in.sin_addr.s_addr = htonl(0xc0000207); /* 192.0.2.7 */
    arena_init(&x->arena, NULL, 0, 4096, 1 << 20);
    x->w = &t->worker;
    x->gen = &t->ref;
    x->client = &t->client;
    x->log = &t->log;
    x->known = VAR_END;
    r->method = METHOD_GET;
    r->method_text = SLICE("GET");
    r->minor = 1;
    r->target = target;
    r->raw_path = target;
    r->has_query = slice_cut(target, '?', &r->raw_path, &r->query);
    assert_int_equal(uri_path_parse(&x->arena, r->raw_path, true, &path), OK);
    r->path = path.path;
    r->path_changed = path.changed;
    r->normal_path = path.changed ? path.normal : r->raw_path;
    x->pass = (struct pass){ .method = r->method,
                             .method_text = r->method_text,
                             .uri = r->path,
                             .args = r->query,
                             .has_args = r->has_query,
                             .loc = config_location(c, location) };
    assert(x->pass.loc);
    x->server = x->pass.loc->server;
    return t;
}

static inline void talk_free(struct talk *t)
{
    close(t->log_fd);
    arena_done(&t->x.arena);
    free(t);
}

/* What the log holds, NUL-terminated, in the exchange's arena. */
static inline const char *talk_log(struct talk *t)
{
    off_t n = lseek(t->log_fd, 0, SEEK_END);
    char *p = arena_bytes(&t->x.arena, (size_t)n + 1);
    assert_non_null(p);
    assert_int_equal(pread(t->log_fd, p, (size_t)n, 0), n);
    p[n] = '\0';
    return p;
}

static inline void add_field(struct arena *a, struct fields *f, slice name, slice value)
{
    assert_true(fields_add(a, f, (struct field){ .name = name, .value = value, .token = (uint16_t)token_find(name) }));
}

/* "Name: value|Name: value" */
static inline slice show_fields(struct arena *a, const struct fields *f)
{
    slice s = SLICE("");
    for (uint32_t i = 0; i < f->n; i++)
        s = arena_printf(a, "%.*s%s%.*s: %.*s", SLICE_FMT(s), i ? "|" : "", SLICE_FMT(f->v[i].name),
                         SLICE_FMT(f->v[i].value));
    return s;
}

#define assert_slice(got, want)                                                              \
    do {                                                                                     \
        slice got_ = (got);                                                                  \
        slice want_ = SLICE(want);                                                           \
        if (!slice_eq(got_, want_))                                                          \
            fail_msg("line %d: got \"%.*s\", want \"%s\"", __LINE__, SLICE_FMT(got_), want); \
    } while (0)

#endif
