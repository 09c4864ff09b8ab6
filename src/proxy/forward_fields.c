#include "proxy/forward_fields.h"

#include "base/attr.h"
#include "base/err.h"
#include "http/vars.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy.h"
#include "proxy/squid_deny.h"

bool forward_has_fields(const struct forward_conf *c)
{
    const struct fwd_policy *p = c->policy;
    return c->forwarded_for || p->request_headers || p->adds;
}

/* ---- which line is a field's ---- */

static const struct fwd_header *named(const struct fwd_header *list, slice name)
{
    while (list && !slice_ieq(list->name, name))
        list = list->next;
    return list;
}

static const struct fwd_header *line_of(const struct fwd_header *list, const struct field *f)
{
    bool known = f->token != TOK_NONE;
    const struct fwd_header *h = named(list, f->name);
    if (h && (h->rules.n || !known))
        return h;
    h = known ? NULL : named(list, SLICE("Other"));
    return h && h->rules.n ? h : named(list, SLICE("All"));
}

/* Applies the lines; *n fields remain, in their order. */
static void sift(struct exchange *x, const struct fwd_header *list, const struct fwd_request *v, struct field *f,
                 uint32_t *n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++) {
        const struct fwd_header *h = line_of(list, &f[i]);
        struct fwd_decision d = { .answer = FWD_YES };
        if (h && h->rules.n)
            d = fwd_decide(&h->rules, v);
        if (d.answer != FWD_YES) {
            exchange_trace(x, d.rule ? &d.rule->pos : NULL, "field %.*s is %s", SLICE_FMT(f[i].name),
                           h->replace.p ? "replaced" : "left out");
            if (!h->replace.p)
                continue;
            f[i].value = h->replace;
        }
        f[kept++] = f[i];
    }
    *n = kept;
}

/* ---- requests ---- */

/* The list so far and the client, or what stands for it. */
static int forwarded_list(struct exchange *x, enum fwd_forwarded_for how, slice *out)
{
    slice client = how == FORWARDED_OFF ? SLICE("unknown") : exchange_client_text(x), before = SLICE_NONE;
    int rc = ERR_NOTFOUND;
    if (!client.p)
        return ERR_NOMEM;
    if (how != FORWARDED_TRUNCATE)
        rc = var_fields(x, &x->origin.fields, NULL, SLICE("x_forwarded_for"), SLICE(", "), &before);
    if (rc != OK && rc != ERR_NOTFOUND)
        return rc;
    *out = rc == OK && before.n ? arena_printf(&x->arena, "%.*s, %.*s", SLICE_FMT(before), SLICE_FMT(client)) : client;
    return out->p ? OK : ERR_NOMEM;
}

static int add_forwarded_for(struct exchange *x, enum fwd_forwarded_for how, struct field *v, uint32_t *n)
{
    struct field f = { .name = SLICE("X-Forwarded-For"), .token = TOK_X_FORWARDED_FOR };
    uint32_t kept = 0;
    if (how == FORWARDED_TRANSPARENT)
        return OK;
    int rc = how == FORWARDED_DELETE ? OK : forwarded_list(x, how, &f.value);
    if (rc != OK)
        return rc;
    for (uint32_t i = 0; i < *n; i++) {
        if (v[i].token != f.token)
            v[kept++] = v[i];
    }
    if (how != FORWARDED_DELETE)
        v[kept++] = f;
    *n = kept;
    return OK;
}

static void add_constants(const struct fwd_policy *p, const struct fwd_request *r, struct field *v, uint32_t *n)
{
    for (const struct fwd_word *w = p->adds; w; w = w->next) {
        if (!w->rules.n || fwd_decide(&w->rules, r).answer == FWD_YES)
            v[(*n)++] = (struct field){ .name = w->text, .value = w->more, .token = (uint16_t)token_find(w->text) };
    }
}

bool forward_ends_here(const struct exchange *x)
{
    const struct field *f = x->req.method == METHOD_OPTIONS ? fields_find(&x->req.fields, TOK_MAX_FORWARDS) : NULL;
    uint64_t n;
    return f && slice_to_u64(f->value, &n) == OK && n == 0;
}

