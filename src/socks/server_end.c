/*
 * The front end's side of an exchange: its outcome becomes a reply, and then both pipes carry bytes.
 *
 * Until the outcome is there nothing is read, so what the client sends early waits unread. A refusal is a reply alone:
 * whatever page the answer has is for nobody here. A tunnel is served as h1/tunnel.c serves one: an end that reads its
 * peer's FIN ends its pipe, and shuts its sending side when everything is written; each wait is bounded, writing by
 * send_timeout, a client that does not close after its target has by lingering_timeout and lingering_time. Silence is
 * the back end's to bound.
 */
#include <errno.h>

#include "base/err.h"
#include "http/pipe.h"
#include "http/rest.h"
#include "socks/dest.h"
#include "socks/server.h"

static const struct end_ops tunnel_ops;

static const struct client_location_conf *conf_of(const struct exchange *x)
{
    return x->pass.loc ? x->pass.loc->client : x->client->listener->default_server->base->client;
}

/* ---- the reply ---- */

static enum socks_reply code_of_errno(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return SOCKS_REFUSED;
    case ENETUNREACH:
    case ENETDOWN:
        return SOCKS_NET_UNREACHABLE;
    case EHOSTUNREACH:
    case EHOSTDOWN:
        return SOCKS_HOST_UNREACHABLE;
    case ETIMEDOUT:
        return SOCKS_TTL_EXPIRED;
    default:
        return SOCKS_FAILURE;
    }
}

enum socks_reply socks_reply_of(const struct exchange *x)
{
    unsigned status = x->resp.status;
    switch (status) {
    case 401:
    case 403:
    case 407:
    case 429:
    case 508: /* it would come back to us */
        return SOCKS_NOT_ALLOWED;
    case 405:
        return SOCKS_BAD_COMMAND;
    case 502:
        if (x->back_why == WHY_NONE) /* nobody was tried: the name leads nowhere */
            return SOCKS_HOST_UNREACHABLE;
        return x->back_why == WHY_CONNECT ? code_of_errno(x->back_errno) : SOCKS_FAILURE;
    case 504: /* RFC 1928 has no word for a time that ran out; other servers use this one too */
        return SOCKS_TTL_EXPIRED;
    default: /* a rule that sends clients elsewhere refuses them */
        return status >= 300 && status < 400 ? SOCKS_NOT_ALLOWED : SOCKS_FAILURE;
    }
}

/* `bound` NULL: the address that we are bound to is our affair: 0.0.0.0:0, as other servers have it. */
static void say_reply(struct socks_server *s, enum socks_reply code, const struct socks_dest *bound)
{
    uint8_t b[SOCKS_WRITE_MAX];
    size_t n =
        s->version == 4 ? socks4_write_answer(b, socks4_reply_of(code), NULL) : socks_write_answer(b, code, bound);
    socks_conn_say(&s->c, b, n);
    s->sending = true;
    s->c.end.out->ready = true;
}

/* A name or password that is refused is the end of what the client came for, and gets its line in the log. */
static void say_login(struct socks_server *s, struct exchange *x)
{
    uint8_t b[SOCKS_WRITE_MAX];
    s->good = x->resp.status == 204;
    x->aside = s->good;
    socks_conn_say(&s->c, b, socks_write_login_answer(b, s->good));
    s->sending = true;
    s->c.end.out->ready = true;
    pipe_close(s->c.end.out);
}

static int front_send_head(struct end *e, struct exchange *x)
{
    struct socks_server *s = socks_server_of(e);
    struct addr relay;
    struct socks_dest bound;
    if (s->login) {
        say_login(s, x);
        return OK;
    }
    if (x->req.udp && x->resp.status == 200 && addr_parse(x->reply_body, &relay) == OK) {
        socks_dest_of(&relay, &bound);
        say_reply(s, SOCKS_DONE, &bound);
        s->relays = true;
        return OK;
    }
    say_reply(s, s->code ? (enum socks_reply)s->code : socks_reply_of(x), NULL);
    pipe_close(e->out);
    return OK;
}

static void front_send_interim(struct end *e, struct exchange *x)
{
}

