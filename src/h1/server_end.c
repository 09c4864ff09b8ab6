/*
 * The front end's side of an exchange: the request body in, the answer out.
 *
 * Whether the connection may be kept is decided once, when the head of the answer is composed, because the head has to
 * say so. What cannot be kept: a request that was refused, a body that is not read whole and is not small, a client
 * that waits for a 100 that it will not get, a connection that has served its number or its time, a browser that breaks
 * kept connections.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "h1/server_priv.h"
#include "http/old_browser.h"

enum { DRAIN_MAX = 64 << 10, HEAD_ROOM = 128, SMALL_HEAD = 256 };

static struct h1_server *server_of(struct end *e)
{
    return container_of(e, struct h1_server, c.end);
}

static const struct client_location_conf *conf_of(const struct exchange *x)
{
    return x->pass.loc ? x->pass.loc->client : x->client->listener->default_server->base->client;
}

static bool wait_for(struct h1_server *s)
{
    return s->c.io.watched || io_watch(&s->c.w->loop, &s->c.io) == OK;
}

/* ---- the answer ---- */

/* What remains of the request body can be read and dropped without letting the client keep us busy. */
static bool body_drainable(const struct h1_server *s)
{
    const struct h1_body *b = &s->c.body;
    return b->done || (b->kind == H1_BODY_LENGTH && b->left <= DRAIN_MAX && !s->must_continue);
}

static bool may_keep(const struct h1_server *s, const struct exchange *x, const struct client_location_conf *k)
{
    return !x->refuse && !s->last && !s->c.w->draining && x->req.keep_alive && k->keepalive_timeout &&
           s->client.requests < k->keepalive_requests &&
           loop_now(&s->c.w->loop) - s->client.since < k->keepalive_time && body_drainable(s) &&
           !old_browser_breaks(&x->req, k->keepalive_disable) &&
           !(x->req.upgrade && s->c.in_n); /* row U1: what lies behind was meant for another protocol */
}

/* The answer's body fact as this client must be told it. */
static enum h1_framing framing_of(const struct exchange *x, uint64_t *length)
{
    const struct response *r = &x->resp;
    bool head_only = x->req.method == METHOD_HEAD || r->status == 304;
    if (r->status < 200 || r->status == 204)
        return H1_FRAME_NONE;
    if (head_only) {
        *length = r->declared.length;
        return r->declared.kind == BODY_LENGTH ? H1_FRAME_LENGTH : H1_FRAME_NONE;
    }
    switch (r->body.kind) {
    case BODY_NONE:
        *length = 0;
        return H1_FRAME_LENGTH;
    case BODY_LENGTH:
        *length = r->body.length;
        return H1_FRAME_LENGTH;
    case BODY_UNKNOWN:
        break;
    }
    return x->req.minor >= 1 && conf_of(x)->chunked ? H1_FRAME_CHUNKED : H1_FRAME_CLOSE;
}

static size_t head_size(const struct response *r)
{
    size_t n = HEAD_ROOM + r->reason.n;
    for (uint32_t i = 0; i < r->fields.n; i++)
        n += r->fields.v[i].name.n + r->fields.v[i].value.n + 4;
    return n;
}

int h1_server_compose(struct exchange *x, const struct response *r, enum h1_framing f, uint64_t length,
                      enum h1_connection conn, slice *out)
{
    struct strb b;
    size_t size = head_size(r); /* more than it will be: a small one need not take that from the arena */
    char small[SMALL_HEAD], *mem = size <= sizeof(small) ? small : arena_bytes(&x->arena, size);
    if (!mem)
        return ERR_NOMEM;
    strb_init_fixed(&b, mem, size);
    int rc = h1_write_response(&b, r->status, r->reason, &r->fields, f, length, conn);
    if (rc < 0)
        return rc;
    *out = strb_slice(&b);
    return mem != small || arena_dup(&x->arena, *out, out) ? OK : ERR_NOMEM;
}

/* keepalive_timeout's second argument: the field is only a promise to old clients. */
static bool add_keep_alive_field(struct exchange *x, uint64_t seconds)
{
    slice v = arena_printf(&x->arena, "timeout=%llu", (unsigned long long)seconds);
    return v.p && fields_add(&x->arena, &x->resp.fields,
                             (struct field){ .name = SLICE("Keep-Alive"), .value = v, .token = TOK_KEEP_ALIVE });
}

