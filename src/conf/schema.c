#include "conf/schema.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/schema_priv.h"

size_t directive_slot(const struct directive *d)
{
    switch (d->type) {
    case CONF_FLAG:
        return sizeof(bool);
    case CONF_NUM:
    case CONF_SIZE:
    case CONF_OFFSET:
    case CONF_MSEC:
    case CONF_SEC:
        return sizeof(uint64_t);
    case CONF_ENUM:
    case CONF_BITS:
        return sizeof(uint32_t);
    case CONF_STRING:
        return sizeof(slice);
    case CONF_TEMPLATE:
        return sizeof(struct template);
    case CONF_CUSTOM:
    case CONF_BLOCK:
        return d->size;
    case CONF_TUNING:
        break;
    }
    return 0;
}

/* What only a bug in a table can break. */
static void check_directive(const struct feature *f, const struct directive *d)
{
    size_t slot = directive_slot(d);
    assert(d->name && d->usage && d->doc && d->contexts);
    assert(d->scope < SCOPE_KINDS);
    assert(d->max_args >= d->min_args);
    assert(slot == 0 || (d->offset <= f->size[d->scope] && slot <= f->size[d->scope] - d->offset));
    assert(d->size == 0 || d->size == slot);
    switch (d->type) {
    case CONF_CUSTOM:
    case CONF_BLOCK:
        assert(d->set);
        break;
    case CONF_TUNING:
        break;
    case CONF_BITS:
        assert(d->values && d->min_args >= 1);
        break;
    case CONF_ENUM:
        assert(d->values);
        __attribute__((fallthrough));
    default:
        assert(d->min_args == 1 && d->max_args == 1 && !d->free_block);
    }
}

static int add_directive(struct schema *s, const struct feature *f, const struct directive *d, unsigned index)
{
    slice name = slice_str(d->name);
    struct schema_entry *first = map_get(&s->directives, name), *e = arena_new(&s->arena, struct schema_entry);
    if (!e)
        return ERR_NOMEM;
    *e = (struct schema_entry){ d, f, index, NULL };
    check_directive(f, d);
    if (!first)
        return map_put(&s->directives, name, e);
    for (const struct schema_entry *o = first; o; o = o->next)
        assert(!(o->directive->contexts & d->contexts) && "one directive twice in one context");
    while (first->next)
        first = first->next;
    first->next = e;
    return OK;
}

static int add_var(struct schema *s, const struct var_def *v)
{
    slice name = slice_str(v->name);
    assert(name.n && v->get && v->doc);
    if (v->prefix) {
        assert(name.p[name.n - 1] == '_');
        return OK;
    }
    int r = map_put(&s->vars, name, (void *)v);
    assert(r != ERR_REFUSED && "one variable twice");
    return r;
}

static int add_feature(struct schema *s, struct feature *f, unsigned id)
{
    int r = OK;
    assert(f->name && f->doc);
    f->id = id;
    f->first_index = (unsigned)s->ndirectives;
    for (size_t i = 0; r == OK && i < f->ndirectives; i++)
        r = add_directive(s, f, &f->directives[i], (unsigned)s->ndirectives++);
    for (size_t i = 0; r == OK && i < f->nvars; i++)
        r = add_var(s, &f->vars[i]);
    return r;
}

int schema_init(struct schema *s, struct feature *const *features, size_t n)
{
    int r = OK;
    *s = (struct schema){ .features = features, .nfeatures = n };
    arena_init(&s->arena, NULL, 0, 16384, 0);
    map_init(&s->directives, false);
    map_init(&s->vars, false);
    for (size_t i = 0; r == OK && i < n; i++)
        r = add_feature(s, features[i], (unsigned)i);
    if (r < 0)
        schema_done(s);
    return r;
}

void schema_done(struct schema *s)
{
    map_done(&s->directives);
    map_done(&s->vars);
    arena_done(&s->arena);
}

int conf_ctx_init(struct conf_ctx *cf, const struct schema *s, struct arena *a, struct bundle *b, struct conf_diag *d)
{
    *cf = (struct conf_ctx){ .schema = s, .arena = a, .bundle = b, .diag = d, .context = CONF_MAIN };
    cf->last_var = &cf->first_var;
    cf->last_source = &cf->first_source;
    map_init(&cf->vars, false);
    map_init(&cf->warned, false);
    return conf_scope_enter(cf, SCOPE_MAIN, NULL) ? OK : ERR_NOMEM;
}

