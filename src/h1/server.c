/*
 * The life of a client connection: accepted, a head read, an exchange served, the next head, closed.
 *
 * Who owns what: the connection owns itself (a slab object); the exchange belongs to the run queue and only borrows the
 * front end in here. After every exchange the connection either waits for the next head, drains what is left of a
 * request body, or lingers so that the client can read the answer before the close.
 */
#include "h1/server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/client.h"
#include "h1/server_priv.h"
#include "http/rest.h"
#include "http/uri.h"
#include "net/listen.h"
#include "tls/worker.h"

enum { SERVER_BATCH = 32, FIRST_HEAD_GRACE = 1000, LOGGED_LINE = 1024 };

static void on_io(struct io *io, unsigned events);
static void on_in_timer(struct timer *t);
static void on_out_timer(struct timer *t);
static void on_next(struct task *t);

static const struct client_server_conf *rules_conf(const struct h1_server *s)
{
    return s->client.listener->default_server->client;
}

int h1_worker_init(struct worker *w)
{
    struct h1_worker *h = calloc(1, sizeof(*h));
    if (!h)
        return ERR_NOMEM;
    slab_init(&h->servers, sizeof(struct h1_server), SERVER_BATCH);
    slab_init(&h->clients, sizeof(struct h1_client), SERVER_BATCH);
    list_init(&h->connections);
    h->lent[0] = h->lent[1] = -1;
    w->h1 = h;
    w->tls = tls_worker_new(&w->loop);
    if (!w->tls)
        return ERR_NOMEM;
    w->tls->count = (struct tls_counts){ &w->count[COUNT_TLS_RENEGOTIATIONS], &w->count[COUNT_TLS_KEY_UPDATES] };
    return OK;
}

static void free_server(struct reap *r)
{
    struct h1_server *s = container_of(r, struct h1_server, c.reap);
    slab_give(&s->c.w->h1->servers, s);
}

/* No part of a head lies waiting any more. */
static void head_over(struct h1_server *s)
{
    if (unlikely(s->partial))
        worker_gauge_add(&s->c.w->reading, -1);
    s->partial = false;
}

void h1_server_release(struct h1_server *s)
{
    struct worker *w = s->c.w;
    assert(!s->c.end.x);
    if (s->state >= SERVER_EXCHANGE && s->state <= SERVER_LINGER)
        worker_gauge_add(&w->writing, -1);
    head_over(s);
    s->state = SERVER_CLOSED;
    h1_conn_close(&s->c);
    h1_server_proxied_free(s);
    task_cancel(&w->loop, &s->next);
    list_del(&s->link);
    gen_drop(s->gen);
    worker_connections_add(w, -1);
    loop_reap(&w->loop, &s->c.reap, free_server);
}

void h1_server_close(struct h1_server *s)
{
    if (s->state == SERVER_CLOSED)
        return;
    h1_server_release(s);
    worker_count(s->c.w, COUNT_CONN_CLOSED);
}

void h1_worker_drain(struct worker *w)
{
    if (w->leaving)
        return; /* the other workers serve on: these connections end with their next answer, or idle out */
    struct list *at = w->h1->connections.next, *next;
    for (; at != &w->h1->connections; at = next) {
        struct h1_server *s = list_entry(at, struct h1_server, link);
        next = at->next;
        if (s->state > SERVER_HEAD || s->c.in_n || s->state == SERVER_HANDSHAKE)
            continue;
        if (s->client.requests)
            h1_server_close(s);
        else
            timer_set(&w->loop, &s->c.in_timer,
                      FIRST_HEAD_GRACE); /* it was hardly accepted: its request may be on its way */
    }
}

/* The connection goes now, with whatever it was doing. */
static void cut(struct h1_server *s)
{
    struct exchange *x = s->c.end.x;
    if (x) {
        end_wake(&s->c.end);
        exchange_front_failed(x, WHY_SHUTDOWN);
        loop_drain(&s->c.w->loop); /* the exchange ends and resets this end, which closes the connection */
    }
    h1_server_close(s);
}

