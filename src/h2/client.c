#include "h2/client_priv.h"

#include <errno.h>
#include <unistd.h>

#include "base/err.h"
#include "net/socket.h"

enum { STREAMS_FIRST = 100, CONTROL_BURST = 100000, OURS = 256 };

const size_t h2_client_size = sizeof(struct h2_client);

/* ---- connections ---- */

static void gone(struct h2_conn *c)
{
    struct h2_client *cl = h2_client_of(c);
    list_del(&cl->link);
    worker_connections_add(c->w, -1);
    slab_give(&c->w->h2->clients, cl);
}

/* Nobody uses it any more: it waits for the next request, or ends. While requests wait for answers their own time
 * limits hold: a backend that is busy need not answer a PING. */
void h2_client_rest(struct h2_client *cl)
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
    struct h2_client *cl = h2_client_of(container_of(t, struct h2_conn, timer));
    if (cl->c.failing) {
        if (!cl->c.nstreams)
            h2_conn_close(&cl->c);
        return;
    }
    cl->leaving = true;
    h2_client_rest(cl);
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
        h2_client_timer(s, &s->out_timer, h2_client_limits_of(s)->connect_timeout);
    }
    shake(cl);
}

static void on_io(struct io *io, unsigned events)
{
    struct h2_conn *c = container_of(io, struct h2_conn, io);
    struct h2_client *cl = h2_client_of(c);
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

static const struct h2_role client_role;

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
    cl->c.max_block = H2_ANSWER_BYTES;
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
        h2_client_rest(cl);
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

static void on_in_timer(struct timer *t)
{
    struct h2_stream *s = container_of(t, struct h2_stream, in_timer);
    struct h2_client *cl = h2_client_of(s->c);
    if (loop_now(&s->c->w->loop) - cl->c.alive.heard >= h2_client_limits_of(s)->read_timeout / 2)
        cl->leaving = true; /* silent for everybody: the next request shall not wait for it too */
    worker_count(s->c->w, COUNT_UPSTREAM_TIMEOUT);
    h2_client_fail(s, WHY_READ_TIMEOUT, 0, NULL);
}

static void on_out_timer(struct timer *t)
{
    struct h2_stream *s = container_of(t, struct h2_stream, out_timer);
    bool connecting = h2_client_of(s->c)->connecting;
    if (!connecting && !s->stuck)
        return;
    worker_count(s->c->w, COUNT_UPSTREAM_TIMEOUT);
    h2_client_fail(s, connecting ? WHY_CONNECT_TIMEOUT : WHY_SEND_TIMEOUT, 0, NULL);
}

static int attach(struct exchange *x, struct h2_client *cl, const struct h2_client_limits *limits)
{
    struct worker *w = x->w;
    struct h2_client_limits *k = arena_new(&x->arena, struct h2_client_limits);
    struct h2_stream *s = k ? slab_take(&w->h2->streams) : NULL;
    if (!s) {
        h2_client_rest(cl);
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
        h2_client_timer(s, &s->out_timer, k->connect_timeout);
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
    return h2_client_of(container_of(e, struct h2_stream, end)->c)->declined;
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

/* Row "h2 to a backend": what is above the number was not looked at, and may be sent again in any case. */
static void on_goaway(struct h2_conn *c, uint32_t last, enum h2_error error)
{
    struct list *at = c->streams.next, *next;
    h2_client_of(c)->leaving = true;
    for (; at != &c->streams; at = next) {
        struct h2_stream *s = list_entry(at, struct h2_stream, all);
        next = at->next;
        if (s->id <= last && s->id)
            continue;
        s->reset = s->untouched = true;
        h2_stream_fail(s, WHY_CLIENT_CLOSED, H2_REFUSED_STREAM);
    }
    h2_client_rest(h2_client_of(c));
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
        timer_set(&c->w->loop, &c->out_timer, h2_client_of(c)->send_ms);
    else
        timer_clear(&c->out_timer);
}

static const struct h2_role client_role = {
    .block = h2_client_block,
    .in_done = h2_client_in_done,
    .in_full = h2_client_in_full,
    .in_wait = h2_client_in_wait,
    .out_done = h2_client_out_done,
    .failed = h2_client_failed,
    .wrote = h2_client_wrote,
    .out_stuck = h2_client_out_stuck,
    .erred = on_erred,
    .settings = nothing,
    .goaway = on_goaway,
    .ping_ack = on_ping_ack,
    .silent = on_silent,
    .blocked = on_blocked,
    .gone = gone,
};
