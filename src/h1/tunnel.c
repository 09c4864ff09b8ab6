/*
 * Both ends after a 101, or the 200 of a CONNECT: the same connections and the same pipes, and no framing. Bytes are
 * lent from one to the other as bodies are, so a byte that flows is never copied, and a full pipe stops who fills it.
 *
 * An end that reads its peer's FIN ends its pipe; the other one, when everything is written, shuts its sending side. So
 * a half close passes through, and the tunnel is over when it was passed both ways. Each wait is bounded: writing by
 * the send timeouts, silence by proxy_read_timeout, which any byte in either direction begins anew, and a client that
 * does not close after its backend has by lingering_timeout and lingering_time.
 *
 * Where much flows between two plain sockets, bytes are lent without being read at all: splice(2) moves them through a
 * pipe of the kernel's, one for each worker, empty again when the push returns.
 *
 * The two tables of calls take the place of the ordinary ones (end.ops), so that an exchange without a tunnel knows
 * nothing of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/client.h"
#include "h1/server_priv.h"
#include "http/rest.h"

static const struct end_ops front_ops, back_ops;

/* Splicing costs two calls that are dearer than recv and send, so it is for what comes in large pieces again and again
 * (measured: from some 64 KB on). A few small ones in between, as between two answers, change nothing. */
enum { LENT_MAX = 1 << 20, BULK_LEAST = 64 << 10, BULK_AFTER = 256 << 10, BULK_STEP = 4, BULK_TOP = 8, LENDS = 8 };

static void begin_bytes(struct h1_conn *c, slice head)
{
    uint64_t sent = c->out.bytes;
    h1_body_begin(&c->body, H1_BODY_CLOSE, 0, 0);
    h1_out_begin(&c->out, head, H1_FRAME_CLOSE, 0);
    c->out.bytes = sent;
    c->out.closes = true; /* this side, at the end of what is written */
    c->end.out->ready = true;
    c->end.out->splices = !c->tr;
}

void h1_lent_close(struct h1_worker *w)
{
    for (int i = 0; i < 2; i++) {
        if (w->lent[i] >= 0)
            close(w->lent[i]);
        w->lent[i] = -1;
    }
}

static bool lent_open(struct h1_worker *w)
{
    if (w->lent[0] >= 0)
        return true;
    if (pipe2(w->lent, O_CLOEXEC | O_NONBLOCK) < 0) {
        w->lent[0] = w->lent[1] = -1;
        return false;
    }
    (void)fcntl(w->lent[1], F_SETPIPE_SZ, LENT_MAX); /* a small one works too */
    return true;
}

static void weigh(struct h1_body *b, uint64_t got)
{
    if (got >= BULK_LEAST)
        b->bulk = b->bulk + BULK_STEP < BULK_TOP ? (uint8_t)(b->bulk + BULK_STEP) : BULK_TOP;
    else if (got && b->bulk)
        b->bulk--;
}

static bool may_lend(const struct h1_conn *c)
{
    const struct pipe *p = c->end.in;
    return c->body.bulk >= BULK_STEP && c->body.seen >= BULK_AFTER && p->splices && p->ready && !p->discard &&
           !p->queued && p->state == PIPE_OPEN && !c->tr && !c->in_n && c->readable;
}

/* One splice in, one or more out. H1_PUMP_DONE: the socket has nothing to lend, or its end: it must be read. */
static enum h1_pump lend(struct h1_conn *c)
{
    struct h1_worker *w = c->w->h1;
    struct pipe *p = c->end.in;
    size_t want = pipe_want(p);
    if (!want || !lent_open(w))
        return H1_PUMP_DONE;
    ssize_t n = splice(c->io.fd, NULL, w->lent[1], NULL, want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && errno == EAGAIN) {
        c->readable = false;
        return H1_PUMP_WAIT;
    }
    if (n <= 0)
        return n == 0 || errno == EINTR || errno == EINVAL ? H1_PUMP_DONE : H1_PUMP_ERROR;
    c->received += (uint64_t)n;
    c->body.seen += (uint64_t)n;
    c->body.wire += (uint64_t)n;
    weigh(&c->body, (uint64_t)n);
    pipe_put_lent(p, w->lent[0], (size_t)n);
    int rc = pipe_push(p);
    if (rc < 0 || p->discard) /* something may be left in it */
        h1_lent_close(w);
    return rc < 0 ? H1_PUMP_NOMEM : rc == PIPE_FULL ? H1_PUMP_FULL : H1_PUMP_WAIT;
}

