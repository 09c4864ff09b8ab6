#include "http/vars.h"

#include "base/strb.h"

int var_number(struct exchange *x, uint64_t value, slice *out)
{
    char *p = arena_bytes(&x->arena, 20);
    if (!p)
        return ERR_NOMEM;
    *out = slice_of(p, u64_to_dec(p, value));
    return OK;
}

int var_seconds(struct exchange *x, uint64_t ms, slice *out)
{
    slice s = arena_printf(&x->arena, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
    if (!s.p)
        return ERR_NOMEM;
    *out = s;
    return OK;
}

static bool same_name(slice field, slice name)
{
    if (field.n != name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = ascii_lower(field.p[i]);
        if (c != ascii_lower(name.p[i]) && !(c == '-' && name.p[i] == '_'))
            return false;
    }
    return true;
}

/* The next field of that name at or after *at, counting through both lists. */
static const struct field *next_field(const struct fields *a, const struct fields *b, slice name, uint32_t *at)
{
    for (; *at < a->n + (b ? b->n : 0); (*at)++) {
        const struct field *f = *at < a->n ? &a->v[*at] : &b->v[*at - a->n];
        if (same_name(f->name, name)) {
            (*at)++;
            return f;
        }
    }
    return NULL;
}

int var_fields(struct exchange *x, const struct fields *a, const struct fields *b, slice name, slice joint, slice *out)
{
    uint32_t at = 0;
    struct strb text;
    slice joined;
    const struct field *f = next_field(a, b, name, &at);
    if (!f)
        return ERR_NOTFOUND;
    const struct field *more = next_field(a, b, name, &at);
    if (!more) {
        *out = f->value;
        return OK;
    }
    strb_init(&text, 0);
    strb_add(&text, f->value);
    for (; more; more = next_field(a, b, name, &at)) {
        strb_add(&text, joint);
        strb_add(&text, more->value);
    }
    bool kept = !text.failed && arena_dup(&x->arena, strb_slice(&text), &joined);
    strb_done(&text);
    if (!kept)
        return ERR_NOMEM;
    *out = joined;
    return OK;
}
