/*
 * Applying: each line of a block finds its directive, is checked against the table, and writes its value.
 */
#include <assert.h>

#include "base/err.h"
#include "base/strb.h"
#include "conf/nearest.h"
#include "conf/nginx_names.h"
#include "conf/schema_priv.h"

static const struct {
    enum conf_context context;
    const char *name;
} context_names[] = {
    { CONF_MAIN, "main" },
    { CONF_EVENTS, "events" },
    { CONF_HTTP, "http" },
    { CONF_SERVER, "server" },
    { CONF_LOCATION, "location" },
    { CONF_UPSTREAM, "upstream" },
    { CONF_SERVER_IF, "if in server" },
    { CONF_LOCATION_IF, "if in location" },
    { CONF_LIMIT_EXCEPT, "limit_except" },
    { CONF_FORWARD, "forward" },
    { CONF_PARENT, "parent" },
};

void contexts_text(struct strb *b, unsigned contexts)
{
    const char *sep = "";
    for (size_t i = 0; i < sizeof(context_names) / sizeof(context_names[0]); i++) {
        if (contexts & context_names[i].context) {
            strb_printf(b, "%s%s", sep, context_names[i].name);
            sep = ", ";
        }
    }
}

unsigned context_of_block(slice name)
{
    for (size_t i = 0; i < sizeof(context_names) / sizeof(context_names[0]); i++) {
        if (slice_eq(name, slice_str(context_names[i].name)))
            return context_names[i].context;
    }
    return name.n ? 0 : CONF_MAIN;
}

/* The name that was meant: the nearest one that may stand here, else the nearest one of all. */
static slice meant(const struct conf_ctx *cf, slice wanted)
{
    const struct schema *s = cf->schema;
    for (int here = 1; here >= 0; here--) {
        struct nearest near;
        nearest_init(&near, wanted);
        for (size_t f = 0; f < s->nfeatures; f++) {
            for (size_t i = 0; i < s->features[f]->ndirectives; i++) {
                const struct directive *d = &s->features[f]->directives[i];
                if (!here || (entry_contexts(s->features[f], d) & cf->context))
                    nearest_offer(&near, slice_str(d->name));
            }
        }
        if (near.best.n)
            return near.best;
    }
    return SLICE_NONE;
}

static int unknown(struct conf_ctx *cf, const struct conf_node *node)
{
    slice hint = nginx_name_hint(cf->arena, node->name), near = hint.n ? SLICE_NONE : meant(cf, node->name);
    if (near.n)
        hint = arena_printf(cf->arena, "did you mean \"%.*s\"?", SLICE_FMT(near));
    conf_diag_add(cf->diag, CONF_EMERG, node->pos, hint, "unknown directive \"%.*s\"", SLICE_FMT(node->name));
    return ERR_SYNTAX;
}

static int not_here(struct conf_ctx *cf, const struct conf_node *node, const struct schema_entry *e)
{
    unsigned contexts = 0;
    struct strb b;
    slice hint = SLICE_NONE;
    for (; e; e = e->next)
        contexts |= entry_contexts(e->feature, e->directive);
    strb_init(&b, 0);
    strb_printf(&b, "it may stand in: ");
    contexts_text(&b, contexts);
    if (!b.failed)
        arena_dup(cf->arena, strb_slice(&b), &hint);
    strb_done(&b);
    conf_diag_add(cf->diag, CONF_EMERG, node->pos, hint, "\"%.*s\" directive is not allowed here",
                  SLICE_FMT(node->name));
    return ERR_SYNTAX;
}

/* Arguments on further lines that are names of directives: the usual sign of a forgotten semicolon. */
static slice missing_semicolon(struct conf_ctx *cf, const struct conf_node *node)
{
    uint32_t line = node->pos.line;
    for (uint32_t i = 0; i < node->nargs; i++) {
        const struct conf_arg *a = &node->args[i];
        if (a->pos.line > line && !a->quoted && map_get(&cf->schema->directives, a->text))
            return arena_printf(cf->arena, "is a \";\" missing at the end of line %u?", line);
        line = a->pos.line;
    }
    return SLICE_NONE;
}