static enum h1_pump pump(struct h1_conn *c)
{
    int turn = 0;
    for (; turn < LENDS && may_lend(c); turn++) {
        enum h1_pump r = lend(c);
        if (r == H1_PUMP_DONE)
            break;
        if (r != H1_PUMP_WAIT)
            return r;
    }
    if (turn == LENDS && c->readable) {
        task_post_later(&c->w->loop, &c->end.kick);
        return H1_PUMP_YIELD;
    }
    if (turn && !c->readable)
        return H1_PUMP_WAIT;
    uint64_t seen = c->body.seen;
    enum h1_pump r = h1_body_pump(c);
    weigh(&c->body, c->body.seen - seen);
    return r;
}

/* Both directions are open, and nothing waits in this end. */
static bool may_rest(struct end *e)
{
    const struct h1_conn *c = container_of(e, struct h1_conn, end);
    return c->out.active && !c->out.blocked && !c->out.head.n && !c->out.lit.n && !c->body.done && !c->in_n &&
           !c->readable;
}

/* Nothing more comes from this side. */
static void end_input(struct h1_conn *c)
{
    c->body.done = true;
    if (c->end.in->state == PIPE_OPEN) {
        pipe_end(c->end.in, NULL);
        pipe_push(c->end.in);
    }
}

/* This side has written everything. When the other way is over too, the close that comes at once says so as well. */
static void end_output(struct h1_conn *c, bool other_over)
{
    if (!c->body.done || !other_over)
        h1_conn_end_write(c);
}

/* ---- the client's side ---- */

static struct h1_server *server_of(struct end *e)
{
    return container_of(e, struct h1_server, c.end);
}

static const struct client_location_conf *conf_of(const struct h1_server *s)
{
    return s->c.end.x->pass.loc->client;
}

int h1_server_switch(struct end *e, struct exchange *x)
{
    struct h1_server *s = server_of(e);
    slice head;
    enum h1_connection conn = x->resp.status == 101 ? H1_CONN_UPGRADE : H1_CONN_NONE; /* 200: to a CONNECT */
    int rc = h1_server_compose(x, &x->resp, H1_FRAME_NONE, 0, conn, &head);
    if (rc < 0)
        return rc;
    if (!s->c.io.watched && io_watch(&s->c.w->loop, &s->c.io) < 0)
        return ERR_NOMEM;
    s->state = SERVER_TUNNEL;
    s->keep = false;
    s->linger_until = 0;
    e->ops = &front_ops;
    begin_bytes(&s->c, head);
    return OK;
}

/* The backend has closed and the client knows: it may say its last words, or just close. */
static void linger(struct h1_server *s)
{
    const struct client_location_conf *k = conf_of(s);
    uint64_t now = loop_now(&s->c.w->loop);
    if (s->c.body.done)
        return;
    if (!s->linger_until)
        s->linger_until = now + k->lingering_time;
    if (!k->lingering_close || now >= s->linger_until) {
        end_input(&s->c);
        exchange_post(s->c.end.x, X_FRONT_BODY);
        return;
    }
    timer_set(&s->c.w->loop, &s->c.in_timer, k->lingering_timeout);
}

/* Silence: while nobody lingers the timer is free for this. */
static void rest_soon(struct h1_server *s)
{
    if (s->c.out.active && !s->c.body.done)
        timer_set(&s->c.w->loop, &s->c.in_timer, REST_AFTER);
}

