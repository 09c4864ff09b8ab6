#include "h2/client.h"

#include <errno.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "h2/head.h"
#include "h2/request.h"
#include "h2/server.h"
#include "http/chars.h"
#include "net/socket.h"

enum { INTERIMS_MAX = 8, STREAMS_FIRST = 100, CONTROL_BURST = 100000, OURS = 256 };

/* Of one head: what a backend may send, and what is read of one that is too much, for the sake of the table. */
enum { FIELDS_MAX = 1000, FIELDS_HARD = 1 << 15, BYTES_HARD = 1 << 20 };

struct h2_client {
    struct h2_conn c;
    struct list link; /* h2_worker.backs */
    struct addr addr;
    uint64_t key, bound, since, requests;
    uint64_t idle_ms, send_ms, ping_ms;
    const char *why; /* the handshake failed; lives as long as the transport */
    bool connecting; /* nothing may be sent yet */
    bool shaking;    /* ... because of TLS */
    bool declined;   /* the backend has chosen another protocol */
    bool leaving;
};

const size_t h2_client_size = sizeof(struct h2_client);

static const struct h2_role client_role;

static struct h2_client *client_of(struct h2_conn *c)
{
    return container_of(c, struct h2_client, c);
}

static const struct h2_client_limits *limits_of(const struct h2_stream *s)
{
    return s->user;
}

static void set_timer(struct h2_stream *s, struct timer *t, uint64_t ms)
{
    timer_set(&s->c->w->loop, t, ms);
}

/* ---- connections ---- */

static void gone(struct h2_conn *c)
{
    struct h2_client *cl = client_of(c);
    list_del(&cl->link);
    worker_connections_add(c->w, -1);
    slab_give(&c->w->h2->clients, cl);
}

/* Nobody uses it any more: it waits for the next request, or ends. While requests wait for answers their own time
 * limits hold: a backend that is busy need not answer a PING. */
static void rest(struct h2_client *cl)
{
    struct h2_conn *c = &cl->c;
    if (c->nstreams || c->failing || c->closed)
        return;
    if (cl->leaving || c->peer_gone || !cl->idle_ms || c->w->draining) {
        c->goaway_sent = true;
        h2_out_goaway(c, 0, H2_NO_ERROR);
        h2_conn_end(c);
        return;
    }
    timer_set(&c->w->loop, &c->timer, cl->idle_ms);
    if (cl->ping_ms)
        h2_alive_watch(c, cl->ping_ms);
}

static void on_timer(struct timer *t)
{
    struct h2_client *cl = client_of(container_of(t, struct h2_conn, timer));
    if (cl->c.failing) {
        if (!cl->c.nstreams)
            h2_conn_close(&cl->c);
        return;
    }
    cl->leaving = true;
    rest(cl);
}

static void on_conn_out_timer(struct timer *t)
{
    struct h2_conn *c = container_of(t, struct h2_conn, out_timer);
    worker_count(c->w, COUNT_UPSTREAM_TIMEOUT);
    h2_conn_abort(c, WHY_SEND_TIMEOUT);
}

static void tell_ready(struct h2_client *cl)
{
    struct list *at = cl->c.streams.next;
    for (; at != &cl->c.streams; at = at->next) {
        struct h2_stream *s = list_entry(at, struct h2_stream, all);
        timer_clear(&s->out_timer);
        if (s->end.x)
            exchange_post(s->end.x, X_BACK_READY);
    }
}

static void established(struct h2_client *cl)
{
    cl->connecting = cl->c.blocked = false;
    tell_ready(cl);
    h2_flush_soon(&cl->c);
}

static void shake(struct h2_client *cl)
{
    struct transport *tr = cl->c.tr;
    int rc = tr->ops->handshake(tr);
    if (rc == ERR_AGAIN)
        return;
    if (rc != OK) {
        cl->why = rc == ERR_CLOSED ? "peer closed connection in SSL handshake"
                  : rc == ERR_SYS  ? "the connection broke"
                                   : tr->ops->why(tr);
        h2_conn_abort(&cl->c, WHY_HANDSHAKE);
        return;
    }
    cl->shaking = false;
    cl->c.readable = true; /* what came behind the handshake is with the transport */
    if (slice_eq(tr->ops->protocol(tr), SLICE("h2"))) {
        established(cl);
        return;
    }
    cl->declined = cl->leaving = true;
    tell_ready(cl);
}