void h1_worker_cut(struct worker *w, struct gen_ref *r)
{
    struct list *at = w->h1->connections.next, *next;
    for (; at != &w->h1->connections; at = next) {
        struct h1_server *s = list_entry(at, struct h1_server, link);
        next = at->next;
        if (s->gen == r)
            cut(s);
    }
}

void h1_worker_done(struct worker *w)
{
    struct h1_worker *h = w->h1;
    if (!h)
        return;
    while (!list_empty(&h->connections))
        cut(list_entry(h->connections.next, struct h1_server, link));
    loop_reap_now(&w->loop);
    slab_done(&h->servers);
    slab_done(&h->clients);
    h1_lent_close(h);
    tls_worker_free(w->tls);
    w->tls = NULL;
    free(h);
    w->h1 = NULL;
}

/* What has come of a head gets nginx's first buffer; a body's or a pipelined request's bytes no more than they need. */
static void on_stash(struct scratch_holder *h)
{
    struct h1_server *s = container_of(h, struct h1_server, c.hold);
    h1_conn_stash(&s->c, s->state == SERVER_HEAD ? (size_t)rules_conf(s)->header_buffer_size : 1024);
}

static void set_peer(struct client *cl, const struct addr *peer)
{
    if (peer->sa.sa_family == AF_INET6)
        cl->peer.in6 = peer->in6;
    else if (peer->sa.sa_family == AF_INET)
        cl->peer.in = peer->in;
    else
        cl->peer.sa.sa_family = AF_UNIX;
}

void h1_server_accept(struct worker *w, struct listener *l, int fd, const struct addr *peer)
{
    struct h1_server *s = slab_take(&w->h1->servers);
    if (!s) {
        worker_count(w, COUNT_MEMORY_REFUSED);
        close(fd);
        return;
    }
    memset(s, 0, sizeof(*s));
    h1_conn_init(&s->c, w, fd, &h1_server_ops, on_io, on_in_timer, on_out_timer);
    s->c.hold.stash = on_stash;
    task_init(&s->next, on_next);
    list_add_tail(&w->h1->connections, &s->link);
    s->gen = gen_use(w->gen);
    s->client.fd = fd;
    s->client.number = worker_connection_number();
    s->client.since = loop_now(&w->loop);
    s->client.listener = l->conf;
    set_peer(&s->client, peer);
    worker_connections_add(w, 1);
    worker_count(w, COUNT_CONN_ACCEPTED);
    s->c.readable = true;
    timer_set(&w->loop, &s->c.in_timer, rules_conf(s)->header_timeout);
    if (unlikely(s->client.listener->proxy_protocol)) {
        s->state = SERVER_PROXIED;
        h1_server_proxied_read(s);
        return;
    }
    if (s->client.listener->ssl) {
        h1_server_handshake_begin(s);
        return;
    }
    h1_server_speak(s);
}

/* ---- heads ---- */

