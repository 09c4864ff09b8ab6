#include "policy/derived.h"

#include "base/err.h"

enum { DEPTH_MAX = 100 }; /* of variables made of variables, as in nginx */

struct derived_source {
    const struct template *text; /* or */
    const struct var *var;
    struct derived_source *next;
};

/* SCOPE_MAIN */
struct derived_main {
    struct derived *first;
};

/* ---- asking ---- */

/* What is being looked up by this thread, the innermost first. Looking up never waits, so a stack is enough. */
struct lookup {
    const struct derived *derived;
    const struct exchange *x;
    struct lookup *outer;
};

static _Thread_local struct lookup *innermost;

static bool is_cycle(const struct exchange *x, const struct derived *d)
{
    unsigned depth = 0;
    for (const struct lookup *l = innermost; l; l = l->outer, depth++) {
        if ((l->derived == d && l->x == x) || depth == DEPTH_MAX)
            return true;
    }
    return false;
}

static int get_derived(struct exchange *x, const struct var *v, slice *out)
{
    const struct derived *d = (const struct derived *)v->def->data;
    struct lookup me = { d, x, innermost };
    if (is_cycle(x, d)) {
        exchange_log(x, LEVEL_ERROR, "cycle while evaluating variable \"%.*s\"", SLICE_FMT(v->name));
        exchange_trace(x, &d->pos, "$%.*s is made of itself: empty", SLICE_FMT(v->name));
        return ERR_NOTFOUND;
    }
    innermost = &me;
    int rc = d->find(x, d, out);
    innermost = me.outer;
    if (rc == OK && !d->is_volatile && x->known >= d->known && !exchange_var_set(x, v, *out))
        return ERR_NOMEM;
    return rc;
}

/* ---- making ---- */

static const char *lower_name(struct conf_ctx *cf, slice name)
{
    slice lower;
    if (!arena_dup(cf->arena, name, &lower))
        return NULL;
    char *p = (char *)lower.p;
    for (size_t i = 0; i < lower.n; i++)
        p[i] = ascii_lower(p[i]);
    return p;
}

int derived_define(struct conf_ctx *cf, const struct conf_node *node, uint32_t arg, struct derived *d)
{
    struct derived_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &derived_feature);
    slice name = node->args[arg].text;
    if (name.n < 2 || name.p[0] != '$')
        return conf_error(cf, node, (int)arg, "invalid variable name \"%.*s\"", SLICE_FMT(name));
    const char *lower = lower_name(cf, slice_from(name, 1));
    if (!m || !lower)
        return ERR_NOMEM;
    size_t errors = cf->diag->errors;
    d->pos = node->pos;
    d->def = (struct var_def){
        .name = lower, .data = (uintptr_t)d, .get = get_derived, .doc = "Of the configuration.", .changeable = true
    };
    d->var = var_define(cf, &d->def, &node->args[arg]);
    if (!d->var)
        return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
    d->next = m->first;
    m->first = d;
    return OK;
}

static int add_source(struct conf_ctx *cf, struct derived *d, struct derived_source from)
{
    struct derived_source *s = arena_new(cf->arena, struct derived_source);
    if (!s)
        return ERR_NOMEM;
    from.next = d->sources;
    *s = from;
    d->sources = s;
    return OK;
}

int derived_from(struct conf_ctx *cf, struct derived *d, const struct template *t, bool value)
{
    if (template_literal(t))
        return OK;
    int rc = add_source(cf, d, (struct derived_source){ .text = t });
    return rc == OK && value ? var_derives(cf, d->var, t) : rc;
}

int derived_from_var(struct conf_ctx *cf, struct derived *d, const struct var *v)
{
    return add_source(cf, d, (struct derived_source){ .var = v });
}

/* ---- when it is known ---- */

static uint8_t known_of(const struct var *v)
{
    if (!v->def)
        return VAR_REQUEST;
    return v->def->get == get_derived ? ((const struct derived *)v->def->data)->known : (uint8_t)v->def->known;
}

static uint8_t known_of_source(const struct derived_source *s)
{
    uint8_t known = s->var ? known_of(s->var) : VAR_REQUEST;
    for (uint32_t i = 0; s->text && i < s->text->nparts; i++) {
        const struct var *v = s->text->parts[i].var;
        if (v && known_of(v) > known)
            known = known_of(v);
    }
    return known;
}

/* Repeated until nothing changes, because a block may stand before the one that it is made of. */
static int derived_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                          const void *parent)
{
    struct derived_main *m = conf;
    bool changed = true;
    while (changed) {
        changed = false;
        for (struct derived *d = m->first; d; d = d->next) {
            for (const struct derived_source *s = d->sources; s; s = s->next) {
                uint8_t known = known_of_source(s);
                changed = changed || known > d->known;
                d->known = known > d->known ? known : d->known;
            }
        }
    }
    return OK;
}

struct feature derived_feature = {
    .name = "derived",
    .doc = "What map, geo and split_clients have in common.",
    .size = { [SCOPE_MAIN] = sizeof(struct derived_main) },
    .finish = derived_finish,
};