static void connected(struct h2_client *cl)
{
    int err = socket_error(cl->c.io.fd);
    if (err) {
        errno = err;
        h2_conn_abort(&cl->c, WHY_CONNECT);
        return;
    }
    if (!cl->c.tr) {
        established(cl);
        return;
    }
    cl->shaking = true;
    struct list *at = cl->c.streams.next;
    for (; at != &cl->c.streams; at = at->next) { /* each has the time of a connect for this too */
        struct h2_stream *s = list_entry(at, struct h2_stream, all);
        set_timer(s, &s->out_timer, limits_of(s)->connect_timeout);
    }
    shake(cl);
}

static void on_io(struct io *io, unsigned events)
{
    struct h2_conn *c = container_of(io, struct h2_conn, io);
    struct h2_client *cl = client_of(c);
    if (c->closed || c->failing || cl->declined)
        ;
    else if (cl->shaking)
        shake(cl);
    else if (cl->connecting && (events & (IO_OUT | IO_HUP)))
        connected(cl);
    if (!cl->connecting)
        h2_conn_io(c, events);
}

static void greet(struct h2_conn *c)
{
    char b[2 * 6], *at = b, *room = h2_out_room(c, H2_PREFACE.n);
    if (room) {
        memcpy(room, H2_PREFACE.p, H2_PREFACE.n);
        h2_out_took(c, room + H2_PREFACE.n);
    }
    at = h2_put_setting(at, H2_SET_ENABLE_PUSH, 0);
    at = h2_put_setting(at, H2_SET_WINDOW, c->window);
    h2_out_frame(c, H2_SETTINGS, 0, 0, slice_of(b, (size_t)(at - b)));
    h2_out_u32(c, H2_WINDOW_UPDATE, 0, c->credit);
    c->recv_window += c->credit;
    c->credit = 0;
}

static struct h2_client *new_client(struct worker *w, int fd, struct transport *tr)
{
    struct h2_client *cl = slab_take(&w->h2->clients);
    if (!cl)
        return NULL;
    memset(cl, 0, sizeof(*cl));
    if (h2_conn_init(&cl->c, w, fd, tr, &client_role, on_io) != OK) {
        slab_give(&w->h2->clients, cl);
        return NULL;
    }
    timer_init(&cl->c.timer, on_timer);
    timer_init(&cl->c.out_timer, on_conn_out_timer);
    list_add(&w->h2->backs, &cl->link);
    cl->since = loop_now(&w->loop);
    cl->c.next_id = 1;
    cl->c.peer.max_streams = STREAMS_FIRST;
    cl->c.control_burst = CONTROL_BURST;
    cl->c.max_block = BYTES_HARD;
    cl->c.most_forgotten = OURS;
    worker_connections_add(w, 1);
    worker_count(w, COUNT_UPSTREAM_CONNECTS);
    return cl;
}

static struct h2_client *connect_to(struct exchange *x, const struct h2_client_target *t, bool probes)
{
    struct worker *w = x->w;
    int fd, rc = socket_connect(t->addr, t->local, &fd);
    if (rc != OK && rc != ERR_AGAIN)
        return NULL;
    struct transport *tr = t->secure ? t->secure(x, fd, t->arg) : NULL;
    struct h2_client *cl = t->secure && !tr ? NULL : new_client(w, fd, tr);
    if (!cl) {
        errno = t->secure && !tr ? EPROTO : ENOMEM;
        transport_free(tr);
        close(fd);
        return NULL;
    }
    if (t->addr->sa.sa_family != AF_UNIX)
        socket_nodelay(fd);
    if (probes)
        socket_keepalive(fd, true, 0, 0, 0);
    cl->addr = *t->addr;
    cl->key = t->key;
    cl->bound = t->bound;
    cl->connecting = cl->c.blocked = rc == ERR_AGAIN || tr;
    greet(&cl->c);
    if (io_watch(&w->loop, &cl->c.io) < 0) {
        h2_conn_close(&cl->c);
        errno = ENOMEM;
        return NULL;
    }
    return cl;
}