void h1_server_tunnel_timer(struct h1_server *s)
{
    if (s->c.out.active) {
        exchange_rest(s->c.end.x);
        return;
    }
    s->linger_until = 1; /* it has passed */
    linger(s);
}

static void front_in(struct h1_server *s)
{
    struct exchange *x = s->c.end.x;
    uint64_t seen = s->c.body.seen;
    enum h1_pump r = pump(&s->c);
    x->received += s->c.body.seen - seen;
    timer_clear(&s->c.in_timer);
    switch (r) {
    case H1_PUMP_WAIT:
        if (!s->c.out.active)
            linger(s);
        rest_soon(s);
        return;
    case H1_PUMP_FULL:
    case H1_PUMP_YIELD:
        return;
    case H1_PUMP_DONE:
        exchange_post(x, X_FRONT_BODY);
        return;
    case H1_PUMP_NOMEM:
        worker_count(s->c.w, COUNT_MEMORY_REFUSED);
        exchange_front_failed(x, WHY_NOMEM);
        return;
    default:
        exchange_front_failed(x, WHY_CLIENT_CLOSED);
        return;
    }
}

static void front_kick_in(struct end *e)
{
    struct h1_server *s = server_of(e);
    if (!s->c.body.done)
        front_in(s);
}

static void front_kick_out(struct end *e)
{
    struct h1_server *s = server_of(e);
    struct exchange *x = e->x;
    uint64_t bytes = s->c.out.bytes, body = s->c.out.body;
    bool active = s->c.out.active;
    enum h1_flush r = h1_out_flush(&s->c);
    x->sent += s->c.out.bytes - bytes;
    x->body_sent += s->c.out.body - body;
    if (!active)
        return;
    if (r != H1_FLUSH_BLOCKED)
        timer_clear(&s->c.out_timer);
    switch (r) {
    case H1_FLUSH_IDLE:
        rest_soon(s);
        return;
    case H1_FLUSH_BLOCKED:
        h1_out_await(&s->c, bytes, conf_of(s)->send_timeout);
        return;
    case H1_FLUSH_BROKEN:
        s->broken = true;
        exchange_post(x, X_FRONT_SENT);
        return;
    case H1_FLUSH_DONE:
        end_output(&s->c, x->events & X_BACK_SENT);
        exchange_post(x, X_FRONT_SENT);
        linger(s);
        return;
    case H1_FLUSH_ERROR:
        exchange_front_failed(x, WHY_CLIENT_CLOSED);
        return;
    }
}

static void front_stop_in(struct end *e)
{
    server_of(e)->c.body.done = true;
    pipe_close(e->in);
}

/* What is cut in the middle must not look like a close that the backend meant. */
static void front_reset(struct end *e)
{
    struct h1_server *s = server_of(e);
    if (s->c.out.active)
        h1_server_abortive(s);
    end_detach(e);
    e->ops = &h1_server_ops;
    h1_server_close(s);
}

static void front_finish(struct end *e)
{
    struct h1_server *s = server_of(e);
    bool shut = !s->c.out.active;
    if (s->broken)
        h1_server_abortive(s);
    end_detach(e);
    e->ops = &h1_server_ops;
    if (shut || s->broken)
        h1_server_close(s);
    else
        h1_server_next(s, false, true);
}

void h1_server_tunnel_io(struct h1_server *s, unsigned events)
{
    end_wake(&s->c.end);
    if ((events & IO_OUT) && s->c.out.blocked) {
        s->c.out.blocked = false;
        front_kick_out(&s->c.end);
    }
    if (s->c.readable && !s->c.body.done)
        front_in(s);
}

static const struct end_ops front_ops = {
    .name = "h1 server, tunnel",
    .kick_out = front_kick_out,
    .kick_in = front_kick_in,
    .stop_in = front_stop_in,
    .may_rest = may_rest,
    .reset = front_reset,
    .finish = front_finish,
};