void conf_ctx_done(struct conf_ctx *cf)
{
    map_done(&cf->vars);
    map_done(&cf->warned);
}

struct conf_scope *conf_scope_enter(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node)
{
    struct conf_scope *s = arena_new(cf->arena, struct conf_scope);
    if (!s)
        return NULL;
    /* one more than needed, so that an empty schema is no special case */
    s->conf = arena_new_n(cf->arena, void *, cf->schema->nfeatures + 1);
    s->set = arena_new_n(cf->arena, uint64_t, cf->schema->ndirectives / 64 + 1);
    s->spoiled = arena_new_n(cf->arena, bool, cf->schema->nfeatures + 1);
    if (!s->conf || !s->set || !s->spoiled)
        return NULL;
    s->kind = kind;
    s->node = node;
    s->parent = cf->scope[kind];
    cf->scope[kind] = s;
    return s;
}

void conf_scope_leave(struct conf_ctx *cf, struct conf_scope *s)
{
    assert(cf->scope[s->kind] == s);
    cf->scope[s->kind] = s->parent;
}

void *conf_scope_own(struct conf_ctx *cf, struct conf_scope *s, const struct feature *f)
{
    assert(!s->merged && f->size[s->kind]);
    if (!s->conf[f->id])
        s->conf[f->id] = arena_zalloc(cf->arena, f->size[s->kind]);
    return s->conf[f->id];
}

bool conf_scope_has(const struct conf_ctx *cf, const struct conf_scope *s, const struct feature *f, size_t directive)
{
    assert(directive < f->ndirectives);
    return scope_is_set(s, f->first_index + (unsigned)directive);
}

/*
 * The table entry behind a node: the one being applied, the one whose data lines these are, or the one of that name
 * where the node stands, which need not be where the reader is by now. A block that is named later, by finish, stands
 * for its level: how a block is written helps nobody then.
 */
static const struct directive *directive_of(const struct conf_ctx *cf, const struct conf_node *node)
{
    bool data = cf->entry && cf->entry->directive->free_block && node->parent == cf->node;
    if (data || (cf->entry && node == cf->node))
        return cf->entry->directive;
    if (node->block)
        return NULL;
    unsigned context = node->parent ? context_of_block(node->parent->name) : 0;
    const struct schema_entry *first = map_get(&cf->schema->directives, node->name), *e = first;
    while (e && !(entry_contexts(e->feature, e->directive) & (context ? context : cf->context)))
        e = e->next;
    return e ? e->directive : first ? first->directive : NULL;
}

slice conf_hint(struct conf_ctx *cf, const struct conf_node *node, slice first)
{
    const struct directive *d = node ? directive_of(cf, node) : NULL;
    if (!d)
        return first;
    return arena_printf(cf->arena, "%.*s%susage: %s", SLICE_FMT(first), first.n ? "\n" : "", d->usage);
}

slice conf_usage(struct conf_ctx *cf)
{
    return conf_hint(cf, cf->node, SLICE_NONE);
}

static struct conf_pos node_pos(const struct conf_node *node, int arg)
{
    if (!node)
        return (struct conf_pos){ 0 };
    return arg >= 0 && (uint32_t)arg < node->nargs ? node->args[arg].pos : node->pos;
}

static void report(struct conf_ctx *cf, enum conf_severity sev, const struct conf_node *node, int arg, slice hint,
                   const char *fmt, va_list ap) ATTR_PRINTF(6, 0);

static void report(struct conf_ctx *cf, enum conf_severity sev, const struct conf_node *node, int arg, slice hint,
                   const char *fmt, va_list ap)
{
    char text[2048];
    vsnprintf(text, sizeof(text), fmt, ap);
    conf_diag_add(cf->diag, sev, node_pos(node, arg), conf_hint(cf, node, hint), "%s", text);
}

int conf_error_hint(struct conf_ctx *cf, const struct conf_node *node, int arg, slice hint, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(cf, CONF_EMERG, node, arg, hint, fmt, ap);
    va_end(ap);
    return ERR_SYNTAX;
}

int conf_error(struct conf_ctx *cf, const struct conf_node *node, int arg, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(cf, CONF_EMERG, node, arg, SLICE_NONE, fmt, ap);
    va_end(ap);
    return ERR_SYNTAX;
}

void conf_warn(struct conf_ctx *cf, const struct conf_node *node, int arg, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(cf, CONF_WARN, node, arg, SLICE_NONE, fmt, ap);
    va_end(ap);
}