static bool has_room(const struct h2_client *cl, const struct h2_client_limits *k)
{
    const struct h2_conn *c = &cl->c;
    uint32_t most = c->peer.max_streams < OURS ? c->peer.max_streams : OURS;
    return !c->failing && !c->closed && !c->peer_gone && !cl->leaving && !c->alive.asked && c->nstreams < most &&
           c->next_id < H2_STREAM_MAX - 2 * OURS && cl->requests < k->keepalive_requests &&
           loop_now(&c->w->loop) - cl->since < k->keepalive_time;
}

static struct h2_client *find(struct worker *w, const struct h2_client_target *t, const struct h2_client_limits *k)
{
    for (struct list *at = w->h2->backs.next; at != &w->h2->backs; at = at->next) {
        struct h2_client *cl = list_entry(at, struct h2_client, link);
        if (cl->key == t->key && cl->bound == t->bound && has_room(cl, k) && addr_eq(&cl->addr, t->addr))
            return cl;
    }
    return NULL;
}

void h2_clients_leave(struct worker *w, bool (*keep)(struct worker *w, uint64_t key))
{
    struct list *at = w->h2->backs.next, *next;
    for (; at != &w->h2->backs; at = next) {
        struct h2_client *cl = list_entry(at, struct h2_client, link);
        next = at->next;
        if (keep && keep(w, cl->key))
            continue;
        cl->leaving = true;
        rest(cl);
    }
}

void h2_clients_done(struct worker *w)
{
    struct list *at = w->h2->backs.next, *next;
    for (; at != &w->h2->backs; at = next) {
        struct h2_client *cl = list_entry(at, struct h2_client, link);
        next = at->next;
        cl->c.lingering = false;
        h2_conn_abort(&cl->c, WHY_SHUTDOWN);
        loop_drain(&w->loop);
        if (!cl->c.closed && !cl->c.nstreams)
            h2_conn_close(&cl->c);
    }
}

/* ---- streams ---- */

static void fail(struct h2_stream *s, enum x_why why, int err, const char *detail)
{
    if (s->end.x)
        exchange_back_failed(s->end.x, why, err, detail);
}

static void on_in_timer(struct timer *t)
{
    struct h2_stream *s = container_of(t, struct h2_stream, in_timer);
    struct h2_client *cl = client_of(s->c);
    if (loop_now(&s->c->w->loop) - cl->c.alive.heard >= limits_of(s)->read_timeout / 2)
        cl->leaving = true; /* silent for everybody: the next request shall not wait for it too */
    worker_count(s->c->w, COUNT_UPSTREAM_TIMEOUT);
    fail(s, WHY_READ_TIMEOUT, 0, NULL);
}

static void on_out_timer(struct timer *t)
{
    struct h2_stream *s = container_of(t, struct h2_stream, out_timer);
    bool connecting = client_of(s->c)->connecting;
    if (!connecting && !s->stuck)
        return;
    worker_count(s->c->w, COUNT_UPSTREAM_TIMEOUT);
    fail(s, connecting ? WHY_CONNECT_TIMEOUT : WHY_SEND_TIMEOUT, 0, NULL);
}

static int attach(struct exchange *x, struct h2_client *cl, const struct h2_client_limits *limits)
{
    struct worker *w = x->w;
    struct h2_client_limits *k = arena_new(&x->arena, struct h2_client_limits);
    struct h2_stream *s = k ? slab_take(&w->h2->streams) : NULL;
    if (!s) {
        rest(cl);
        errno = ENOMEM;
        return ERR_SYS;
    }
    *k = *limits;
    cl->requests++;
    cl->idle_ms = k->keepalive ? k->keepalive_timeout : 0;
    cl->send_ms = k->send_timeout;
    cl->ping_ms = k->idle_ping;
    timer_clear(&cl->c.timer);
    timer_clear(&cl->c.alive.timer);
    h2_stream_init(s, &cl->c, 0, &h2_client_ops);
    timer_init(&s->in_timer, on_in_timer);
    timer_init(&s->out_timer, on_out_timer);
    s->user = k;
    end_attach_back(&s->end, x);
    if (cl->connecting)
        set_timer(s, &s->out_timer, k->connect_timeout);
    else
        exchange_post(x, X_BACK_READY);
    return OK;
}

