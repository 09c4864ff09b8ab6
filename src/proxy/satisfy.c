/*
 * nginx's rules (its manual, "satisfy", "auth_delay", and what it does where that is silent): with `all` the first
 * refusal answers. With `any` the first ALLOW lets in and nobody else is asked; refusals by 401 or 403 are kept, and
 * when nobody lets in, a 401 wins over a 403, because the client can do something about it. Any other answer ends the
 * matter at once. A policy without an opinion counts for neither. What a child asks for was decided with its parent's
 * access, so the phase is not run for it.
 */
#include "proxy/satisfy.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

enum { SATISFY_ALL, SATISFY_ANY };

struct mode {
    uint32_t value;
    struct conf_pos pos;
};

/* SCOPE_LOCATION */
struct satisfy {
    struct mode mode;
    uint64_t auth_delay; /* ms */
};

/* Of one pass. */
struct state {
    uint8_t pass;
    bool let_in; /* satisfy any: by one of the policies */
    bool delaying, delayed;
    struct response resp; /* the refusal kept so far; status 0: none */
    slice body;
    struct timer timer;
    struct x_hold hold;
    struct exchange *x;
};

static struct state *state_of(struct exchange *x)
{
    struct state *s = x->slots[SLOT_SATISFY];
    if (s && s->pass == x->passes)
        return s;
    s = arena_new(&x->arena, struct state);
    if (!s)
        return NULL;
    s->x = x;
    s->pass = x->passes;
    x->slots[SLOT_SATISFY] = s;
    return s;
}

static enum verdict out_of_memory(struct exchange *x)
{
    worker_count(x->w, COUNT_MEMORY_REFUSED);
    return VERDICT_DROP;
}

/* Is it an answer that the client can do something about? */
static bool asks(unsigned status)
{
    return status == 401 || status == 407;
}

/* ---- auth_delay ---- */

static void end_delay(struct x_hold *h, struct exchange *x)
{
    struct state *s = container_of(h, struct state, hold);
    timer_drop(&x->w->loop, &s->timer);
    exchange_unhold(x, h);
}

static void delay_over(struct timer *t)
{
    struct state *s = container_of(t, struct state, timer);
    s->delayed = true;
    exchange_post(s->x, X_WAKE);
}

/* Whoever tries passwords waits for each 401. */
static enum verdict refuse(struct exchange *x, const struct satisfy *c)
{
    if (!asks(x->resp.status) || !c->auth_delay || x->trace)
        return VERDICT_REPLY;
    struct state *s = state_of(x);
    if (!s)
        return out_of_memory(x);
    exchange_log(x, LEVEL_INFO, "delaying unauthorized request");
    s->delaying = true;
    timer_init(&s->timer, delay_over);
    exchange_hold(x, &s->hold, end_delay);
    timer_set(&x->w->loop, &s->timer, c->auth_delay);
    return VERDICT_WAIT;
}

static enum verdict go_on_delaying(struct exchange *x, struct state *s)
{
    if (!s->delayed)
        return VERDICT_WAIT;
    end_delay(&s->hold, x);
    return VERDICT_REPLY;
}

/* ---- satisfy ---- */

/* Every challenge of the 401s that were kept is sent. */
static bool keep_challenges(struct exchange *x, struct state *s)
{
    for (uint32_t i = 0; i < x->resp.fields.n; i++) {
        const struct field *f = &x->resp.fields.v[i];
        if ((f->token == TOK_WWW_AUTHENTICATE || f->token == TOK_PROXY_AUTHENTICATE) &&
            !fields_add(&x->arena, &s->resp.fields, *f))
            return false;
    }
    return true;
}

static bool keep_refusal(struct exchange *x, struct state *s)
{
    if (asks(s->resp.status))
        return !asks(x->resp.status) || keep_challenges(x, s);
    if (s->resp.status == 0 || asks(x->resp.status)) {
        s->resp = x->resp;
        s->body = x->reply_body;
    }
    return true;
}

