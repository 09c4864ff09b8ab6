/*
 * The life of a client's HTTP/2 connection: taken over, requests opened, left by GOAWAY, closed.
 *
 * An orderly end has two steps (RFC 9113 §6.8): a GOAWAY that names no stream, so that requests on their way are still
 * served, and when the client must have read it (its answer to a PING, or a second), one that names the last.
 */
#include "h2/server.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "h2/client.h"
#include "h2/request.h"
#include "http/client.h"
#include "net/listen.h"
#include "tls/server.h"

enum { BATCH = 32, LEAVE_MS = 1000, PROGRESS = 1024, FIELDS_HARD = 1000, BYTES_HARD = 64 << 10, WINDOW_LEAST = 1024 };

/* What the PING behind our GOAWAY carries. */
static const slice LEAVING = { "leaving!", 8 };

static const struct client_server_conf *rules_conf(const struct h2_server *s)
{
    return s->client.listener->default_server->client;
}

static const struct client_location_conf *base_conf(const struct h2_server *s)
{
    return s->client.listener->default_server->base->client;
}

static const struct h2_server_conf *h2_of(const struct h2_server *s)
{
    return h2_conf(s->client.listener->default_server);
}

/* ---- worker ---- */

int h2_worker_init(struct worker *w)
{
    struct h2_worker *h = calloc(1, sizeof(*h));
    if (!h)
        return ERR_NOMEM;
    slab_init(&h->servers, sizeof(struct h2_server), BATCH);
    slab_init(&h->clients, h2_client_size, BATCH);
    list_init(&h->backs);
    slab_init(&h->streams, sizeof(struct h2_stream), BATCH);
    list_init(&h->connections);
    w->h2 = h;
    w->take[CODEC_H2] = h2_server_take;
    return OK;
}

void h2_worker_drain(struct worker *w)
{
    struct list *at = w->h2->connections.next, *next;
    for (; at != &w->h2->connections; at = next) {
        struct h2_server *s = list_entry(at, struct h2_server, link);
        next = at->next;
        h2_server_leave(s);
    }
    h2_clients_leave(w, NULL);
}

static void cut(struct h2_server *s)
{
    h2_conn_abort(&s->c, WHY_SHUTDOWN);
    loop_drain(&s->c.w->loop); /* the exchanges end, and with the last one the connection */
}

void h2_worker_cut(struct worker *w, struct gen_ref *r)
{
    struct list *at = w->h2->connections.next, *next;
    for (; at != &w->h2->connections; at = next) {
        struct h2_server *s = list_entry(at, struct h2_server, link);
        next = at->next;
        if (s->gen == r && !s->c.closed)
            cut(s);
    }
}

void h2_worker_done(struct worker *w)
{
    struct h2_worker *h = w->h2;
    if (!h)
        return;
    struct list *at = h->connections.next, *next;
    for (; at != &h->connections; at = next) {
        struct h2_server *s = list_entry(at, struct h2_server, link);
        next = at->next;
        s->c.lingering = false;
        if (!s->c.failing)
            cut(s);
        else if (!s->c.closed && !s->c.nstreams)
            h2_conn_close(&s->c);
    }
    h2_clients_done(w);
    loop_reap_now(&w->loop);
    slab_done(&h->servers);
    slab_done(&h->clients);
    slab_done(&h->streams);
    free(h);
    w->h2 = NULL;
    w->take[CODEC_H2] = NULL;
}

/* ---- life ---- */

static void gone(struct h2_conn *c)
{
    struct h2_server *s = h2_server_of(c);
    struct worker *w = c->w;
    list_del(&s->link);
    gen_drop(s->gen);
    free((void *)s->client.proxied);
    worker_connections_add(w, -1);
    worker_count(w, COUNT_CONN_CLOSED);
    slab_give(&w->h2->servers, s);
}

void h2_server_leave(struct h2_server *s)
{
    if (s->leave || s->c.failing || s->c.closed)
        return;
    s->leave = 1;
    h2_out_goaway(&s->c, H2_STREAM_MAX, H2_NO_ERROR);
    h2_out_frame(&s->c, H2_PING, 0, 0, LEAVING);
    timer_set(&s->c.w->loop, &s->c.timer, LEAVE_MS);
}