int h2_client_join(struct exchange *x, const struct h2_client_target *t, const struct h2_client_limits *limits)
{
    struct h2_client *cl = find(x->w, t, limits);
    if (!cl)
        return ERR_NOTFOUND;
    worker_count(x->w, COUNT_UPSTREAM_REUSED);
    return attach(x, cl, limits);
}

int h2_client_open(struct exchange *x, const struct h2_client_target *t, const struct h2_client_limits *limits)
{
    struct h2_client *cl = connect_to(x, t, limits->probes);
    return cl ? attach(x, cl, limits) : ERR_SYS;
}

bool h2_client_declined(const struct end *e)
{
    return client_of(container_of(e, struct h2_stream, end)->c)->declined;
}

bool h2_client_give(struct end *e, struct h2_client_given *out)
{
    struct h2_conn *c = h2_stream_of(e)->c;
    if (c->failing || c->io.fd < 0)
        return false;
    *out = (struct h2_client_given){ c->io.fd, c->tr };
    io_unwatch(&c->w->loop, &c->io);
    c->io.fd = -1;
    c->tr = NULL;
    c->closing = c->failing = true; /* it closes when those that have waited with us are gone */
    return true;
}

struct h2_client_counts h2_client_counts(const struct end *e)
{
    const struct h2_stream *s = container_of(e, struct h2_stream, end);
    return (struct h2_client_counts){ s->untouched ? 0 : s->sent, s->received, s->seen };
}

int h2_client_fd(const struct end *e)
{
    return container_of(e, struct h2_stream, end)->c->io.fd;
}

/* ---- the request ---- */

static int send_head(struct end *e, struct exchange *x)
{
    struct h2_stream *s = h2_stream_of(e);
    const struct origin_head *o = &x->origin;
    struct h2_head h;
    if (s->c->failing)
        return OK; /* what has failed is posted */
    int rc = h2_head_begin(&h, &x->arena, o->fields.n + 6);
    if (rc == OK)
        rc = h2_head_pseudo(&h, SLICE(":method"), o->method);
    if (rc == OK)
        rc = h2_head_pseudo(&h, SLICE(":scheme"), s->c->tr ? SLICE("https") : SLICE("http"));
    if (rc == OK)
        rc = h2_head_pseudo(&h, SLICE(":path"), o->target);
    if (rc == OK && o->host.n)
        rc = h2_head_pseudo(&h, SLICE(":authority"), o->host);
    if (rc == OK && o->body.kind == BODY_LENGTH)
        rc = h2_head_length(&h, o->body.length);
    if (rc == OK)
        rc = h2_head_fields(&h, &o->fields, false);
    if (rc == OK && limits_of(s)->pass_trailers)
        rc = h2_head_pseudo(&h, SLICE("te"), SLICE("trailers"));
    if (rc != OK)
        return rc;
    h2_stream_number(s, s->c->next_id);
    s->c->next_id += 2;
    s->send_window = s->c->peer.window;
    s->head_out = true;
    e->out->ready = true;
    bool ends = o->body.kind == BODY_NONE || (o->body.kind == BODY_LENGTH && !o->body.length);
    return h2_out_head(s, h.v, h.n, ends);
}

static void kick_out(struct end *e)
{
    h2_stream_kicked(h2_stream_of(e));
}

static void out_done(struct h2_stream *s)
{
    timer_clear(&s->out_timer);
    if (!s->end.x || s->broken)
        return;
    if (!s->head_done)
        set_timer(s, &s->in_timer, limits_of(s)->read_timeout);
    exchange_post(s->end.x, X_BACK_SENT);
}

static void out_stuck(struct h2_stream *s, bool on)
{
    if (on && !s->out_timer.at)
        set_timer(s, &s->out_timer, limits_of(s)->send_timeout);
    else if (!on)
        timer_clear(&s->out_timer);
}