static int front_switch(struct end *e, struct exchange *x)
{
    struct socks_server *s = socks_server_of(e);
    if (!socks_server_await(s))
        return ERR_NOMEM;
    say_reply(s, SOCKS_DONE, NULL);
    s->state = SOCKS_TUNNEL;
    s->linger_until = 0;
    e->out->splices = !s->c.tr;
    e->ops = &tunnel_ops;
    return OK;
}

/* Writes what there is. SOCKS_FLUSH_BLOCKED: the peer's time runs. */
static enum socks_flush flush(struct socks_server *s, struct pipe *p)
{
    struct exchange *x = s->c.end.x;
    size_t bytes, body;
    enum socks_flush r = socks_conn_flush(&s->c, p, &bytes, &body);
    x->sent += bytes;
    x->body_sent += body;
    if (r != SOCKS_FLUSH_BLOCKED)
        timer_clear(&s->c.out_timer);
    else if (bytes || !s->c.out_timer.at)
        timer_set(&s->c.w->loop, &s->c.out_timer, conf_of(x)->send_timeout);
    return r;
}

static void front_kick_out(struct end *e)
{
    struct socks_server *s = socks_server_of(e);
    struct exchange *x = e->x;
    if (!s->sending)
        return;
    switch (flush(s, s->relays ? e->out : NULL)) {
    case SOCKS_FLUSH_DONE:
        s->sending = false;
        exchange_post(x, X_FRONT_SENT);
        return;
    case SOCKS_FLUSH_BLOCKED:
        socks_server_await(s);
        return;
    case SOCKS_FLUSH_IDLE:
        return;
    case SOCKS_FLUSH_BROKEN:
    case SOCKS_FLUSH_ERROR:
        break;
    }
    exchange_front_failed(x, WHY_CLIENT_CLOSED);
}

static void front_kick_in(struct end *e)
{
}

static void front_stop_in(struct end *e)
{
    pipe_close(e->in);
}

static void front_reset(struct end *e)
{
    struct socks_server *s = socks_server_of(e);
    if (e->x->front_why == WHY_CLIENT_TIMEOUT && conf_of(e->x)->reset_timedout)
        socks_conn_abort(&s->c);
    end_detach(e);
    socks_server_close(s);
}

static void front_finish(struct end *e)
{
    struct socks_server *s = socks_server_of(e);
    end_detach(e);
    if (s->login && s->good)
        socks_talk_request(s);
    else
        socks_server_over(s);
}

const struct end_ops socks_front_ops = {
    .name = "socks server",
    .send_head = front_send_head,
    .send_interim = front_send_interim,
    .switch_protocol = front_switch,
    .kick_out = front_kick_out,
    .kick_in = front_kick_in,
    .stop_in = front_stop_in,
    .reset = front_reset,
    .finish = front_finish,
};

/* ---- the tunnel ---- */

static void end_input(struct socks_server *s)
{
    s->c.done = true;
    if (s->c.end.in->state == PIPE_OPEN) {
        pipe_end(s->c.end.in, NULL);
        pipe_push(s->c.end.in);
    }
}

/* The target has closed and the client knows: it may say its last words, or just close. */
static void linger(struct socks_server *s)
{
    const struct client_location_conf *k = conf_of(s->c.end.x);
    uint64_t now = loop_now(&s->c.w->loop);
    if (s->c.done)
        return;
    if (!s->linger_until)
        s->linger_until = now + k->lingering_time;
    if (!k->lingering_close || now >= s->linger_until) {
        end_input(s);
        exchange_post(s->c.end.x, X_FRONT_BODY);
        return;
    }
    timer_set(&s->c.w->loop, &s->c.in_timer, k->lingering_timeout);
}

/* Silence: while nobody lingers the timer is free for this. */
static void rest_soon(struct socks_server *s)
{
    if (s->sending && !s->c.done)
        timer_set(&s->c.w->loop, &s->c.in_timer, REST_AFTER);
}

static bool tunnel_may_rest(struct end *e)
{
    const struct socks_server *s = socks_server_of(e);
    return s->sending && !s->c.blocked && !s->c.say_n && !s->c.done && !s->c.in_n && !s->c.readable;
}

