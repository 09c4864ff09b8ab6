/*
 * The `location` block: its modifier and path, and where it may stand; messages are nginx's. And the blocks that look
 * like locations to the configuration alone (LOCATION_INSIDE).
 */
#include "base/err.h"
#include "proxy/http_block.h"

static int set_regex(struct conf_ctx *cf, const struct conf_node *node, int arg, slice pattern, bool icase,
                     struct location_build *l)
{
    l->kind = LOCATION_REGEX;
    l->path = pattern;
    l->icase = icase;
    return match_compile(cf, node, arg, pattern, icase, &l->match);
}

/* location MODIFIER PATH */
static int parse_two(struct conf_ctx *cf, const struct conf_node *node, struct location_build *l)
{
    slice modifier = node->args[0].text, path = node->args[1].text;
    l->path = path;
    if (slice_eq(modifier, SLICE("="))) {
        l->kind = LOCATION_EXACT;
    } else if (slice_eq(modifier, SLICE("^~"))) {
        l->kind = LOCATION_PREFIX;
        l->noregex = true;
    } else if (slice_eq(modifier, SLICE("~")) || slice_eq(modifier, SLICE("~*"))) {
        return set_regex(cf, node, 1, path, modifier.n == 2, l);
    } else {
        return conf_error(cf, node, 0, "invalid location modifier \"%.*s\"", SLICE_FMT(modifier));
    }
    return OK;
}

/* location PATH, @NAME, or a path with its modifier written without a space */
static int parse_one(struct conf_ctx *cf, const struct conf_node *node, struct location_build *l)
{
    slice s = node->args[0].text;
    l->kind = LOCATION_PREFIX;
    l->path = s;
    if (slice_starts(s, SLICE("="))) {
        l->kind = LOCATION_EXACT;
        l->path = slice_from(s, 1);
    } else if (slice_starts(s, SLICE("^~"))) {
        l->noregex = true;
        l->path = slice_from(s, 2);
    } else if (slice_starts(s, SLICE("~*"))) {
        return set_regex(cf, node, 0, slice_from(s, 2), true, l);
    } else if (slice_starts(s, SLICE("~"))) {
        return set_regex(cf, node, 0, slice_from(s, 1), false, l);
    } else if (slice_starts(s, SLICE("@"))) {
        l->kind = LOCATION_NAMED;
        l->path = slice_from(s, 1);
    }
    return OK;
}

/* What the enclosing location allows. */
static int check_place(struct conf_ctx *cf, const struct conf_node *node, const struct location_build *l)
{
    const struct location_build *outer = l->parent;
    slice name = l->loc->name, around = outer->loc->name;
    if (outer->kind == LOCATION_BASE)
        return OK;
    if (outer->kind == LOCATION_EXACT)
        return conf_error(cf, node, 0, "location \"%.*s\" cannot be inside the exact location \"%.*s\"",
                          SLICE_FMT(name), SLICE_FMT(outer->path));
    if (outer->kind == LOCATION_NAMED)
        return conf_error(cf, node, 0, "location \"%.*s\" cannot be inside the named location \"%.*s\"",
                          SLICE_FMT(name), SLICE_FMT(around));
    if (l->kind == LOCATION_NAMED)
        return conf_error(cf, node, 0, "named location \"%.*s\" can be on the server level only", SLICE_FMT(name));
    if (l->kind != LOCATION_REGEX && !slice_starts(l->path, outer->path))
        return conf_error(cf, node, 0, "location \"%.*s\" is outside location \"%.*s\"", SLICE_FMT(l->path),
                          SLICE_FMT(outer->path));
    return OK;
}

static struct location_build *location_new(struct conf_ctx *cf, struct http_main *m, const struct conf_node *node)
{
    struct location_build *l = arena_new(cf->arena, struct location_build);
    if (!l)
        return NULL;
    l->loc = arena_new(cf->arena, struct location);
    if (!l->loc)
        return NULL;
    l->node = node;
    l->parent = m->location;
    l->children_end = &l->children;
    l->loc->server = m->server->server;
    l->loc->pos = node->pos;
    return l;
}

struct location *conf_inside_enter(struct conf_ctx *cf, const struct conf_node *node)
{
    struct http_main *m = http_main_of(cf);
    struct location_build *l = m ? location_new(cf, m, node) : NULL;
    if (!l)
        return NULL;
    l->kind = LOCATION_INSIDE;
    l->loc->name = l->parent->loc->name;
    l->scope = conf_scope_enter(cf, SCOPE_LOCATION, node);
    if (!l->scope)
        return NULL;
    *l->parent->children_end = l;
    l->parent->children_end = &l->next;
    m->location = l;
    return l->loc;
}

void conf_inside_leave(struct conf_ctx *cf)
{
    struct http_main *m = http_main_of(cf);
    struct location_build *l = m->location;
    conf_scope_leave(cf, l->scope);
    m->location = l->parent;
}

int location_block(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct http_main *m = http_main_of(cf);
    enum conf_context outer = cf->context;
    struct location_build *l = m ? location_new(cf, m, node) : NULL;
    if (!l)
        return ERR_NOMEM;
    int rc = node->nargs == 2 ? parse_two(cf, node, l) : parse_one(cf, node, l);
    if (rc == ERR_NOMEM)
        return rc;
    l->loc->name = l->kind == LOCATION_NAMED ? node->args[0].text : l->path;
    int place = rc == OK ? check_place(cf, node, l) : rc;
    l->scope = conf_scope_enter(cf, SCOPE_LOCATION, node);
    if (!l->scope)
        return ERR_NOMEM;
    m->location = l;
    rc = conf_apply(cf, node, CONF_LOCATION);
    m->location = l->parent;
    conf_scope_leave(cf, l->scope);
    cf->context = outer;
    if (place != OK)
        return place;
    *l->parent->children_end = l;
    l->parent->children_end = &l->next;
    return rc;
}
