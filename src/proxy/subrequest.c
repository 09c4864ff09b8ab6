#include "proxy/subrequest.h"

#include "base/attr.h"
#include "base/err.h"
#include "proxy/proxy.h"
#include "proxy/step.h"

static struct subrequest *sink_of(struct end *e)
{
    return container_of(e, struct subrequest, front);
}

/* Takes what is there. The answer is over for the child when its body is, or when there is too much of it. */
static void drain(struct subrequest *s)
{
    struct pipe *p = s->front.out;
    size_t n = p->queued;
    if (n && s->left) {
        s->left -= n < s->left ? n : s->left;
        pipe_take(p, n);
    }
    if (s->released && (p->state != PIPE_OPEN || !s->left))
        exchange_post(s->x, X_FRONT_SENT);
}

/* nginx counts the answer as taken here: it does not wait for a body that nobody wants. */
static void note_time(const struct exchange *x)
{
    struct attempt *a = x->proxy ? x->proxy->last : NULL;
    if (a && a->end == UINT64_MAX)
        a->end = loop_now(&x->w->loop);
}

static int sink_send_head(struct end *e, struct exchange *x)
{
    struct subrequest *s = sink_of(e);
    s->status = x->resp.status;
    e->out->ready = true;
    note_time(x);
    exchange_post(s->parent, X_WAKE);
    return OK;
}

static void sink_interim(struct end *e, struct exchange *x)
{
}

static void sink_kick_out(struct end *e)
{
    drain(sink_of(e));
}

/* There is no body to give. */
static void sink_nothing(struct end *e)
{
}

static void sink_gone(struct end *e)
{
    struct subrequest *s = sink_of(e);
    end_detach(e);
    s->x = NULL;
    exchange_unhold(s->parent, &s->hold);
    if (!s->status)
        exchange_post(s->parent, X_WAKE);
}

static const struct end_ops sink_ops = {
    .name = "sink",
    .send_head = sink_send_head,
    .send_interim = sink_interim,
    .kick_out = sink_kick_out,
    .kick_in = sink_nothing,
    .stop_in = sink_nothing,
    .reset = sink_gone,
    .finish = sink_gone,
};

/* The parent ends, and does not wait for a body. */
static void cancel(struct x_hold *h, struct exchange *parent)
{
    struct subrequest *s = container_of(h, struct subrequest, hold);
    if (s->status)
        exchange_post(s->x, X_FRONT_SENT);
    else
        exchange_front_failed(s->x, WHY_PARENT);
}

void subrequest_release(struct subrequest *s)
{
    if (!s->x || s->released)
        return;
    s->released = true;
    drain(s);
}

static uint8_t depth_of(const struct exchange *parent)
{
    return parent->parent ? (uint8_t)(container_of(parent->front, struct subrequest, front)->depth + 1) : 0;
}

static void fill(struct exchange *x, const struct exchange *parent, slice uri, slice args, bool has_args)
{
    x->req = parent->req;
    x->req.method = METHOD_GET;
    x->req.method_text = method_name(METHOD_GET);
    x->req.body = (struct body_fact){ .kind = BODY_NONE };
    x->req.expect_continue = x->req.upgrade = false; /* what the client wants of its connection is not the child's */
    x->server = parent->server;
    x->log = parent->log;
    x->known = VAR_REQUEST;
    x->pass = (struct pass){
        .method = x->req.method,
        .method_text = x->req.method_text,
        .uri = uri,
        .args = args,
        .has_args = has_args,
        .internal = true,
        .redirected = true,
        .rewritten = true,
        .loc = parent->server->base,
    };
    x->step = STEP_ROUTE;
}

struct subrequest *subrequest_start(struct exchange *parent, slice uri, slice args, bool has_args)
{
    struct subrequest *s = arena_new(&parent->arena, struct subrequest);
    if (!s)
        return NULL;
    s->depth = depth_of(parent);
    if (s->depth >= SUBREQUEST_DEPTH) {
        exchange_log(parent, LEVEL_ERROR, "subrequests cycle while processing \"%.*s\"", SLICE_FMT(uri));
        return NULL;
    }
    s->parent = parent;
    s->left = SUBREQUEST_DRAIN;
    end_init(&s->front, &sink_ops);
    struct exchange *x = exchange_new(parent->w, parent->gen, &s->front, parent->client);
    if (!x)
        return NULL;
    x->parent = parent;
    x->aside = true;
    fill(x, parent, uri, args, has_args);
    if (!exchange_inherit_values(x, parent)) {
        end_detach(&s->front);
        exchange_free(x);
        return NULL;
    }
    s->x = x;
    pipe_end(&x->req_pipe, NULL);
    x->events |= X_FRONT_BODY;
    exchange_hold(parent, &s->hold, cancel);
    worker_count(x->w, COUNT_SUBREQUESTS);
    exchange_start(x);
    return s;
}
