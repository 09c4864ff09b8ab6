/*
 * Inheritance: what a level did not set it takes from the outer level, the outermost from the defaults. A feature of
 * which a level set nothing shares the outer level's struct, and finish runs once for each struct that is there.
 */
#include <assert.h>

#include "base/err.h"
#include "conf/lex.h"
#include "conf/schema_priv.h"

/* The default of a directive as a node: the text of the manual, read like any other line. */
static int default_node(struct conf_ctx *cf, const struct directive *d, struct conf_node **out)
{
    struct lexer lx;
    struct conf_arg args[16];
    struct conf_node *n = arena_new(cf->arena, struct conf_node);
    slice text = arena_printf(cf->arena, "%s;", d->def);
    if (!n || !text.p)
        return ERR_NOMEM;
    struct conf_file file = { .text = text, .given = true };
    enum lex_kind k;
    lex_init(&lx, cf->arena, &file);
    while ((k = lex_next(&lx)) == LEX_WORD) {
        assert(n->nargs < sizeof(args) / sizeof(args[0]));
        lx.word.pos = (struct conf_pos){ 0 };
        args[n->nargs++] = lx.word;
    }
    if (k == LEX_NOMEM)
        return ERR_NOMEM;
    assert(k == LEX_SEMICOLON && n->nargs >= d->min_args);
    n->name = slice_str(d->name);
    n->args = arena_new_n(cf->arena, struct conf_arg, n->nargs + 1);
    if (!n->args)
        return ERR_NOMEM;
    memcpy(n->args, args, n->nargs * sizeof(args[0]));
    *out = n;
    return OK;
}

static enum conf_context outermost_context(enum conf_scope_kind kind)
{
    switch (kind) {
    case SCOPE_MAIN:
        return CONF_MAIN;
    case SCOPE_UPSTREAM:
        return CONF_UPSTREAM;
    default:
        return CONF_HTTP;
    }
}

static int apply_default(struct conf_ctx *cf, struct conf_scope *s, const struct schema_entry *e, void *conf)
{
    struct conf_scope *current = cf->scope[s->kind];
    enum conf_context context = cf->context;
    struct conf_node *node;
    int r = default_node(cf, e->directive, &node);
    if (r < 0)
        return r;
    struct conf_current outer;
    cf->scope[s->kind] = s;
    cf->context = outermost_context(s->kind);
    conf_current_set(cf, e, node, &outer);
    r = directive_run(cf, e, node, conf);
    conf_current_restore(cf, &outer);
    cf->scope[s->kind] = current;
    cf->context = context;
    return r;
}

/* Two names may write to one slot (an old and a new one); then one that is set speaks for both. */
static bool slot_is_set(const struct conf_scope *s, const struct feature *f, const struct directive *d)
{
    for (size_t i = 0; i < f->ndirectives; i++) {
        const struct directive *o = &f->directives[i];
        if (o->scope == d->scope && directive_slot(o) && o->offset == d->offset &&
            scope_is_set(s, f->first_index + (unsigned)i))
            return true;
    }
    return false;
}

static int inherit_slot(struct conf_ctx *cf, struct conf_scope *s, const struct feature *f, size_t i, void *conf,
                        const void *parent)
{
    const struct directive *d = &f->directives[i];
    if (d->scope != s->kind || d->type == CONF_TUNING || slot_is_set(s, f, d))
        return OK;
    if (scope_is_set(s, f->first_index + (unsigned)i))
        return OK;
    if (parent) {
        if (directive_slot(d))
            memcpy((char *)conf + d->offset, (const char *)parent + d->offset, directive_slot(d));
        return OK;
    }
    if (!d->def)
        return OK;
    const struct schema_entry e = { d, f, f->first_index + (unsigned)i, NULL };
    return apply_default(cf, s, &e, conf);
}

/* What was refused around a level, or in the feature's main struct, is missing in it too. */
static bool is_spoiled(const struct conf_ctx *cf, const struct conf_scope *s, const struct feature *f)
{
    return s->spoiled[f->id] || (s->parent && s->parent->spoiled[f->id]) || cf->scope[SCOPE_MAIN]->spoiled[f->id];
}

static int finish_feature(struct conf_ctx *cf, struct conf_scope *s, const struct feature *f, void *conf,
                          const void *parent)
{
    if (!f->finish || (s->spoiled[f->id] && !f->finish_spoiled))
        return OK;
    cf->spoiled = s->spoiled[f->id];
    int r = f->finish(cf, s->kind, s->node, conf, parent);
    cf->spoiled = false;
    s->spoiled[f->id] = s->spoiled[f->id] || r < 0;
    return r;
}

static int merge_feature(struct conf_ctx *cf, struct conf_scope *s, const struct feature *f)
{
    const void *parent = s->parent ? s->parent->conf[f->id] : NULL;
    int result = OK;
    s->spoiled[f->id] = is_spoiled(cf, s, f);
    if (!s->conf[f->id] && parent && (!f->shared || f->shared(parent))) {
        s->conf[f->id] = (void *)parent;
        return OK;
    }
    if (!s->conf[f->id])
        s->conf[f->id] = arena_zalloc(cf->arena, f->size[s->kind]);
    void *conf = s->conf[f->id];
    if (!conf)
        return ERR_NOMEM;
    for (size_t i = 0; i < f->ndirectives; i++) {
        int r = inherit_slot(cf, s, f, i, conf, parent);
        if (r < 0)
            result = r;
        if (r == ERR_NOMEM)
            return r;
    }
    int r = finish_feature(cf, s, f, conf, parent);
    return r < 0 ? r : result;
}

static int merge_level(struct conf_ctx *cf, struct conf_scope *s)
{
    int result = OK;
    for (size_t i = 0; i < cf->schema->nfeatures; i++) {
        const struct feature *f = cf->schema->features[i];
        int r = f->size[s->kind] ? merge_feature(cf, s, f) : OK;
        if (r == ERR_NOMEM)
            return r;
        if (r < 0)
            result = ERR_SYNTAX;
    }
    s->merged = true;
    return result;
}

int conf_scope_merge(struct conf_ctx *cf, struct conf_scope *s)
{
    int result = OK;
    struct conf_current applied;
    conf_current_set(cf, NULL, NULL, &applied); /* what is said now concerns a level, not the block being applied */
    while (!s->merged && result != ERR_NOMEM) {
        struct conf_scope *outer = s;
        while (outer->parent && !outer->parent->merged)
            outer = outer->parent;
        int r = merge_level(cf, outer);
        if (r < 0)
            result = r;
    }
    conf_current_restore(cf, &applied);
    return result;
}
