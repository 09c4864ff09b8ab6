/*
 * Select: the location's content handler says who answers.
 */
#include "proxy/step.h"

enum step step_select(struct exchange *x)
{
    const struct location *l = x->pass.loc;
    x->events &= ~(uint32_t)X_WAKE;
    if (!l->content)
        return step_error(x, 404);
    return step_verdict(x, l->content->select(x, l->content_conf), STEP_BODY);
}
