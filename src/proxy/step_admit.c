/*
 * Admit: what the codec refused is answered with its status; what no rule could make sense of is refused here. From
 * here on the request's head does not change.
 */
#include "base/attr.h"
#include "proxy/step.h"

static enum step refuse(struct exchange *x)
{
    exchange_log(x, LEVEL_INFO, "client sent invalid request: %s", x->refuse_text);
    return step_error(x, x->refuse);
}

enum step step_admit(struct exchange *x)
{
    x->server = x->client->listener->default_server;
    x->pass.loc = x->server->base;
    x->log = x->pass.loc->log;
    x->pass.method = x->req.method;
    x->pass.method_text = x->req.method_text;
    x->known = VAR_REQUEST;
    if (x->refuse)
        return refuse(x);
    bool connect = x->req.method == METHOD_CONNECT;
    if (unlikely(connect))
        x->req.keep_alive = false; /* behind it come bytes of a tunnel, not requests */
    /* CONNECT belongs where somebody serves it; TRACE would echo what we add (as nginx: 405 for both). */
    if ((connect && !x->client->listener->connect) || x->req.method == METHOD_TRACE) {
        exchange_log(x, LEVEL_INFO, "client sent %s method", connect ? "CONNECT" : "TRACE");
        return step_error(x, 405);
    }
    /* OPTIONS * is about the server, CONNECT about none: they are routed like its root. */
    x->pass.uri = x->req.form == TARGET_ASTERISK || connect ? SLICE("/") : x->req.path;
    x->pass.args = x->req.query;
    x->pass.has_args = x->req.has_query;
    return STEP_ROUTE;
}
