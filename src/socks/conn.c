#include "socks/conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/pipe.h"

enum { TURNS = 8 };

/* ---- input ---- */

bool socks_conn_keep(struct socks_conn *c, slice early)
{
    if (!early.n)
        return true;
    char *p = malloc(early.n);
    if (!p)
        return false;
    memcpy(p, early.p, early.n);
    c->in = c->stash = p;
    c->in_n = early.n;
    return true;
}

/* Without memory the connection cannot go on: it is cut, and its owner sees that. */
static void on_stash(struct scratch_holder *h)
{
    struct socks_conn *c = container_of(h, struct socks_conn, hold);
    if (socks_conn_keep(c, slice_of(c->in, c->in_n)))
        return;
    c->in_n = 0;
    shutdown(c->io.fd, SHUT_RDWR);
    worker_count(c->w, COUNT_MEMORY_REFUSED);
}

void socks_conn_init(struct socks_conn *c, struct worker *w, int fd, const struct end_ops *ops,
                     void (*on_io)(struct io *, unsigned), void (*on_in)(struct timer *),
                     void (*on_out)(struct timer *))
{
    memset(c, 0, sizeof(*c));
    io_init(&c->io, fd, on_io);
    timer_init(&c->in_timer, on_in);
    timer_init(&c->out_timer, on_out);
    end_init(&c->end, ops);
    c->hold.stash = on_stash;
    c->w = w;
}

void socks_conn_close(struct socks_conn *c)
{
    socks_conn_consume(c, c->in_n);
    timer_drop(&c->w->loop, &c->in_timer);
    timer_drop(&c->w->loop, &c->out_timer);
    if (c->tr) {
        if (!c->abort)
            c->tr->ops->end_write(c->tr);
        transport_free(c->tr);
        c->tr = NULL;
    }
    io_close(&c->w->loop, &c->io);
}