static uint32_t larger(uint64_t a, uint64_t b)
{
    uint64_t n = a > b ? a : b;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static struct h1_rules rules_of(const struct client_server_conf *k)
{
    return (struct h1_rules){
        .bare_lf = k->compat & COMPAT_BARE_LF,
        .fragment = k->compat & COMPAT_FRAGMENT,
        .underscores = k->underscores,
        .ignore_invalid = k->ignore_invalid,
        .max_fields = (uint32_t)k->max_fields,
        .max_line = larger(k->header_buffer_size, k->large_buffer_size),
        .max_name = 128,
        .max_head = larger(k->header_buffer_size, k->large_buffers * k->large_buffer_size),
    };
}

/* What an address asks of its clients' certificates, and whether it speaks TLS at all. */
static bool same_tls(const struct listener_conf *a, const struct listener_conf *b)
{
    return a->ssl == b->ssl &&
           (!a->ssl || memcmp(a->default_server->tls->policy, b->default_server->tls->policy, TLS_KEY) == 0);
}

/* A reload may have come since the last request: the connection goes over to the new generation if its address is
 * there, and is still one where connections begin as this one did. */
static void follow_generation(struct h1_server *s)
{
    struct worker *w = s->c.w;
    if (s->gen == w->gen || w->draining)
        return;
    const struct listener_conf *l = route_listener(w->gen->gen, s->client.listener->key);
    if (!l || l->proxy_protocol != s->client.listener->proxy_protocol || !same_tls(l, s->client.listener)) {
        s->last = true;
        return;
    }
    gen_use(w->gen);
    gen_drop(s->gen);
    s->gen = w->gen;
    s->client.listener = l;
}

static struct exchange *begin_exchange(struct h1_server *s)
{
    struct worker *w = s->c.w;
    struct exchange *x = exchange_new(w, s->gen, &s->c.end, &s->client);
    if (!x) {
        worker_count(w, COUNT_MEMORY_REFUSED);
        h1_server_close(s);
        return NULL;
    }
    s->client.requests++;
    s->state = SERVER_EXCHANGE;
    worker_gauge_add(&w->writing, 1);
    head_over(s);
    s->keep = s->stopped = s->asked = s->must_continue = s->broken = false;
    memset(&s->c.scan, 0, sizeof(s->c.scan));
    timer_clear(&s->c.in_timer);
    return x;
}

/* The request never reaches a rule: it is answered with the codec's status and the connection ends. What the log shows
 * of it is in the exchange's own memory. */
static void refuse(struct h1_server *s, struct exchange *x, enum h1_error e)
{
    unsigned status = h1_error_status(e);
    uri_hide_password((char *)x->req.line.p, x->req.line.n);
    uri_hide_password((char *)x->req.authority.p, x->req.authority.n);
    worker_count(s->c.w, COUNT_REQUEST_BAD);
    if (status == 414 || status == 431)
        worker_count(s->c.w, COUNT_HEAD_LIMIT);
    x->refuse = (uint16_t)status;
    x->refuse_text = h1_error_text(e);
    x->req.body = (struct body_fact){ BODY_NONE, 0 };
    h1_body_begin(&s->c.body, H1_BODY_NONE, 0, 0);
    pipe_end(&x->req_pipe, NULL);
    x->events |= X_FRONT_BODY;
    exchange_start(x);
}

/* What there is of a request line in which the error lies: as far as it has come and up to its end, and not all of one
 * that is too long. Whoever wonders about a 400 finds it in the log (nginx does the same). */
static slice broken_line(const struct h1_server *s)
{
    slice in = slice_of(s->c.in, s->c.in_n);
    if (in.n && in.p[0] == '\r')
        in = slice_from(in, 1);
    if (in.n && in.p[0] == '\n')
        in = slice_from(in, 1);
    in = slice_upto(in, LOGGED_LINE);
    size_t n = 0;
    while (n < in.n && in.p[n] != '\r' && in.p[n] != '\n')
        n++;
    return slice_upto(in, n);
}

static void refuse_head(struct h1_server *s, const struct h1_head *h)
{
    slice line = h->line.n ? h->line : broken_line(s);
    struct exchange *x = begin_exchange(s);
    if (!x)
        return;
    if (line.n && !arena_dup(&x->arena, line, &x->req.line))
        x->req.line = SLICE_NONE;
    x->req.minor = 1;
    refuse(s, x, h->error);
}

static bool begin_body(struct h1_server *s, struct exchange *x, bool chunked)
{
    struct h1_body *b = &s->c.body;
    if (!chunked) {
        h1_body_begin(b, x->req.body.kind == BODY_NONE ? H1_BODY_NONE : H1_BODY_LENGTH, x->req.body.length, 0);
    } else {
        h1_body_begin(b, H1_BODY_CHUNKED, 0, 0);
        b->ahead = H1_HEAD_READ;
        b->chunked = arena_new(&x->arena, struct h1_chunked);
        if (!b->chunked)
            return false;
        h1_chunked_init(b->chunked);
    }
    if (b->done) {
        pipe_end(&x->req_pipe, NULL);
        x->events |= X_FRONT_BODY;
    }
    return true;
}

static void count_head(struct worker *w, const struct h1_head *h)
{
    worker_count(w, COUNT_REQUESTS);
    if (unlikely(h->ndropped))
        worker_count_n(w, COUNT_FIELD_DROPPED, h->ndropped);
    if (unlikely(h->bare_lf))
        worker_count(w, COUNT_COMPAT_BARE_LF);
    if (unlikely(slice_find(h->target, '#') >= 0))
        worker_count(w, COUNT_COMPAT_FRAGMENT); /* else it were no target */
}

static void begin_request(struct h1_server *s, const struct h1_head *h, size_t len)
{
    enum h1_error e = H1_OK;
    follow_generation(s);
    struct exchange *x = begin_exchange(s);
    if (!x)
        return;
    const struct client_server_conf *k = rules_conf(s);
    int rc = h1_head_request(h, slice_of(s->c.in, len), &x->arena, k->merge_slashes, k->compat & COMPAT_FRAGMENT,
                             &x->req, &e);
    bool chunked = h->chunked;
    if (rc != ERR_SYNTAX)
        count_head(s->c.w, h);
    h1_conn_consume(&s->c, len); /* the slices of h are gone with it */
    x->received = len;
    x->req.pipelined = s->pipelined;
    if (unlikely(s->plain_on_tls) && rc == OK) {
        refuse(s, x, H1_E_LINE);
        x->refuse = 497;
        x->refuse_text = "client sent plain HTTP request to HTTPS port";
        return;
    }
    if (rc == ERR_SYNTAX) {
        refuse(s, x, e);
        return;
    }
    if (rc < 0 || !begin_body(s, x, chunked)) {
        worker_count(s->c.w, COUNT_MEMORY_REFUSED);
        end_detach(&s->c.end);
        exchange_free(x);
        h1_server_close(s);
        return;
    }
    s->must_continue = x->req.expect_continue && !s->c.body.done && s->c.in_n == 0;
    /* A connection for one short request is never registered; one that takes longer must learn when its client leaves.
     */
    io_watch_soon(&s->c.w->loop, &s->c.io);
    exchange_start(x);
    if (unlikely(s->c.hup)) /* its client has left already, and no event will say so again */
        task_post_later(&s->c.w->loop, &s->next);
}

/* 408 for a head that began and did not come to its end; silence for a connection that was merely idle. */
static void head_timed_out(struct h1_server *s)
{
    struct h1_head *h = &s->c.w->h1->head;
    bool began = s->c.in_n > 0;
    worker_count(s->c.w, began || !s->client.requests ? COUNT_TIMEOUT_HEADER : COUNT_TIMEOUT_KEEPALIVE);
    if (!began) {
        h1_server_close(s);
        return;
    }
    struct exchange *x = begin_exchange(s);
    if (!x)
        return;
    h->line = SLICE_NONE;
    refuse(s, x, H1_E_LINE);
    x->refuse = 408;
    x->refuse_text = "client timed out";
}

void h1_server_await(struct h1_server *s)
{
    if (s->c.in_n && !s->partial) {
        s->partial = true;
        worker_gauge_add(&s->c.w->reading, 1);
    }
    if (!s->c.io.watched && io_watch(&s->c.w->loop, &s->c.io) < 0)
        h1_server_close(s);
}

/*
 * How much to read of a head. A connection that has to keep a part of one holds client_header_buffer_size for it, and
 * when that is full, as many of large_client_header_buffers as it needs. The scratch is everybody's: there it may be
 * more.
 */
static size_t head_want(const struct h1_server *s)
{
    const struct client_server_conf *k = rules_conf(s);
    if (likely(!s->c.in_n || h1_conn_in_scratch(&s->c)))
        return H1_HEAD_READ;
    size_t room = (size_t)k->header_buffer_size, large = (size_t)k->large_buffer_size;
    if (s->c.in_n >= room)
        room += ((s->c.in_n - room) / large + 1) * large;
    return room - s->c.in_n;
}

void h1_server_read_head(struct h1_server *s)
{
    struct h1_head *h = &s->c.w->h1->head;
    const struct h1_rules rules = rules_of(rules_conf(s));
    bool had = s->c.in_n > 0;
    while (s->state == SERVER_HEAD) {
        if (s->c.in_n) {
            ptrdiff_t len = h1_parse_request(h, &s->c.scan, s->c.in, s->c.in_n, &rules);
            if (len > 0) {
                begin_request(s, h, (size_t)len);
                return;
            }
            if (unlikely(h1_server_is_socks(s))) {
                h1_server_hand_over(s, CODEC_SOCKS);
                return;
            }
            if (len != ERR_MORE && unlikely(h1_server_is_h2(s))) {
                h1_server_hand_over(s, CODEC_H2);
                return;
            }
            if (len != ERR_MORE) {
                follow_generation(s);
                refuse_head(s, h);
                return;
            }
        }
        if (!s->c.readable) {
            h1_server_await(s);
            return;
        }
        ssize_t n = h1_conn_read(&s->c, head_want(s));
        if (n == ERR_AGAIN)
            continue;
        if (n < 0) {
            h1_server_close(s);
            return;
        }
        if (!had && s->client.requests) /* the first bytes after an idle time: from here on it is a head's time */
            timer_set(&s->c.w->loop, &s->c.in_timer, rules_conf(s)->header_timeout);
        had = true;
    }
}

/* ---- after an exchange ---- */

static void linger(struct h1_server *s)
{
    const struct client_location_conf *k = s->client.listener->default_server->base->client;
    s->state = SERVER_LINGER;
    h1_conn_end_write(&s->c);
    h1_conn_consume(&s->c, s->c.in_n);
    s->linger_until = loop_now(&s->c.w->loop) + k->lingering_time;
    timer_set(&s->c.w->loop, &s->c.in_timer, k->lingering_timeout);
    if (!s->c.io.watched && io_watch(&s->c.w->loop, &s->c.io) < 0) {
        h1_server_close(s);
        return;
    }
    h1_server_linger_read(s);
}

void h1_server_linger_read(struct h1_server *s)
{
    const struct client_location_conf *k = s->client.listener->default_server->base->client;
    for (int i = 0; i < 16 && s->c.readable; i++) {
        ssize_t n = h1_conn_read(&s->c, s->c.w->scratch.size);
        if (n == ERR_AGAIN)
            break;
        if (n < 0 || loop_now(&s->c.w->loop) >= s->linger_until) {
            h1_server_close(s);
            return;
        }
        h1_conn_consume(&s->c, (size_t)n);
        timer_set(&s->c.w->loop, &s->c.in_timer, k->lingering_timeout);
    }
    if (s->c.readable)
        task_post_later(&s->c.w->loop, &s->next);
}

void h1_server_next(struct h1_server *s, bool keep, bool unread)
{
    struct worker *w = s->c.w;
    const struct client_location_conf *k = s->client.listener->default_server->base->client;
    timer_clear(&s->c.out_timer);
    if (keep && unlikely(w->draining) && !w->leaving && !s->c.in_n) {
        keep = false; /* the answer's head had left when the end began: h1_worker_drain passed this connection by */
        unread = true;
    }
    if (keep) {
        s->state = SERVER_HEAD;
        s->pipelined = s->c.in_n > 0;
        worker_gauge_add(&w->writing, -1);
        timer_set(&w->loop, &s->c.in_timer, s->pipelined ? rules_conf(s)->header_timeout : s->idle_ms);
        task_post(&w->loop, &s->next);
        return;
    }
    if (k->lingering_close && (unread || k->lingering_close == 2)) {
        linger(s);
        return;
    }
    h1_server_close(s);
}

static void on_next(struct task *t)
{
    struct h1_server *s = container_of(t, struct h1_server, next);
    if (s->state == SERVER_HEAD)
        h1_server_read_head(s);
    else if (s->state == SERVER_LINGER)
        h1_server_linger_read(s);
    else if (s->state == SERVER_EXCHANGE)
        h1_server_io(s, IO_HUP);
}

/* Contexts that no configuration asks for any more go; connections that use one keep it. */
static void gen_changed(struct worker *w)
{
    tls_worker_sweep(w->tls, conf_get(w->gen->gen->main, &ssl_feature));
}

static const void *listener_conf(const struct generation *g, slice key)
{
    return route_listener(g, key);
}

/* ---- events ---- */

static void on_io(struct io *io, unsigned events)
{
    struct h1_server *s = container_of(io, struct h1_server, c.io);
    if (events & IO_HUP)
        s->c.hup = true;
    if (events & IO_IN)
        s->c.readable = true;
    switch ((enum h1_server_state)s->state) {
    case SERVER_PROXIED:
        if (s->c.readable)
            h1_server_proxied_read(s);
        return;
    case SERVER_HANDSHAKE: /* that there is room is told at once, when mostly nothing waits for it */
        if (s->c.readable || s->c.hup)
            h1_server_handshake(s);
        else
            s->c.tr->ops->flush(s->c.tr);
        return;
    case SERVER_HEAD:
        if (s->c.readable)
            h1_server_read_head(s);
        return;
    case SERVER_EXCHANGE:
    case SERVER_DRAIN:
        h1_server_io(s, events);
        return;
    case SERVER_TUNNEL:
        h1_server_tunnel_io(s, events);
        return;
    case SERVER_LINGER:
        h1_server_linger_read(s);
        return;
    case SERVER_CLOSED:
        return;
    }
}

static void on_in_timer(struct timer *t)
{
    struct h1_server *s = container_of(t, struct h1_server, c.in_timer);
    switch ((enum h1_server_state)s->state) {
    case SERVER_PROXIED:
        worker_count(s->c.w, COUNT_TIMEOUT_HEADER);
        h1_server_close(s);
        return;
    case SERVER_HANDSHAKE:
        worker_count(s->c.w, COUNT_TIMEOUT_HANDSHAKE);
        h1_server_close(s);
        return;
    case SERVER_HEAD:
        head_timed_out(s);
        return;
    case SERVER_EXCHANGE:
        worker_count(s->c.w, COUNT_TIMEOUT_BODY);
        exchange_front_failed(s->c.end.x, WHY_CLIENT_TIMEOUT);
        return;
    case SERVER_TUNNEL:
        h1_server_tunnel_timer(s);
        return;
    case SERVER_DRAIN:
    case SERVER_LINGER:
        h1_server_close(s);
        return;
    case SERVER_CLOSED:
        return;
    }
}

static void on_out_timer(struct timer *t)
{
    struct h1_server *s = container_of(t, struct h1_server, c.out_timer);
    if (s->state != SERVER_EXCHANGE && s->state != SERVER_TUNNEL)
        return;
    worker_count(s->c.w, COUNT_TIMEOUT_SEND);
    exchange_front_failed(s->c.end.x, WHY_CLIENT_TIMEOUT);
}

const struct room_hooks h1_room = {
    .name = "h1",
    .init = h1_worker_init,
    .done = h1_worker_done,
    .drain = h1_worker_drain,
    .gen_changed = gen_changed,
    .cut = h1_worker_cut,
    .accept = h1_server_accept,
    .listener_conf = listener_conf,
};
