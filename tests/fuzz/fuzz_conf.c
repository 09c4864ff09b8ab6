/*
 * A configuration from anybody: parsed as the main file of a closed bundle, applied to a schema with every type of
 * value, inherited, its templates evaluated, its messages printed.
 *
 * A byte 0x01 starts a further file: the first after it is "1.conf", then "2.conf" and so on, for includes of each
 * other. The schema's names are nginx's, so that ordinary files reach far.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/schema.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

struct exchange {
    unsigned reads;
};

struct loc {
    bool buffering;
    uint64_t retries, buffer_size, temp_size, timeout, expires, sum;
    uint32_t version, next;
    slice type;
    struct template pass;
    struct template *headers;
    size_t nheaders, ntypes;
};

struct upstream_conf {
    uint64_t keepalive;
};

static int set_header(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct loc *l = conf;
    struct template *t = arena_new_n(cf->arena, struct template, l->nheaders + 1);
    if (!t)
        return ERR_NOMEM;
    if (l->nheaders)
        memcpy(t, l->headers, l->nheaders * sizeof(*t));
    int r = template_compile(cf, &node->args[1], &t[l->nheaders]);
    if (r < 0)
        return r;
    l->headers = t;
    l->nheaders++;
    return OK;
}

static int set_types(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct loc *l = conf;
    for (const struct conf_node *n = node->children; n; n = n->next) {
        CHECK(!n->block);
        if (n->nargs == 0)
            return conf_error(cf, n, -1, "no extension for \"%.*s\"", SLICE_FMT(n->name));
        l->ntypes += n->nargs;
    }
    return OK;
}

static int set_set(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct template t;
    slice name = node->args[0].text;
    if (name.n == 0 || name.p[0] != '$')
        return conf_error(cf, node, 0, "invalid variable name \"%.*s\"", SLICE_FMT(name));
    struct var *v = var_declare(cf, slice_from(name, 1), &node->args[0]);
    int r = template_compile(cf, &node->args[1], &t);
    if (!v || r < 0)
        return ERR_SYNTAX;
    v->client |= template_client(&t);
    return OK;
}

static int set_pair(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct loc *l = conf;
    l->sum = node->args[0].text.n + node->args[1].text.n;
    return OK;
}

static int check_retries(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    const struct loc *l = conf;
    return l->retries == 13 ? conf_error(cf, node, 0, "not 13") : OK;
}

/* Levels wait here until all is read: merging one merges its outer levels, which then take no further value. */
static struct conf_scope *waiting[256];
static size_t nwaiting;

static int apply_block(struct conf_ctx *cf, const struct conf_node *node, enum conf_scope_kind kind,
                       enum conf_context context)
{
    struct conf_scope *s = conf_scope_enter(cf, kind, node);
    if (!s)
        return ERR_NOMEM;
    int r = conf_apply(cf, node, context);
    conf_scope_leave(cf, s);
    if (nwaiting < sizeof(waiting) / sizeof(waiting[0]))
        waiting[nwaiting++] = s;
    return r;
}

static int set_http(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return apply_block(cf, node, SCOPE_LOCATION, CONF_HTTP);
}

static int set_server(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return apply_block(cf, node, SCOPE_LOCATION, CONF_SERVER);
}

static int set_location(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return apply_block(cf, node, SCOPE_LOCATION, CONF_LOCATION);
}

static int set_upstream(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return apply_block(cf, node, SCOPE_UPSTREAM, CONF_UPSTREAM);
}

static int set_events(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return conf_apply(cf, node, CONF_EVENTS);
}

static int set_anything(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    for (uint32_t i = 0; i < node->nargs; i++)
        CHECK(node->args[i].text.p[node->args[i].text.n] == '\0');
    return OK;
}

static int get_nothing(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND;
}

static const struct conf_value versions[] = { { "1.0", 10 }, { "1.1", 11 }, { "2", 20 }, { NULL, 0 } };
static const struct conf_value causes[] = {
    { "error", 1 }, { "timeout", 2 }, { "http_500", 4 }, { "off", 0 }, { NULL, 0 }
};

enum { HSL = CONF_HTTP | CONF_SERVER | CONF_LOCATION };

