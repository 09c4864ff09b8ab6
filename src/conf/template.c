/*
 * Templates: compiled into literals and variables at load, evaluated by reading each variable once and joining.
 */
#include "conf/var.h"

#include <assert.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/schema.h"
#include "conf/schema_priv.h"

/*
 * The name behind a '$' at the front of *s, which is consumed: $name, ${name}, or one digit 1 to 9 (so "$12" is $1 and
 * "2", as nginx reads it).
 */
static int take_name(struct conf_ctx *cf, const struct conf_arg *arg, slice *s, slice *name)
{
    slice rest = slice_from(*s, 1);
    bool brace = rest.n && rest.p[0] == '{';
    size_t n = 0;
    if (brace)
        rest = slice_from(rest, 1);
    if (!brace && rest.n && rest.p[0] >= '1' && rest.p[0] <= '9') {
        n = 1;
    } else {
        while (n < rest.n && var_name_char(rest.p[n]))
            n++;
    }
    *name = slice_upto(rest, n);
    rest = slice_from(rest, n);
    if (brace && (rest.n == 0 || rest.p[0] != '}')) {
        conf_diag_add(cf->diag, CONF_EMERG, arg->pos, conf_usage(cf),
                      "the closing bracket in \"%.*s\" variable is missing", SLICE_FMT(*name));
        return ERR_SYNTAX;
    }
    if (n == 0) {
        conf_diag_add(cf->diag, CONF_EMERG, arg->pos, conf_usage(cf), "invalid variable name in \"%.*s\"",
                      SLICE_FMT(arg->text));
        return ERR_SYNTAX;
    }
    *s = slice_from(rest, brace);
    return OK;
}

static int add_var(struct conf_ctx *cf, const struct conf_arg *arg, slice *s, struct template *t)
{
    slice name;
    int r = take_name(cf, arg, s, &name);
    if (r < 0)
        return r;
    const struct var *v = var_use(cf, name, arg);
    if (!v)
        return ERR_NOMEM; /* the name was checked: nothing else can have failed */
    t->parts[t->nparts++] = (struct template_part){ .var = v };
    return OK;
}

/* Room for every '$' and what stands between them. */
static struct template_part *new_parts(struct arena *a, slice s, size_t *max)
{
    size_t n = 1;
    for (size_t i = 0; i < s.n; i++)
        n += 2 * (s.p[i] == '$');
    *max = n;
    return arena_new_n(a, struct template_part, n);
}

int template_compile(struct conf_ctx *cf, const struct conf_arg *arg, struct template *out)
{
    struct template t = { .source = arg->text };
    slice s = arg->text;
    size_t max;
    int r = OK;
    if (slice_find(s, '$') < 0) {
        *out = t;
        return OK;
    }
    t.parts = new_parts(cf->arena, s, &max);
    if (!t.parts)
        return ERR_NOMEM;
    while (r == OK && s.n) {
        ptrdiff_t at = slice_find(s, '$');
        size_t n = at < 0 ? s.n : (size_t)at;
        assert(t.nparts < max);
        if (n) {
            t.parts[t.nparts++] = (struct template_part){ .literal = slice_upto(s, n) };
            s = slice_from(s, n);
        } else {
            r = add_var(cf, arg, &s, &t);
        }
    }
    if (r == OK)
        *out = t;
    return r;
}

bool template_client(const struct template *t)
{
    for (uint32_t i = 0; i < t->nparts; i++) {
        if (t->parts[i].var && t->parts[i].var->client)
            return true;
    }
    return false;
}

static int part_value(const struct template_part *p, struct exchange *x, var_lookup_fn lookup, slice *out)
{
    *out = p->literal;
    if (!p->var)
        return OK;
    *out = SLICE_NONE;
    int r = lookup(x, p->var, out);
    if (r == ERR_NOMEM)
        return r;
    if (r < 0)
        *out = SLICE_NONE;
    return OK;
}

/*
 * Each variable is read once. The values are held while the room is taken and then copied from there through a checked
 * builder, so no second reading can disagree with the first.
 */
static int join(const struct template *t, struct exchange *x, var_lookup_fn lookup, struct arena *a, slice *values,
                slice *out)
{
    size_t total = 0;
    struct strb b;
    for (uint32_t i = 0; i < t->nparts; i++) {
        int r = part_value(&t->parts[i], x, lookup, &values[i]);
        if (r < 0)
            return r;
        if (!checked_add(total, values[i].n, &total))
            return ERR_NOMEM;
    }
    char *mem = total ? arena_bytes(a, total) : NULL;
    if (total && !mem)
        return ERR_NOMEM;
    strb_init_fixed(&b, mem, total);
    for (uint32_t i = 0; i < t->nparts; i++)
        strb_add(&b, values[i]);
    assert(!b.failed && b.n == total);
    *out = slice_of(mem, total);
    return OK;
}

int template_eval(const struct template *t, struct exchange *x, var_lookup_fn lookup, struct arena *a, slice *out)
{
    slice few[16];
    if (t->nparts == 0) {
        *out = t->source;
        return OK;
    }
    if (t->nparts == 1)
        return part_value(&t->parts[0], x, lookup, out);
    slice *values = t->nparts <= 16 ? few : arena_new_n(a, slice, t->nparts);
    return values ? join(t, x, lookup, a, values, out) : ERR_NOMEM;
}