static int check_form(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node)
{
    bool wants_block = d->type == CONF_BLOCK || d->free_block;
    if (wants_block && !node->block)
        return conf_error(cf, node, -1, "directive \"%s\" has no opening \"{\"", d->name);
    if (!wants_block && node->block)
        return conf_error_hint(cf, node, -1, missing_semicolon(cf, node), "directive \"%s\" is not terminated by \";\"",
                               d->name);
    if (node->nargs < d->min_args || (d->max_args != CONF_ANY_ARGS && node->nargs > d->max_args))
        return conf_error_hint(cf, node, -1, missing_semicolon(cf, node),
                               "invalid number of arguments in \"%s\" directive", d->name);
    int r = OK;
    for (const struct conf_node *n = node->children; d->free_block && n; n = n->next) {
        if (n->block)
            r = conf_error(cf, n, -1, "unexpected \"{\"");
    }
    return r;
}

/* A line that tunes what is built otherwise here: said once for each name. */
static int tuning(struct conf_ctx *cf, const struct schema_entry *e, const struct conf_node *node)
{
    const struct directive *d = e->directive;
    int r = map_put(&cf->warned, slice_str(d->name), (void *)d);
    if (r == OK)
        conf_diag_add(cf->diag, CONF_WARN, node->pos, slice_str(d->doc), "\"%s\" directive has no effect", d->name);
    return r == ERR_REFUSED ? OK : r;
}

int directive_run(struct conf_ctx *cf, const struct schema_entry *e, const struct conf_node *node, void *conf)
{
    const struct directive *d = e->directive;
    size_t errors = cf->diag->errors;
    int r = OK;
    if (d->type != CONF_CUSTOM && d->type != CONF_BLOCK)
        r = value_store(cf, d, node, (char *)conf + d->offset);
    if (r == OK && d->set)
        r = d->set(cf, node, conf);
    if (r < 0 && r != ERR_NOMEM && cf->diag->errors == errors)
        conf_error(cf, node, -1, "\"%s\" directive failed: %s", d->name, err_name(r));
    return r;
}

static int write_value(struct conf_ctx *cf, const struct schema_entry *e, const struct conf_node *node)
{
    const struct directive *d = e->directive;
    struct conf_scope *s = cf->scope[d->scope];
    void *conf = NULL;
    assert(s && "a directive whose level nobody entered");
    if (!d->repeat && scope_is_set(s, e->index))
        return conf_error(cf, node, -1, "\"%s\" directive is duplicate", d->name);
    if (e->feature->size[d->scope]) {
        conf = conf_scope_own(cf, s, e->feature);
        if (!conf)
            return ERR_NOMEM;
    }
    int r = directive_run(cf, e, node, conf);
    if (r == OK)
        s->set[e->index / 64] |= (uint64_t)1 << (e->index % 64);
    return r;
}

/* Errors inside a block are those of its own lines: they say nothing about the directive that opens it. */
static int apply_entry(struct conf_ctx *cf, const struct schema_entry *e, const struct conf_node *node)
{
    const struct directive *d = e->directive;
    int r = check_form(cf, d, node);
    bool formed = r == OK;
    if (formed)
        r = d->type == CONF_TUNING ? tuning(cf, e, node) : write_value(cf, e, node);
    if (r < 0 && cf->scope[d->scope] && !(formed && d->type == CONF_BLOCK))
        cf->scope[d->scope]->spoiled[e->feature->id] = true;
    return r;
}

static int apply_node(struct conf_ctx *cf, const struct conf_node *node)
{
    const struct schema_entry *first = map_get(&cf->schema->directives, node->name), *e = first;
    while (e && !(entry_contexts(e->feature, e->directive) & cf->context))
        e = e->next;
    if (!e)
        return first ? not_here(cf, node, first) : unknown(cf, node);
    struct conf_current outer;
    conf_current_set(cf, e, node, &outer);
    int r = apply_entry(cf, e, node);
    conf_current_restore(cf, &outer);
    return r;
}

int conf_apply(struct conf_ctx *cf, const struct conf_node *block, enum conf_context context)
{
    enum conf_context outer = cf->context;
    int result = OK;
    cf->context = context;
    for (const struct conf_node *n = block->children; n; n = n->next) {
        int r = apply_node(cf, n);
        if (r < 0)
            result = r == ERR_NOMEM ? r : ERR_SYNTAX;
        if (r == ERR_NOMEM)
            break;
    }
    cf->context = outer;
    return result;
}
