/*
 * Finish: connections are given back or closed, on_end policies run once, and the exchange is freed: the only place.
 */
#include "base/attr.h"
#include "base/err.h"
#include "h2/client.h"
#include "proxy/next.h"
#include "proxy/pool.h"
#include "proxy/spill.h"
#include "proxy/step.h"

enum step step_end(struct exchange *x, enum x_end reason)
{
    if (x->ended == END_NONE)
        x->ended = (uint8_t)reason;
    return STEP_FINISH;
}

enum step step_error(struct exchange *x, unsigned status)
{
    step_drop_back(x);
    x->known = x->known < VAR_ROUTE ? x->known : VAR_UPSTREAM;
    if (status == 400 || status == 408 || status == 413 || (status >= 494 && status <= 497))
        x->req.keep_alive = false; /* what the client goes on sending cannot be told from a request */
    if (reply_set(x, status, SLICE_NONE, SLICE_NONE, true) < 0) {
        worker_count(x->w, COUNT_MEMORY_REFUSED);
        return step_end(x, END_BACKEND);
    }
    return STEP_RESPOND;
}

/* A backend connection whose message exchange is whole goes back to the pool. */
void step_give_back(struct exchange *x)
{
    struct proxy_exchange *p = x->proxy;
    attempt_count(x);
    if (unlikely(h2_client_is(x->back))) {
        x->back->ops->finish(x->back); /* its connection is kept by the codec */
        return;
    }
    struct h1_client *cl = h1_client_of(x->back);
    x->back->ops->finish(x->back);
    if (cl->state != CLIENT_IDLE)
        return;
    /* A reload may have taken the peer away while the request was under way. */
    if (x->gen == x->w->gen || upstream_has_key(x->w->gen->gen, p->peer->pool_key))
        pool_put(x->w, cl, p->upstream, p->peer);
    else
        h1_client_close(cl);
}

static void end_back(struct exchange *x)
{
    if (x->back && x->local)
        x->back->ops->finish(x->back);
    else if (x->back && (x->events & X_BACK_DONE))
        step_give_back(x);
    else if (x->back)
        attempt_count(x);
    step_drop_back(x);
}

static void run_end_policies(struct exchange *x)
{
    const struct policy_use *u = x->pass.loc->end_policies;
    for (; u->policy; u++) {
        if (!u->policy->on_request || (x->entered >> u->number & 1))
            u->policy->on_end(x, u->conf);
    }
}

enum step step_finish(struct exchange *x)
{
    if (unlikely(x->holds) && !exchange_let_go(x))
        return STEP_WAIT;
    if (x->ended == END_NONE)
        x->ended = END_DONE;
    if (x->ended == END_CLIENT && !x->parent)
        worker_count(x->w, COUNT_CLIENT_GONE);
    end_back(x);
    spill_done(x);
    x->known = VAR_END;
    x->logged_status = x->resp.status;
    run_end_policies(x);
    /* A client that failed is cut, also when the backend had broken off first: its answer stops somewhere. */
    if ((x->events & X_FRONT_SENT) && x->front_why == WHY_NONE)
        x->front->ops->finish(x->front);
    else
        x->front->ops->reset(x->front);
    exchange_free(x);
    return STEP_GONE;
}
