/*
 * Deliver: the head goes to the client, and then body pieces flow from end to end without this step, until both sides
 * are done or one of them breaks.
 */
#include "base/err.h"
#include "http/answer.h"
#include "http/transform.h"
#include "proxy/next.h"
#include "proxy/spill.h"
#include "proxy/step.h"

static bool add_field(struct exchange *x, enum token t, slice name, slice value)
{
    if (fields_find(&x->resp.fields, t))
        return true;
    return answer_add(x, t, name, value);
}

bool deliver_own_fields(struct exchange *x)
{
    slice server, date = clock_http(&x->w->loop.clock);
    if (!x->local && x->server->forward) /* an answer of the world outside is not ours */
        return add_field(x, TOK_DATE, SLICE("Date"), date);
    if (exchange_eval(x, &x->pass.loc->client->server_field, &server) != OK)
        return false;
    return (!server.n || add_field(x, TOK_SERVER, SLICE("Server"), server)) &&
           add_field(x, TOK_DATE, SLICE("Date"), date);
}

/* With proxy_limit_rate the backend must not be read ahead into a file. */
static bool read_slowly(const struct exchange *x)
{
    const struct transform *t = x->transforms;
    while (t && t->order != TRANSFORM_INTAKE)
        t = t->next;
    return t;
}

static void size_pipe(struct exchange *x)
{
    const struct proxy_conf *c = x->local ? NULL : x->proxy->conf;
    if (!c)
        return;
    size_t capacity = c->buffer_size + (x->proxy->buffering ? c->buffers_n * c->buffers_size : 0);
    pipe_resize(&x->resp_pipe, capacity);
    for (struct transform *t = x->transforms; t; t = t->next)
        pipe_resize(&t->out, capacity);
    x->resp_pipe.overflow = x->proxy->buffering && c->max_temp_file_size && !read_slowly(x);
}

static enum step begin(struct exchange *x)
{
    size_pipe(x);
    if (x->local && !(x->events & X_FRONT_BODY))
        x->front->ops->stop_in(x->front);
    int rc = deliver_own_fields(x) ? x->front->ops->send_head(x->front, x) : ERR_NOMEM;
    if (rc < 0) {
        exchange_log(x, LEVEL_ERROR, "cannot compose the response: %s", err_name(rc));
        transforms_remove(x);
        bool ours = x->local;
        return ours ? step_end(x, END_BACKEND) : step_error(x, 502);
    }
    x->head_sent = true;
    x->back->ops->kick_in(x->back);
    if (!(x->events & X_FRONT_SENT) && !x->resp_pipe.soon)
        x->front->ops->kick_out(x->front);
    return STEP_DELIVER;
}

/* The backend broke off in the middle: the client gets what came, and then no clean end. */
static void broke_off(struct exchange *x)
{
    next_log_failure(x);
    x->events &= ~(uint32_t)X_BACK_FAILED;
    x->ended = END_BACKEND;
    pipe_abort(&x->resp_pipe);
    pipe_push(&x->resp_pipe);
}

enum step step_deliver(struct exchange *x)
{
    if (!x->head_sent) {
        enum step s = begin(x);
        if (s != STEP_DELIVER)
            return s;
    }
    if (x->events & X_BACK_FULL) {
        x->events &= ~(uint32_t)X_BACK_FULL;
        spill_answer(x);
    }
    if ((x->events & X_BACK_FAILED) && !(x->events & X_BACK_DONE) && x->ended == END_NONE)
        broke_off(x);
    /* Without X_BACK_DONE the rest is for nobody (a HEAD that proxy_method made a GET, a status that error_page made
     * 204): no pipe will take it, so the back end goes. */
    if (x->events & X_FRONT_SENT)
        return STEP_FINISH;
    if (x->events & X_FRONT_FAILED)
        return STEP_DELIVER; /* the machine looks at failures before each step */
    return STEP_WAIT;
}