/* ---- the answer ---- */

struct answer {
    struct exchange *x;
    struct response r;
    slice length;
    size_t bytes, most;
    uint32_t fields;
    bool bad, big, nomem, regular;
};

static bool answer_field(void *arg, slice name, slice value)
{
    struct answer *a = arg;
    enum token t = token_find(name);
    struct field f = { .name = token_name(t), .token = (uint16_t)t };
    uint64_t status;
    a->bytes += name.n + value.n;
    a->big = a->big || ++a->fields > FIELDS_MAX || a->bytes > a->most;
    if (a->big)
        return true;
    if (name.n && name.p[0] == ':') {
        a->bad = a->bad || a->regular || a->r.status || !slice_eq(name, SLICE(":status")) || value.n != 3 ||
                 slice_to_u64(value, &status) != OK || status < 100 || status > 599;
        if (!a->bad)
            a->r.status = (uint16_t)status;
        return true;
    }
    a->regular = true;
    if (!h2_name_ok(name) || !http_is_value(value) || t == TOK_CONNECTION || t == TOK_TRANSFER_ENCODING ||
        t == TOK_UPGRADE || (t == TOK_CONTENT_LENGTH && a->length.p))
        a->bad = true;
    if (a->bad)
        return true;
    value = slice_trim(value);
    a->nomem = (t == TOK_NONE && !arena_dup(&a->x->arena, name, &f.name)) ||
               !arena_dup(&a->x->arena, value, &f.value) ||
               !fields_add(&a->x->arena, token_flags(t) & T_HOP ? &a->r.hop : &a->r.fields, f);
    if (t == TOK_CONTENT_LENGTH)
        a->length = f.value.p ? f.value : SLICE("");
    return !a->nomem;
}

static bool set_body(struct h2_stream *s, struct answer *a, bool ends)
{
    struct response *r = &a->r;
    enum method m = a->x->origin.method_id;
    uint64_t n = 0;
    if (a->length.p && (slice_to_u64(a->length, &n) != OK || n >> 63))
        return false;
    bool none = m == METHOD_HEAD || r->status == 204 || r->status == 304;
    r->declared = (struct body_fact){ a->length.p ? BODY_LENGTH : ends ? BODY_NONE : BODY_UNKNOWN, n };
    r->body = none || ends ? (struct body_fact){ BODY_NONE, 0 } : r->declared;
    if (ends && !none && n)
        return false;
    s->length = none ? 0 : a->length.p ? n : UINT64_MAX;
    return true;
}

static void take_final(struct h2_stream *s, struct answer *a, bool ends)
{
    struct exchange *x = s->end.x;
    if (!set_body(s, a, ends)) {
        worker_count(x->w, COUNT_UPSTREAM_BAD);
        fail(s, WHY_BAD_HEAD, 0, "Content-Length does not fit");
        return;
    }
    a->r.minor = 1;
    a->r.keep_alive = true;
    x->resp = a->r;
    s->head_done = true;
    s->ended_in = ends;
    timer_clear(&s->in_timer);
    exchange_post(x, X_BACK_HEAD);
}

static void take_interim(struct h2_stream *s, const struct answer *a, bool ends)
{
    struct exchange *x = s->end.x;
    if (ends || a->r.status == 101 || ++s->interims > INTERIMS_MAX) {
        fail(s, ends || a->r.status == 101 ? WHY_BAD_HEAD : WHY_INTERIMS, 0, "unexpected interim response");
        return;
    }
    if (a->r.status == 100 || (x->events & X_BACK_INTERIM))
        return; /* we ask for none; and a second before the first was passed on is dropped */
    if (!x->interim && !(x->interim = arena_new(&x->arena, struct response))) {
        fail(s, WHY_NOMEM, 0, NULL);
        return;
    }
    *x->interim = a->r;
    x->interim->minor = 1;
    exchange_post(x, X_BACK_INTERIM);
}