void socks_front_timer(struct socks_server *s)
{
    if (s->sending) {
        exchange_rest(s->c.end.x);
        return;
    }
    s->linger_until = 1; /* it has passed */
    linger(s);
}

static void tunnel_in(struct socks_server *s)
{
    struct exchange *x = s->c.end.x;
    uint64_t put = x->req_pipe.put;
    enum socks_pump r = socks_conn_pump(&s->c);
    x->received += x->req_pipe.put - put;
    timer_clear(&s->c.in_timer);
    switch (r) {
    case SOCKS_PUMP_WAIT:
        if (!s->sending)
            linger(s);
        rest_soon(s);
        return;
    case SOCKS_PUMP_FULL:
    case SOCKS_PUMP_YIELD:
        return;
    case SOCKS_PUMP_DONE:
        exchange_post(x, X_FRONT_BODY);
        return;
    case SOCKS_PUMP_NOMEM:
        worker_count(s->c.w, COUNT_MEMORY_REFUSED);
        exchange_front_failed(x, WHY_NOMEM);
        return;
    case SOCKS_PUMP_ERROR:
        exchange_front_failed(x, WHY_CLIENT_CLOSED);
        return;
    }
}

static void tunnel_kick_in(struct end *e)
{
    struct socks_server *s = socks_server_of(e);
    if (!s->c.done)
        tunnel_in(s);
}

static void tunnel_kick_out(struct end *e)
{
    struct socks_server *s = socks_server_of(e);
    struct exchange *x = e->x;
    if (!s->sending)
        return;
    switch (flush(s, e->out)) {
    case SOCKS_FLUSH_IDLE:
        rest_soon(s);
        return;
    case SOCKS_FLUSH_BLOCKED:
        return;
    case SOCKS_FLUSH_BROKEN:
        s->broken = true;
        exchange_post(x, X_FRONT_SENT);
        return;
    case SOCKS_FLUSH_DONE:
        s->sending = false;
        socks_conn_end_write(&s->c);
        exchange_post(x, X_FRONT_SENT);
        linger(s);
        return;
    case SOCKS_FLUSH_ERROR:
        exchange_front_failed(x, WHY_CLIENT_CLOSED);
        return;
    }
}

static void tunnel_stop_in(struct end *e)
{
    socks_server_of(e)->c.done = true;
    pipe_close(e->in);
}

/* What is cut in the middle must not look like a close that the target meant. */
static void tunnel_reset(struct end *e)
{
    struct socks_server *s = socks_server_of(e);
    if (s->sending)
        socks_conn_abort(&s->c);
    end_detach(e);
    socks_server_close(s);
}

static void tunnel_finish(struct end *e)
{
    struct socks_server *s = socks_server_of(e);
    bool shut = !s->sending;
    if (s->broken)
        socks_conn_abort(&s->c);
    end_detach(e);
    if (shut || s->broken)
        socks_server_close(s);
    else
        socks_server_over(s); /* an idle tunnel ends in order */
}

static const struct end_ops tunnel_ops = {
    .name = "socks server, tunnel",
    .send_interim = front_send_interim,
    .kick_out = tunnel_kick_out,
    .kick_in = tunnel_kick_in,
    .stop_in = tunnel_stop_in,
    .may_rest = tunnel_may_rest,
    .reset = tunnel_reset,
    .finish = tunnel_finish,
};

/* ---- events ---- */

static void tunnel_io(struct socks_server *s, unsigned events)
{
    end_wake(&s->c.end);
    if ((events & IO_OUT) && s->sending)
        tunnel_kick_out(&s->c.end);
    if (s->c.readable && !s->c.done)
        tunnel_in(s);
}

void socks_front_io(struct socks_server *s, unsigned events)
{
    if (s->state == SOCKS_TUNNEL) {
        tunnel_io(s, events);
        return;
    }
    if (events & IO_OUT)
        front_kick_out(&s->c.end);
    if ((events & IO_HUP) && s->relays) { /* the association ends with its connection */
        s->c.done = true;
        exchange_post(s->c.end.x, X_FRONT_SENT);
    } else if (events & IO_HUP) /* a FIN or worse while the outcome is awaited: given up, as for HTTP */
        exchange_front_failed(s->c.end.x, WHY_CLIENT_CLOSED);
}
