/*
 * limit_rate and proxy_limit_rate: who decides how fast a body may pass; http/pace.c holds it back.
 *
 * A rate comes from the directive, from `set $limit_rate`, or from a backend's X-Accel-Limit-Rate; the later of the two
 * last ones overrides the directive, as in nginx. Where none of them is written, the policy is not there.
 */
#include "policy/limit_rate.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/units.h"
#include "http/answer.h"
#include "http/pace.h"
#include "http/vars.h"
#include "proxy/proxy.h"

/* SCOPE_LOCATION */
struct limit_rate {
    struct template rate;
    struct conf_pos pos;
    bool variable; /* the configuration mentions $limit_rate */
};

static bool is_rate(const struct template *t)
{
    uint64_t size;
    return !template_literal(t) || (conf_size(t->source, &size) == OK && size);
}

/* ---- limit_rate ---- */

static int rate_response(struct exchange *x, const void *conf)
{
    const struct limit_rate *c = conf;
    const struct carry *set = answer_carried(x);
    uint64_t rate;
    if (set && set->rated)
        return pace_client(x, set->rate);
    int rc = pace_size(x, &c->rate, &rate);
    if (rc != OK || !rate)
        return rc;
    exchange_trace(x, &c->pos, "limit_rate: %llu bytes a second", (unsigned long long)rate);
    return pace_client(x, rate);
}

static bool rate_active(const void *conf)
{
    const struct limit_rate *c = conf;
    return c->variable || is_rate(&c->rate);
}

/* ---- proxy_limit_rate ---- */

static int proxy_rate_response(struct exchange *x, const void *conf)
{
    const struct proxy_conf *c = conf;
    uint64_t rate;
    if (x->local || !x->proxy || !x->proxy->buffering)
        return OK;
    int rc = pace_size(x, &c->limit_rate, &rate);
    return rc == OK ? pace_insert(x, TRANSFORM_INTAKE, rate, 0) : rc;
}

static bool proxy_rate_active(const void *conf)
{
    return is_rate(&((const struct proxy_conf *)conf)->limit_rate);
}

/* ---- $limit_rate ---- */

static int get_rate(struct exchange *x, const struct var *v, slice *out)
{
    const struct carry *set = answer_carried(x);
    return var_number(x, set && set->rated ? set->rate : 0, out);
}

static int set_rate(struct exchange *x, const struct var *v, slice value)
{
    uint64_t rate;
    if (conf_size(value, &rate) != OK) {
        exchange_log(x, LEVEL_ERROR, "invalid $limit_rate \"%.*s\"", SLICE_FMT(value));
        return OK;
    }
    struct carry *c = answer_carry(x);
    if (!c)
        return ERR_NOMEM;
    c->rated = true;
    c->rate = rate;
    return OK;
}

/* ---- directives ---- */

static int set_limit_rate(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct limit_rate *c = conf;
    uint64_t size;
    c->pos = node->pos;
    int rc = template_compile(cf, &node->args[0], &c->rate);
    if (rc == OK && template_literal(&c->rate) && conf_size(c->rate.source, &size) != OK)
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(c->rate.source));
    return rc;
}

static int rate_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                       const void *parent)
{
    if (kind == SCOPE_LOCATION)
        ((struct limit_rate *)conf)->variable = map_get(&cf->vars, SLICE("limit_rate"));
    return OK;
}

static const struct directive directives[] = {
    {
        .name = "limit_rate",
        .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LOCATION_IF,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = 0,
        .size = offsetof(struct limit_rate, variable),
        .def = "0",
        .set = set_limit_rate,
        .usage = "limit_rate SIZE;",
        .doc =
            "How many bytes of an answer's body go to the client in a second; 0: as fast as it goes. With variables it "
            "is read for each answer. The first second's share goes at once. X-Accel-Limit-Rate of a backend and `set "
            "$limit_rate` override it.",
    },
};

static const struct var_def vars[] = {
    {
        .name = "limit_rate",
        .get = get_rate,
        .set = set_rate,
        .doc = "The rate that `set` or X-Accel-Limit-Rate gave the answer, in bytes a second; else 0. `set` may assign "
               "it.",
    },
};

struct feature limit_rate_feature = {
    .name = "limit_rate",
    .forward = true,
    .doc = "How fast clients are sent to.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = vars,
    .nvars = array_len(vars),
    .size = { [SCOPE_LOCATION] = sizeof(struct limit_rate) },
    .finish = rate_finish,
};

const struct policy limit_rate_policy = {
    .name = "limit_rate",
    .feature = &limit_rate_feature,
    .active = rate_active,
    .on_response = rate_response,
};

const struct policy proxy_limit_rate_policy = {
    .name = "proxy_limit_rate",
    .feature = &proxy_feature,
    .active = proxy_rate_active,
    .on_response = proxy_rate_response,
};