static void leave_finally(struct h2_server *s)
{
    struct h2_conn *c = &s->c;
    if (s->leave != 1 || c->failing)
        return;
    s->leave = 2;
    timer_clear(&c->timer);
    c->goaway_id = c->last_in;
    c->goaway_sent = true;
    h2_out_goaway(c, c->last_in, H2_NO_ERROR);
    if (!c->nstreams)
        h2_conn_end(c);
}

void h2_server_rest(struct h2_server *s)
{
    struct h2_conn *c = &s->c;
    if (c->failing || c->closed || s->leave == 1)
        return;
    if (s->leave == 2) {
        if (!c->nstreams)
            h2_conn_end(c);
        return;
    }
    if (c->reader.in_block) { /* a head has its time, whoever else is served meanwhile */
        if (!s->in_head)
            timer_set(&c->w->loop, &c->timer, rules_conf(s)->header_timeout);
        s->in_head = true;
        s->resting = false;
        return;
    }
    s->in_head = false;
    if (c->nstreams) {
        timer_clear(&c->timer);
        s->resting = false;
        return;
    }
    if (s->resting)
        return;
    s->resting = true;
    timer_set(&c->w->loop, &c->timer,
              s->client.requests ? base_conf(s)->keepalive_timeout : rules_conf(s)->header_timeout);
}

static void on_timer(struct timer *t)
{
    struct h2_conn *c = container_of(t, struct h2_conn, timer);
    struct h2_server *s = h2_server_of(c);
    if (c->failing) {
        if (!c->nstreams)
            h2_conn_close(c);
        return;
    }
    if (s->leave) {
        leave_finally(s);
        return;
    }
    if (s->in_head) {
        worker_count(c->w, COUNT_TIMEOUT_HEADER);
        h2_conn_error(c, H2_ENHANCE_YOUR_CALM, "client timed out in a header block");
        return;
    }
    worker_count(c->w, s->client.requests ? COUNT_TIMEOUT_KEEPALIVE : COUNT_TIMEOUT_HEADER);
    c->goaway_sent = true;
    h2_out_goaway(c, c->last_in, H2_NO_ERROR);
    h2_conn_end(c);
}

/* The kernel takes no more: a client must read something, more than a drop now and then (row A10). */
static void on_out_timer(struct timer *t)
{
    struct h2_conn *c = container_of(t, struct h2_conn, out_timer);
    if (!c->blocked)
        return; /* all that was said since is with the kernel */
    worker_count(c->w, COUNT_TIMEOUT_SEND);
    h2_conn_abort(c, WHY_CLIENT_TIMEOUT);
}

static void on_blocked(struct h2_conn *c, bool on)
{
    struct h2_server *s = h2_server_of(c);
    uint64_t gone = s->written - (c->out_n - c->out_at); /* what waits in the buffer was not read by anybody */
    if ((int64_t)(gone - s->blocked_at) >= PROGRESS)
        timer_clear(&c->out_timer);
    if (on && !c->out_timer.at) {
        s->blocked_at = gone;
        timer_set(&c->w->loop, &c->out_timer, base_conf(s)->send_timeout);
    }
}

static void on_silent(struct h2_conn *c)
{
    worker_count(c->w, COUNT_H2_SILENT);
    h2_conn_abort(c, WHY_CLIENT_TIMEOUT);
}

static void on_io(struct io *io, unsigned events)
{
    struct h2_conn *c = container_of(io, struct h2_conn, io);
    h2_conn_io(c, events);
    if (!c->closed)
        h2_server_rest(h2_server_of(c));
}

static void greet(struct h2_server *s)
{
    struct h2_conn *c = &s->c;
    const struct h2_server_conf *k = h2_of(s);
    char b[4 * 6], *at = b;
    at = h2_put_setting(at, H2_SET_MAX_STREAMS, (uint32_t)k->max_streams);
    at = h2_put_setting(at, H2_SET_WINDOW, c->window);
    at = h2_put_setting(at, H2_SET_MAX_LIST,
                        (uint32_t)(rules_conf(s)->large_buffers * rules_conf(s)->large_buffer_size));
    at = h2_put_setting(at, H2_SET_NO_PRIORITIES, 1);
    h2_out_frame(c, H2_SETTINGS, 0, 0, slice_of(b, (size_t)(at - b)));
    c->unacked++;
    h2_out_u32(c, H2_WINDOW_UPDATE, 0, c->credit);
    c->recv_window += c->credit;
    c->credit = 0;
}

