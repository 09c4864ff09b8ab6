/*
 * Policies: the location's flat arrays, walked in order. A verdict leads on, answers, waits or begins a new pass.
 */
#include "base/attr.h"
#include "base/err.h"
#include "http/answer.h"
#include "http/transform.h"
#include "proxy/satisfy.h"
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

/* The first entry of an array that comes after `u`, an entry of another location's array. */
static const struct policy_use *behind(const struct policy_use *all, const struct policy_use *u)
{
    while (all->policy && (all->phase < u->phase || (all->phase == u->phase && all->number <= u->number)))
        all++;
    return all;
}

enum step step_policies(struct exchange *x)
{
    const struct location *l = x->pass.loc;
    const struct policy_use *u = l->policies + x->policy;
    x->events &= ~(uint32_t)X_WAKE;
    while (u->policy) {
        if (u->phase < PHASE_REWRITE) { /* who the client is was settled by the server level */
            u++;
            continue;
        }
        x->entered |= 1u << u->number;
        x->policy = (uint16_t)(u - l->policies);
        enum verdict v = policy_run(x, u);
        if (v != VERDICT_NEXT && v != VERDICT_ALLOW)
            return step_verdict(x, v, STEP_SELECT);
        u++;
        if (x->pass.loc != l) { /* it gave the request another configuration: `if` */
            u = behind(x->pass.loc->policies, u - 1);
            l = x->pass.loc;
        }
    }
    return STEP_SELECT;
}

enum step step_response_policies(struct exchange *x)
{
    const struct policy_use *u = x->pass.loc->response_policies;
    if (unlikely(answer_carried(x)) && answer_take_carried(x) < 0)
        return step_end(x, END_BACKEND);
    for (; u->policy; u++) {
        x->entered |= 1u << u->number;
        int rc = u->policy->on_response(x, u->conf);
        if (rc == RESPONSE_REPLACED) {
            transforms_remove(x);
            step_drop_back(x);
            return STEP_RESPOND;
        }
        if (rc < 0) {
            exchange_log(x, LEVEL_ERROR, "%s failed on the response", u->policy->name);
            worker_count(x->w, COUNT_MEMORY_REFUSED);
            return step_end(x, END_BACKEND);
        }
    }
    return STEP_DELIVER;
}
