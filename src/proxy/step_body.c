/*
 * Body: with proxy_request_buffering the request body is gathered before a backend is bothered, so that a slow client
 * holds none. What fits client_body_buffer_size waits in memory; what does not is spilled (proxy/spill.c).
 */
#include <string.h>

#include "base/attr.h"
#include "proxy/error_page.h"
#include "proxy/spill.h"
#include "proxy/step.h"

/* An HTTP/1.0 backend can only be told a length, so a body of unknown length is gathered for it in any case. */
bool body_is_gathered(const struct exchange *x)
{
    const struct proxy_conf *c = x->proxy ? x->proxy->conf : NULL;
    if (!c || x->req.body.kind == BODY_NONE || x->body_refused)
        return false;
    return c->request_buffering || c->own_body || (c->http_version == 0 && x->req.body.kind == BODY_UNKNOWN);
}

/* May somebody ask for the body a second time: the next peer, a fresh connection, or the next pass? Who sends a body of
 * its own takes nothing of the client's. */
static bool asked_again(const struct exchange *x)
{
    const struct proxy_conf *c = x->proxy->conf;
    if (c->http_version == 2)
        return true; /* a stream that was refused is sent again, whatever its method */
    return c->own_body || method_idempotent(x->req.method) || (c->next_upstream & NEXT_NON_IDEMPOTENT) ||
           error_page_any(x->pass.loc);
}

/* A body that is whole in the front end's hands and is wanted once goes from there to the backend without a copy. */
static bool in_hand(struct exchange *x)
{
    const struct end_ops *front = x->front->ops;
    return front->in_hand && !asked_again(x) && !x->proxy->conf->body_var &&
           front->in_hand(x->front, x->pass.loc->client->body_buffer_size);
}

/* $request_body, for the rest of the exchange. One that does not fit the exchange's memory stays empty. */
static void keep_body(struct exchange *x, const struct var *v)
{
    struct iovec iov[PIPE_PIECES];
    size_t total, at = 0;
    int n = pipe_iov(&x->req_pipe, iov, PIPE_PIECES, &total);
    char *text = total == x->req_pipe.queued && total ? arena_bytes(&x->arena, total) : NULL;
    for (int i = 0; text && i < n; i++) {
        memcpy(text + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    if (text)
        exchange_var_set(x, v, slice_of(text, total));
}

enum step step_body(struct exchange *x)
{
    if (!body_is_gathered(x))
        return STEP_CONNECT;
    if (!(x->events & X_FRONT_BODY) && x->req_pipe.put == 0 && in_hand(x))
        return STEP_CONNECT;
    if (!(x->events & X_FRONT_BODY) && !x->req_pipe.spilling) {
        if (!x->spill) /* which sets a size of its own */
            pipe_resize(&x->req_pipe, x->pass.loc->client->body_buffer_size);
        x->front->ops->kick_in(x->front);
    }
    if (x->events & X_FRONT_BODY) {
        /* What was gathered can be offered again: to the next peer, or by the next pass (error_page). */
        x->req_pipe.retain = true;
        if (unlikely(x->proxy->conf->body_var != NULL))
            keep_body(x, x->proxy->conf->body_var);
        return STEP_CONNECT;
    }
    if (x->events & X_FRONT_FAILED)
        return STEP_WAIT; /* posted: the run queue comes back, and the machine deals with it */
    if (x->events & X_FRONT_FULL) {
        x->events &= ~(uint32_t)X_FRONT_FULL;
        return spill_request(x);
    }
    return STEP_WAIT;
}
