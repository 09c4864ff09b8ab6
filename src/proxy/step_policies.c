/*
 * Policies: the location's flat arrays, walked in order. A verdict leads on, answers, waits or begins a new pass.
 */
#include "base/err.h"
#include "proxy/step.h"

enum step step_verdict(struct exchange *x, enum verdict v, enum step next)
{
    switch (v) {
    case VERDICT_NEXT:
    case VERDICT_ALLOW:
        return next;
    case VERDICT_WAIT:
        return STEP_WAIT;
    case VERDICT_REPLY:
        return STEP_RESPOND;
    case VERDICT_PASS:
        return (enum step)x->step; /* route_redirect has set where the pass begins */
    case VERDICT_DROP:
        x->resp.status = 444;
        return step_end(x, END_DROPPED);
    }
    return step_error(x, 500);
}

enum step step_policies(struct exchange *x)
{
    const struct policy_use *u;
    x->events &= ~(uint32_t)X_WAKE;
    for (u = x->pass.loc->policies + x->policy; u->policy; u++, x->policy++) {
        if (u->phase < PHASE_REWRITE)
            continue; /* who the client is was settled by the server level */
        x->entered |= 1u << u->number;
        enum verdict v = u->policy->on_request(x, u->conf);
        if (v != VERDICT_NEXT && v != VERDICT_ALLOW)
            return step_verdict(x, v, STEP_SELECT);
    }
    return STEP_SELECT;
}

enum step step_response_policies(struct exchange *x)
{
    const struct policy_use *u = x->pass.loc->response_policies;
    for (; u->policy; u++) {
        x->entered |= 1u << u->number;
        if (u->policy->on_response(x, u->conf) < 0) {
            exchange_log(x, LEVEL_ERROR, "%s failed on the response", u->policy->name);
            worker_count(x->w, COUNT_MEMORY_REFUSED);
            return step_end(x, END_BACKEND);
        }
    }
    return STEP_DELIVER;
}
