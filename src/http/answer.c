#include "http/answer.h"

#include "base/err.h"
#include "http/pace.h"

bool answer_add(struct exchange *x, enum token t, slice name, slice value)
{
    struct field f = { .name = name, .value = value, .token = (uint16_t)t, .ours = true };
    return fields_add(&x->arena, &x->resp.fields, f);
}

bool answer_drop(struct exchange *x, enum token t)
{
    struct fields *f = &x->resp.fields, *hop = &x->resp.hop;
    uint32_t before = hop->n;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].token != t || f->v[i].ours || x->local)
            continue;
        if (!fields_add(&x->arena, hop, f->v[i])) {
            hop->n = before;
            return false;
        }
    }
    fields_remove(f, t);
    return true;
}

struct carry *answer_carry(struct exchange *x)
{
    if (!x->slots[SLOT_CARRY])
        x->slots[SLOT_CARRY] = arena_new(&x->arena, struct carry);
    return x->slots[SLOT_CARRY];
}

bool answer_carry_fields(struct exchange *x, enum token t)
{
    const struct fields *f = &x->resp.fields;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].token != t)
            continue;
        struct carry *c = answer_carry(x);
        if (!c || !fields_add(&x->arena, &c->fields, f->v[i]))
            return false;
    }
    return true;
}

static bool stands_beside(enum token t)
{
    return t == TOK_SET_COOKIE || t == TOK_CACHE_CONTROL;
}

/* What is said of a body does not hold for the page of an error or a redirect. */
static bool of_body(enum token t)
{
    return t == TOK_CONTENT_TYPE || t == TOK_ACCEPT_RANGES;
}

int answer_take_carried(struct exchange *x)
{
    const struct carry *c = answer_carried(x);
    struct fields own = x->resp.fields; /* what is added below does not count */
    if (!c)
        return OK;
    for (uint32_t i = 0; i < c->fields.n; i++) {
        const struct field *f = &c->fields.v[i];
        bool page = x->local && x->resp.status >= 300;
        if (of_body(f->token) && page)
            continue;
        if (f->token == TOK_CONTENT_TYPE && x->local)
            fields_remove(&x->resp.fields, TOK_CONTENT_TYPE);
        else if (!stands_beside(f->token) && fields_find(&own, f->token))
            continue;
        exchange_trace(x, NULL, "from the answer before: %.*s: %.*s", SLICE_FMT(f->name), SLICE_FMT(f->value));
        if (!answer_add(x, f->token, f->name, f->value))
            return ERR_NOMEM;
    }
    return c->rated ? pace_client(x, c->rate) : OK;
}
