#include "policy/types.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "conf/generation.h"

struct type {
    slice name;
};

struct type_map {
    struct map by_extension; /* -> struct type; letter case does not count */
    struct gen_cleanup cleanup;
};

/* SCOPE_LOCATION */
struct types {
    struct type_map *map;
    slice fallback;
};

/* What stands behind the last '.' of the last segment; empty when there is none (nginx: r->exten). */
static slice extension(slice path)
{
    ptrdiff_t slash = slice_rfind(path, '/'), dot = slice_rfind(path, '.');
    return dot > slash ? slice_from(path, (size_t)dot + 1) : SLICE_NONE;
}

slice types_of(const struct exchange *x)
{
    const struct types *t = exchange_conf(x, &types_feature);
    slice ext = extension(x->pass.uri);
    const struct type *found = ext.n ? map_get(&t->map->by_extension, ext) : NULL;
    return found ? found->name : t->fallback;
}

/* ---- directives ---- */

static void type_map_cleanup(struct gen_cleanup *c)
{
    map_done(&container_of(c, struct type_map, cleanup)->by_extension);
}

static struct type_map *type_map_new(struct conf_ctx *cf)
{
    struct type_map *m = arena_new(cf->arena, struct type_map);
    if (!m)
        return NULL;
    map_init(&m->by_extension, true);
    generation_cleanup(cf->gen, &m->cleanup, type_map_cleanup);
    return m;
}

static int add_type(struct conf_ctx *cf, const struct conf_node *line, struct type_map *m)
{
    struct type *t = arena_new(cf->arena, struct type);
    if (!t)
        return ERR_NOMEM;
    t->name = line->name;
    for (uint32_t i = 0; i < line->nargs; i++) {
        int rc = map_put(&m->by_extension, line->args[i].text, t);
        if (rc == ERR_REFUSED) {
            const struct type *before = map_get(&m->by_extension, line->args[i].text);
            conf_diag_add(cf->diag, CONF_WARN, line->args[i].pos, SLICE("the first one counts"),
                          "duplicate extension \"%.*s\", content type: \"%.*s\", previous content type: \"%.*s\"",
                          SLICE_FMT(line->args[i].text), SLICE_FMT(t->name), SLICE_FMT(before->name));
        } else if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

static int set_types(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct types *t = conf;
    if (!t->map)
        t->map = type_map_new(cf);
    if (!t->map)
        return ERR_NOMEM;
    for (const struct conf_node *line = node->children; line; line = line->next) {
        if (line->block || line->nargs == 0)
            return conf_error(cf, node, -1, "a line of \"types\" is a type and its extensions, not \"%.*s\"",
                              SLICE_FMT(line->name));
        int rc = add_type(cf, line, t->map);
        if (rc != OK)
            return rc;
    }
    return OK;
}

/* What is known when no level has a `types` block; the same three as in nginx. */
static int builtin(struct conf_ctx *cf, struct types *t)
{
    static struct type html = { SLICE("text/html") }, gif = { SLICE("image/gif") }, jpeg = { SLICE("image/jpeg") };
    t->map = type_map_new(cf);
    if (!t->map || map_put(&t->map->by_extension, SLICE("html"), &html) != OK ||
        map_put(&t->map->by_extension, SLICE("gif"), &gif) != OK ||
        map_put(&t->map->by_extension, SLICE("jpg"), &jpeg) != OK)
        return ERR_NOMEM;
    return OK;
}

static int types_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                        const void *parent)
{
    struct types *t = conf;
    return kind == SCOPE_LOCATION && !t->map ? builtin(cf, t) : OK;
}

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

static const struct directive directives[] = {
    {
        .name = "types",
        .contexts = HSL,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .free_block = true,
        .offset = offsetof(struct types, map),
        .size = sizeof(struct type_map *),
        .set = set_types,
        .usage = "types { TYPE EXTENSION ...; ... }",
        .doc =
            "Content types by extension. A level that has it inherits nothing of outer levels. Without any: html, gif "
            "and jpg.",
    },
    {
        .name = "default_type",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_STRING,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct types, fallback),
        .def = "text/plain",
        .usage = "default_type TYPE;",
        .doc = "The type of answers whose path has no extension that `types` knows.",
    },
};

struct feature types_feature = {
    .name = "types",
    .doc = "Content types of answers made here.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct types) },
    .finish = types_finish,
};
