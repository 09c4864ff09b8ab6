/*
 * Respond: the head of an answer is there, from a backend or from us. Interim answers are passed on; an answer that
 * proxy_next_upstream names sends the request to the next peer; error_page may turn it into another pass.
 */
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "proxy/accel.h"
#include "proxy/error_page.h"
#include "proxy/next.h"
#include "proxy/origin.h"
#include "proxy/parent.h"
#include "proxy/step.h"

/* ---- error_page ---- */

static enum step page_failed(struct exchange *x)
{
    x->error_paged = true;
    x->override_status = 0;
    return step_error(x, 500);
}

static enum step page_pass(struct exchange *x, slice uri)
{
    int rc;
    if (slice_starts(uri, SLICE("@"))) {
        rc = route_named(x, uri);
    } else {
        slice path = uri, args = SLICE_NONE;
        bool has = slice_cut(uri, '?', &path, &args);
        x->pass.method = x->req.method == METHOD_HEAD ? METHOD_HEAD : METHOD_GET;
        x->pass.method_text = method_name(x->pass.method);
        rc = route_redirect(x, path, args, has);
    }
    return rc < 0 ? page_failed(x) : (enum step)x->step;
}

/*
 * What an answer says to its client besides its page stays with whatever page it gets: the challenge of a 401, and
 * where a redirect of ours leads.
 */
static int keep_fields(struct exchange *x)
{
    enum token t = x->resp.status == 401   ? TOK_WWW_AUTHENTICATE
                   : x->resp.status == 407 ? TOK_PROXY_AUTHENTICATE
                                           : TOK_LOCATION;
    if ((t == TOK_LOCATION && !x->local) || !fields_find(&x->resp.fields, t))
        return OK;
    struct fields *kept = arena_new(&x->arena, struct fields);
    for (uint32_t i = 0; kept && i < x->resp.fields.n; i++) {
        const struct field *f = &x->resp.fields.v[i];
        if (f->token == t && !fields_add(&x->arena, kept, *f))
            return ERR_NOMEM;
    }
    x->kept = kept;
    return kept ? OK : ERR_NOMEM;
}

static int add_kept(struct exchange *x)
{
    if (!x->kept || fields_find(&x->resp.fields, (enum token)x->kept->v[0].token))
        return OK;
    for (uint32_t i = 0; i < x->kept->n; i++) {
        if (!fields_add(&x->arena, &x->resp.fields, x->kept->v[i]))
            return ERR_NOMEM;
    }
    return OK;
}

/* The client is sent elsewhere, and that is final. */
static enum step page_elsewhere(struct exchange *x, unsigned code, slice url)
{
    bool redirect = code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
    x->override_status = 0;
    step_drop_back(x);
    if (reply_redirect(x, redirect ? code : 302, url) < 0)
        return page_failed(x);
    x->plain_page = false;
    return STEP_RESPOND;
}

/* STEP_WAIT stands for "no error_page applies". */
static enum step try_error_page(struct exchange *x)
{
    unsigned status = x->resp.status;
    slice uri;
    if (status < 300 || x->error_paged || !error_page_any(x->pass.loc))
        return STEP_WAIT;
    x->error_paged = !error_page_recursive(x->pass.loc);
    const struct error_page *p = error_page_find(x->pass.loc, status);
    if (!p)
        return STEP_WAIT;
    x->override_status = (uint16_t)(p->overwrite < 0 ? (int)status : p->overwrite);
    if (keep_fields(x) < 0 || exchange_eval(x, &p->uri, &uri) < 0)
        return page_failed(x);
    if (slice_starts(uri, SLICE("@")) && !x->pass.uri.n)
        return STEP_WAIT; /* refused before it had a path: a named location could not serve it */
    exchange_trace(x, &p->pos, "error_page: %u is answered by \"%.*s\"", status, SLICE_FMT(uri));
    if (slice_starts(uri, SLICE("/")) || slice_starts(uri, SLICE("@")))
        return page_pass(x, uri);
    return page_elsewhere(x, (unsigned)(p->overwrite > 0 ? p->overwrite : 0), uri);
}

static void override_status(struct exchange *x)
{
    if (!x->override_status)
        return;
    x->resp.status = x->override_status;
    x->resp.reason = status_reason(x->override_status);
}