/* ---- the backend's side ---- */

int h1_client_switch(struct end *e, struct exchange *x)
{
    struct h1_client *cl = h1_client_of(e);
    cl->state = CLIENT_TUNNEL;
    e->ops = &back_ops;
    begin_bytes(&cl->c, SLICE(""));
    return OK;
}

static void await(struct h1_client *cl)
{
    timer_set(&cl->c.w->loop, &cl->c.in_timer, cl->limits.read_timeout);
}

static void back_in(struct h1_client *cl)
{
    struct exchange *x = cl->c.end.x;
    timer_clear(&cl->c.in_timer);
    switch (pump(&cl->c)) {
    case H1_PUMP_WAIT:
        await(cl);
        return;
    case H1_PUMP_FULL:
    case H1_PUMP_YIELD:
        return;
    case H1_PUMP_DONE:
        exchange_post(x, X_BACK_DONE);
        return;
    case H1_PUMP_NOMEM:
        exchange_back_failed(x, WHY_NOMEM, 0, NULL);
        return;
    default:
        exchange_back_failed(x, WHY_IO, errno, "recv() failed");
        return;
    }
}

static void back_kick_in(struct end *e)
{
    struct h1_client *cl = h1_client_of(e);
    if (!cl->c.body.done && !(e->x->events & X_BACK_FAILED))
        back_in(cl);
}

/* Nobody takes what the client still sends; what the backend has said before is read to its end. */
static void back_deaf(struct h1_client *cl)
{
    cl->c.out.active = false;
    pipe_close(cl->c.end.out);
    cl->sent = true;
    exchange_post(cl->c.end.x, X_BACK_SENT);
    if (cl->c.body.done)
        return;
    cl->c.readable = true;
    await(cl);
    task_post(&cl->c.w->loop, &cl->c.end.kick);
}

static void back_kick_out(struct end *e)
{
    struct h1_client *cl = h1_client_of(e);
    uint64_t bytes = cl->c.out.bytes;
    bool active = cl->c.out.active;
    enum h1_flush r = h1_out_flush(&cl->c);
    if (!active)
        return;
    if (cl->c.in_timer.at)
        await(cl); /* a tunnel in which something moves is not idle */
    if (r != H1_FLUSH_BLOCKED)
        timer_clear(&cl->c.out_timer);
    switch (r) {
    case H1_FLUSH_IDLE:
        return;
    case H1_FLUSH_BLOCKED:
        h1_out_await(&cl->c, bytes, cl->limits.send_timeout);
        return;
    case H1_FLUSH_DONE:
        end_output(&cl->c, e->x->events & X_FRONT_SENT);
        cl->sent = true;
        exchange_post(e->x, X_BACK_SENT);
        return;
    case H1_FLUSH_BROKEN:
    case H1_FLUSH_ERROR:
        back_deaf(cl);
        return;
    }
}

static void back_stop_in(struct end *e)
{
    h1_client_of(e)->c.body.done = true;
    pipe_close(e->in);
}

static void back_end(struct end *e)
{
    struct h1_client *cl = h1_client_of(e);
    end_detach(e);
    h1_client_close(cl);
}

void h1_client_tunnel_io(struct h1_client *cl, unsigned events)
{
    end_wake(&cl->c.end);
    if ((events & IO_OUT) && cl->c.out.blocked) {
        cl->c.out.blocked = false;
        back_kick_out(&cl->c.end);
    }
    if (cl->c.readable && !cl->c.body.done && !cl->c.end.in->stalled && !(cl->c.end.x->events & X_BACK_FAILED))
        back_in(cl);
}

static const struct end_ops back_ops = {
    .name = "h1 client, tunnel",
    .kick_out = back_kick_out,
    .kick_in = back_kick_in,
    .stop_in = back_stop_in,
    .may_rest = may_rest,
    .reset = back_end,
    .finish = back_end,
};
