#include "proxy/udp_relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/client.h"
#include "loop/scratch.h"
#include "proxy/forward_block.h"

/* SIDES: the socket towards the client, and one for each address of ours that datagrams come from. */
enum { BATCH = 32, DATAGRAM_MAX = 64 << 10, SIDES = 9 };

struct relay;

struct side {
    struct io io;
    struct relay *relay;
    struct addr local; /* as it was asked for */
    bool readable;
};

struct relay {
    struct udp_relay r;
    struct end end;
    struct side sides[SIDES]; /* the first one towards the client */
    struct timer idle;
    struct task again;
    struct reap reap;
    struct worker *w;
    struct scratch_holder hold; /* never holds: what is read is sent on at once */
    struct addr client;         /* port 0: not known yet */
    bool begun;
};

static struct relay *relay_of(struct udp_relay *r)
{
    return container_of(r, struct relay, r);
}

/* ---- life ---- */

static void free_relay(struct reap *r)
{
    free(container_of(r, struct relay, reap));
}

static void close_relay(struct relay *r)
{
    struct loop *l = &r->w->loop;
    udp_dests_free(&r->r);
    r->r.x = NULL;
    for (int i = 0; i < SIDES; i++) {
        if (r->sides[i].io.fd >= 0)
            io_close(l, &r->sides[i].io);
    }
    timer_drop(l, &r->idle);
    task_cancel(l, &r->again);
    worker_connections_add(r->w, -1);
    loop_reap(l, &r->reap, free_relay);
}

static void moved(struct relay *r)
{
    timer_set(&r->w->loop, &r->idle, r->r.proxy->read_timeout);
}

static void end_association(struct relay *r)
{
    if (r->end.in->state != PIPE_OPEN)
        return;
    pipe_end(r->end.in, NULL);
    pipe_push(r->end.in);
}

/* Silence ends an association in order. */
static void on_idle(struct timer *t)
{
    struct relay *r = container_of(t, struct relay, idle);
    exchange_log(r->r.x, LEVEL_INFO, "no datagram has passed for a while");
    end_association(r);
}

void udp_relay_exhausted(struct udp_relay *u)
{
    worker_count(u->x->w, COUNT_MEMORY_REFUSED);
    exchange_log(u->x, LEVEL_ERROR, "the association has had too many destinations");
    end_association(relay_of(u));
}

static void drop(struct relay *r)
{
    worker_count(r->w, COUNT_SOCKS_UDP_DROPPED);
}

/* ---- from the client ---- */

static struct side *side_from(struct relay *r, const struct addr *local);

static void sent(struct relay *r, size_t n, bool to_client)
{
    struct exchange *x = r->r.x;
    worker_count(r->w, COUNT_SOCKS_UDP_DATAGRAMS);
    if (to_client) {
        x->sent += n;
        x->body_sent += n;
    } else {
        x->received += n;
    }
    moved(r);
}

void udp_relay_send(struct udp_relay *u, struct udp_dest *d, slice data)
{
    struct relay *r = relay_of(u);
    struct side *s = side_from(r, &d->source);
    if (!s || sendto(s->io.fd, data.p, data.n, MSG_NOSIGNAL, &d->to.sa, d->to.len) < 0)
        drop(r);
    else
        sent(r, data.n, false);
}

/* Its address is that of the TCP connection; the port is the first that it sends from, unless it has named one. */
static bool is_client(struct relay *r, const struct addr *from)
{
    struct addr known = r->client;
    uint16_t port = addr_port(&known);
    addr_set_port(&known, addr_port(from));
    if (!addr_eq(&known, from) || (port && port != addr_port(from)))
        return false;
    r->client = known;
    return true;
}

static void from_client(struct relay *r, slice d, const struct addr *from)
{
    struct socks_dest dest;
    slice data;
    if (!is_client(r, from) || socks_udp_read(d, &dest, &data) != OK) {
        drop(r);
        return;
    }
    struct udp_dest *to = udp_dest_of(&r->r, &dest, data);
    if (!to || to->state == UDP_REFUSED)
        drop(r);
    else if (to->state == UDP_OPEN)
        udp_relay_send(&r->r, to, data);
}

/* ---- to the client ---- */

static void to_client(struct relay *r, slice d, const struct addr *from)
{
    uint8_t head[SOCKS_WRITE_MAX];
    struct socks_dest source;
    if (!addr_port(&r->client) || !udp_dest_from(&r->r, from)) {
        drop(r);
        return;
    }
    socks_dest_of(from, &source);
    struct iovec iov[2] = { { head, socks_udp_write(head, &source) }, { (char *)d.p, d.n } };
    struct msghdr m = { .msg_name = &r->client.sa, .msg_namelen = r->client.len, .msg_iov = iov, .msg_iovlen = 2 };
    if (sendmsg(r->sides[0].io.fd, &m, MSG_NOSIGNAL) < 0)
        drop(r);
    else
        sent(r, d.n, true);
}

/* ---- sockets ---- */

/* ERR_AGAIN: nothing is there. */
static int receive(struct side *s)
{
    struct relay *r = s->relay;
    struct addr from = { .len = sizeof(from.un) };
    char *p = scratch_take(&r->w->scratch, &r->hold);
    ssize_t n = recvfrom(s->io.fd, p, DATAGRAM_MAX, 0, &from.sa, &from.len);
    if (n < 0)
        return errno == EAGAIN ? ERR_AGAIN : OK;
    if (s == r->sides)
        from_client(r, slice_of(p, (size_t)n), &from);
    else
        to_client(r, slice_of(p, (size_t)n), &from);
    return OK;
}