static void take_trailers(struct h2_stream *s, bool ends, slice block, const struct h2_limits *limits)
{
    struct exchange *x = s->end.x;
    struct fields *out = x && limits_of(s)->pass_trailers ? arena_new(&x->arena, struct fields) : NULL;
    struct h2_trailers t = { .arena = out ? &x->arena : NULL, .out = out };
    size_t bytes;
    if (h2_hpack_decode(&s->c->hpack, block, limits, h2_trailer_field, &t, &bytes) != OK) {
        h2_conn_error(s->c, H2_COMPRESSION_ERROR, "trailers cannot be decoded");
    } else if (t.bad || t.fields > FIELDS_MAX || !ends || s->ended_in) {
        h2_stream_fail(s, WHY_CLIENT_BODY, H2_PROTOCOL_ERROR);
    } else {
        s->trailers = out;
        h2_stream_ended(s);
    }
}

static bool ignore(void *arg, slice name, slice value)
{
    return true;
}

static void on_block(struct h2_conn *c, struct h2_stream *s, uint32_t id, bool ends, slice block)
{
    struct h2_limits limits = { .bytes = BYTES_HARD, .fields = FIELDS_HARD };
    bool wanted = s && s->end.x && !s->failed && !(s->end.x->events & X_BACK_FAILED);
    struct answer a = { .x = wanted ? s->end.x : NULL, .most = wanted ? limits_of(s)->head_max : 0 };
    size_t bytes = 0;
    if (!s && (!(id & 1) || h2_conn_idle(c, id))) {
        h2_conn_error(c, H2_PROTOCOL_ERROR, "HEADERS for an idle stream");
        return;
    }
    if (wanted && s->head_done) {
        take_trailers(s, ends, block, &limits);
        return;
    }
    int rc = h2_hpack_decode(&c->hpack, block, &limits, wanted ? answer_field : ignore, &a, &bytes);
    if (rc != OK) {
        h2_conn_error(c, rc == ERR_LIMIT ? H2_ENHANCE_YOUR_CALM : H2_COMPRESSION_ERROR, "a head cannot be decoded");
        return;
    }
    if (!wanted)
        return;
    s->received += bytes;
    a.r.head_size = bytes;
    if (a.big) {
        worker_count(c->w, COUNT_UPSTREAM_LIMIT);
        fail(s, WHY_BIG_HEAD, 0, NULL);
    } else if (a.bad || !a.r.status) {
        worker_count(c->w, COUNT_UPSTREAM_BAD);
        fail(s, WHY_BAD_HEAD, 0, "malformed head");
    } else if (a.r.status < 200) {
        take_interim(s, &a, ends);
    } else {
        take_final(s, &a, ends);
    }
}

/*
 * A backend sends the heads of all answers that are due, and behind them the bodies. What of these has not come with
 * the head mostly comes in the next turn, so the head waits that long: a segment of its own costs a client's connection
 * more than all the rest.
 */
static void kick_in(struct end *e)
{
    struct h2_stream *s = h2_stream_of(e);
    struct pipe *p = e->in;
    if (!s->head_done || !e->x->head_sent || (e->x->events & X_BACK_FAILED))
        return;
    bool first = !s->asked;
    h2_stream_want(s);
    if (p->soon) {
        p->soon = false;
        pipe_push(p);
    } else if (first && !p->put && p->state == PIPE_OPEN && !e->x->transforms && !s->failed) {
        p->soon = true;
        task_post_later(&s->c->w->loop, &e->kick);
    }
}

static void in_done(struct h2_stream *s)
{
    exchange_post(s->end.x, X_BACK_DONE);
}

static void in_full(struct h2_stream *s)
{
    timer_clear(&s->in_timer);
    if (s->end.in->overflow)
        exchange_post(s->end.x, X_BACK_FULL);
}

/* Behind a full pipe the backend's time stands still. */
static void in_wait(struct h2_stream *s, bool on)
{
    if (on && !s->end.in->queued)
        set_timer(s, &s->in_timer, limits_of(s)->read_timeout);
    else
        timer_clear(&s->in_timer);
}

static void stop_in(struct end *e)
{
    h2_stream_stop(h2_stream_of(e));
}

/* ---- the end ---- */

