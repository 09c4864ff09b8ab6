/*
 * Send: the origin's head is derived for this attempt and goes out, with what of the body is there, in one write.
 */
#include "base/err.h"
#include "proxy/origin.h"
#include "proxy/step.h"

enum step step_send(struct exchange *x)
{
    struct end *back = x->back;
    x->events &= ~(uint32_t)X_BACK_READY;
    int rc = origin_build(x, x->proxy->peer);
    if (rc == OK)
        rc = back->ops->send_head(back, x);
    if (rc < 0) {
        exchange_log(x, LEVEL_ERROR, "cannot compose the request for the upstream: %s", err_name(rc));
        return step_error(x, rc == ERR_NOMEM ? 503 : 500);
    }
    if (!(x->events & X_FRONT_BODY) && x->origin.body.kind != BODY_NONE)
        x->front->ops->kick_in(x->front);
    if (!(x->events & X_BACK_SENT))
        back->ops->kick_out(back);
    return STEP_RESPOND;
}
