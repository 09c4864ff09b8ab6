/*
 * A stream as front end: the request body in, the answer out.
 *
 * An answer that ends before its request is followed by RST_STREAM(NO_ERROR), so that the client stops sending and
 * still takes the answer (RFC 9113 §8.1); one to a malformed request by RST_STREAM(PROTOCOL_ERROR).
 */
#include "base/attr.h"
#include "base/err.h"
#include "h2/head.h"
#include "h2/server.h"

enum { PROGRESS = 1024 };

static const struct client_location_conf *conf_of(const struct exchange *x)
{
    return x->pass.loc ? x->pass.loc->client : x->client->listener->default_server->base->client;
}

/* ---- the answer ---- */

/* The length that is told, if one is; *ends: no body follows. */
static bool length_of(const struct exchange *x, uint64_t *length, bool *ends)
{
    const struct response *r = &x->resp;
    bool head_only = x->req.method == METHOD_HEAD || r->status == 304;
    *ends =
        head_only || r->status == 204 || r->body.kind == BODY_NONE || (r->body.kind == BODY_LENGTH && !r->body.length);
    if (r->status == 204)
        return false;
    const struct body_fact *f = head_only ? &r->declared : &r->body;
    *length = f->kind == BODY_LENGTH ? f->length : 0;
    return f->kind == BODY_LENGTH || (!head_only && f->kind == BODY_NONE);
}

static int send_head(struct end *e, struct exchange *x)
{
    struct h2_stream *st = h2_stream_of(e);
    struct h2_head h;
    uint64_t length = 0;
    bool ends;
    if (st->reset) { /* an answer to a failure, or after all (proxy_ignore_client_abort): nobody is there to take it */
        exchange_front_failed(x, WHY_CLIENT_CLOSED);
        return OK;
    }
    bool told = length_of(x, &length, &ends);
    int rc = h2_head_begin(&h, &x->arena, x->resp.fields.n + 2);
    if (rc == OK)
        rc = h2_head_status(&h, x->resp.status);
    if (rc == OK && told)
        rc = h2_head_length(&h, length);
    if (rc == OK)
        rc = h2_head_fields(&h, &x->resp.fields, true);
    if (rc != OK)
        return rc;
    const struct h2_location_conf *k = x->pass.loc ? x->pass.loc->conf[h2_feature.id] : NULL;
    if (k)
        st->chunk = (uint32_t)k->chunk;
    st->head_out = true;
    e->out->ready = true;
    x->req.keep_alive = true;
    h2_out_head(st, h.v, h.n, ends);
    return OK;
}

static void send_interim(struct end *e, struct exchange *x)
{
    struct h2_stream *st = h2_stream_of(e);
    struct h2_head h;
    if (st->head_out || h2_head_begin(&h, &x->arena, x->interim->fields.n + 1) != OK ||
        h2_head_status(&h, x->interim->status) != OK || h2_head_fields(&h, &x->interim->fields, true) != OK)
        return;
    h2_out_head(st, h.v, h.n, false);
}

static void kick_out(struct end *e)
{
    h2_stream_kicked(h2_stream_of(e));
}

void h2_server_out_done(struct h2_stream *st)
{
    timer_clear(&st->out_timer);
    if (!st->end.x)
        return;
    exchange_post(st->end.x, X_FRONT_SENT);
    if (unlikely(st->tunnel))
        h2_tunnel_linger(st);
}

/* ---- the request body ---- */

static void send_continue(struct h2_stream *st)
{
    static const struct field status = { .name = { ":status", 7 }, .value = { "100", 3 } };
    st->end.x->req.expect_continue = false;
    if (!st->head_out && !st->seen)
        h2_out_head(st, &status, 1, false);
}

static void kick_in(struct end *e)
{
    struct h2_stream *st = h2_stream_of(e);
    struct exchange *x = e->x;
    if (!st->asked && x->req.expect_continue && !st->ended_in && !st->stopped)
        send_continue(st);
    uint64_t limit = conf_of(x)->max_body_size;
    if (limit && st->seen > limit) {
        h2_stream_fail(st, WHY_CLIENT_BIG, H2_NO_ERROR);
        return;
    }
    h2_stream_want(st);
}

static bool in_hand(struct end *e, uint64_t limit)
{
    const struct h2_stream *st = h2_stream_of(e);
    return !st->asked && st->ended_in && !st->failed && st->length != UINT64_MAX && st->seen <= limit;
}