static void read_side(struct side *s)
{
    for (int i = 0; i < BATCH && s->readable; i++)
        s->readable = receive(s) == OK;
    if (s->readable)
        task_post_later(&s->relay->w->loop, &s->relay->again);
}

static void on_again(struct task *t)
{
    struct relay *r = container_of(t, struct relay, again);
    for (int i = 0; i < SIDES; i++) {
        if (r->sides[i].readable)
            read_side(&r->sides[i]);
    }
}

static void on_io(struct io *io, unsigned events)
{
    struct side *s = container_of(io, struct side, io);
    if (!(events & IO_IN))
        return;
    s->readable = true;
    if (s->relay->begun)
        read_side(s);
}

static int failed(struct relay *r, int fd)
{
    char text[128];
    int error = errno;
    exchange_log(r->r.x, LEVEL_ALERT, "no socket for datagrams (%d: %s)", error, strerror_r(error, text, sizeof(text)));
    if (fd >= 0)
        close(fd);
    return ERR_SYS;
}

static int open_side(struct side *s, const struct addr *local)
{
    int only = s != s->relay->sides, fd = socket(local->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(s->relay, fd);
    if (local->sa.sa_family == AF_INET6) /* a client of an address of both families may speak either */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    if (bind(fd, &local->sa, local->len) != 0)
        return failed(s->relay, fd);
    io_init(&s->io, fd, on_io);
    s->local = *local;
    if (io_watch(&s->relay->w->loop, &s->io) == OK)
        return OK;
    s->io.fd = -1;
    return failed(s->relay, fd);
}

/* The socket that is bound to that address, made at its first use. NULL: it cannot be. */
static struct side *side_from(struct relay *r, const struct addr *local)
{
    for (int i = 1; i < SIDES; i++) {
        struct side *s = &r->sides[i];
        if (s->io.fd < 0)
            return open_side(s, local) == OK ? s : NULL;
        if (addr_eq(&s->local, local))
            return s;
    }
    return NULL;
}

/* ---- the end ---- */

static int relay_send_head(struct end *e, struct exchange *x)
{
    return ERR_UNSUPPORTED; /* nothing is ever sent to us */
}

static void relay_kick_out(struct end *e)
{
}

/* The answer is on its way: the client may begin. */
static void relay_kick_in(struct end *e)
{
    struct relay *r = container_of(e, struct relay, end);
    if (r->begun)
        return;
    r->begun = true;
    moved(r);
    on_again(&r->again);
}

static void relay_stop(struct end *e)
{
    pipe_close(e->in);
}

static void relay_end(struct end *e)
{
    struct relay *r = container_of(e, struct relay, end);
    end_detach(e);
    close_relay(r);
}

static const struct end_ops relay_ops = {
    .name = "udp relay",
    .send_head = relay_send_head,
    .kick_out = relay_kick_out,
    .kick_in = relay_kick_in,
    .stop_in = relay_stop,
    .reset = relay_end,
    .finish = relay_end,
};

/* ---- beginning ---- */

/* Whom datagrams come from: who is connected, whomever it may speak for. */
static const struct client *connected(const struct exchange *x)
{
    return x->client->connected ? x->client->connected : x->client;
}

/* A port that the client names counts where it speaks of its own address: behind a translator it does not know that. */
static void note_client(struct relay *r)
{
    struct addr named;
    client_peer(connected(r->r.x), &r->client);
    addr_set_port(&r->client, 0);
    if (addr_parse(r->r.x->req.target, &named) != OK || !addr_port(&named))
        return;
    uint16_t port = addr_port(&named);
    addr_set_port(&named, 0);
    if (addr_eq(&named, &r->client))
        addr_set_port(&r->client, port);
}

static int open_client_side(struct relay *r)
{
    struct exchange *x = r->r.x;
    struct addr local = { .len = sizeof(local.un) };
    char text[ADDR_TEXT_MAX];
    client_local(x->client, &local);
    addr_set_port(&local, 0);
    int rc = open_side(r->sides, &local);
    if (rc != OK)
        return rc;
    local.len = sizeof(local.un);
    if (getsockname(r->sides[0].io.fd, &local.sa, &local.len) != 0)
        return failed(r, -1);
    slice told = slice_of(text, addr_text(text, &local));
    return arena_dup(&x->arena, told, &x->reply_body) ? OK : ERR_NOMEM;
}

int udp_relay_begin(struct exchange *x, const struct forward_conf *c)
{
    struct addr local;
    if (!client_local(x->client, &local) || local.sa.sa_family == AF_UNIX) {
        exchange_log(x, LEVEL_ERROR, "datagrams are not relayed for clients of a unix socket");
        return ERR_UNSUPPORTED;
    }
    struct relay *r = calloc(1, sizeof(*r));
    if (!r)
        return ERR_NOMEM;
    r->r = (struct udp_relay){ .x = x, .conf = c, .proxy = x->proxy->conf };
    r->w = x->w;
    list_init(&r->r.dests);
    for (int i = 0; i < SIDES; i++) {
        r->sides[i].relay = r;
        r->sides[i].io.fd = -1;
    }
    timer_init(&r->idle, on_idle);
    task_init(&r->again, on_again);
    end_init(&r->end, &relay_ops);
    worker_connections_add(r->w, 1);
    note_client(r);
    int rc = open_client_side(r);
    if (rc != OK) {
        close_relay(r);
        return rc;
    }
    end_attach_back(&r->end, x);
    worker_count(x->w, COUNT_SOCKS_UDP);
    return OK;
}