#define TYPED(NAME, TYPE, FIELD, DEF, ...)                                                                  \
    {                                                                                                       \
        .name = NAME, .contexts = HSL, .min_args = 1, .max_args = 1, .type = TYPE, .scope = SCOPE_LOCATION, \
        .offset = offsetof(struct loc, FIELD), .def = DEF, .usage = NAME " VALUE;", .doc = ".", __VA_ARGS__ \
    }
#define BLOCK(NAME, CONTEXTS, MIN, MAX, SET)                                                                  \
    {                                                                                                         \
        .name = NAME, .contexts = CONTEXTS, .min_args = MIN, .max_args = MAX, .type = CONF_BLOCK, .set = SET, \
        .repeat = true, .usage = NAME " { ... }", .doc = "."                                                  \
    }
#define LINE(NAME, CONTEXTS, MIN, MAX, SCOPE, SET, ...)                                                            \
    {                                                                                                              \
        .name = NAME, .contexts = CONTEXTS, .min_args = MIN, .max_args = MAX, .type = CONF_CUSTOM, .scope = SCOPE, \
        .set = SET, .usage = NAME " VALUE ...;", .doc = ".", __VA_ARGS__                                           \
    }

static const struct directive directives[] = {
    BLOCK("events", CONF_MAIN, 0, 0, set_events),
    BLOCK("http", CONF_MAIN, 0, 0, set_http),
    BLOCK("server", CONF_HTTP, 0, 0, set_server),
    BLOCK("location", CONF_SERVER | CONF_LOCATION, 1, 2, set_location),
    BLOCK("upstream", CONF_HTTP, 1, 1, set_upstream),
    LINE("user", CONF_MAIN, 1, 2, SCOPE_MAIN, set_anything, .repeat = false),
    LINE("server", CONF_UPSTREAM, 1, CONF_ANY_ARGS, SCOPE_UPSTREAM, set_anything, .repeat = true),
    LINE("listen", CONF_SERVER, 1, CONF_ANY_ARGS, SCOPE_LOCATION, set_anything, .repeat = true),
    LINE("log_format", CONF_HTTP, 2, CONF_ANY_ARGS, SCOPE_LOCATION, set_anything, .repeat = true),
    LINE("proxy_set_header", HSL, 2, 2, SCOPE_LOCATION, set_header, .repeat = true,
         .offset = offsetof(struct loc, headers), .size = sizeof(struct template *) + sizeof(size_t)),
    LINE("types", HSL, 0, 0, SCOPE_LOCATION, set_types, .free_block = true, .offset = offsetof(struct loc, ntypes),
         .size = sizeof(size_t)),
    LINE("set", CONF_SERVER | CONF_LOCATION, 2, 2, SCOPE_LOCATION, set_set, .repeat = true),
    LINE("proxy_buffers", HSL, 2, 2, SCOPE_LOCATION, set_pair, .offset = offsetof(struct loc, sum),
         .size = sizeof(uint64_t), .def = "8 4k"),
    TYPED("proxy_buffering", CONF_FLAG, buffering, "on", .min = 0),
    TYPED("proxy_next_upstream_tries", CONF_NUM, retries, "3", .max = 100, .set = check_retries),
    TYPED("proxy_buffer_size", CONF_SIZE, buffer_size, "4k", .min = 1024, .max = 1048576),
    TYPED("proxy_max_temp_file_size", CONF_OFFSET, temp_size, "0", .min = 0),
    TYPED("proxy_read_timeout", CONF_MSEC, timeout, "60s", .min = 1),
    TYPED("expires", CONF_SEC, expires, "1h", .min = 0),
    TYPED("proxy_http_version", CONF_ENUM, version, "1.1", .values = versions),
    TYPED("default_type", CONF_STRING, type, "text/plain", .min = 0),
    TYPED("proxy_pass", CONF_TEMPLATE, pass, "http://$host", .min = 0),
    { .name = "proxy_next_upstream",
      .contexts = HSL,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_BITS,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct loc, next),
      .values = causes,
      .def = "error timeout",
      .usage = "proxy_next_upstream CAUSE ...;",
      .doc = "." },
    { .name = "keepalive",
      .contexts = CONF_UPSTREAM,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_UPSTREAM,
      .offset = offsetof(struct upstream_conf, keepalive),
      .def = "32",
      .usage = "keepalive N;",
      .doc = "." },
    { .name = "sendfile",
      .contexts = HSL,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_TUNING,
      .usage = "sendfile FLAG;",
      .doc = "." },
    { .name = "worker_connections",
      .contexts = CONF_EVENTS,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_TUNING,
      .usage = "worker_connections N;",
      .doc = "." },
};

