#include "http/transform.h"

#include <assert.h>

#include "base/attr.h"
#include "http/exchange.h"

/* So that one body cannot keep the worker: what is left is done in the next turn. */
enum { STEPS_AT_ONCE = 64 };

static struct transform *transform_of(struct end *e)
{
    return container_of(e, struct transform, end);
}

static void fail(struct transform *t)
{
    t->failed = true;
    pipe_close(t->in);
    pipe_abort(&t->out);
    pipe_push(&t->out);
}

/* The input's end is passed on when the step has put everything that it held. */
static void pass_end(struct transform *t)
{
    if (t->out.state != PIPE_OPEN)
        return;
    if (t->in->state == PIPE_ABORTED && !t->in->queued)
        pipe_abort(&t->out);
    else if (pipe_finished(t->in))
        pipe_end(&t->out, t->trailers ? t->trailers(t, t->in->trailers) : t->in->trailers);
    else
        return;
    pipe_push(&t->out);
}

static void run(struct transform *t)
{
    for (int i = 0; i < STEPS_AT_ONCE; i++) {
        if (t->failed || t->out.state != PIPE_OPEN)
            return;
        if (pipe_want(&t->out) == 0) {
            t->out.stalled = true;
            return;
        }
        enum transform_result r = t->step(t, t->in, &t->out);
        if (r == TRANSFORM_FAILED) {
            fail(t);
            return;
        }
        if (r == TRANSFORM_NEED_INPUT) {
            pass_end(t);
            return;
        }
        if (pipe_push(&t->out) < 0) {
            fail(t);
            return;
        }
    }
    task_post_later(t->in->loop, &t->end.kick);
}

/* From the producer's push. */
static void kick_out(struct end *e)
{
    run(transform_of(e));
}

/* From the run queue: the consumer has made room, or the share of a turn was used up. */
static void kick_in(struct end *e)
{
    run(transform_of(e));
}

static const struct end_ops transform_ops = { .name = "transform", .kick_out = kick_out, .kick_in = kick_in };

/* Who takes from the pipe that the transform shall take from: the next one towards the client, or the front end. */
static struct end *consumer_at(struct exchange *x, struct transform ***at, uint8_t order)
{
    struct end *e = x->front;
    for (; **at && (**at)->order > order; *at = &(**at)->next)
        e = &(**at)->end;
    return e;
}

static bool is_transform(const struct end *e)
{
    return e->ops == &transform_ops;
}

void transform_insert(struct exchange *x, struct transform *t)
{
    struct transform **at = &x->transforms;
    struct end *consumer = consumer_at(x, &at, t->order);
    struct pipe *in = consumer->out;
    assert(!x->head_sent && in->taken == 0);
    end_init(&t->end, &transform_ops);
    t->end.x = x;
    t->end.in = &t->out;
    t->end.out = in;
    t->in = in;
    pipe_init(&t->out, in->loop, in->budget, in->capacity);
    t->out.producer = &t->end;
    t->out.consumer = consumer;
    t->out.ready = is_transform(consumer); /* a front end is ready when it has composed its head */
    consumer->out = &t->out;
    if (is_transform(consumer))
        transform_of(consumer)->in = &t->out;
    in->consumer = &t->end;
    in->ready = true;
    t->next = *at;
    *at = t;
}

struct transform *transform_find(const struct exchange *x,
                                 enum transform_result (*step)(struct transform *, struct pipe *, struct pipe *))
{
    struct transform *t = x->transforms;
    while (t && t->step != step)
        t = t->next;
    return t;
}

void transform_wake(struct transform *t)
{
    task_post(t->in->loop, &t->end.kick);
}

void transforms_done(struct exchange *x)
{
    for (struct transform *t = x->transforms; t; t = t->next) {
        if (t->done)
            t->done(t);
        task_cancel(&x->w->loop, &t->end.kick);
        pipe_done(&t->out);
    }
    x->transforms = NULL;
}

void transforms_remove(struct exchange *x)
{
    if (!x->transforms)
        return;
    assert(!x->head_sent && x->resp_pipe.taken == 0);
    transforms_done(x);
    x->front->out = &x->resp_pipe;
    x->resp_pipe.consumer = x->front;
    x->resp_pipe.ready = false;
}
