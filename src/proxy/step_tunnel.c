/*
 * Tunnel: the backend has answered 101 to a request that asked for it, or the peer that a CONNECT asked for is there.
 * The client gets the answer's head, and from then on both pipes carry bytes, from end to end without this step, until
 * both directions are closed or one side breaks. What the client has sent behind its CONNECT waited unread until now.
 */
#include "base/err.h"
#include "http/pipe.h"
#include "proxy/next.h"
#include "proxy/step.h"

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
    int rc = deliver_own_fields(x) ? front->ops->switch_protocol(front, x) : ERR_NOMEM;
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
    bool front = x->events & X_FRONT_SENT, back = x->events & X_BACK_SENT;
    if (front && (back || x->ended != END_NONE))
        return STEP_FINISH;
    if (x->events & X_FRONT_FAILED)
        return STEP_TUNNEL; /* the machine looks at failures before each step */
    return STEP_WAIT;
}