/* Nobody is left to ask. */
static enum verdict conclude(struct exchange *x, const struct satisfy *c, struct state *s)
{
    if (s->let_in || s->resp.status == 0) {
        x->resp = (struct response){ 0 };
        x->reply_body = SLICE_NONE;
        x->local = false;
        return VERDICT_NEXT;
    }
    exchange_trace(x, &c->mode.pos, "satisfy any: nobody lets in, %u", s->resp.status);
    x->resp = s->resp;
    x->reply_body = s->body;
    x->local = true;
    x->plain_page = true;
    if (x->resp.status == 403)
        exchange_log(x, LEVEL_ERROR, "access forbidden by rule");
    return refuse(x, c);
}

static enum verdict run_any(struct exchange *x, const struct policy_use *u, const struct satisfy *c)
{
    bool last = !u[1].policy || u[1].phase != PHASE_ACCESS;
    struct state *s = state_of(x);
    if (!s)
        return out_of_memory(x);
    enum verdict v = s->let_in ? VERDICT_NEXT : u->policy->on_request(x, u->conf);
    if (v == VERDICT_ALLOW) {
        exchange_trace(x, &c->mode.pos, "satisfy any: %s lets in", u->policy->name);
        s->let_in = true;
    } else if (v == VERDICT_REPLY && (asks(x->resp.status) || x->resp.status == 403)) {
        if (!keep_refusal(x, s))
            return out_of_memory(x);
    } else if (v != VERDICT_NEXT) {
        return v;
    }
    return last ? conclude(x, c, s) : VERDICT_NEXT;
}

enum verdict satisfy_run(struct exchange *x, const struct policy_use *u)
{
    const struct satisfy *c = exchange_conf(x, &satisfy_feature);
    struct state *s = x->slots[SLOT_SATISFY];
    if (x->parent)
        return VERDICT_NEXT;
    if (s && s->pass == x->passes && s->delaying)
        return go_on_delaying(x, s);
    if (c->mode.value == SATISFY_ANY)
        return run_any(x, u, c);
    enum verdict v = u->policy->on_request(x, u->conf);
    if (v == VERDICT_ALLOW)
        return VERDICT_NEXT;
    return v == VERDICT_REPLY ? refuse(x, c) : v;
}

bool satisfy_any(const struct exchange *x)
{
    return ((const struct satisfy *)exchange_conf(x, &satisfy_feature))->mode.value == SATISFY_ANY;
}

bool satisfy_any_at(const struct location *l)
{
    return ((const struct satisfy *)l->conf[satisfy_feature.id])->mode.value == SATISFY_ANY;
}

/* ---- directives ---- */

static int set_satisfy(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct satisfy *c = conf;
    slice text = node->args[0].text;
    bool any = slice_ieq(text, SLICE("any"));
    if (!any && !slice_ieq(text, SLICE("all")))
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(text));
    c->mode = (struct mode){ any ? SATISFY_ANY : SATISFY_ALL, node->pos };
    return OK;
}

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

static const struct directive directives[] = {
    {
        .name = "satisfy",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct satisfy, mode),
        .size = sizeof(struct mode),
        .def = "all",
        .set = set_satisfy,
        .usage = "satisfy all | any;",
        .doc =
            "Whether all of allow and deny, auth_basic and auth_request must let a request in, in this order, or any "
            "one of them. With any, a request that none lets in is answered 401 if one of them asks for a password, "
            "else 403.",
    },
    {
        .name = "auth_delay",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_MSEC,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct satisfy, auth_delay),
        .def = "0s",
        .usage = "auth_delay TIME;",
        .doc = "How long an answer 401 of the access phase is held back, to slow down who tries passwords.",
    },
};

struct feature satisfy_feature = {
    .name = "satisfy",
    .forward = true,
    .doc = "How the decisions about access are combined.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct satisfy) },
};
