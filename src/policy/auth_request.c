/*
 * auth_request: another location of the server is asked whether the request may pass. Its answer counts: 2xx lets in,
 * 401 and 403 refuse (a 401 with the challenge that came with it), anything else is an error of ours, 500.
 *
 * auth_request_set gives variables values taken from that answer. They are assigned as soon as it is there, whatever it
 * says, so that the pages of refusals have them too, and stay for the whole request.
 */
#include "policy/auth_request.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "proxy/subrequest.h"

struct assignment {
    struct var *var;
    struct template value;
    struct assignment *next;
};

struct target {
    slice uri; /* empty: off */
    struct conf_pos pos;
};

/* SCOPE_LOCATION */
struct auth_request {
    struct target target;
    struct assignment *sets;
};

/* Of one pass. */
struct state {
    struct subrequest *sub;
    uint8_t pass;
};

/* ---- running ---- */

static enum verdict refuse(struct exchange *x, unsigned status)
{
    return reply_set(x, status, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static enum verdict ask(struct exchange *x, const struct auth_request *c)
{
    struct state *s = arena_new(&x->arena, struct state);
    if (!s)
        return VERDICT_DROP;
    s->pass = x->passes;
    s->sub = subrequest_start(x, c->target.uri, SLICE_NONE, false);
    if (!s->sub)
        return refuse(x, 500);
    x->slots[SLOT_AUTH_REQUEST] = s;
    return VERDICT_WAIT;
}

/* The values are made where the answer is, and must outlive it. */
static int assign_all(struct exchange *x, const struct auth_request *c, struct exchange *child)
{
    for (const struct assignment *a = c->sets; a; a = a->next) {
        slice value = SLICE_NONE, own = SLICE("");
        int rc = child ? exchange_eval(child, &a->value, &value) : OK;
        if (rc != OK)
            return rc;
        if (value.n && !arena_dup(&x->arena, value, &own))
            return ERR_NOMEM;
        rc = exchange_var_assign(x, a->var, own);
        if (rc != OK)
            return rc;
    }
    return OK;
}

static bool add_challenges(struct exchange *x, const struct fields *f)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < f->n; i++) {
        struct field own = f->v[i];
        if (own.token != TOK_WWW_AUTHENTICATE)
            continue;
        ok = arena_dup(&x->arena, own.value, &own.value) && arena_dup(&x->arena, own.name, &own.name) &&
             fields_add(&x->arena, &x->resp.fields, own);
    }
    return ok;
}

/* A challenge that proxy_hide_header hid is one nevertheless. */
static enum verdict refuse_401(struct exchange *x, const struct exchange *child)
{
    enum verdict v = refuse(x, 401);
    if (v != VERDICT_REPLY || !child)
        return v;
    bool visible = fields_find(&child->resp.fields, TOK_WWW_AUTHENTICATE);
    return add_challenges(x, visible ? &child->resp.fields : &child->resp.hop) ? v : VERDICT_DROP;
}

static enum verdict decide(struct exchange *x, const struct auth_request *c, const struct subrequest *s)
{
    exchange_trace(x, &c->target.pos, "auth_request %.*s answers %u", SLICE_FMT(c->target.uri), s->status);
    if (s->status >= 200 && s->status < 300)
        return VERDICT_ALLOW;
    if (s->status == 401)
        return refuse_401(x, s->x);
    if (s->status == 403)
        return refuse(x, 403);
    exchange_log(x, LEVEL_ERROR, "auth request unexpected status: %u", s->status);
    return refuse(x, 500);
}

static enum verdict auth_request_request(struct exchange *x, const void *conf)
{
    const struct auth_request *c = conf;
    struct state *s = x->slots[SLOT_AUTH_REQUEST];
    if (x->trace) {
        exchange_trace(x, &c->target.pos, "auth_request %.*s would be asked: a 2xx is taken for granted",
                       SLICE_FMT(c->target.uri));
        return VERDICT_ALLOW;
    }
    if (!s || s->pass != x->passes)
        return ask(x, c);
    if (!subrequest_ready(s->sub))
        return VERDICT_WAIT;
    int rc = assign_all(x, c, s->sub->x);
    enum verdict v = rc == OK ? decide(x, c, s->sub) : VERDICT_DROP;
    subrequest_release(s->sub);
    return v;
}

static bool auth_request_active(const void *conf)
{
    return ((const struct auth_request *)conf)->target.uri.n;
}

/* ---- directives ---- */

static int set_target(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct auth_request *c = conf;
    slice uri = node->args[0].text;
    bool off = slice_eq(uri, SLICE("off"));
    if (!off && !slice_starts(uri, SLICE("/")))
        conf_warn(cf, node, 0, "\"%.*s\" does not begin with \"/\": no location will match it", SLICE_FMT(uri));
    else if (slice_find(uri, '$') >= 0 || slice_find(uri, '?') >= 0)
        conf_warn(cf, node, 0, "\"%.*s\" is taken as it stands: a path, without variables or arguments",
                  SLICE_FMT(uri));
    c->target = (struct target){ off ? SLICE_NONE : uri, node->pos };
    return OK;
}

static int set_assignment(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct auth_request *c = conf;
    slice name = node->args[0].text;
    struct assignment *a = arena_new(cf->arena, struct assignment), **at = &c->sets;
    if (!a)
        return ERR_NOMEM;
    if (name.n < 2 || name.p[0] != '$')
        return conf_error(cf, node, 0, "invalid variable name \"%.*s\"", SLICE_FMT(name));
    int rc = template_compile(cf, &node->args[1], &a->value);
    if (rc != OK)
        return rc;
    size_t errors = cf->diag->errors;
    a->var = var_declare(cf, slice_from(name, 1), &node->args[0]);
    if (!a->var)
        return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
    while (*at)
        at = &(*at)->next;
    *at = a;
    return var_derives(cf, a->var, &a->value);
}

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

static const struct directive directives[] = {
    {
        .name = "auth_request",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct auth_request, target),
        .size = sizeof(struct target),
        .set = set_target,
        .usage = "auth_request URI | off;",
        .doc =
            "Asks the location of URI, an internal one as well, whether the request may pass: by a GET with the "
            "client's fields and without its body. A 2xx lets it in; a 401, whose challenge the client gets, and a 403 "
            "refuse it; anything else is answered 500.",
    },
    {
        .name = "auth_request_set",
        .contexts = HSL,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .offset = offsetof(struct auth_request, sets),
        .size = sizeof(struct assignment *),
        .set = set_assignment,
        .usage = "auth_request_set $VARIABLE VALUE;",
        .doc =
            "Gives a variable a value once auth_request was answered. VALUE may hold variables of that answer, such as "
            "$upstream_http_NAME and $upstream_status. A level with any such line inherits none.",
    },
};

struct feature auth_request_feature = {
    .name = "auth_request",
    .doc = "Letting another location decide about access.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct auth_request) },
};

const struct policy auth_request_policy = {
    .name = "auth_request",
    .feature = &auth_request_feature,
    .active = auth_request_active,
    .on_request = auth_request_request,
};