void h2_server_take(struct worker *w, const struct handover *h)
{
    struct h2_server *s = slab_take(&w->h2->servers);
    if (s)
        memset(s, 0, sizeof(*s));
    if (!s || h2_conn_init(&s->c, w, h->fd, h->tr, &h2_server_role, on_io) != OK) {
        if (s)
            slab_give(&w->h2->servers, s);
        handover_refuse(w, h);
        return;
    }
    struct h2_conn *c = &s->c;
    timer_init(&c->timer, on_timer);
    timer_init(&c->out_timer, on_out_timer);
    s->client = h->client;
    s->gen = h->gen;
    list_add_tail(&w->h2->connections, &s->link);
    worker_connections_add(w, 1);
    worker_count(w, COUNT_H2_CONNECTIONS);
    const struct h2_server_conf *k = h2_of(s);
    c->window = (uint32_t)(k->window < WINDOW_LEAST ? WINDOW_LEAST : k->window);
    c->control_burst = (uint32_t)k->max_control;
    c->resets_burst = (uint32_t)k->max_resets;
    c->max_block = (uint32_t)(rules_conf(s)->large_buffers * rules_conf(s)->large_buffer_size + (16 << 10));
    if (k->max_streams > c->most_forgotten)
        c->most_forgotten = (uint32_t)k->max_streams;
    c->readable = h->readable;
    h2_alive_watch(c, k->idle_ping);
    greet(s);
    if (h->early.n)
        h2_conn_feed(c, h->early);
    if (!c->closed && !c->failing)
        h2_conn_read(c);
    if (!c->closed)
        h2_server_rest(s);
}

/* ---- requests ---- */

static const struct server *named(const struct listener_conf *l, slice name)
{
    return name.n ? route_server(l, NULL, name) : l->default_server;
}

/* Whom the server is, and what it asks of clients and speaks with them. */
static bool same_policy(const struct tls_conf *a, const struct tls_conf *b)
{
    return memcmp(a->policy, b->policy, TLS_KEY) == 0 && a->protocols == b->protocols &&
           slice_eq(a->ciphers, b->ciphers) && slice_eq(a->curves, b->curves) && a->prefer_server == b->prefer_server;
}

/* Would the connection be taken by the other listener of its address just as it was? */
static bool same_terms(const struct h2_server *s, const struct listener_conf *l)
{
    const struct listener_conf *was = s->client.listener;
    slice name = s->c.tr ? tls_server_name(s->c.tr) : SLICE_NONE;
    if (!l || l->proxy_protocol != was->proxy_protocol || l->ssl != was->ssl)
        return false;
    const struct server *a = named(was, name), *b = named(l, name);
    return (l->http2 || b->http2) && (!s->c.tr || same_policy(a->tls, b->tls));
}

/* A reload may have come: the connection goes over to the new generation, or leaves. */
static void follow_generation(struct h2_server *s)
{
    struct worker *w = s->c.w;
    if (s->gen == w->gen || w->draining)
        return;
    const struct listener_conf *l = route_listener(w->gen->gen, s->client.listener->key);
    if (!same_terms(s, l)) {
        h2_server_leave(s);
        return;
    }
    gen_use(w->gen);
    gen_drop(s->gen);
    s->gen = w->gen;
    s->client.listener = l;
    h2_alive_watch(&s->c, h2_of(s)->idle_ping);
}

void h2_worker_gen_changed(struct worker *w)
{
    struct list *at = w->h2->connections.next, *next;
    for (; w->gen && at != &w->h2->connections; at = next) {
        struct h2_server *s = list_entry(at, struct h2_server, link);
        next = at->next;
        if (s->gen != w->gen && !same_terms(s, route_listener(w->gen->gen, s->client.listener->key)))
            h2_server_leave(s);
    }
}

static bool ignore(void *arg, slice name, slice value)
{
    return true;
}

