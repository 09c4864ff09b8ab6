#include "h1/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"

/* Makes the stash hold at least `cap` bytes; the input moves there if it is not there yet. */
static bool stash_input(struct h1_conn *c, size_t cap)
{
    bool inside = c->stash && c->in >= c->stash && c->in <= c->stash + c->stash_cap;
    if (inside && c->in != c->stash) {
        memmove(c->stash, c->in, c->in_n);
        c->in = c->stash;
    }
    if (cap > UINT32_MAX)
        return false;
    if (c->stash_cap < cap) {
        char *p = realloc(c->stash, cap);
        if (!p)
            return false;
        c->stash = p;
        c->stash_cap = (uint32_t)cap;
        if (inside)
            c->in = p;
    }
    assert(c->stash);
    if (!inside) {
        if (c->in_n)
            memcpy(c->stash, c->in, c->in_n);
        c->in = c->stash;
    }
    return true;
}

static void drop_stash(struct h1_conn *c)
{
    free(c->stash);
    c->stash = NULL;
    c->stash_cap = 0;
}

void h1_conn_stash(struct h1_conn *c, size_t least)
{
    if (stash_input(c, c->in_n < least ? least : c->in_n))
        return;
    c->in_n = 0;
    shutdown(c->io.fd, SHUT_RDWR);
    worker_count(c->w, COUNT_MEMORY_REFUSED);
}

static void stash_now(struct scratch_holder *h)
{
    h1_conn_stash(container_of(h, struct h1_conn, hold), 1024);
}

void h1_conn_init(struct h1_conn *c, struct worker *w, int fd, const struct end_ops *ops,
                  void (*on_io)(struct io *, unsigned), void (*on_in)(struct timer *), void (*on_out)(struct timer *))
{
    memset(c, 0, sizeof(*c));
    io_init(&c->io, fd, on_io);
    timer_init(&c->in_timer, on_in);
    timer_init(&c->out_timer, on_out);
    end_init(&c->end, ops);
    c->hold.stash = stash_now;
    c->w = w;
}

void h1_conn_close(struct h1_conn *c)
{
    scratch_drop(&c->w->scratch, &c->hold);
    drop_stash(c);
    c->in = NULL;
    c->in_n = 0;
    timer_drop(&c->w->loop, &c->in_timer);
    timer_drop(&c->w->loop, &c->out_timer);
    if (unlikely(c->tr)) {
        if (!c->abort)
            c->tr->ops->end_write(c->tr);
        transport_free(c->tr);
        c->tr = NULL;
    } else if (c->held) /* close alone would drop it when the peer has sent something that nobody read (tcp(7)) */
        shutdown(c->io.fd, SHUT_WR);
    io_close(&c->w->loop, &c->io);
}

ssize_t h1_conn_recv(struct h1_conn *c, char *dst, size_t want)
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

void h1_conn_end_write(struct h1_conn *c)
{
    c->held = false;
    if (unlikely(c->tr))
        c->tr->ops->end_write(c->tr);
    else
        shutdown(c->io.fd, SHUT_WR);
}

static ssize_t receive(struct h1_conn *c, char *dst, size_t want)
{
    ssize_t n = h1_conn_recv(c, dst, want);
    if (n == ERR_AGAIN || (n > 0 && (size_t)n < want && !c->hup && !(c->tr && c->tr->more)))
        c->readable = false;
    if (n > 0)
        c->received += (uint64_t)n;
    return n;
}

/* Behind input that is still unread; in the scratch it is moved to the front if that makes the room. */
static ssize_t read_on(struct h1_conn *c, size_t want)
{
    struct scratch *s = &c->w->scratch;
    if (h1_conn_in_scratch(c) && c->in_n + want <= s->size) {
        if (c->in + c->in_n + want > s->p + s->size) {
            memmove(s->p, c->in, c->in_n);
            c->in = s->p;
        }
    } else {
        if (!stash_input(c, c->in_n + want))
            return ERR_NOMEM;
        scratch_drop(s, &c->hold);
    }
    ssize_t n = receive(c, c->in + c->in_n, want);
    if (n > 0)
        c->in_n += (size_t)n;
    return n;
}

/* What is unread must stay in one piece: the input goes on where it lies. */
ssize_t h1_conn_read(struct h1_conn *c, size_t want)
{
    ssize_t n;
    if (c->in_n)
        return read_on(c, want);
    if (c->stash)
        drop_stash(c);
    char *dst = scratch_take(&c->w->scratch, &c->hold);
    n = receive(c, dst, want < c->w->scratch.size ? want : c->w->scratch.size);
    if (n > 0) {
        c->in = dst;
        c->in_n = (size_t)n;
        scratch_hold(&c->w->scratch, &c->hold);
    }
    return n;
}

bool h1_conn_read_ahead(struct h1_conn *c, size_t total)
{
    struct scratch *s = &c->w->scratch;
    if (c->in_n && s->holder != &c->hold)
        return c->in_n >= total;
    char *p = c->in_n ? c->in : scratch_take(s, &c->hold);
    size_t room = s->size - (size_t)(p - s->p);
    size_t most = total <= room && room - total > H1_HEAD_READ ? total + H1_HEAD_READ : room;
    while (c->in_n < total && c->readable && total <= room) {
        ssize_t n = receive(c, p + c->in_n, most - c->in_n);
        if (n < 0)
            break; /* what it was will be met again by whoever reads next */
        c->in = p;
        c->in_n += (size_t)n;
        scratch_hold(s, &c->hold);
    }
    return c->in_n >= total;
}

void h1_conn_consume(struct h1_conn *c, size_t n)
{
    c->in += n;
    c->in_n -= n;
    if (c->in_n == 0) {
        scratch_drop(&c->w->scratch, &c->hold);
        c->in = NULL;
        if (c->stash)
            drop_stash(c);
    }
}