static void set_delay(struct h1_server *s, bool nodelay)
{
    int on = nodelay;
    setsockopt(s->c.io.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    s->delayed = !nodelay;
}

static int server_send_head(struct end *e, struct exchange *x)
{
    struct h1_server *s = server_of(e);
    const struct client_location_conf *k = conf_of(x);
    uint64_t length = 0;
    enum h1_framing f = framing_of(x, &length);
    bool keep = f != H1_FRAME_CLOSE && may_keep(s, x, k);
    enum h1_connection conn = !keep ? H1_CONN_CLOSE : x->req.minor == 0 ? H1_CONN_KEEP_ALIVE : H1_CONN_NONE;
    slice head;
    if (keep && k->keepalive_header && !add_keep_alive_field(x, k->keepalive_header))
        return ERR_NOMEM;
    int rc = h1_server_compose(x, &x->resp, f, length, conn, &head);
    if (rc < 0)
        return rc;
    if (unlikely(s->delayed == k->tcp_nodelay))
        set_delay(s, k->tcp_nodelay);
    s->keep = x->req.keep_alive = keep;
    s->idle_ms = k->keepalive_timeout;
    bool no_body = x->req.method == METHOD_HEAD || x->resp.status == 304;
    h1_out_begin(&s->c.out, head, no_body ? H1_FRAME_NONE : f, length);
    s->c.out.closes = !keep;
    e->out->ready = true;
    return OK;
}

/* A short text past everything else; a client that cannot take even this is not listening. */
static void send_now(struct h1_server *s, slice text)
{
    struct iovec v = { (char *)text.p, text.n };
    ssize_t n = s->c.tr ? s->c.tr->ops->write(s->c.tr, &v, 1, false) : send(s->c.io.fd, text.p, text.n, MSG_NOSIGNAL);
    if (n == (ssize_t)text.n)
        s->c.end.x->sent += text.n;
    else
        exchange_front_failed(s->c.end.x, WHY_CLIENT_CLOSED);
}

static void server_send_interim(struct end *e, struct exchange *x)
{
    slice head;
    if (x->req.minor < 1 || server_of(e)->c.out.active)
        return;
    if (h1_server_compose(x, x->interim, H1_FRAME_NONE, 0, H1_CONN_NONE, &head) == OK)
        send_now(server_of(e), head);
}

static void server_kick_out(struct end *e)
{
    struct h1_server *s = server_of(e);
    struct exchange *x = e->x;
    const struct client_location_conf *k = conf_of(x);
    uint64_t bytes = s->c.out.bytes, body = s->c.out.body;
    enum h1_flush r = h1_out_flush(&s->c);
    x->sent += s->c.out.bytes - bytes;
    x->body_sent += s->c.out.body - body;
    switch (r) {
    case H1_FLUSH_IDLE:
        timer_clear(&s->c.out_timer);
        return;
    case H1_FLUSH_BLOCKED:
        if (!wait_for(s))
            break;
        h1_out_await(&s->c, bytes, k->send_timeout);
        return;
    case H1_FLUSH_BROKEN:
        s->broken = true;
        s->keep = false;
        exchange_post(x, X_FRONT_SENT);
        return;
    case H1_FLUSH_DONE:
        timer_clear(&s->c.out_timer);
        exchange_post(x, X_FRONT_SENT);
        return;
    case H1_FLUSH_ERROR:
        break;
    }
    exchange_front_failed(x, WHY_CLIENT_CLOSED);
}

/* ---- the request body ---- */

static void body_wanted(struct h1_server *s)
{
    struct exchange *x = s->c.end.x;
    struct worker *w = s->c.w;
    uint64_t wire = s->c.body.wire;
    enum h1_pump r = h1_body_pump(&s->c);
    x->received += s->c.body.wire - wire;
    timer_clear(&s->c.in_timer);
    switch (r) {
    case H1_PUMP_WAIT:
        if (!wait_for(s)) {
            exchange_front_failed(x, WHY_CLIENT_CLOSED);
            return;
        }
        timer_set(&w->loop, &s->c.in_timer, conf_of(x)->body_timeout);
        return;
    case H1_PUMP_FULL:
        if (!s->c.end.in->ready)
            exchange_post(x, X_FRONT_FULL);
        return;
    case H1_PUMP_YIELD:
        return;
    case H1_PUMP_DONE:
        exchange_post(x, X_FRONT_BODY);
        if (unlikely(s->c.hup)) /* the end came with the last bytes, and no event will tell of it again */
            task_post_later(&w->loop, &s->next);
        return;
    case H1_PUMP_CLOSED:
    case H1_PUMP_ERROR:
        exchange_front_failed(x, WHY_CLIENT_CLOSED);
        return;
    case H1_PUMP_BAD:
        worker_count(w, COUNT_BODY_BAD);
        exchange_front_failed(x, WHY_CLIENT_BODY);
        return;
    case H1_PUMP_BIG:
        exchange_front_failed(x, WHY_CLIENT_BIG);
        return;
    case H1_PUMP_NOMEM:
        worker_count(w, COUNT_MEMORY_REFUSED);
        exchange_front_failed(x, WHY_NOMEM);
        return;
    }
}

static void server_kick_in(struct end *e)
{
    struct h1_server *s = server_of(e);
    if (s->c.body.done || s->stopped)
        return;
    if (!s->asked)
        s->c.body.limit = conf_of(e->x)->max_body_size;
    s->asked = true;
    if (s->must_continue) {
        s->must_continue = false;
        if (s->c.in_n == 0 && !s->c.out.active)
            send_now(s, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    body_wanted(s);
}

/* A body that came with its head, or right behind it, need not be kept anywhere to be whole. */
static bool server_in_hand(struct end *e, uint64_t limit)
{
    struct h1_server *s = server_of(e);
    const struct h1_body *b = &s->c.body;
    if (b->kind != H1_BODY_LENGTH || b->left > limit || s->asked || s->must_continue)
        return false;
    return h1_conn_read_ahead(&s->c, (size_t)b->left);
}

static void server_stop_in(struct end *e)
{
    struct h1_server *s = server_of(e);
    if (s->c.body.done || s->stopped)
        return;
    s->stopped = true;
    timer_clear(&s->c.in_timer);
    pipe_close(e->in);
}

/* ---- the end ---- */

void h1_server_abortive(struct h1_server *s)
{
    struct linger l = { 1, 0 };
    s->c.abort = true;
    setsockopt(s->c.io.fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* A body until close that breaks off must not end like one that is whole: the client is sent a reset. */
static bool would_look_whole(const struct h1_server *s)
{
    return s->c.out.active && s->c.out.framing == H1_FRAME_CLOSE;
}

static void server_reset(struct end *e)
{
    struct h1_server *s = server_of(e);
    struct exchange *x = e->x;
    if (would_look_whole(s) || (x->front_why == WHY_CLIENT_TIMEOUT && conf_of(x)->reset_timedout))
        h1_server_abortive(s);
    end_detach(e);
    h1_server_close(s);
}

/* Reads on behind the answer until the next request begins. */
static void drain(struct h1_server *s)
{
    struct h1_body *b = &s->c.body;
    while (b->left) {
        size_t n = s->c.in_n < b->left ? s->c.in_n : (size_t)b->left;
        b->left -= n;
        h1_conn_consume(&s->c, n);
        if (!b->left)
            break;
        if (!s->c.readable)
            return;
        ssize_t got = h1_conn_read(&s->c, H1_HEAD_READ);
        if (got < 0 && got != ERR_AGAIN) {
            h1_server_close(s);
            return;
        }
    }
    b->done = true;
    h1_server_next(s, true, false);
}

static void server_finish(struct end *e)
{
    struct h1_server *s = server_of(e);
    const struct client_location_conf *k = conf_of(e->x);
    bool done = s->c.body.done, keep = s->keep;
    if (s->broken && would_look_whole(s))
        h1_server_abortive(s);
    s->c.body.chunked = NULL;
    s->c.out = (struct h1_out){ 0 };
    end_detach(e);
    if (s->broken) {
        h1_server_close(s);
        return;
    }
    if (keep && !done) {
        s->state = SERVER_DRAIN;
        timer_set(&s->c.w->loop, &s->c.in_timer, k->body_timeout);
        if (!wait_for(s))
            h1_server_close(s);
        else
            drain(s);
        return;
    }
    h1_server_next(s, keep, !done || s->c.in_n > 0 || s->c.readable);
}

void h1_server_io(struct h1_server *s, unsigned events)
{
    if (s->state == SERVER_DRAIN) {
        drain(s);
        return;
    }
    if ((events & IO_OUT) && s->c.out.blocked) {
        s->c.out.blocked = false;
        server_kick_out(&s->c.end);
    }
    if (s->c.readable && s->asked && !s->stopped && !s->c.body.done)
        body_wanted(s);
    else if (events & IO_HUP) /* a FIN or worse while the answer is made: given up, as nginx does (499) */
        exchange_front_failed(s->c.end.x, WHY_CLIENT_CLOSED);
}

const struct end_ops h1_server_ops = {
    .name = "h1 server",
    .send_head = server_send_head,
    .send_interim = server_send_interim,
    .switch_protocol = h1_server_switch,
    .kick_out = server_kick_out,
    .kick_in = server_kick_in,
    .in_hand = server_in_hand,
    .stop_in = server_stop_in,
    .reset = server_reset,
    .finish = server_finish,
};
