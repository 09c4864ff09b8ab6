/*
 * Writing a message: head, framing and body pieces, in as few system calls as they fit.
 *
 * A chunk is whatever the pipe holds at the moment. One flush offers the kernel, in one call: what is left of the head,
 * framing bytes that are due, the pieces, and the framing that closes them.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "h1/conn.h"

enum { FILE_READ = 64 << 10, IOV_MAX_PIECES = PIPE_PIECES, IOV_ALL = IOV_MAX_PIECES + 4, ONE_PIECE = 4096 };

static const slice chunk_end = { "\r\n", 2 };
static const slice chunk_last = { "0\r\n\r\n", 5 };
static const slice chunk_end_last = { "\r\n0\r\n\r\n", 7 };

void h1_out_begin(struct h1_out *o, slice head, enum h1_framing framing, uint64_t length)
{
    *o = (struct h1_out){ .head = head, .framing = (uint8_t)framing, .active = true };
    if (framing == H1_FRAME_LENGTH)
        o->left = length;
    o->last = framing != H1_FRAME_CHUNKED;
}

void h1_out_await(struct h1_conn *c, uint64_t bytes, uint64_t timeout)
{
    if (c->out.bytes != bytes || !c->out_timer.at)
        timer_set(&c->w->loop, &c->out_timer, timeout);
}

/* One call's worth: [head] [lit] [pieces] [tail]. */
struct batch {
    struct iovec iov[IOV_ALL];
    int n;
    size_t head, lit, body, tail;
    slice tail_bytes;
    bool ends; /* the tail ends the message */
};

static size_t add(struct batch *b, slice s)
{
    if (s.n)
        b->iov[b->n++] = (struct iovec){ (char *)s.p, s.n };
    return s.n;
}

/* The last chunk: with the trailers that the pipe ended with, if any. Falls back to none when memory is short. */
static slice last_chunk(struct h1_conn *c, bool after_data)
{
    const struct fields *t = c->end.out->trailers;
    slice bare = after_data ? chunk_end_last : chunk_last;
    if (!t || !t->n)
        return bare;
    size_t size = 16;
    for (uint32_t i = 0; i < t->n; i++)
        size += t->v[i].name.n + t->v[i].value.n + 4;
    struct strb b;
    char *mem = arena_bytes(&c->end.x->arena, size);
    if (!mem)
        return bare;
    strb_init_fixed(&b, mem, size);
    if (after_data)
        strb_lit(&b, "\r\n");
    return h1_write_last_chunk(&b, t) == OK ? strb_slice(&b) : bare;
}

/* Memory pieces from the pipe, at most `max` bytes of them. */
static size_t add_pieces(struct batch *b, const struct pipe *p, uint64_t max)
{
    struct iovec *v = &b->iov[b->n];
    size_t total;
    int n = pipe_iov(p, v, IOV_MAX_PIECES, &total);
    if (total > max) {
        size_t sum = 0;
        for (n = 0; sum < max; n++) {
            if (v[n].iov_len > max - sum)
                v[n].iov_len = (size_t)(max - sum);
            sum += v[n].iov_len;
        }
        total = (size_t)max;
    }
    b->n += n;
    return total;
}

static void build_chunked(struct h1_conn *c, struct batch *b)
{
    struct h1_out *o = &c->out;
    struct pipe *p = c->end.out;
    if (!o->chunk_open && p->queued && !o->last) {
        if (o->lit.n) {
            b->lit = add(b, o->lit); /* what closes the chunk before goes first */
            return;
        }
        o->left = p->queued;
        o->lit = slice_of(o->line, h1_write_chunk(o->line, o->left));
        o->chunk_open = true;
    }
    b->lit = add(b, o->lit);
    if (o->chunk_open) {
        b->body = add_pieces(b, p, o->left);
        if (b->body < o->left)
            return;
        b->ends = p->state == PIPE_EOF && b->body == p->queued;
        b->tail_bytes = b->ends ? last_chunk(c, true) : chunk_end;
    } else if (p->state == PIPE_EOF && !p->queued && !o->last) {
        b->ends = true;
        b->tail_bytes = last_chunk(c, false);
    }
    b->tail = add(b, b->tail_bytes);
}