/* Decodes; false: the connection is over. */
static bool decode(struct h2_server *s, slice block, h2_field_fn fn, void *arg, size_t *bytes)
{
    const struct client_server_conf *k = rules_conf(s);
    size_t most = (size_t)(k->large_buffers * k->large_buffer_size * 2);
    const struct h2_limits limits = { .bytes = most > BYTES_HARD ? most : BYTES_HARD, .fields = FIELDS_HARD };
    int rc = h2_hpack_decode(&s->c.hpack, block, &limits, fn, arg, bytes);
    if (rc == OK)
        return true;
    h2_conn_error(&s->c,
                  rc == ERR_SYNTAX  ? H2_COMPRESSION_ERROR
                  : rc == ERR_LIMIT ? H2_ENHANCE_YOUR_CALM
                                    : H2_INTERNAL_ERROR,
                  rc == ERR_LIMIT ? "a header block comes to too much" : "a header block cannot be decoded");
    return false;
}

static void take_trailers(struct h2_server *s, struct h2_stream *st, bool ends, slice block)
{
    struct h2_trailers t = { 0 };
    size_t bytes;
    if (!decode(s, block, h2_trailer_field, &t, &bytes))
        return;
    if (st->reset || st->failed)
        return;
    if (st->ended_in)
        h2_stream_fault(&s->c, st, st->id, H2_STREAM_CLOSED);
    else if (t.bad || !ends || t.fields > rules_conf(s)->max_fields)
        h2_stream_fail(st, WHY_CLIENT_BODY, H2_PROTOCOL_ERROR);
    else
        h2_stream_ended(st);
}

/* Over a limit: it may be sent again, elsewhere or later. */
static void refuse_stream(struct h2_server *s, uint32_t id, slice block)
{
    size_t bytes;
    worker_count(s->c.w, COUNT_H2_REFUSED);
    if (decode(s, block, ignore, NULL, &bytes))
        h2_stream_fault(&s->c, NULL, id, H2_REFUSED_STREAM);
}

static bool too_many(const struct h2_server *s)
{
    return s->client.requests >= base_conf(s)->keepalive_requests ||
           loop_now(&s->c.w->loop) - s->client.since >= base_conf(s)->keepalive_time;
}

static void start(struct h2_server *s, struct h2_stream *st, const struct h2_request *r, bool ends)
{
    struct exchange *x = r->x;
    struct worker *w = s->c.w;
    worker_count(w, COUNT_H2_STREAMS);
    if (r->dropped)
        worker_count_n(w, COUNT_FIELD_DROPPED, r->dropped);
    x->received = st->received = r->bytes;
    if (r->priority.p)
        h2_priority_read(r->priority, &st->priority);
    if (r->status) {
        worker_count(w, COUNT_REQUEST_BAD);
        if (r->status == 414 || r->status == 431)
            worker_count(w, COUNT_HEAD_LIMIT);
        x->refuse = (uint16_t)r->status;
        x->refuse_text = r->text;
        x->req.body = (struct body_fact){ BODY_NONE, 0 };
        st->malformed = r->malformed;
        st->stopped = true;
        st->ended_in = ends;
    } else {
        worker_count(w, COUNT_REQUESTS);
        st->length = ends ? 0 : x->req.body.kind == BODY_LENGTH ? x->req.body.length : UINT64_MAX;
        st->ended_in = ends;
    }
    if (!r->status && x->req.method == METHOD_CONNECT) {
        pipe_end(&x->req_pipe, NULL); /* what comes is no body: it waits for the tunnel */
        x->events |= X_FRONT_BODY;
    } else if (ends || r->status) {
        st->given = true;
        pipe_end(&x->req_pipe, NULL);
        x->events |= X_FRONT_BODY;
    }
    exchange_start(x);
}

static void open_stream(struct h2_server *s, uint32_t id, bool ends, slice block)
{
    struct worker *w = s->c.w;
    struct h2_stream *st = slab_take(&w->h2->streams);
    if (!st) {
        refuse_stream(s, id, block);
        return;
    }
    h2_stream_init(st, &s->c, id, &h2_server_ops);
    h2_server_stream_timers(st);
    if (s->c.nstreams == 1)
        worker_gauge_add(&w->writing, 1);
    struct exchange *x = exchange_new(w, s->gen, &st->end, &s->client);
    if (!x) {
        h2_server_stream_gone(st);
        refuse_stream(s, id, block);
        return;
    }
    struct h2_request r = { .x = x, .conf = rules_conf(s) };
    bool ok = decode(s, block, h2_request_field, &r, &st->head_bytes);
    s->c.head_bytes += st->head_bytes;
    int rc = ok ? h2_request_finish(&r, ends) : ERR_NOMEM;
    if (rc != OK || s->c.head_bytes > h2_of(s)->header_memory) {
        end_detach(&st->end);
        exchange_free(x);
        h2_server_stream_gone(st);
        if (!ok)
            return;
        worker_count(w, rc != OK ? COUNT_MEMORY_REFUSED : COUNT_H2_REFUSED);
        h2_stream_fault(&s->c, NULL, id, H2_REFUSED_STREAM);
        return;
    }
    s->client.requests++;
    start(s, st, &r, ends);
    if (too_many(s))
        h2_server_leave(s);
}

