/*
 * The life of a SOCKS connection: taken over, talked with, its exchange served, closed.
 *
 * The connection owns itself (a slab object); the exchange belongs to the run queue and only borrows the front end in
 * here, as everywhere.
 */
#include "socks/server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "http/client.h"
#include "http/rest.h"

enum { BATCH = 32, LEAVE_MS = 1000, LINGER_READS = 16 };

static const struct client_location_conf *base_conf(const struct socks_server *s)
{
    return s->client.listener->default_server->base->client;
}

/* ---- the end ---- */

static void free_server(struct reap *r)
{
    struct socks_server *s = container_of(r, struct socks_server, c.reap);
    slab_give(&s->c.w->socks->servers, s);
}

void socks_server_close(struct socks_server *s)
{
    struct worker *w = s->c.w;
    if (s->state == SOCKS_CLOSED)
        return;
    assert(!s->c.end.x);
    worker_gauge_add(s->talk ? &w->reading : &w->writing, -1);
    s->state = SOCKS_CLOSED;
    if (s->talk)
        explicit_bzero(s->talk, sizeof(*s->talk));
    free(s->talk);
    free((void *)s->client.proxied);
    socks_conn_close(&s->c);
    task_cancel(&w->loop, &s->next);
    list_del(&s->link);
    gen_drop(s->gen);
    worker_connections_add(w, -1);
    worker_count(w, COUNT_CONN_CLOSED);
    loop_reap(&w->loop, &s->c.reap, free_server);
}

static void linger_read(struct socks_server *s)
{
    struct worker *w = s->c.w;
    for (int i = 0; i < LINGER_READS && s->c.readable; i++) {
        ssize_t n = socks_conn_read(&s->c, w->scratch.size);
        if (n == ERR_AGAIN)
            break;
        if (n < 0 || loop_now(&w->loop) >= s->linger_until) {
            socks_server_close(s);
            return;
        }
        socks_conn_consume(&s->c, (size_t)n);
        timer_set(&w->loop, &s->c.in_timer, base_conf(s)->lingering_timeout);
    }
    if (s->c.readable)
        task_post_later(&w->loop, &s->next);
}

void socks_server_over(struct socks_server *s)
{
    const struct client_location_conf *k = base_conf(s);
    bool unread = !s->c.done && (s->c.in_n || s->c.readable);
    if (!k->lingering_close || (!unread && k->lingering_close != 2)) {
        socks_server_close(s);
        return;
    }
    s->state = SOCKS_LINGER;
    timer_clear(&s->c.out_timer);
    socks_conn_end_write(&s->c);
    socks_conn_consume(&s->c, s->c.in_n);
    s->linger_until = loop_now(&s->c.w->loop) + k->lingering_time;
    timer_set(&s->c.w->loop, &s->c.in_timer, k->lingering_timeout);
    if (socks_server_await(s))
        linger_read(s);
}

bool socks_server_await(struct socks_server *s)
{
    if (s->c.io.watched || io_watch(&s->c.w->loop, &s->c.io) == OK)
        return true;
    if (s->c.end.x)
        exchange_front_failed(s->c.end.x, WHY_NOMEM);
    else
        socks_server_close(s);
    return false;
}

/* ---- events ---- */

static void on_next(struct task *t)
{
    struct socks_server *s = container_of(t, struct socks_server, next);
    if (s->state == SOCKS_LINGER)
        linger_read(s);
    else if (s->state == SOCKS_EXCHANGE)
        socks_front_io(s, IO_HUP);
    else if (s->state == SOCKS_TALK)
        socks_talk_go_on(s);
}

static void on_io(struct io *io, unsigned events)
{
    struct socks_server *s = container_of(io, struct socks_server, c.io);
    if (events & IO_HUP)
        s->c.hup = true;
    if (events & IO_IN)
        s->c.readable = true;
    if (events & IO_OUT)
        s->c.blocked = false;
    switch ((enum socks_state)s->state) {
    case SOCKS_TALK:
    case SOCKS_ENDING:
        socks_talk_go_on(s);
        return;
    case SOCKS_EXCHANGE:
    case SOCKS_TUNNEL:
        socks_front_io(s, events);
        return;
    case SOCKS_LINGER:
        linger_read(s);
        return;
    case SOCKS_CLOSED:
        return;
    }
}

