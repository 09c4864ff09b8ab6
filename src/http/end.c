#include "http/end.h"

#include "base/attr.h"
#include "http/exchange.h"

static void run_kick(struct task *t)
{
    struct end *e = container_of(t, struct end, kick);
    if (e->x)
        e->ops->kick_in(e);
}

void end_init(struct end *e, const struct end_ops *ops)
{
    e->ops = ops;
    e->x = NULL;
    e->rest = NULL;
    e->in = e->out = NULL;
    task_init(&e->kick, run_kick);
}

void end_attach_front(struct end *e, struct exchange *x)
{
    e->x = x;
    e->in = &x->req_pipe;
    e->out = &x->resp_pipe;
    e->in->producer = e->out->consumer = e;
    x->front = e;
}

void end_attach_back(struct end *e, struct exchange *x)
{
    e->x = x;
    e->in = &x->resp_pipe;
    e->out = &x->req_pipe;
    e->in->producer = e->out->consumer = e;
    x->back = e;
}

void end_detach(struct end *e)
{
    struct exchange *x = e->x;
    if (!x)
        return;
    e->in->producer = NULL;
    e->out->consumer = NULL;
    e->out->ready = false;
    task_cancel(&x->w->loop, &e->kick);
    if (x->front == e)
        x->front = NULL;
    else
        x->back = NULL;
    e->x = NULL;
    e->in = e->out = NULL;
}
