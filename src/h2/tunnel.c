/*
 * CONNECT on a stream (RFC 9113 §8.5): from the 200 on, DATA are the tunnel's bytes, END_STREAM is its FIN, and what
 * breaks is RST_STREAM(CONNECT_ERROR). What comes before the 200 is held, within the stream's window, as any body is.
 *
 * A half close passes both ways. When the peer has closed and the client knows, the client has lingering_timeout from
 * byte to byte and lingering_time in all to say its last words, as over HTTP/1. Silence is the back end's matter.
 */
#include "base/err.h"
#include "h2/head.h"
#include "h2/server.h"

static const struct end_ops tunnel_ops;

int h2_tunnel_switch(struct end *e, struct exchange *x)
{
    struct h2_stream *st = h2_stream_of(e);
    struct h2_head h;
    int rc = h2_head_begin(&h, &x->arena, x->resp.fields.n + 1);
    if (rc == OK)
        rc = h2_head_status(&h, x->resp.status);
    if (rc == OK)
        rc = h2_head_fields(&h, &x->resp.fields, true);
    if (rc != OK)
        return rc;
    st->tunnel = st->head_out = true;
    st->given = false;
    st->length = UINT64_MAX;
    e->ops = &tunnel_ops;
    e->out->ready = true;
    if (st->reset)
        exchange_front_failed(x, WHY_CLIENT_CLOSED);
    return h2_out_head(st, h.v, h.n, false);
}

void h2_tunnel_end_input(struct h2_stream *st)
{
    struct pipe *p = st->end.in;
    timer_clear(&st->in_timer);
    if (!st->end.x || st->ended_in || st->stopped)
        return;
    st->stopped = true;
    if (p->state == PIPE_OPEN) {
        pipe_end(p, NULL);
        pipe_push(p);
    }
    exchange_post(st->end.x, X_FRONT_BODY);
}

/* The peer has closed: the client's time runs. */
void h2_tunnel_linger(struct h2_stream *st)
{
    const struct client_location_conf *k = st->end.x->pass.loc->client;
    uint64_t now = loop_now(&st->c->w->loop);
    if (st->ended_in || st->stopped)
        return;
    if (!st->linger_until)
        st->linger_until = now + k->lingering_time;
    if (!k->lingering_close || now >= st->linger_until)
        h2_tunnel_end_input(st);
    else
        timer_set(&st->c->w->loop, &st->in_timer, k->lingering_timeout);
}

void h2_tunnel_in_wait(struct h2_stream *st, bool on)
{
    timer_clear(&st->in_timer);
    st->end.x->received = st->received;
    if (on && st->linger_until)
        h2_tunnel_linger(st);
}

static void kick_out(struct end *e)
{
    h2_stream_kicked(h2_stream_of(e));
}

static void kick_in(struct end *e)
{
    h2_stream_want(h2_stream_of(e));
}

static void stop_in(struct end *e)
{
    h2_stream_stop(h2_stream_of(e));
}

static void leave(struct h2_stream *st)
{
    end_detach(&st->end);
    h2_server_stream_gone(st);
}

static void reset(struct end *e)
{
    struct h2_stream *st = h2_stream_of(e);
    h2_stream_reset(st, e->x->front_why == WHY_NONE ? H2_CONNECT_ERROR : H2_CANCEL);
    leave(st);
}

static void finish(struct end *e)
{
    struct h2_stream *st = h2_stream_of(e);
    if (!st->ended_out)
        h2_stream_reset(st, H2_CANCEL);
    else if (!st->ended_in)
        h2_stream_reset(st, H2_NO_ERROR);
    leave(st);
}

static const struct end_ops tunnel_ops = {
    .name = "h2 server, tunnel",
    .kick_out = kick_out,
    .kick_in = kick_in,
    .stop_in = stop_in,
    .reset = reset,
    .finish = finish,
};