static const struct var_def vars[] = {
    { .name = "host", .get = get_nothing, .doc = ".", .client = true },
    { .name = "remote_addr", .get = get_nothing, .doc = "." },
    { .name = "1", .get = get_nothing, .doc = ".", .client = true },
    { .name = "http_", .prefix = true, .get = get_nothing, .doc = ".", .client = true },
};

static int finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent)
{
    if (kind != SCOPE_LOCATION)
        return OK;
    const struct loc *l = conf;
    if (cf->diag->errors == 0)
        CHECK(l->buffer_size >= 1024 && l->buffer_size <= 1048576 && l->timeout >= 1 && l->retries <= 100);
    return OK;
}

static struct feature feature = {
    .name = "fuzz",
    .doc = ".",
    .directives = directives,
    .ndirectives = sizeof(directives) / sizeof(directives[0]),
    .vars = vars,
    .nvars = sizeof(vars) / sizeof(vars[0]),
    .size = { [SCOPE_LOCATION] = sizeof(struct loc), [SCOPE_UPSTREAM] = sizeof(struct upstream_conf) },
    .finish = finish,
};
static struct feature *const features[] = { &feature };
static struct schema schema;

static struct bundle *make_bundle(slice input)
{
    slice head = input, rest = SLICE_NONE;
    char name[32] = "main.conf";
    struct bundle *b = bundle_new(SLICE("/p"));
    CHECK(b);
    for (int i = 1; i < 8; i++) {
        bool more = slice_cut(input, '\1', &head, &rest);
        CHECK(bundle_file_set(b, slice_str(name), more ? head : input) == OK);
        if (!more)
            break;
        input = rest;
        snprintf(name, sizeof(name), "%d.conf", i);
    }
    bundle_close(b);
    return b;
}

/* Sums what messages print, so that none of it goes unread. */
static void print_messages(struct arena *a, const struct conf_diag *d)
{
    for (const struct conf_message *m = d->first; m; m = m->next) {
        slice text = conf_message_text(a, m);
        CHECK(text.p && text.n > 6);
        for (size_t i = 0; i < text.n; i++)
            CHECK((unsigned char)text.p[i] >= 0x20 || text.p[i] == '\n' || text.p[i] == '\t');
    }
}

static int lookup(struct exchange *x, const struct var *v, slice *out)
{
    x->reads++;
    CHECK(v->def || v->settable);
    *out = v->name;
    return v->index % 3 ? OK : ERR_NOTFOUND;
}

static void apply(struct arena *a, struct bundle *b, struct conf_diag *d, const struct conf_node *root)
{
    struct conf_ctx cf;
    struct exchange x = { 0 };
    nwaiting = 0;
    CHECK(conf_ctx_init(&cf, &schema, a, b, d) == OK);
    int r = conf_apply(&cf, root, CONF_MAIN);
    CHECK(conf_scope_merge(&cf, cf.scope[SCOPE_MAIN]) == OK);
    for (size_t i = 0; i < nwaiting; i++)
        CHECK(conf_scope_merge(&cf, waiting[i]) == OK && waiting[i]->conf[feature.id]);
    CHECK(vars_check(&cf) == OK || d->errors > 0);
    CHECK(r == OK || (r == ERR_SYNTAX && d->errors > 0));
    for (const struct conf_node *n = root->children; n; n = n->next) {
        struct template t;
        slice out;
        if (d->errors || n->nargs == 0)
            break;
        if (template_compile(&cf, &n->args[0], &t) == OK && vars_check(&cf) == OK)
            CHECK(template_eval(&t, &x, lookup, a, &out) == OK);
    }
    conf_ctx_done(&cf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct conf_diag d;
    struct conf_node *root = NULL;
    if (!schema.nfeatures)
        CHECK(schema_init(&schema, features, 1) == OK);
    arena_init(&a, NULL, 0, 4096, 0);
    conf_diag_init(&d, &a);
    struct bundle *b = make_bundle(slice_of((const char *)data, size));
    int r = conf_parse(&a, b, &d, SLICE("main.conf"), &root, NULL);
    CHECK(root && (r == OK) == (d.errors == 0));
    apply(&a, b, &d, root);
    print_messages(&a, &d);
    bundle_free(b);
    arena_done(&a);
    return 0;
}