static void on_in_timer(struct timer *t)
{
    struct socks_server *s = container_of(t, struct socks_server, c.in_timer);
    switch ((enum socks_state)s->state) {
    case SOCKS_TALK:
        socks_talk_timed_out(s);
        return;
    case SOCKS_TUNNEL:
        socks_front_timer(s);
        return;
    case SOCKS_ENDING:
    case SOCKS_LINGER:
        socks_server_close(s);
        return;
    case SOCKS_EXCHANGE:
    case SOCKS_CLOSED:
        return;
    }
}

static void on_out_timer(struct timer *t)
{
    struct socks_server *s = container_of(t, struct socks_server, c.out_timer);
    if (!s->c.end.x)
        return;
    worker_count(s->c.w, COUNT_TIMEOUT_SEND);
    exchange_front_failed(s->c.end.x, WHY_CLIENT_TIMEOUT);
}

/* ---- the beginning ---- */

/* The deadline of the handshake is that of the connection: it ran while HTTP/1 held it, too. */
static uint64_t time_left(const struct socks_server *s)
{
    uint64_t gone = loop_now(&s->c.w->loop) - s->client.since;
    uint64_t all = s->client.listener->default_server->client->header_timeout;
    return gone < all ? all - gone : 1;
}

void socks_server_take(struct worker *w, const struct handover *h)
{
    struct socks_server *s = slab_take(&w->socks->servers);
    struct socks_talk *talk = s ? malloc(sizeof(*talk)) : NULL;
    if (!talk) {
        if (s)
            slab_give(&w->socks->servers, s);
        handover_refuse(w, h);
        return;
    }
    memset(s, 0, sizeof(*s));
    socks_conn_init(&s->c, w, h->fd, &socks_front_ops, on_io, on_in_timer, on_out_timer);
    task_init(&s->next, on_next);
    s->c.tr = h->tr;
    s->c.readable = h->readable;
    s->client = h->client;
    s->gen = h->gen;
    s->talk = talk;
    talk->basic_n = 0;
    socks_read(&talk->reader, SOCKS_GREETING);
    list_add_tail(&w->socks->connections, &s->link);
    worker_connections_add(w, 1);
    worker_gauge_add(&w->reading, 1);
    worker_count(w, COUNT_SOCKS_CONNECTIONS);
    if (!socks_conn_keep(&s->c, h->early)) {
        worker_count(w, COUNT_MEMORY_REFUSED);
        socks_server_close(s);
        return;
    }
    timer_set(&w->loop, &s->c.in_timer, time_left(s));
    socks_talk_go_on(s);
}

/* ---- worker ---- */

static int worker_init(struct worker *w)
{
    struct socks_worker *k = calloc(1, sizeof(*k));
    if (!k)
        return ERR_NOMEM;
    slab_init(&k->servers, sizeof(struct socks_server), BATCH);
    list_init(&k->connections);
    w->socks = k;
    w->take[CODEC_SOCKS] = socks_server_take;
    return OK;
}

/* A request may be on its way; tunnels live on. */
static void worker_drain(struct worker *w)
{
    struct list *at = w->socks->connections.next;
    for (; at != &w->socks->connections && !w->leaving; at = at->next) {
        struct socks_server *s = list_entry(at, struct socks_server, link);
        if (s->state == SOCKS_TALK)
            timer_set(&w->loop, &s->c.in_timer, LEAVE_MS);
    }
}

/* The connection goes now, with whatever it was doing. */
static void cut(struct socks_server *s)
{
    struct exchange *x = s->c.end.x;
    if (x) {
        end_wake(&s->c.end);
        exchange_front_failed(x, WHY_SHUTDOWN);
        loop_drain(&s->c.w->loop); /* the exchange ends and resets this end, which closes the connection */
    }
    socks_server_close(s);
}

static void worker_cut(struct worker *w, struct gen_ref *r)
{
    struct list *at = w->socks->connections.next, *next;
    for (; at != &w->socks->connections; at = next) {
        struct socks_server *s = list_entry(at, struct socks_server, link);
        next = at->next;
        if (s->gen == r)
            cut(s);
    }
}

static void worker_done(struct worker *w)
{
    struct socks_worker *k = w->socks;
    if (!k)
        return;
    while (!list_empty(&k->connections))
        cut(list_entry(k->connections.next, struct socks_server, link));
    loop_reap_now(&w->loop);
    slab_done(&k->servers);
    free(k);
    w->socks = NULL;
    w->take[CODEC_SOCKS] = NULL;
}

const struct room_hooks socks_room = {
    .name = "socks",
    .init = worker_init,
    .done = worker_done,
    .drain = worker_drain,
    .cut = worker_cut,
};