static void on_block(struct h2_conn *c, struct h2_stream *st, uint32_t id, bool ends, slice block)
{
    struct h2_server *s = h2_server_of(c);
    size_t bytes;
    if (st) {
        take_trailers(s, st, ends, block);
        return;
    }
    if (id <= c->last_in || !(id & 1)) {
        if (!decode(s, block, ignore, NULL, &bytes))
            return;
        if (h2_stream_forgotten(c, id)) { /* trailers of what we have reset */
            h2_conn_token(c);
            return;
        }
        h2_conn_error(c, id & 1 ? H2_STREAM_CLOSED : H2_PROTOCOL_ERROR, "HEADERS for a closed stream");
        return;
    }
    c->last_in = id;
    if (s->leave == 2) {
        decode(s, block, ignore, NULL, &bytes); /* above the number that GOAWAY named: sent again elsewhere */
        return;
    }
    follow_generation(s);
    if (c->nstreams >= h2_of(s)->max_streams) {
        refuse_stream(s, id, block);
        return;
    }
    open_stream(s, id, ends, block);
}

/* ---- what else happens ---- */

static void on_erred(struct h2_conn *c, enum h2_error e, const char *why)
{
    struct h2_server *s = h2_server_of(c);
    const struct server *server = s->client.listener->default_server;
    char peer[ADDR_TEXT_MAX];
    struct addr a;
    client_peer(&s->client, &a);
    slice text = slice_of(peer, addr_text_ip(peer, &a));
    log_line(server->base->log, LEVEL_INFO, s->client.number,
             "HTTP/2 connection error %d: %s, client: %.*s, server: %.*s", (int)e, why, SLICE_FMT(text),
             SLICE_FMT(s->client.listener->key));
}

static void on_settings(struct h2_conn *c)
{
}

static void on_goaway(struct h2_conn *c, uint32_t last, enum h2_error error)
{
    if (!c->nstreams)
        h2_server_leave(h2_server_of(c));
}

static void on_ping_ack(struct h2_conn *c, slice data)
{
    if (slice_eq(data, LEAVING))
        leave_finally(h2_server_of(c));
}

static void on_wrote(struct h2_stream *st, size_t head, size_t body)
{
    struct exchange *x = st->end.x;
    h2_server_of(st->c)->written += head + body;
    if (!x)
        return;
    st->sent += head + body;
    st->body += body;
    x->sent += head + body;
    x->body_sent += body;
}

void h2_server_stream_gone(struct h2_stream *st)
{
    struct h2_conn *c = st->c;
    struct worker *w = c->w;
    h2_stream_done(st);
    slab_give(&w->h2->streams, st);
    if (!c->nstreams)
        worker_gauge_add(&w->writing, -1);
    if (c->failing)
        h2_conn_left(c);
    else if (!c->reading && !c->flushing)
        h2_server_rest(h2_server_of(c));
}

const struct h2_role h2_server_role = {
    .server = true,
    .block = on_block,
    .in_done = h2_server_in_done,
    .in_full = h2_server_in_full,
    .in_wait = h2_server_in_wait,
    .out_done = h2_server_out_done,
    .failed = h2_server_failed,
    .wrote = on_wrote,
    .out_stuck = h2_server_out_stuck,
    .erred = on_erred,
    .settings = on_settings,
    .goaway = on_goaway,
    .ping_ack = on_ping_ack,
    .silent = on_silent,
    .blocked = on_blocked,
    .gone = gone,
};

const struct room_hooks h2_room = {
    .name = "h2",
    .init = h2_worker_init,
    .done = h2_worker_done,
    .gen_changed = h2_worker_gen_changed,
    .drain = h2_worker_drain,
    .cut = h2_worker_cut,
};
