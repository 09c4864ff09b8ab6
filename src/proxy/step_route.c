/*
 * Route: the virtual server by host, its server-level rewrite rules, then the location. Every pass (error_page,
 * internal redirects) comes through here again, with its own URI.
 */
#include "base/err.h"
#include "proxy/location.h"
#include "proxy/step.h"

enum { PASSES_MAX = 10 };

static void enter(struct exchange *x, const struct location *l)
{
    x->pass.loc = l;
    x->log = l->log;
    x->policy = 0;
}

/* The server's own rules, once a pass, before a location is looked for. */
static enum verdict server_rules(struct exchange *x)
{
    const struct policy_use *u = x->server->base->policies;
    for (; u->policy; u++) {
        if (u->phase > PHASE_REWRITE || (u->phase == PHASE_POST_READ && x->passes))
            continue;
        x->entered |= 1u << u->number;
        enum verdict v = u->policy->on_request(x, u->conf);
        if (v != VERDICT_NEXT)
            return v;
    }
    return VERDICT_NEXT;
}

static bool too_large(struct exchange *x)
{
    uint64_t max = x->pass.loc->client->max_body_size;
    if (!max || x->req.body.kind != BODY_LENGTH || x->req.body.length <= max)
        return false;
    exchange_log(x, LEVEL_ERROR, "client intended to send too large body: %llu bytes",
                 (unsigned long long)x->req.body.length);
    worker_count(x->w, COUNT_BODY_LIMIT);
    x->body_refused = true;
    return true;
}

static enum step at_location(struct exchange *x, const struct location *l)
{
    enter(x, l ? l : x->server->base);
    x->known = VAR_ROUTE;
    if (l && l->internal && !x->pass.internal)
        return step_error(x, 404);
    if (!x->pass.internal && too_large(x))
        return step_error(x, 413);
    return STEP_POLICIES;
}

enum step step_route(struct exchange *x)
{
    if (!x->passes)
        x->server = route_server(x->client->listener, x, x->req.host);
    enter(x, x->server->base);
    enum verdict v = server_rules(x);
    if (v != VERDICT_NEXT)
        return step_verdict(x, v, STEP_POLICIES);
    return at_location(x, route_location(x->server, x, x->pass.uri));
}

/* ---- new passes ---- */

/* What the pass before made of the answer is dropped; values that a pass computes are computed anew. */
static int begin_pass(struct exchange *x)
{
    if (++x->passes > PASSES_MAX) {
        exchange_log(x, LEVEL_ERROR, "rewrite or internal redirection cycle");
        worker_count(x->w, COUNT_PASSES_LIMIT);
        return ERR_LIMIT;
    }
    step_drop_back(x);
    if (pipe_can_rewind(&x->req_pipe))
        pipe_rewind(&x->req_pipe); /* else the body is gone: see origin_body */
    exchange_forget_values(x);
    x->pass.internal = true;
    x->pass.ncaptures = 0;
    x->local = false;
    return OK;
}

int route_redirect(struct exchange *x, slice uri, slice args, bool has_args)
{
    int rc = begin_pass(x);
    if (rc < 0)
        return rc;
    x->pass.uri = uri;
    x->pass.args = args;
    x->pass.has_args = has_args;
    x->pass.rewritten = true;
    x->step = STEP_ROUTE;
    return OK;
}

int route_named(struct exchange *x, slice name)
{
    const struct location *l = route_named_location(x->server, name);
    if (!l) {
        exchange_log(x, LEVEL_ERROR, "could not find named location \"%.*s\"", SLICE_FMT(name));
        return ERR_NOTFOUND;
    }
    int rc = begin_pass(x);
    if (rc < 0)
        return rc;
    enter(x, l);
    x->step = STEP_POLICIES;
    return OK;
}