void socks_conn_abort(struct socks_conn *c)
{
    struct linger l = { 1, 0 };
    c->abort = true;
    setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

void socks_conn_end_write(struct socks_conn *c)
{
    if (c->tr)
        c->tr->ops->end_write(c->tr);
    else
        shutdown(c->io.fd, SHUT_WR);
}

static ssize_t receive(struct socks_conn *c, char *dst, size_t want)
{
    ssize_t n;
    if (unlikely(c->tr))
        return c->tr->ops->read(c->tr, dst, want);
    do
        n = recv(c->io.fd, dst, want, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    return n == 0 ? ERR_CLOSED : errno == EAGAIN ? ERR_AGAIN : ERR_SYS;
}

ssize_t socks_conn_read(struct socks_conn *c, size_t want)
{
    assert(!c->in_n);
    struct scratch *s = &c->w->scratch;
    char *p = scratch_take(s, &c->hold);
    if (want > s->size)
        want = s->size;
    ssize_t n = receive(c, p, want);
    if (n == ERR_AGAIN || (n > 0 && (size_t)n < want && !c->hup && !(c->tr && c->tr->more)))
        c->readable = false;
    if (n > 0) {
        c->in = p;
        c->in_n = (size_t)n;
        scratch_hold(s, &c->hold);
    }
    return n;
}

void socks_conn_consume(struct socks_conn *c, size_t n)
{
    if (n < c->in_n) {
        c->in += n;
        c->in_n -= n;
        return;
    }
    c->in_n = 0;
    scratch_drop(&c->w->scratch, &c->hold);
    c->in = NULL;
    free(c->stash);
    c->stash = NULL;
}

/* Offers the input that is there to the pipe. SOCKS_PUMP_WAIT: it was taken. */
static enum socks_pump offer(struct socks_conn *c)
{
    if (!pipe_put(c->end.in, PIECE_LOAN, slice_of(c->in, c->in_n)))
        return SOCKS_PUMP_FULL;
    int rc = pipe_push(c->end.in);
    socks_conn_consume(c, c->in_n);
    return rc < 0 ? SOCKS_PUMP_NOMEM : rc == PIPE_FULL ? SOCKS_PUMP_FULL : SOCKS_PUMP_WAIT;
}

enum socks_pump socks_conn_pump(struct socks_conn *c)
{
    struct pipe *p = c->end.in;
    if (c->done)
        return SOCKS_PUMP_DONE;
    for (int turn = 0; turn < TURNS; turn++) {
        size_t want = pipe_want(p);
        if (want == 0) {
            p->stalled = true;
            return SOCKS_PUMP_FULL;
        }
        if (!c->in_n) {
            if (!c->readable)
                return SOCKS_PUMP_WAIT;
            ssize_t n = socks_conn_read(c, want);
            if (n == ERR_AGAIN)
                return SOCKS_PUMP_WAIT;
            if (n == ERR_CLOSED) {
                c->done = true;
                pipe_end(p, NULL);
                pipe_push(p);
                return SOCKS_PUMP_DONE;
            }
            if (n < 0)
                return SOCKS_PUMP_ERROR;
        }
        enum socks_pump r = offer(c);
        if (r != SOCKS_PUMP_WAIT)
            return r;
    }
    task_post_later(&c->w->loop, &c->end.kick);
    return SOCKS_PUMP_YIELD;
}

/* ---- output ---- */

void socks_conn_say(struct socks_conn *c, const uint8_t *bytes, size_t n)
{
    assert(n <= sizeof(c->say) - c->say_n);
    memcpy(c->say + c->say_n, bytes, n);
    c->say_n = (uint8_t)(c->say_n + n);
}

static int due(const struct socks_conn *c, const struct pipe *p, struct iovec iov[PIPE_PIECES + 1], size_t *total)
{
    int n = 0;
    size_t body = 0;
    *total = (size_t)(c->say_n - c->say_at);
    if (*total)
        iov[n++] = (struct iovec){ (char *)c->say + c->say_at, *total };
    if (p)
        n += pipe_iov(p, iov + n, PIPE_PIECES, &body);
    *total += body;
    return n;
}

/* The kernel took n bytes. Returns how many of them came from the pipe. */
static size_t took(struct socks_conn *c, struct pipe *p, size_t n)
{
    size_t said = (size_t)(c->say_n - c->say_at);
    if (said > n)
        said = n;
    c->say_at = (uint8_t)(c->say_at + said);
    if (c->say_at == c->say_n)
        c->say_at = c->say_n = 0;
    if (n > said)
        pipe_take(p, n - said);
    return n - said;
}

static ssize_t write_out(struct socks_conn *c, struct iovec *iov, int n)
{
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };
    ssize_t rc;
    do {
        if (unlikely(c->tr))
            rc = c->tr->ops->write(c->tr, iov, n, false);
        else
            rc = n == 1 ? send(c->io.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                        : sendmsg(c->io.fd, &m, MSG_NOSIGNAL);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

/* What lies in a pipe of the kernel's; only where pipe.splices was set. *n: how much that is. */
static ssize_t splice_out(struct socks_conn *c, struct pipe *p, size_t *n)
{
    size_t skip;
    const struct piece *e = p ? pipe_front(p, &skip) : NULL;
    ssize_t k;
    if (!e || e->kind != PIECE_LENT)
        return 0;
    *n = e->n - skip;
    do
        k = splice(e->fd, NULL, c->io.fd, NULL, *n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (k < 0 && errno == EINTR);
    return k;
}

static enum socks_flush nothing_due(const struct pipe *p)
{
    if (!p || pipe_finished(p))
        return SOCKS_FLUSH_DONE;
    return p->state == PIPE_ABORTED ? SOCKS_FLUSH_BROKEN : SOCKS_FLUSH_IDLE;
}

enum socks_flush socks_conn_flush(struct socks_conn *c, struct pipe *p, size_t *bytes, size_t *body)
{
    struct iovec iov[PIPE_PIECES + 1];
    *bytes = *body = 0;
    while (!c->blocked) {
        size_t total;
        if (unlikely(c->tr)) {
            int rc = c->tr->ops->flush(c->tr);
            if (rc == ERR_SYS)
                return SOCKS_FLUSH_ERROR;
            c->blocked = rc == ERR_AGAIN;
            if (c->blocked)
                break;
        }
        int n = due(c, p, iov, &total);
        ssize_t k = total ? write_out(c, iov, n) : splice_out(c, p, &total);
        if (!total)
            return nothing_due(p);
        if (k < 0 && errno != EAGAIN)
            return SOCKS_FLUSH_ERROR;
        if (k > 0) {
            *bytes += (size_t)k;
            *body += took(c, p, (size_t)k);
        }
        c->blocked = k < 0 || ((size_t)k < total && !c->tr);
    }
    return SOCKS_FLUSH_BLOCKED;
}