static void build(struct h1_conn *c, struct batch *b)
{
    struct h1_out *o = &c->out;
    struct pipe *p = c->end.out;
    b->n = 0;
    b->head = b->lit = b->body = b->tail = 0;
    b->tail_bytes = SLICE_NONE;
    b->ends = false;
    b->head = add(b, o->head);
    switch ((enum h1_framing)o->framing) {
    case H1_FRAME_NONE:
        return;
    case H1_FRAME_CHUNKED:
        build_chunked(c, b);
        return;
    case H1_FRAME_LENGTH:
        b->body = o->left ? add_pieces(b, p, o->left) : 0;
        return;
    case H1_FRAME_CLOSE:
        b->body = add_pieces(b, p, UINT64_MAX);
        return;
    }
}

/* The head waits in the kernel for the bytes of the file that follow at once: one segment, not two. */
static bool file_follows(const struct h1_conn *c, const struct batch *b)
{
    size_t skip;
    const struct piece *e = b->body || b->tail ? NULL : pipe_front(c->end.out, &skip);
    return e && e->kind == PIECE_FILE && c->out.framing != H1_FRAME_NONE;
}

/*
 * When the connection is closed behind the message, the kernel is asked to keep its end until the FIN goes with it: one
 * segment less for every connection that serves one request. Whoever closes sends it (h1_conn_close).
 */
static bool fin_follows(const struct h1_conn *c, const struct batch *b)
{
    const struct h1_out *o = &c->out;
    const struct pipe *p = c->end.out;
    if (likely(!o->closes))
        return false;
    if (o->framing == H1_FRAME_CHUNKED)
        return b->ends;
    return o->framing == H1_FRAME_NONE || (p->state == PIPE_EOF && b->body == p->queued);
}

/*
 * One piece of memory costs the kernel 0.15 to 0.2 us less to take in than a vector of two (it reads no header and no
 * vector), more than it costs to copy a small answer together.
 */
static slice in_one_piece(const struct batch *b, size_t total, char copy[ONE_PIECE])
{
    size_t at = 0;
    if (b->n == 1)
        return slice_of(b->iov[0].iov_base, b->iov[0].iov_len);
    if (total > ONE_PIECE)
        return SLICE_NONE;
    for (int i = 0; i < b->n; i++) {
        memcpy(copy + at, b->iov[i].iov_base, b->iov[i].iov_len);
        at += b->iov[i].iov_len;
    }
    return slice_of(copy, at);
}

static ssize_t send_batch(struct h1_conn *c, struct batch *b, size_t total)
{
    char copy[ONE_PIECE];
    struct msghdr m = { .msg_iov = b->iov, .msg_iovlen = (size_t)b->n };
    if (unlikely(c->tr))
        return c->tr->ops->write(c->tr, b->iov, b->n, fin_follows(c, b));
    c->held = fin_follows(c, b);
    int flags = MSG_NOSIGNAL | (c->held || file_follows(c, b) ? MSG_MORE : 0);
    slice one = in_one_piece(b, total, copy);
    return one.n ? send(c->io.fd, one.p, one.n, flags) : sendmsg(c->io.fd, &m, flags);
}

static size_t take(slice *s, size_t n)
{
    size_t k = n < s->n ? n : s->n;
    *s = slice_from(*s, k);
    return n - k;
}

static void took_body(struct h1_conn *c, size_t n)
{
    struct h1_out *o = &c->out;
    if (!n)
        return;
    pipe_take(c->end.out, n);
    o->body += n;
    if (o->framing != H1_FRAME_CLOSE)
        o->left -= n;
}

/* The kernel took n bytes of the batch. */
static void settle(struct h1_conn *c, const struct batch *b, size_t n)
{
    struct h1_out *o = &c->out;
    o->bytes += n;
    n = take(&o->head, n);
    n = take(&o->lit, n);
    size_t body = n < b->body ? n : b->body;
    took_body(c, body);
    n -= body;
    if (!b->tail || body < b->body || o->head.n || o->lit.n)
        return;
    /* Everything before the tail is out: what is left of it is due next. */
    o->chunk_open = false;
    o->last = b->ends;
    o->lit = slice_from(b->tail_bytes, n);
}

