/*
 * Tunnel: the backend has answered 101 to a request that asked for it, or the peer that a CONNECT asked for is there.
 * The client gets the answer's head, and from then on both pipes carry bytes, from end to end without this step, until
 * both directions are closed or one side breaks. What the client has sent behind its CONNECT waited unread until now.
 */
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/pipe.h"
#include "http/rest.h"
#include "proxy/next.h"
#include "proxy/step.h"
#include "proxy/tunnel_pass.h"

/* The time after which a tunnel ends whatever moves in it. On the heap: the exchange may be at rest meanwhile. */
struct tunnel_life {
    struct x_hold hold;
    struct timer timer;
    struct end *front; /* outlives the exchange */
    bool over;
};

static void life_over(struct timer *t)
{
    struct tunnel_life *l = container_of(t, struct tunnel_life, timer);
    end_wake(l->front);
    l->over = true;
    exchange_post(l->front->x, X_WAKE);
}

static void life_end(struct x_hold *h, struct exchange *x)
{
    struct tunnel_life *l = container_of(h, struct tunnel_life, hold);
    timer_drop(&x->w->loop, &l->timer);
    exchange_unhold(x, h);
    x->proxy->life = NULL;
    free(l);
}

static int life_begin(struct exchange *x)
{
    uint64_t ms = x->proxy->tunnel ? tunnel_lifetime(x) : 0;
    struct tunnel_life *l = ms ? calloc(1, sizeof(*l)) : NULL;
    if (!l)
        return ms ? ERR_NOMEM : OK;
    l->front = x->front;
    timer_init(&l->timer, life_over);
    timer_set(&x->w->loop, &l->timer, ms);
    exchange_hold(x, &l->hold, life_end);
    l->hold.still = true;
    x->proxy->life = l;
    return OK;
}

/* Both directions wait in as much memory as one buffer (nginx: the same one); what flows waits in none. */
static void size_pipes(struct exchange *x)
{
    size_t capacity = x->proxy->conf->buffer_size;
    pipe_reopen(&x->req_pipe);
    pipe_resize(&x->req_pipe, capacity);
    pipe_resize(&x->resp_pipe, capacity);
}

enum step step_established(struct exchange *x)
{
    x->resp = (struct response){ .status = 200, .minor = 1, .reason = SLICE("Connection established") };
    fields_expect(&x->arena, &x->resp.fields, 2); /* Server and Date */
    peer_succeeded(x->proxy->peer);
    return STEP_TUNNEL;
}

static enum step begin(struct exchange *x)
{
    struct end *front = x->front, *back = x->back;
    enum step s = step_response_policies(x);
    if (s != STEP_DELIVER)
        return s;
    x->events &= ~(uint32_t)(X_FRONT_BODY | X_BACK_SENT | X_BACK_SWITCHED);
    size_pipes(x);
    int rc = deliver_own_fields(x) ? life_begin(x) : ERR_NOMEM;
    if (rc == OK)
        rc = front->ops->switch_protocol(front, x);
    if (rc == OK)
        rc = back->ops->switch_protocol(back, x);
    if (rc < 0) {
        exchange_log(x, LEVEL_ERROR, "cannot switch protocols: %s", err_name(rc));
        return step_end(x, END_BACKEND);
    }
    exchange_trace(x, NULL, "the connection is a tunnel from here on");
    worker_count(x->w, COUNT_TUNNELS);
    x->head_sent = true;
    back->ops->kick_in(back);
    front->ops->kick_out(front);
    front->ops->kick_in(front);
    return STEP_TUNNEL;
}

/* Silence ends a tunnel in order; a backend that breaks off is passed on as that. */
static void back_failed(struct exchange *x)
{
    bool quiet = x->back_why == WHY_READ_TIMEOUT || x->back_why == WHY_SEND_TIMEOUT;
    next_log_failure(x);
    x->events &= ~(uint32_t)X_BACK_FAILED;
    x->ended = END_BACKEND;
    if (quiet) {
        x->events |= X_FRONT_SENT; /* nothing is waited for any more */
        return;
    }
    pipe_abort(&x->resp_pipe);
    pipe_push(&x->resp_pipe);
}

enum step step_tunnel(struct exchange *x)
{
    if (!x->head_sent) {
        enum step s = begin(x);
        if (s != STEP_TUNNEL)
            return s;
    }
    if ((x->events & X_BACK_FAILED) && x->ended == END_NONE)
        back_failed(x);
    if (x->proxy->life && x->proxy->life->over && x->ended == END_NONE) {
        exchange_log(x, LEVEL_INFO, "the tunnel has stood for tunnel_lifetime");
        x->events |= X_FRONT_SENT; /* nothing is waited for any more */
        return step_end(x, END_DONE);
    }
    bool front = x->events & X_FRONT_SENT, back = x->events & X_BACK_SENT;
    if (front && (back || x->ended != END_NONE))
        return STEP_FINISH;
    if (x->events & X_FRONT_FAILED)
        return STEP_TUNNEL; /* the machine looks at failures before each step */
    return STEP_WAIT;
}