static void failed(struct h2_stream *s, enum x_why why, enum h2_error error)
{
    if (s->ended_in && why == WHY_CLIENT_CLOSED) {
        s->failed = false; /* the answer is whole, and the rest of the request for nobody (RFC 9113 §8.1) */
        return;
    }
    if (error == H2_REFUSED_STREAM)
        s->untouched = true;
    if (why == WHY_CONNECT)
        fail(s, WHY_CONNECT, errno, NULL);
    else if (why == WHY_HANDSHAKE)
        fail(s, WHY_HANDSHAKE, 0, client_of(s->c)->why);
    else if (why == WHY_CLIENT_BODY)
        fail(s, WHY_BAD_BODY, 0, "malformed message");
    else if (why == WHY_CLIENT_CLOSED)
        fail(s, s->head_done ? WHY_CLOSED_BODY : WHY_CLOSED, 0, NULL);
    else
        fail(s, why, 0, NULL);
}

static void leave(struct end *e, enum h2_error error)
{
    struct h2_stream *s = h2_stream_of(e);
    struct h2_conn *c = s->c;
    if (s->id && !(s->ended_in && s->ended_out))
        h2_stream_reset(s, error);
    end_detach(e);
    h2_stream_done(s);
    slab_give(&c->w->h2->streams, s);
    if (c->failing)
        h2_conn_left(c);
    else if (!c->nstreams && client_of(c)->connecting)
        h2_conn_abort(c, WHY_SHUTDOWN);
    else
        rest(client_of(c));
}

static void reset(struct end *e)
{
    leave(e, H2_CANCEL);
}

static void finish(struct end *e)
{
    leave(e, H2_NO_ERROR);
}

static void wrote(struct h2_stream *s, size_t head, size_t body)
{
    s->sent += head + body;
    s->body += body;
}

/* Row "h2 to a backend": what is above the number was not looked at, and may be sent again in any case. */
static void on_goaway(struct h2_conn *c, uint32_t last, enum h2_error error)
{
    struct list *at = c->streams.next, *next;
    client_of(c)->leaving = true;
    for (; at != &c->streams; at = next) {
        struct h2_stream *s = list_entry(at, struct h2_stream, all);
        next = at->next;
        if (s->id <= last && s->id)
            continue;
        s->reset = s->untouched = true;
        h2_stream_fail(s, WHY_CLIENT_CLOSED, H2_REFUSED_STREAM);
    }
    rest(client_of(c));
}

static void on_erred(struct h2_conn *c, enum h2_error e, const char *why)
{
    log_line(log_main, LEVEL_ERROR, 0, "HTTP/2 connection error %d of a backend: %s", (int)e, why);
    worker_count(c->w, COUNT_UPSTREAM_BAD);
}

static void nothing(struct h2_conn *c)
{
}

/* Whatever comes is a sign of life. */
static void on_ping_ack(struct h2_conn *c, slice data)
{
}

/* It is idle: nobody loses by that. */
static void on_silent(struct h2_conn *c)
{
    worker_count(c->w, COUNT_UPSTREAM_SILENT);
    h2_conn_abort(c, WHY_READ_TIMEOUT);
}

static void on_blocked(struct h2_conn *c, bool on)
{
    if (on)
        timer_set(&c->w->loop, &c->out_timer, client_of(c)->send_ms);
    else
        timer_clear(&c->out_timer);
}

static const struct h2_role client_role = {
    .block = on_block,
    .in_done = in_done,
    .in_full = in_full,
    .in_wait = in_wait,
    .out_done = out_done,
    .failed = failed,
    .wrote = wrote,
    .out_stuck = out_stuck,
    .erred = on_erred,
    .settings = nothing,
    .goaway = on_goaway,
    .ping_ack = on_ping_ack,
    .silent = on_silent,
    .blocked = on_blocked,
    .gone = gone,
};

const struct end_ops h2_client_ops = {
    .name = "h2 client",
    .send_head = send_head,
    .kick_out = kick_out,
    .kick_in = kick_in,
    .stop_in = stop_in,
    .reset = reset,
    .finish = finish,
};