static bool finished(const struct h1_conn *c)
{
    const struct h1_out *o = &c->out;
    const struct pipe *p = c->end.out;
    if (o->head.n || o->lit.n || !o->last)
        return false;
    switch ((enum h1_framing)o->framing) {
    case H1_FRAME_NONE:
        return true;
    case H1_FRAME_CHUNKED:
        return true;
    case H1_FRAME_LENGTH:
        return o->left == 0;
    case H1_FRAME_CLOSE:
        return p->state == PIPE_EOF && p->queued == 0;
    }
    return true;
}

/* Files go through memory here: what the transport takes of one read; the next call begins behind that. */
static ssize_t seal_file(struct h1_conn *c, int fd, off_t at, size_t n)
{
    char mem[FILE_READ];
    ssize_t got;
    do
        got = pread(fd, mem, n < sizeof(mem) ? n : sizeof(mem), at);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got;
    struct iovec v = { mem, (size_t)got };
    return c->tr->ops->write(c->tr, &v, 1, false);
}

/* Without a transport and without framing: who sets pipe.splices has neither. */
static ssize_t send_lent(struct h1_conn *c, int fd, size_t n)
{
    ssize_t sent = splice(fd, NULL, c->io.fd, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (sent > 0) {
        c->out.bytes += (size_t)sent;
        took_body(c, (size_t)sent);
    } else if (sent == 0) {
        errno = EPIPE;
        return -1;
    }
    return sent;
}

/* A file, or what lies in the kernel, at the front of the pipe, when nothing must go before it. */
static ssize_t send_file(struct h1_conn *c)
{
    struct h1_out *o = &c->out;
    size_t skip;
    const struct piece *e = pipe_front(c->end.out, &skip);
    if (!e || (e->kind != PIECE_FILE && e->kind != PIECE_LENT) || o->head.n || o->lit.n)
        return 0;
    size_t n = e->n - skip;
    if (e->kind == PIECE_LENT)
        return send_lent(c, e->fd, n);
    if (o->framing != H1_FRAME_CLOSE && n > o->left)
        n = (size_t)o->left;
    off_t at = (off_t)(e->offset + skip);
    ssize_t sent = c->tr ? seal_file(c, e->fd, at, n) : sendfile(c->io.fd, e->fd, &at, n);
    if (sent > 0) {
        o->bytes += (size_t)sent;
        took_body(c, (size_t)sent);
    } else if (sent == 0) {
        errno = EIO; /* the file is shorter than it was */
        return -1;
    }
    return sent;
}

enum h1_flush h1_out_flush(struct h1_conn *c)
{
    struct h1_out *o = &c->out;
    struct batch b;
    while (o->active && !o->blocked) {
        if (unlikely(c->tr)) {
            int rc = c->tr->ops->flush(c->tr);
            if (rc == ERR_SYS)
                return H1_FLUSH_ERROR;
            o->blocked = rc == ERR_AGAIN;
            if (o->blocked)
                break;
        }
        if (finished(c)) {
            o->active = false;
            return H1_FLUSH_DONE;
        }
        build(c, &b);
        size_t total = b.head + b.lit + b.body + b.tail;
        ssize_t n;
        if (total == 0) {
            n = send_file(c);
            if (n == 0)
                return c->end.out->state == PIPE_ABORTED ? H1_FLUSH_BROKEN : H1_FLUSH_IDLE;
        } else {
            n = send_batch(c, &b, total);
        }
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (total == 0 && errno == EIO)
                return H1_FLUSH_BROKEN; /* of the file, not of the socket */
            if (errno != EAGAIN)
                return H1_FLUSH_ERROR;
            o->blocked = true;
            break;
        }
        if (total) {
            settle(c, &b, (size_t)n);
            o->blocked = (size_t)n < total && !c->tr;
        }
    }
    return o->blocked ? H1_FLUSH_BLOCKED : H1_FLUSH_IDLE;
}