/* What is no number stays: it is the target's to complain of. */
int forward_one_hop_less(struct exchange *x, struct field *v, uint32_t n)
{
    uint64_t hops;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].token != TOK_MAX_FORWARDS || slice_to_u64(v[i].value, &hops) != OK || !hops)
            continue;
        v[i].value = arena_printf(&x->arena, "%llu", (unsigned long long)(hops - 1));
        if (!v[i].value.p)
            return ERR_NOMEM;
    }
    return OK;
}

int forward_origin(struct exchange *x)
{
    const struct forward_conf *c = x->proxy->forward->conf;
    const struct fwd_policy *p = c->policy;
    struct fields *f = &x->origin.fields;
    struct fwd_request r;
    size_t cap = (size_t)f->n + 1;
    uint32_t n = f->n;
    for (const struct fwd_word *w = p->adds; w; w = w->next)
        cap++;
    struct field *v = arena_alloc(&x->arena, cap * sizeof(*v));
    if (!v)
        return ERR_NOMEM;
    if (n)
        memcpy(v, f->v, n * sizeof(*v));
    forward_view(x, &r);
    int rc = c->forwarded_for ? add_forwarded_for(x, p->forwarded_for, v, &n) : OK;
    if (rc != OK)
        return rc;
    sift(x, p->request_headers, &r, v, &n);
    add_constants(p, &r, v, &n);
    *f = (struct fields){ .v = v, .n = n, .cap = (uint32_t)cap };
    return OK;
}

/* ---- answers ---- */

static bool reply_active(const void *conf)
{
    const struct forward_conf *c = conf;
    return c->policy && (c->policy->http_reply_access.n || c->policy->reply_headers);
}

/* Answers without content are not judged, as by Squid: to most conditions they would look like nothing that was
 * allowed, and a client that only asked whether its copy is fresh would lose it. */
static bool is_empty_kind(unsigned status)
{
    return status < 200 || status == 204 || status == 304;
}

/* An answer of our own has been decided on; a tunnel has none. */
static bool passes(struct exchange *x, const struct fwd_policy *p, const struct fwd_request *v)
{
    char rule[512];
    struct fwd_decision d;
    if (x->local || x->proxy->tunnel || !p->http_reply_access.n || is_empty_kind(x->resp.status))
        return true;
    d = fwd_decide(&p->http_reply_access, v);
    size_t n = fwd_decision_text(rule, sizeof(rule), &p->http_reply_access, &d);
    exchange_trace(x, d.rule ? &d.rule->pos : NULL, "http_reply_access: %s by %.*s",
                   d.answer == FWD_YES ? "allowed" : "refused", (int)n, rule);
    if (d.answer == FWD_YES)
        return true;
    x->proxy->forward->rules = d;
    exchange_log(x, LEVEL_ERROR, "the answer is refused by http_reply_access %.*s", (int)n, rule);
    return false;
}

static int forward_reply(struct exchange *x, const void *conf)
{
    const struct forward_conf *c = conf;
    const struct fwd_policy *p = c->policy;
    struct fwd_request v;
    if (!x->proxy || !x->proxy->forward)
        return OK;
    forward_view(x, &v);
    v.status = x->resp.status;
    v.reply = &x->resp.fields;
    if (!passes(x, p, &v)) {
        int rc = squid_deny(x, p, &x->proxy->forward->rules);
        if (rc == ERR_NOTFOUND)
            rc = reply_set(x, 403, SLICE_NONE, SLICE_NONE, true);
        return rc == OK ? RESPONSE_REPLACED : rc;
    }
    sift(x, p->reply_headers, &v, x->resp.fields.v, &x->resp.fields.n);
    return OK;
}

const struct policy forward_reply_policy = {
    .name = "http_reply_access",
    .feature = &forward_feature,
    .active = reply_active,
    .on_response = forward_reply,
};