/* ---- answers of our own ---- */

static enum step respond_local(struct exchange *x)
{
    if (x->plain_page) {
        enum step s = try_error_page(x);
        if (s != STEP_WAIT)
            return s;
        if (x->resp.status >= 494 && x->resp.status <= 497) { /* names for kinds of 400 that no client knows */
            x->resp.status = 400;                             /* the page says which kind */
            x->resp.reason = status_reason(400);
        }
        x->override_status = 0; /* an error on the way to a page is what the client hears of (as in nginx) */
    }
    override_status(x);
    x->known = VAR_RESPONSE;
    if (add_kept(x) < 0 || (!x->back && reply_attach(x) < 0)) /* a file has its end already */
        return step_end(x, END_BACKEND);
    return STEP_RESPONSE_POLICIES;
}

/* ---- answers of a backend ---- */

static void pass_interim(struct exchange *x)
{
    x->events &= ~(uint32_t)X_BACK_INTERIM;
    if (x->interim->status == 103)
        x->front->ops->send_interim(x->front, x);
    x->back->ops->kick_in(x->back);
}

static void head_arrived(struct exchange *x)
{
    struct attempt *a = x->proxy->last;
    a->header = loop_now(&x->w->loop);
    a->status = x->resp.status;
    x->known = VAR_RESPONSE;
}

/*
 * proxy_intercept_errors, and an error_page names the status: what the backend says about its error is not for the
 * client. When a page was used already, that leaves the plain one.
 */
static enum step intercepted(struct exchange *x)
{
    unsigned status = x->resp.status;
    struct response *answer = arena_new(&x->arena, struct response);
    if (!answer)
        return step_error(x, 503);
    *answer = x->resp;
    x->proxy->intercepted = answer;
    enum step s = try_error_page(x);
    if (s != STEP_WAIT)
        return s;
    return keep_fields(x) < 0 ? step_end(x, END_BACKEND) : step_error(x, status);
}

/* The backend has switched protocols as it was asked to: nobody else is tried from here on. */
static enum step switched(struct exchange *x)
{
    head_arrived(x);
    attempt_count(x);
    peer_succeeded(x->proxy->peer);
    pipe_release(&x->req_pipe);
    return origin_answer(x) < 0 ? step_error(x, 503) : STEP_TUNNEL;
}

/* 407: the client cannot answer it; and whose it is, the parent's or a target's that it passes on, cannot be told. */
static bool parent_refused(struct exchange *x)
{
    const struct peer *p = x->proxy->peer;
    peer_heard(p, loop_now(&x->w->loop));
    if (x->resp.status != 407 || !p->chain->absolute)
        return false;
    exchange_back_failed(x, WHY_TARGET, 0, "it answered 407: it wants other credentials");
    return true;
}

enum step step_respond(struct exchange *x)
{
    if (x->local)
        return respond_local(x);
    while (x->events & X_BACK_INTERIM)
        pass_interim(x);
    if (x->events & X_BACK_FAILED)
        return step_next_upstream(x, 0);
    if (!(x->events & X_BACK_HEAD))
        return x->events & X_BACK_SWITCHED ? switched(x) : STEP_WAIT;
    head_arrived(x);
    if (unlikely(x->proxy->chained) && parent_refused(x))
        return step_next_upstream(x, 0);
    attempt_count(x); /* whether something was sent decides about another try */
    if (next_possible(x, WHY_NONE, x->resp.status))
        return step_next_upstream(x, x->resp.status);
    if (status_is_failure(x->proxy->conf, x->resp.status))
        peer_failed(x->proxy->peer, loop_now(&x->w->loop));
    else
        peer_succeeded(x->proxy->peer);
    if (x->proxy->conf->intercept_errors && error_page_find(x->pass.loc, x->resp.status))
        return intercepted(x);
    int rc = origin_answer(x);
    if (rc == ORIGIN_ELSEWHERE)
        return accel_redirect(x);
    if (rc != OK || add_kept(x) < 0)
        return step_error(x, 503);
    pipe_release(&x->req_pipe); /* nobody will ask for the body again */
    override_status(x);
    return STEP_RESPONSE_POLICIES;
}
