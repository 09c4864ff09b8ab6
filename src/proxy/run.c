/*
 * The step table: the whole way of a request, in the order in which it is walked.
 */
#include "proxy/run.h"

#include <assert.h>

#include "base/attr.h"
#include "proxy/step.h"

static enum step (*const steps[])(struct exchange *x) = {
    [STEP_ADMIT] = step_admit,     [STEP_ROUTE] = step_route,
    [STEP_LOCATE] = step_locate,   [STEP_POLICIES] = step_policies,
    [STEP_SELECT] = step_select,   [STEP_BODY] = step_body,
    [STEP_CONNECT] = step_connect, [STEP_SEND] = step_send,
    [STEP_RESPOND] = step_respond, [STEP_RESPONSE_POLICIES] = step_response_policies,
    [STEP_DELIVER] = step_deliver, [STEP_TUNNEL] = step_tunnel,
    [STEP_FINISH] = step_finish,
};

_Static_assert(array_len(steps) == STEPS, "every step has a function");

/* proxy_ignore_client_abort: the backend shall have the request, whole, and answer it. */
static bool may_be_gone(const struct exchange *x)
{
    return x->proxy && x->proxy->conf->ignore_client_abort && !x->local && !x->head_sent && (x->events & X_FRONT_BODY);
}

/*
 * The front end failed. While nothing of an answer was sent, broken or slow bodies get one; a client that has left, or
 * that was in the middle of its answer, gets nothing more.
 */
static enum step front_failed(struct exchange *x)
{
    enum x_why why = x->front_why;
    if (why == WHY_CLIENT_CLOSED && may_be_gone(x)) {
        x->events &= ~(uint32_t)X_FRONT_FAILED;
        x->front_why = WHY_NONE;
        return (enum step)x->step;
    }
    unsigned status = why == WHY_CLIENT_BODY      ? 400
                      : why == WHY_CLIENT_BIG     ? 413
                      : why == WHY_CLIENT_TIMEOUT ? 408
                      : why == WHY_NOMEM          ? 503
                                                  : 0;
    x->events &= ~(uint32_t)X_FRONT_FAILED;
    x->req.keep_alive = false;
    if (status == 0 || x->head_sent) {
        if (why != WHY_PARENT)
            exchange_log(x, LEVEL_INFO, "%s%s", exchange_why_text(why), x->head_sent ? " while sending to client" : "");
        if (!x->head_sent)
            x->resp.status = 499;
        return step_end(x, END_CLIENT);
    }
    exchange_log(x, status == 413 ? LEVEL_ERROR : LEVEL_INFO, "%s while reading client request body",
                 exchange_why_text(why));
    if (status == 413)
        worker_count(x->w, COUNT_BODY_LIMIT);
    x->front_why = WHY_NONE;
    x->body_refused = true;
    return step_error(x, status);
}

static void run(struct exchange *x)
{
    for (;;) {
        /* a stream can fail in the very read that opened it: admit gives it what even a failure needs */
        if ((x->events & X_FRONT_FAILED) && x->step != STEP_FINISH && x->step != STEP_ADMIT)
            x->step = (uint8_t)front_failed(x);
        enum step next = steps[x->step](x);
        if (next == STEP_WAIT || next == STEP_GONE)
            return;
        assert(next < STEPS);
        x->step = (uint8_t)next;
    }
}

enum step run_step(struct exchange *x)
{
    assert(x->step < STEPS);
    return steps[x->step](x);
}

void run_init(void)
{
    exchange_run = run;
}
