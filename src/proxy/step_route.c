/*
 * Route: the virtual server by host, its server-level rewrite rules, then the location. Every pass (error_page,
 * internal redirects) comes through here again, with its own URI.
 */
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/transform.h"
#include "proxy/location.h"
#include "proxy/step.h"
#include "tls/server.h"

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
        if (u->phase > PHASE_REWRITE || (u->phase == PHASE_POST_READ && (x->passes || x->parent)))
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

/* Where CONNECT is served: here, for all of the server, or not at all (NULL). */
static const struct location *connect_location(const struct exchange *x, const struct location *l)
{
    const struct location *base = x->server->base;
    if (base->content && base->content->whole_server)
        return base;
    l = l ? l : base;
    return l->content && l->content->connect ? l : NULL;
}

static enum step at_location(struct exchange *x, const struct location *l)
{
    if (unlikely(x->pass.method == METHOD_CONNECT)) {
        const struct location *serves = connect_location(x, l);
        if (!serves) {
            exchange_log(x, LEVEL_INFO, "client sent CONNECT method");
            return step_error(x, 405);
        }
        l = serves;
    }
    enter(x, l ? l : x->server->base);
    if (x->known < VAR_ROUTE) /* a later pass knows what earlier ones have seen of backends */
        x->known = VAR_ROUTE;
    if (l && l->internal && !x->pass.internal)
        return step_error(x, 404);
    if (!x->pass.redirected && too_large(x))
        return step_error(x, 413);
    return STEP_POLICIES;
}

enum step step_locate(struct exchange *x)
{
    const struct location *l = route_location(x->server, x, x->pass.uri);
    return at_location(x, l);
}

/*
 * What the handshake left open: a server that asks clients for certificates answers only those whose handshake was with
 * its own policy (421, RFC 9110 section 15.5.20), and whose certificate is one (495, 496: 400 to the client).
 */
static unsigned tls_refusal(struct exchange *x)
{
    const struct tls_conf *want = x->server->tls, *had = tls_server_conf(x->client->tls);
    if (!want->asks_clients)
        return 0;
    if (memcmp(want->policy, had->policy, TLS_KEY) != 0) {
        exchange_log(x, LEVEL_INFO,
                     "client attempted to request the server name different from the one that was negotiated");
        return 421;
    }
    const char *why;
    unsigned status = tls_client_refused(x->client->tls, &why);
    if (status)
        exchange_log(x, LEVEL_INFO, "%s", why);
    return status;
}

enum step step_route(struct exchange *x)
{
    if (!x->passes && !x->parent)
        x->server = route_server(x->client->listener, x, x->req.host);
    enter(x, x->server->base);
    if (x->client->tls && !x->passes && !x->parent) {
        unsigned status = tls_refusal(x);
        if (status)
            return step_error(x, status);
    }
    enum verdict v = server_rules(x);
    if (v != VERDICT_NEXT)
        return step_verdict(x, v, STEP_POLICIES);
    return step_locate(x);
}

/* ---- new passes ---- */

/* nginx's words for each kind of pass; `what` is where the one too many would have led. */
static int count_pass(struct exchange *x, const char *doing, slice what)
{
    if (++x->passes <= PASSES_MAX)
        return OK;
    exchange_log(x, LEVEL_ERROR, "rewrite or internal redirection cycle while %s \"%.*s\"", doing, SLICE_FMT(what));
    worker_count(x->w, COUNT_PASSES_LIMIT);
    return ERR_LIMIT;
}

/* What the pass before made of the answer is dropped; values that a pass computes are computed anew. */
static void begin_pass(struct exchange *x)
{
    step_drop_back(x);
    transforms_remove(x);
    if (pipe_can_rewind(&x->req_pipe))
        pipe_rewind(&x->req_pipe); /* else the body is gone: see origin_body */
    exchange_forget_values(x);
    x->known = x->known < VAR_UPSTREAM ? x->known : VAR_UPSTREAM;
    x->pass.internal = true;
    x->pass.redirected = true;
    x->pass.behind_alias = false;
    x->local = false;
}

int route_redirect(struct exchange *x, slice uri, slice args, bool has_args)
{
    int rc = count_pass(x, "internally redirecting to", uri);
    if (rc < 0)
        return rc;
    exchange_trace(x, NULL, "internal redirect to \"%.*s\"", SLICE_FMT(uri));
    begin_pass(x);
    x->pass.uri = uri;
    x->pass.args = args;
    x->pass.has_args = has_args;
    x->pass.rewritten = true;
    x->pass.whole = false;
    x->step = STEP_ROUTE;
    return OK;
}

int route_named(struct exchange *x, slice name)
{
    int rc = count_pass(x, "redirect to named location", name);
    if (rc < 0)
        return rc;
    const struct location *l = route_named_location(x->server, name);
    if (!l) {
        exchange_log(x, LEVEL_ERROR, "could not find named location \"%.*s\"", SLICE_FMT(name));
        return ERR_NOTFOUND;
    }
    exchange_trace(x, &l->pos, "internal redirect to the location \"%.*s\"", SLICE_FMT(name));
    begin_pass(x);
    enter(x, l);
    x->step = STEP_POLICIES;
    return OK;
}

int route_again(struct exchange *x)
{
    int rc = count_pass(x, "processing", x->pass.uri);
    if (rc == OK)
        x->step = STEP_LOCATE;
    return rc;
}