static void stop_in(struct end *e)
{
    struct h2_stream *st = h2_stream_of(e);
    if (!st->given)
        h2_stream_stop(st);
}

void h2_server_in_done(struct h2_stream *st)
{
    exchange_post(st->end.x, X_FRONT_BODY);
}

void h2_server_in_full(struct h2_stream *st)
{
    if (!st->end.in->ready)
        exchange_post(st->end.x, X_FRONT_FULL);
}

/* Each arrival of body comes by here: its limit is looked at, and the client's time begins anew. */
void h2_server_in_wait(struct h2_stream *st, bool on)
{
    struct exchange *x = st->end.x;
    if (!on || !x) {
        timer_clear(&st->in_timer);
        return;
    }
    if (unlikely(st->tunnel)) {
        h2_tunnel_in_wait(st, on);
        return;
    }
    x->received = st->received;
    uint64_t limit = conf_of(x)->max_body_size;
    if (limit && st->seen > limit)
        h2_stream_fail(st, WHY_CLIENT_BIG, H2_NO_ERROR);
    else
        timer_set(&st->c->w->loop, &st->in_timer, conf_of(x)->body_timeout);
}

static void on_in_timer(struct timer *t)
{
    struct h2_stream *st = container_of(t, struct h2_stream, in_timer);
    if (!st->end.x || st->ended_in)
        return;
    if (st->tunnel) {
        h2_tunnel_end_input(st);
        return;
    }
    worker_count(st->c->w, COUNT_TIMEOUT_BODY);
    h2_stream_fail(st, WHY_CLIENT_TIMEOUT, H2_CANCEL);
}

/* ---- windows that stay shut ---- */

void h2_server_out_stuck(struct h2_stream *st, bool on)
{
    struct exchange *x = st->end.x;
    if (st->body - st->progress >= PROGRESS)
        timer_clear(&st->out_timer);
    if (on && x && !st->out_timer.at) {
        st->progress = st->body;
        timer_set(&st->c->w->loop, &st->out_timer, conf_of(x)->send_timeout);
    }
}

static void on_out_timer(struct timer *t)
{
    struct h2_stream *st = container_of(t, struct h2_stream, out_timer);
    if (!st->end.x || !st->stuck)
        return;
    worker_count(st->c->w, COUNT_H2_STALLED);
    worker_count(st->c->w, COUNT_TIMEOUT_SEND);
    h2_stream_fail(st, WHY_CLIENT_TIMEOUT, H2_CANCEL);
}

void h2_server_stream_timers(struct h2_stream *st)
{
    timer_init(&st->in_timer, on_in_timer);
    timer_init(&st->out_timer, on_out_timer);
}

/* ---- the end ---- */

void h2_server_failed(struct h2_stream *st, enum x_why why, enum h2_error error)
{
    if (why == WHY_CLIENT_BODY)
        st->malformed = true;
    exchange_front_failed(st->end.x, why);
}

static void reset(struct end *e)
{
    struct h2_stream *st = h2_stream_of(e);
    h2_stream_reset(st, st->malformed                 ? H2_PROTOCOL_ERROR
                        : e->x->front_why == WHY_NONE ? H2_INTERNAL_ERROR
                                                      : H2_CANCEL);
    end_detach(e);
    h2_server_stream_gone(st);
}

/* What is left of the request is short and may come without another word of ours: it is dropped as it comes. Some
 * clients take a reset that they did not need for a failure, whatever the answer before it said. */
static bool short_rest(const struct h2_stream *st)
{
    return st->length != UINT64_MAX && (int64_t)(st->length - st->seen) <= st->recv_window;
}

static void finish(struct end *e)
{
    struct h2_stream *st = h2_stream_of(e);
    if (st->malformed)
        h2_stream_reset(st, H2_PROTOCOL_ERROR);
    else if (!st->ended_in && short_rest(st))
        h2_stream_forget(st);
    else if (!st->ended_in)
        h2_stream_reset(st, H2_NO_ERROR);
    end_detach(e);
    h2_server_stream_gone(st);
}

const struct end_ops h2_server_ops = {
    .name = "h2 server",
    .send_head = send_head,
    .send_interim = send_interim,
    .switch_protocol = h2_tunnel_switch,
    .kick_out = kick_out,
    .kick_in = kick_in,
    .in_hand = in_hand,
    .stop_in = stop_in,
    .reset = reset,
    .finish = finish,
};
