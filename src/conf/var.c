#include "conf/var.h"

#include <assert.h>

#include "base/err.h"
#include "conf/nearest.h"
#include "conf/schema.h"
#include "conf/schema_priv.h"

static struct conf_pos pos_of(const struct conf_arg *where)
{
    return where ? where->pos : (struct conf_pos){ 0 };
}

static bool is_name(slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!var_name_char(s.p[i]))
            return false;
    }
    return s.n > 0;
}

/* The definition of a name in lower case: a plain one, else the first family whose prefix it has. */
static const struct var_def *find_def(const struct schema *s, slice name)
{
    const struct var_def *plain = map_get(&s->vars, name);
    if (plain)
        return plain;
    for (size_t f = 0; f < s->nfeatures; f++) {
        for (size_t i = 0; i < s->features[f]->nvars; i++) {
            const struct var_def *d = &s->features[f]->vars[i];
            slice prefix = d->prefix ? slice_str(d->name) : SLICE_NONE;
            if (prefix.n && name.n > prefix.n && slice_starts(name, prefix))
                return d;
        }
    }
    return NULL;
}

static void set_def(struct var *v, const struct var_def *def)
{
    v->def = def;
    v->arg = def && def->prefix ? slice_from(v->name, slice_str(def->name).n) : SLICE_NONE;
    v->client = def && def->client;
}

/* `name` is in lower case and in the arena. */
static struct var *add_var(struct conf_ctx *cf, slice name, const struct conf_arg *where)
{
    struct var *v = arena_new(cf->arena, struct var);
    if (!v)
        return NULL;
    v->name = name;
    v->index = cf->nvars;
    v->pos = pos_of(where);
    set_def(v, find_def(cf->schema, name));
    if (map_put(&cf->vars, v->name, v) < 0)
        return NULL;
    cf->nvars++;
    *cf->last_var = v;
    cf->last_var = &v->next;
    return v;
}

struct var *var_use(struct conf_ctx *cf, slice name, const struct conf_arg *where)
{
    slice lower;
    if (!is_name(name)) {
        conf_diag_add(cf->diag, CONF_EMERG, pos_of(where), conf_usage(cf), "invalid variable name \"%.*s\"",
                      SLICE_FMT(name));
        return NULL;
    }
    if (!arena_dup(cf->arena, name, &lower))
        return NULL;
    for (size_t i = 0; i < lower.n; i++)
        ((char *)lower.p)[i] = ascii_lower(lower.p[i]);
    struct var *v = map_get(&cf->vars, lower);
    return v ? v : add_var(cf, lower, where);
}

static struct var *duplicate(struct conf_ctx *cf, slice name, const struct conf_arg *where)
{
    conf_diag_add(cf->diag, CONF_EMERG, pos_of(where), conf_usage(cf), "the duplicate \"%.*s\" variable",
                  SLICE_FMT(name));
    return NULL;
}

static bool defined(const struct var *v)
{
    return v->def && !v->def->prefix;
}

struct var *var_declare(struct conf_ctx *cf, slice name, const struct conf_arg *where)
{
    struct var *v = var_use(cf, name, where);
    if (!v || v->settable)
        return v;
    if (defined(v))
        return v->def->changeable || v->def->set ? v : duplicate(cf, name, where);
    set_def(v, NULL);
    v->settable = true;
    return v;
}

struct var *var_define(struct conf_ctx *cf, const struct var_def *def, const struct conf_arg *where)
{
    slice name = slice_str(def->name);
    struct var *v = var_use(cf, name, where);
    if (!v)
        return NULL;
    bool again = defined(v);
    if (again ? v->def == map_get(&cf->schema->vars, v->name) || !v->def->changeable : v->settable && !def->changeable)
        return duplicate(cf, name, where);
    if (again)
        conf_diag_add(cf->diag, CONF_WARN, pos_of(where), SLICE("this definition counts, the one before does not"),
                      "variable \"%.*s\" is defined twice", SLICE_FMT(name));
    assert(!def->prefix && slice_eq(v->name, name));
    bool client = v->client && (again || v->settable); /* a capture of that name may have been declared before */
    set_def(v, def);
    v->client |= client;
    v->settable = false;
    return v;
}

struct var_source {
    struct var *var;
    const struct template *value;
    struct var_source *next;
};

int var_derives(struct conf_ctx *cf, struct var *v, const struct template *value)
{
    if (template_literal(value))
        return OK;
    struct var_source *s = arena_new(cf->arena, struct var_source);
    if (!s)
        return ERR_NOMEM;
    *s = (struct var_source){ .var = v, .value = value };
    *cf->last_source = s;
    cf->last_source = &s->next;
    return OK;
}

/* Repeated until nothing changes, because a line may stand before the one that taints what it copies. */
void vars_spread(struct conf_ctx *cf)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (const struct var_source *s = cf->first_source; s; s = s->next) {
            if (!s->var->client && template_client(s->value))
                changed = s->var->client = true;
        }
    }
}

static slice meant(const struct conf_ctx *cf, slice wanted)
{
    struct nearest near;
    nearest_init(&near, wanted);
    for (size_t f = 0; f < cf->schema->nfeatures; f++) {
        for (size_t i = 0; i < cf->schema->features[f]->nvars; i++)
            nearest_offer(&near, slice_str(cf->schema->features[f]->vars[i].name));
    }
    for (const struct var *v = cf->first_var; v; v = v->next) {
        if (v->def || v->settable)
            nearest_offer(&near, v->name);
    }
    return near.best;
}

int vars_check(struct conf_ctx *cf)
{
    int r = OK;
    for (const struct var *v = cf->first_var; v; v = v->next) {
        if (v->def || v->settable)
            continue;
        slice near = meant(cf, v->name), hint = SLICE_NONE;
        if (near.n)
            hint = arena_printf(cf->arena, "did you mean \"$%.*s\"?", SLICE_FMT(near));
        conf_diag_add(cf->diag, CONF_EMERG, v->pos, hint, "unknown \"%.*s\" variable", SLICE_FMT(v->name));
        r = ERR_SYNTAX;
    }
    return r;
}
