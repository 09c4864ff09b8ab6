/*
 * Lenient reading (--lenient): what a file must have meant that nginx refuses because a line stands too far out.
 *
 * Documentation is full of servers without their http block and locations without their server. A directive that may
 * not stand where it stands, but may stand further in, is moved into the block around it that is missing: http,
 * server, or location /. Each repair is told. Nothing that may stand where it stands is moved, and nothing is
 * guessed that the directive tables do not say.
 */
#include "base/attr.h"
#include "base/err.h"
#include "conf/schema_priv.h"

/* The blocks that can be missing, outer ones first. */
static const struct level {
    enum conf_context context;
    slice inner; /* the block around what stands one level further in */
    bool named;  /* that block has an argument: / */
} levels[] = {
    { CONF_MAIN, { "http", 4 }, false },
    { CONF_HTTP, { "server", 6 }, false },
    { CONF_SERVER, { "location", 8 }, true },
    { CONF_LOCATION, { NULL, 0 }, false },
};

enum { LEVELS = sizeof(levels) / sizeof(levels[0]) };

static unsigned contexts_of(const struct conf_ctx *cf, slice name)
{
    unsigned contexts = 0;
    for (const struct schema_entry *e = map_get(&cf->schema->directives, name); e; e = e->next)
        contexts |= e->directive->contexts;
    return contexts;
}

static bool belongs_further_in(const struct conf_ctx *cf, const struct conf_node *n, size_t level)
{
    unsigned contexts = contexts_of(cf, n->name), further = 0;
    for (size_t i = level + 1; i < LEVELS; i++)
        further |= levels[i].context;
    return !(contexts & levels[level].context) && (contexts & further);
}

static struct conf_node *find_block(const struct conf_node *parent, slice name)
{
    struct conf_node *n = parent->children;
    while (n && !(n->block && slice_eq(n->name, name)))
        n = n->next;
    return n;
}

static void append(struct conf_node *parent, struct conf_node *n)
{
    struct conf_node **at = &parent->children;
    while (*at)
        at = &(*at)->next;
    *at = n;
    n->next = NULL;
    n->parent = parent;
}

static struct conf_node *block_new(struct conf_ctx *cf, const struct level *l, const struct conf_node *first)
{
    struct conf_node *n = arena_new(cf->arena, struct conf_node);
    if (!n)
        return NULL;
    n->name = l->inner;
    n->pos = first->pos;
    n->block = true;
    if (!l->named)
        return n;
    n->args = arena_new(cf->arena, struct conf_arg);
    if (!n->args)
        return NULL;
    n->args[0] = (struct conf_arg){ .text = SLICE("/"), .pos = first->pos };
    n->nargs = 1;
    return n;
}

static bool has_root_location(const struct conf_node *server)
{
    for (const struct conf_node *n = server->children; n; n = n->next) {
        if (slice_eq(n->name, SLICE("location")) && n->nargs == 1 && slice_eq(n->args[0].text, SLICE("/")))
            return true;
    }
    return false;
}

/* A line that could belong to a location / that is there already stays: which of the two was meant is not known. */
static bool ambiguous(const struct conf_node *parent, size_t level)
{
    return levels[level].context == CONF_SERVER && has_root_location(parent);
}

static void tell(struct conf_ctx *cf, const struct conf_node *n, const struct level *l)
{
    conf_diag_add(cf->diag, CONF_NOTICE, n->pos, SLICE_NONE, "\"%.*s\" is read as if it stood in \"%.*s%s { }\"",
                  SLICE_FMT(n->name), SLICE_FMT(l->inner), l->named ? " /" : "");
}

/* Moves what belongs further in one level inwards. Only http exists once; other blocks that are there are complete. */
static int sink(struct conf_ctx *cf, struct conf_node *parent, size_t level)
{
    const struct level *l = &levels[level];
    struct conf_node *into = levels[level].context == CONF_MAIN ? find_block(parent, l->inner) : NULL, *made = NULL;
    if (ambiguous(parent, level))
        return OK;
    for (struct conf_node **at = &parent->children; *at;) {
        struct conf_node *n = *at;
        if (n == into || n == made || !belongs_further_in(cf, n, level)) {
            at = &n->next;
            continue;
        }
        if (!into && !(into = made = block_new(cf, l, n)))
            return ERR_NOMEM;
        tell(cf, n, l);
        *at = n->next;
        append(into, n);
    }
    if (made)
        append(parent, made);
    return OK;
}

/* Levels from the outside in, so that what was moved is looked at again where it is now. */
static int sink_blocks(struct conf_ctx *cf, struct conf_node *parent, size_t level)
{
    int rc = sink(cf, parent, level);
    if (level + 2 >= LEVELS)
        return rc;
    for (struct conf_node *n = parent->children; rc == OK && n; n = n->next) {
        if (n->block && slice_eq(n->name, levels[level].inner))
            rc = sink_blocks(cf, n, level + 1);
    }
    return rc;
}

/* nginx refuses a file without one, however empty. */
static int add_events(struct conf_ctx *cf, struct conf_node *root)
{
    if (find_block(root, SLICE("events")))
        return OK;
    struct conf_node *n = arena_new(cf->arena, struct conf_node);
    if (!n)
        return ERR_NOMEM;
    n->name = SLICE("events");
    n->pos = root->pos;
    n->block = true;
    append(root, n);
    conf_diag_add(cf->diag, CONF_NOTICE, root->pos, SLICE_NONE,
                  "no \"events\" section in configuration: \"events { }\" is assumed");
    return OK;
}

int conf_lenient(struct conf_ctx *cf, struct conf_node *root)
{
    int rc = add_events(cf, root);
    return rc == OK ? sink_blocks(cf, root, 0) : rc;
}
