/*
 * What the fuzzers of map and geo share: the input becomes the inside of a block, and its variable is read for texts
 * taken from the input, against a plain reading of the block's lines.
 */
#ifndef FUZZ_BLOCK_WORLD_H
#define FUZZ_BLOCK_WORLD_H

#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "http/exchange.h"
#include "policy/derived.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

/* SCOPE_MAIN: `block` is the map or geo, `show` a template. */
struct world_conf {
    const struct conf_node *block;
    struct template show;
};

static slice world_key; /* what $key gives */

static int get_key(struct exchange *x, const struct var *v, slice *out)
{
    *out = world_key;
    return OK;
}

static int http_block(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    ((struct world_conf *)conf)->block = node->children;
    return conf_apply(cf, node, CONF_HTTP);
}

static const struct directive world_directives[] = {
    { .name = "http",
      .contexts = CONF_MAIN,
      .type = CONF_BLOCK,
      .scope = SCOPE_MAIN,
      .set = http_block,
      .usage = "http { ... }",
      .doc = "." },
    { .name = "show",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_TEMPLATE,
      .scope = SCOPE_MAIN,
      .offset = offsetof(struct world_conf, show),
      .usage = "show TEXT;",
      .doc = "." },
};
static const struct var_def world_vars[] = {
    { .name = "key", .get = get_key, .doc = "." },
    { .name = "1", .get = get_key, .doc = "." },
};
static struct feature world_feature = {
    .name = "world",
    .doc = ".",
    .directives = world_directives,
    .ndirectives = array_len(world_directives),
    .vars = world_vars,
    .nvars = array_len(world_vars),
    .size = { [SCOPE_MAIN] = sizeof(struct world_conf) },
};
static struct feature *const world_features[] = { &world_feature, &derived_feature, &map_feature, &geo_feature,
                                                  &split_clients_feature };

struct world {
    struct arena arena;
    struct conf_diag diag;
    struct generation *gen; /* NULL: refused, with a message */
    const struct world_conf *conf;
};

static inline void world_open(struct world *w, const char *head, slice input)
{
    static struct schema schema;
    if (!schema.nfeatures)
        CHECK(schema_init(&schema, world_features, array_len(world_features)) == OK);
    *w = (struct world){ 0 };
    arena_init(&w->arena, NULL, 0, 4096, 0);
    conf_diag_init(&w->diag, &w->arena);
    struct bundle *b = bundle_new(SLICE("/p"));
    slice text = arena_printf(&w->arena, "http { %s {\n%.*s\n} } show $v;", head, SLICE_FMT(input));
    CHECK(b && text.p && bundle_option_set(b, SLICE("conf-text"), text) == OK);
    bundle_close(b);
    int rc = generation_compile(&schema, b, &w->diag, &w->gen);
    if (rc != OK) {
        CHECK(rc == ERR_SYNTAX && w->diag.errors);
        bundle_free(b);
        w->gen = NULL;
        return;
    }
    w->conf = w->gen->main[world_feature.id];
}

static inline void world_close(struct world *w)
{
    if (w->gen)
        generation_unref(w->gen);
    arena_done(&w->arena);
}

/* Reads the variable for one text, twice: the second time it is kept. */
static inline slice world_read(struct world *w, slice key)
{
    static struct log silent;
    struct exchange x = { 0 };
    struct client client = { .fd = -1 };
    struct gen_ref ref = { .gen = w->gen, .users = 1, .current = true };
    slice first, second, out;
    arena_init(&x.arena, NULL, 0, 1024, 0);
    client.peer.in.sin_family = AF_INET;
    x.gen = &ref;
    x.client = &client;
    x.log = &silent;
    x.known = VAR_END;
    world_key = key;
    CHECK(exchange_eval(&x, &w->conf->show, &first) == OK);
    CHECK(exchange_eval(&x, &w->conf->show, &second) == OK && slice_eq(first, second));
    CHECK(arena_dup(&w->arena, first, &out));
    arena_done(&x.arena);
    return out;
}

/* The words of the input, one after the other. */
static inline bool next_word(slice *rest, slice *word)
{
    static const char ends[] = " \t\r\n;{}\"'";
    size_t from = 0;
    while (from < rest->n && memchr(ends, rest->p[from], sizeof(ends)))
        from++;
    size_t to = from;
    while (to < rest->n && !memchr(ends, rest->p[to], sizeof(ends)))
        to++;
    *word = slice_of(rest->p + from, to - from);
    *rest = slice_from(*rest, to);
    return word->n > 0;
}

#endif
