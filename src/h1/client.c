#include "h1/client.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "http/rest.h"
#include "http/upgrade.h"

enum { INTERIMS_MAX = 8, HEAD_ROOM = 128 };

static const struct end_ops client_ops;
static void on_io(struct io *io, unsigned events);
static void on_in_timer(struct timer *t);
static void on_out_timer(struct timer *t);

struct h1_client *h1_client_of(struct end *e)
{
    return container_of(e, struct h1_client, c.end);
}

/* ---- connecting ---- */

/* The kernel is told to choose the port when it knows the peer, so that many connections may share one. */
static bool bind_to(int fd, const struct addr *local)
{
    int one = 1, err;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (bind(fd, &local->sa, local->len) == 0)
        return true;
    err = errno;
    close(fd);
    errno = err;
    return false;
}

static int open_socket(const struct addr *addr, const struct addr *local, bool probes)
{
    int one = 1, fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYS;
    if (addr->sa.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (probes)
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    if (local && !bind_to(fd, local))
        return ERR_SYS;
    return fd;
}

/* It counts from now on, and is closed by h1_client_close. NULL: no memory. */
static struct h1_client *new_client(struct worker *w, int fd)
{
    struct h1_client *cl = slab_take(&w->h1->clients);
    if (!cl)
        return NULL;
    memset(cl, 0, sizeof(*cl));
    h1_conn_init(&cl->c, w, fd, &client_ops, on_io, on_in_timer, on_out_timer);
    cl->since = loop_now(&w->loop);
    worker_connections_add(w, 1);
    return cl;
}

struct h1_client *h1_client_connect(struct worker *w, const struct addr *addr, const struct addr *local,
                                    bool keepalive_probes)
{
    int fd = open_socket(addr, local, keepalive_probes), err;
    if (fd < 0)
        return NULL;
    struct h1_client *cl = new_client(w, fd);
    if (!cl) {
        close(fd);
        errno = ENOMEM;
        return NULL;
    }
    worker_count(w, COUNT_UPSTREAM_CONNECTS);
    err = connect(fd, &addr->sa, addr->len) < 0 ? errno : 0;
    cl->state = err ? CLIENT_CONNECTING : CLIENT_READY;
    if ((err && err != EINPROGRESS) || io_watch(&w->loop, &cl->c.io) < 0) {
        h1_client_close(cl);
        errno = err && err != EINPROGRESS ? err : ENOMEM;
        return NULL;
    }
    return cl;
}

struct h1_client *h1_client_adopt(struct worker *w, int fd, struct transport *tr)
{
    struct h1_client *cl = new_client(w, fd);
    if (!cl) {
        transport_free(tr);
        close(fd);
        return NULL;
    }
    cl->c.tr = tr;
    cl->state = CLIENT_READY;
    if (io_watch(&w->loop, &cl->c.io) == OK)
        return cl;
    h1_client_close(cl);
    return NULL;
}

static void fail(struct h1_client *cl, enum x_why why, int err, const char *detail)
{
    cl->dirty = true;
    exchange_back_failed(cl->c.end.x, why, err, detail);
}

/* The handshake runs under the time for connecting. */
static void handshake(struct h1_client *cl)
{
    struct h1_setup *s = cl->setup;
    int rc = s ? s->go(s, cl) : cl->c.tr->ops->handshake(cl->c.tr);
    if (rc == ERR_AGAIN)
        return;
    timer_clear(&cl->c.out_timer);
    if (rc == OK) {
        cl->c.readable = true; /* what came behind the handshake is with the transport */
        cl->setup = NULL;
        cl->state = CLIENT_READY;
        exchange_post(cl->c.end.x, X_BACK_READY);
        return;
    }
    if (s) {
        fail(cl, s->why, s->err, s->detail);
        return;
    }
    fail(cl, WHY_HANDSHAKE, 0,
         rc == ERR_CLOSED ? "peer closed connection in SSL handshake"
         : rc == ERR_SYS  ? "the connection broke"
                          : cl->c.tr->ops->why(cl->c.tr));
}

/* Connected: a head may be sent, or what must come before it. All of a way through parents has the time of one connect.
 */
static void ready(struct h1_client *cl)
{
    if (unlikely(cl->c.tr || cl->setup)) {
        uint64_t spent = cl->setup ? loop_now(&cl->c.w->loop) - cl->since : 0, all = cl->limits.connect_timeout;
        cl->state = CLIENT_HANDSHAKE;
        timer_set(&cl->c.w->loop, &cl->c.out_timer, spent < all ? all - spent : 1);
        handshake(cl);
        return;
    }
    cl->state = CLIENT_READY;
    exchange_post(cl->c.end.x, X_BACK_READY);
}

/* An attempt that failed hangs up; room without that is room on a connection that stands. */
static int connect_error(const struct h1_client *cl, unsigned events)
{
    int err = 0;
    socklen_t n = sizeof(err);
    if (likely(!(events & IO_HUP)))
        return 0;
    return getsockopt(cl->c.io.fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 ? errno : err;
}

static void connected(struct h1_client *cl, unsigned events)
{
    int err = connect_error(cl, events);
    timer_clear(&cl->c.out_timer);
    if (err) {
        fail(cl, WHY_CONNECT, err, NULL);
        return;
    }
    ready(cl);
}

void h1_client_attach(struct h1_client *cl, struct exchange *x, const struct h1_client_limits *limits)
{
    assert(!cl->c.end.x);
    end_attach_back(&cl->c.end, x);
    cl->limits = *limits;
    cl->sent = cl->head_done = cl->wants_more = false;
    cl->interims = 0;
    cl->requests++;
    cl->c.received = 0;
    cl->c.out.bytes = 0;
    cl->c.body = (struct h1_body){ 0 };
    memset(&cl->c.scan, 0, sizeof(cl->c.scan));
    if (cl->state == CLIENT_CONNECTING) {
        timer_set(&cl->c.w->loop, &cl->c.out_timer, limits->connect_timeout);
        return;
    }
    timer_clear(&cl->c.in_timer);
    if (cl->requests == 1) {
        ready(cl); /* connected at once (a unix socket) */
        return;
    }
    cl->state = CLIENT_READY;
    exchange_post(x, X_BACK_READY);
}

struct h1_client_counts h1_client_counts(const struct end *e)
{
    const struct h1_client *cl = container_of(e, struct h1_client, c.end);
    return (struct h1_client_counts){ cl->c.out.bytes, cl->c.received, cl->c.body.seen };
}

bool h1_client_alive(struct h1_client *cl)
{
    char c;
    if (cl->c.tr) /* a ticket may have come: that is no word of the codec's */
        return cl->c.tr->ops->read(cl->c.tr, &c, 1) == ERR_AGAIN;
    ssize_t n = recv(cl->c.io.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && errno == EAGAIN;
}

static void free_client(struct reap *r)
{
    struct h1_client *cl = container_of(r, struct h1_client, c.reap);
    slab_give(&cl->c.w->h1->clients, cl);
}

void h1_client_close(struct h1_client *cl)
{
    struct worker *w = cl->c.w;
    assert(!cl->c.end.x && cl->state != CLIENT_CLOSED);
    cl->state = CLIENT_CLOSED;
    h1_conn_close(&cl->c);
    worker_connections_add(w, -1);
    loop_reap(&w->loop, &cl->c.reap, free_client);
}

/* ---- the request ---- */

static size_t head_size(const struct origin_head *o)
{
    size_t n = HEAD_ROOM + o->method.n + o->target.n + o->host.n;
    for (uint32_t i = 0; i < o->fields.n; i++)
        n += o->fields.v[i].name.n + o->fields.v[i].value.n + 4;
    return n;
}

static int client_send_head(struct end *e, struct exchange *x)
{
    struct h1_client *cl = h1_client_of(e);
    const struct origin_head *o = &x->origin;
    struct strb b;
    size_t size = head_size(o);
    char *mem = arena_bytes(&x->arena, size);
    if (!mem)
        return ERR_NOMEM;
    strb_init_fixed(&b, mem, size);
    enum h1_connection conn = o->close        ? H1_CONN_CLOSE
                              : o->upgrade.n  ? H1_CONN_UPGRADE
                              : o->minor == 0 ? H1_CONN_KEEP_ALIVE
                                              : H1_CONN_NONE;
    int rc = h1_write_request(&b, o->method, o->target, o->minor, o->host, &o->fields, &o->body, conn);
    if (rc < 0)
        return rc;
    enum h1_framing f = o->body.kind == BODY_NONE     ? H1_FRAME_NONE
                        : o->body.kind == BODY_LENGTH ? H1_FRAME_LENGTH
                                                      : H1_FRAME_CHUNKED;
    h1_out_begin(&cl->c.out, strb_slice(&b), f, o->body.length);
    cl->state = CLIENT_BUSY;
    cl->dirty = cl->dirty || o->close || o->upgrade.n; /* row U1: who was asked to switch is asked nothing else */
    e->out->ready = true;
    /* A backend that spoke, or closed, before it was asked: the kernel has told, and tells no second time. */
    if (cl->c.readable)
        task_post(&cl->c.w->loop, &e->kick);
    return OK;
}

static void await_answer(struct h1_client *cl)
{
    timer_set(&cl->c.w->loop, &cl->c.in_timer, cl->limits.read_timeout);
}

static void client_kick_out(struct end *e)
{
    struct h1_client *cl = h1_client_of(e);
    uint64_t bytes = cl->c.out.bytes;
    if (cl->state != CLIENT_BUSY)
        return;
    switch (h1_out_flush(&cl->c)) {
    case H1_FLUSH_IDLE:
        timer_clear(&cl->c.out_timer);
        return;
    case H1_FLUSH_BLOCKED:
        h1_out_await(&cl->c, bytes, cl->limits.send_timeout);
        return;
    case H1_FLUSH_DONE:
        timer_clear(&cl->c.out_timer);
        cl->sent = true;
        if (!cl->head_done)
            await_answer(cl);
        exchange_post(e->x, X_BACK_SENT);
        return;
    case H1_FLUSH_BROKEN:
        cl->dirty = true;
        return;
    case H1_FLUSH_ERROR:
        /* The backend may have answered and closed: its answer is worth more than this error. A reset that comes
         * instead of a FIN is told once, here; reading would take it for the end (Linux says EPIPE behind a FIN). */
        cl->c.cut = errno == ECONNRESET;
        cl->dirty = true;
        cl->c.out.active = false;
        timer_clear(&cl->c.out_timer);
        if (cl->c.out.bytes && (errno == EPIPE || errno == ECONNRESET)) {
            cl->c.readable = true;
            await_answer(cl);
            task_post(&cl->c.w->loop, &e->kick);
            return;
        }
        fail(cl, WHY_IO, errno, "send() failed");
        return;
    }
}

/* ---- the answer ---- */

static bool begin_body(struct h1_client *cl, struct exchange *x, const struct h1_head *h)
{
    struct body_fact f = x->resp.body;
    enum h1_body_kind kind = f.kind == BODY_NONE     ? H1_BODY_NONE
                             : f.kind == BODY_LENGTH ? H1_BODY_LENGTH
                             : h->chunked            ? H1_BODY_CHUNKED
                                                     : H1_BODY_CLOSE;
    h1_body_begin(&cl->c.body, kind, f.length, 0);
    if (kind == H1_BODY_CHUNKED) {
        cl->c.body.chunked = arena_new(&x->arena, struct h1_chunked);
        if (!cl->c.body.chunked)
            return false;
        h1_chunked_init(cl->c.body.chunked);
        if (cl->limits.pass_trailers)
            cl->c.body.trailers = arena_new(&x->arena, struct fields);
    }
    if (kind == H1_BODY_CLOSE)
        cl->dirty = true;
    return true;
}

static bool take_head(struct h1_client *cl, const struct h1_head *h, size_t len, struct response *out)
{
    struct exchange *x = cl->c.end.x;
    int rc = h1_head_response(h, slice_of(cl->c.in, len), &x->arena, out);
    h1_conn_consume(&cl->c, len);
    if (rc < 0) {
        fail(cl, WHY_NOMEM, 0, NULL);
        return false;
    }
    return true;
}

/* Moves the Upgrade fields of a 101 to what travels: here they are the answer. */
static bool show_upgrade(struct exchange *x)
{
    struct fields *hop = &x->resp.hop;
    bool ok = true;
    for (uint32_t i = 0; i < hop->n && ok; i++) {
        if (hop->v[i].token == TOK_UPGRADE)
            ok = fields_add(&x->arena, &x->resp.fields, hop->v[i]);
    }
    return ok;
}

/* A 101 to what was asked for; any other is an error (row U4). */
static void take_switch(struct h1_client *cl, const struct h1_head *h, size_t len)
{
    struct exchange *x = cl->c.end.x;
    if (!x->origin.upgrade.n || !cl->sent || !h->has_upgrade || !upgrade_within(h->hop, h->nhop, x->origin.upgrade)) {
        worker_count(cl->c.w, COUNT_UPSTREAM_BAD);
        fail(cl, WHY_BAD_HEAD, 0, "unexpected status 101");
        return;
    }
    if (!take_head(cl, h, len, &x->resp))
        return;
    if (!show_upgrade(x)) {
        fail(cl, WHY_NOMEM, 0, NULL);
        return;
    }
    cl->head_done = true;
    cl->wants_more = false;
    timer_clear(&cl->c.in_timer);
    exchange_post(x, X_BACK_SWITCHED);
}

/* A 1xx: passed on, one at a time, or dropped (100: we ask for none). */
static bool take_interim(struct h1_client *cl, const struct h1_head *h, size_t len)
{
    struct exchange *x = cl->c.end.x;
    if (h->status == 101) {
        take_switch(cl, h, len);
        return false;
    }
    if (++cl->interims > INTERIMS_MAX) {
        fail(cl, WHY_INTERIMS, 0, NULL);
        return false;
    }
    memset(&cl->c.scan, 0, sizeof(cl->c.scan));
    if (h->status == 100) {
        h1_conn_consume(&cl->c, len);
        return true;
    }
    if (!x->interim && !(x->interim = arena_new(&x->arena, struct response))) {
        fail(cl, WHY_NOMEM, 0, NULL);
        return false;
    }
    if (take_head(cl, h, len, x->interim)) {
        cl->wants_more = false;
        exchange_post(x, X_BACK_INTERIM);
    }
    return false;
}

static void take_final(struct h1_client *cl, const struct h1_head *h, size_t len)
{
    struct exchange *x = cl->c.end.x;
    struct body_fact body = h1_response_body(h, x->origin.method_id);
    if (!take_head(cl, h, len, &x->resp))
        return;
    x->resp.body = body;
    x->resp.declared = body.kind == BODY_NONE && h->has_length ? h->body : body;
    cl->head_done = true;
    cl->wants_more = false;
    cl->dirty = cl->dirty || !h->keep_alive;
    timer_clear(&cl->c.in_timer);
    if (!begin_body(cl, x, h)) {
        fail(cl, WHY_NOMEM, 0, NULL);
        return;
    }
    exchange_post(x, X_BACK_HEAD);
}

static void head_error(struct h1_client *cl, const struct h1_head *h)
{
    bool big = h->error == H1_E_HEAD_LONG || h->error == H1_E_FIELD_LONG || h->error == H1_E_FIELDS_MANY ||
               h->error == H1_E_NAME_LONG;
    worker_count(cl->c.w, big ? COUNT_UPSTREAM_LIMIT : COUNT_UPSTREAM_BAD);
    fail(cl, big ? WHY_BIG_HEAD : WHY_BAD_HEAD, 0, big ? NULL : h1_error_text(h->error));
}

static void read_head(struct h1_client *cl)
{
    struct h1_head *h = &cl->c.w->h1->head;
    const struct h1_rules rules = {
        .bare_lf = cl->limits.bare_lf,
        .underscores = true,
        .max_fields = cl->limits.fields_max,
        .max_line = cl->limits.head_max,
        .max_name = 256,
        .max_head = cl->limits.head_max,
    };
    bool more = false;
    for (;;) {
        if (cl->c.in_n) {
            ptrdiff_t len = h1_parse_response(h, &cl->c.scan, cl->c.in, cl->c.in_n, &rules);
            if (len > 0 && h->status >= 200) {
                take_final(cl, h, (size_t)len);
                return;
            }
            if (len > 0) {
                if (!take_interim(cl, h, (size_t)len))
                    return;
                continue;
            }
            if (len != ERR_MORE) {
                head_error(cl, h);
                return;
            }
        }
        if (more && cl->c.in_timer.at)
            await_answer(cl); /* the pause between two reads counts */
        if (!cl->c.readable)
            return;
        ssize_t n = h1_conn_read(&cl->c, cl->c.in_n ? H1_HEAD_READ : cl->c.w->scratch.size);
        if (n == ERR_AGAIN)
            continue;
        if (n == ERR_SYS) {
            fail(cl, WHY_IO, errno, "recv() failed");
            return;
        }
        if (n < 0) {
            fail(cl, n == ERR_CLOSED ? WHY_CLOSED : WHY_NOMEM, 0, NULL);
            return;
        }
        more = true;
    }
}

static void read_body(struct h1_client *cl)
{
    struct exchange *x = cl->c.end.x;
    timer_clear(&cl->c.in_timer);
    switch (h1_body_pump(&cl->c)) {
    case H1_PUMP_WAIT:
        await_answer(cl);
        return;
    case H1_PUMP_FULL:
        if (cl->c.end.in->overflow)
            exchange_post(x, X_BACK_FULL);
        return;
    case H1_PUMP_YIELD:
        return;
    case H1_PUMP_DONE:
        exchange_post(x, X_BACK_DONE);
        return;
    case H1_PUMP_CLOSED:
        fail(cl, WHY_CLOSED_BODY, 0, NULL);
        return;
    case H1_PUMP_BAD:
        worker_count(cl->c.w, COUNT_UPSTREAM_BAD);
        fail(cl, WHY_BAD_BODY, 0, h1_error_text(cl->c.body.chunked->error));
        return;
    case H1_PUMP_ERROR:
        fail(cl, WHY_IO, errno, "recv() failed");
        return;
    case H1_PUMP_BIG:
    case H1_PUMP_NOMEM:
        fail(cl, WHY_NOMEM, 0, NULL);
        return;
    }
}

/* Before the head: "go on after an interim". After it: "the body is wanted". */
static void client_kick_in(struct end *e)
{
    struct h1_client *cl = h1_client_of(e);
    if (cl->state != CLIENT_BUSY || (e->x->events & (X_BACK_FAILED | X_BACK_INTERIM)))
        return;
    if (!cl->head_done) {
        read_head(cl);
        return;
    }
    if (!e->x->head_sent) /* a kick after a failed write: the head was read meanwhile, its body is not wanted yet */
        return;
    cl->wants_more = true;
    if (cl->c.body.done && e->in->state == PIPE_OPEN) {
        pipe_end(e->in, NULL);
        pipe_push(e->in);
        exchange_post(e->x, X_BACK_DONE);
        return;
    }
    if (!cl->c.body.done)
        read_body(cl);
}

static void client_stop_in(struct end *e)
{
    h1_client_of(e)->dirty = true;
    pipe_close(e->in);
}

static void client_reset(struct end *e)
{
    struct h1_client *cl = h1_client_of(e);
    end_detach(e);
    h1_client_close(cl);
}

/* An answer that ended just where a read did has left the kernel unasked, and it tells of bytes only once. */
static bool nothing_left(struct h1_client *cl)
{
    return cl->c.in_n == 0 && !cl->c.hup && (likely(!cl->c.readable) || h1_client_alive(cl));
}

/* Bytes behind the answer, or an answer before the request was whole: never reused (rows E3, Q3). */
static void client_finish(struct end *e)
{
    struct h1_client *cl = h1_client_of(e);
    bool whole = cl->sent && cl->head_done && cl->c.body.done && nothing_left(cl);
    timer_clear(&cl->c.in_timer);
    timer_clear(&cl->c.out_timer);
    cl->c.body.chunked = NULL;
    cl->c.body.trailers = NULL;
    cl->c.out = (struct h1_out){ 0 };
    end_detach(e);
    if (whole && !cl->dirty) {
        cl->c.readable = false;
        cl->state = CLIENT_IDLE;
        return;
    }
    if (!whole)
        worker_count(cl->c.w, COUNT_UPSTREAM_DIRTY);
    h1_client_close(cl);
}

/* ---- events ---- */

static void idle_event(struct h1_client *cl, unsigned events)
{
    if (!(events & IO_IN))
        return;
    if (!(events & IO_HUP) && h1_client_alive(cl)) {
        cl->c.readable = false;
        return;
    }
    cl->c.w->h1->idle_ended(cl);
}

static void on_io(struct io *io, unsigned events)
{
    struct h1_client *cl = container_of(io, struct h1_client, c.io);
    if (events & IO_HUP)
        cl->c.hup = true;
    if (events & IO_IN)
        cl->c.readable = true;
    switch ((enum h1_client_state)cl->state) {
    case CLIENT_CONNECTING:
        if (cl->c.end.x && (events & (IO_OUT | IO_HUP)))
            connected(cl, events);
        return;
    case CLIENT_HANDSHAKE:
        if (cl->c.end.x && !(cl->c.end.x->events & X_BACK_FAILED))
            handshake(cl);
        return;
    case CLIENT_READY:
    case CLIENT_BUSY:
        if ((events & IO_OUT) && cl->c.out.blocked) {
            cl->c.out.blocked = false;
            client_kick_out(&cl->c.end);
        }
        if (!cl->c.readable || cl->state != CLIENT_BUSY || (cl->c.end.x->events & (X_BACK_FAILED | X_BACK_INTERIM)))
            return;
        if (!cl->head_done)
            read_head(cl);
        else if (cl->wants_more && !cl->c.body.done && !cl->c.end.in->stalled)
            read_body(cl);
        return;
    case CLIENT_TUNNEL:
        h1_client_tunnel_io(cl, events);
        return;
    case CLIENT_IDLE:
        idle_event(cl, events);
        return;
    case CLIENT_CLOSED:
        return;
    }
}

static void on_in_timer(struct timer *t)
{
    struct h1_client *cl = container_of(t, struct h1_client, c.in_timer);
    if (cl->state == CLIENT_IDLE) {
        cl->c.w->h1->idle_ended(cl);
        return;
    }
    if (cl->state != CLIENT_BUSY && cl->state != CLIENT_TUNNEL)
        return;
    end_wake(&cl->c.end);
    worker_count(cl->c.w, COUNT_UPSTREAM_TIMEOUT);
    fail(cl, WHY_READ_TIMEOUT, 0, NULL);
}

static void on_out_timer(struct timer *t)
{
    struct h1_client *cl = container_of(t, struct h1_client, c.out_timer);
    if (!cl->c.end.x)
        return;
    worker_count(cl->c.w, COUNT_UPSTREAM_TIMEOUT);
    if (cl->setup && cl->state == CLIENT_HANDSHAKE)
        fail(cl, cl->setup->why_timeout, 0, cl->setup->detail);
    else
        fail(cl, cl->state <= CLIENT_HANDSHAKE ? WHY_CONNECT_TIMEOUT : WHY_SEND_TIMEOUT, 0, NULL);
}

static const struct end_ops client_ops = {
    .name = "h1 client",
    .send_head = client_send_head,
    .send_interim = NULL,
    .switch_protocol = h1_client_switch,
    .kick_out = client_kick_out,
    .kick_in = client_kick_in,
    .stop_in = client_stop_in,
    .reset = client_reset,
    .finish = client_finish,
};
