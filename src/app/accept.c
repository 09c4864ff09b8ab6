/*
 * Accepting from each listener (app/worker.h).
 *
 * A quiet loop accepts one connection a turn and is told again when there are more: an accept4 that finds nothing costs
 * nearly what one that finds a connection does, because the kernel makes the socket first. A busy loop accepts one more
 * for every four events of the turn, at most 64, so that connections do not wait behind them. When the process
 * has no descriptors or no memory left, the listener rests for half a second: connections wait in the kernel's queue
 * meanwhile, and nothing spins. A worker that has all the connections that worker_connections grants accepts and closes
 * at once, so that a client learns it and a balancer before us goes elsewhere.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/engine_priv.h"
#include "app/worker.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"

enum { ACCEPT_BATCH = 64, EVENTS_PER_ACCEPT = 4, ACCEPT_REST_MS = 500, COMPLAIN_MS = 5000, EMPTY_MAX = 65536 };

static struct worker_thread *thread_of(struct listener *l)
{
    return container_of(l->worker, struct worker_thread, w);
}

/* Whether it is time to complain again: a flood of one cause is one line. */
static bool may_complain(struct worker_thread *t)
{
    uint64_t now = loop_now(&t->w.loop);
    if (t->warned && now - t->warned < COMPLAIN_MS)
        return false;
    t->warned = now;
    return true;
}

static void rest(struct listener *l)
{
    struct worker_thread *t = thread_of(l);
    if (may_complain(t))
        log_line(log_main, LEVEL_CRIT, 0, "accept4() failed (%d: %s), waiting for descriptors or memory", errno,
                 strerror(errno));
    io_unwatch(&t->w.loop, &l->io); /* it would be told again and again while something waits */
    timer_set(&t->w.loop, &l->pause, ACCEPT_REST_MS);
}

static void hand_over(struct listener *l, int fd, const struct addr *peer)
{
    struct worker_thread *t = thread_of(l);
    if (t->w.connections < t->w.max_connections) {
        l->accept(&t->w, l, fd, peer);
        loop_drain(&t->w.loop); /* the next connection needs the scratch buffer too */
        return;
    }
    close(fd);
    worker_count(&t->w, COUNT_CONN_REFUSED);
    if (may_complain(t))
        log_line(log_main, LEVEL_WARN, 0, "%llu worker_connections are not enough, refusing clients",
                 (unsigned long long)t->w.max_connections);
}

/* OK: one was accepted; ERR_AGAIN: none waits; ERR_NOMEM: none can be taken now. */
static int accept_one(struct listener *l)
{
    struct addr peer;
    peer.len = sizeof(peer.un);
    peer.sa.sa_family = AF_UNSPEC;
    int fd = accept4(l->io.fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        hand_over(l, fd, &peer);
        return OK;
    }
    switch (errno) {
    case EAGAIN:
        return ERR_AGAIN;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return ERR_NOMEM;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
        log_line(log_main, LEVEL_ALERT, 0, "accept4() failed (%d: %s)", errno, strerror(errno));
        return ERR_AGAIN;
    default:
        return OK; /* the connection was gone before we came, or its network was: accept(2), "Error handling" */
    }
}

static void accept_some(struct listener *l)
{
    uint32_t n = 1 + l->worker->loop.events / EVENTS_PER_ACCEPT;
    for (uint32_t i = 0; i < n && i < ACCEPT_BATCH; i++) {
        int rc = accept_one(l);
        if (rc == ERR_NOMEM)
            rest(l);
        if (rc < 0 || l->io.fd < 0)
            return;
    }
}

static void on_ready(struct io *io, unsigned events)
{
    struct listener *l = container_of(io, struct listener, io);
    if ((events & IO_IN) && l->pause.at == 0)
        accept_some(l);
}

static void on_rested(struct timer *timer)
{
    struct listener *l = container_of(timer, struct listener, pause);
    if (io_watch_listener(&l->worker->loop, &l->io) < 0)
        timer_set(&l->worker->loop, &l->pause, ACCEPT_REST_MS);
}

/* The object that an address had before, or a new one. */
static struct listener *make(struct worker_thread *t, slice key)
{
    for (struct listener **at = &t->closed; *at; at = &(*at)->next) {
        struct listener *l = *at;
        if (!slice_eq(l->key, key))
            continue;
        *at = l->next;
        return l;
    }
    struct listener *l = calloc(1, sizeof(*l) + key.n + 1);
    if (l) {
        memcpy(l + 1, key.p, key.n);
        l->key = slice_of((char *)(l + 1), key.n);
    }
    return l;
}

struct listener *accept_open(struct worker_thread *t, slice key, const struct addr *addr, int fd)
{
    const struct room_hooks *server = app_server_room(t->engine->app);
    struct listener *l = server ? make(t, key) : NULL;
    if (!l)
        return NULL;
    l->addr = *addr;
    l->worker = &t->w;
    l->accept = server->accept;
    io_init(&l->io, fd, on_ready);
    timer_init(&l->pause, on_rested);
    if (io_watch_listener(&t->w.loop, &l->io) < 0) {
        l->next = t->closed;
        t->closed = l;
        return NULL;
    }
    l->next = t->listeners;
    t->listeners = l;
    return l;
}

void accept_close(struct worker_thread *t, struct listener *l, bool empty)
{
    for (int i = 0; empty && i < EMPTY_MAX && accept_one(l) == OK; i++) {
    }
    for (struct listener **at = &t->listeners; *at; at = &(*at)->next) {
        if (*at != l)
            continue;
        *at = l->next;
        break;
    }
    io_unwatch(&t->w.loop, &l->io);
    timer_drop(&t->w.loop, &l->pause);
    l->io.fd = -1; /* events of this turn's batch are skipped */
    l->next = t->closed;
    t->closed = l;
}

void accept_free(struct worker_thread *t)
{
    while (t->closed) {
        struct listener *l = t->closed;
        t->closed = l->next;
        free(l);
    }
}
