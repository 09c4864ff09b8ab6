/*
 * Reading a body: from the socket, through the framing, into the pipe.
 *
 * While the consumer is ready the bytes are lent out of the scratch buffer. While there is none yet (a request that is
 * buffered before a backend is chosen) they are read straight into buffers of the pipe, so that they are copied once.
 */
#include <errno.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/conn.h"

enum { TURNS = 8, OVERREAD = 4 << 10 };

void h1_body_begin(struct h1_body *b, enum h1_body_kind kind, uint64_t length, uint64_t limit)
{
    *b = (struct h1_body){ .kind = (uint8_t)kind, .left = length, .limit = limit };
    b->done = kind == H1_BODY_NONE || (kind == H1_BODY_LENGTH && length == 0);
}

static bool over_limit(const struct h1_body *b, uint64_t more)
{
    return b->limit && (b->seen > b->limit || more > b->limit - b->seen);
}

/*
 * Puts the chunked input that is there; *taken: how much of it was framing and data. The decoder has no way back, so it
 * is asked for a run only when that has a place.
 */
static enum h1_pump put_chunked(struct h1_conn *c, size_t *taken)
{
    struct h1_body *b = &c->body;
    size_t at = 0;
    while (at < c->in_n && !b->done && pipe_has_place(c->end.in)) {
        size_t used;
        slice run;
        struct exchange *x = c->end.x;
        int rc =
            h1_chunked_next(b->chunked, c->in + at, c->in_n - at, &used, &run, H1_HEAD_READ, &x->arena, b->trailers);
        if (rc < 0)
            return rc == ERR_NOMEM ? H1_PUMP_NOMEM : H1_PUMP_BAD;
        if (over_limit(b, run.n))
            return H1_PUMP_BIG;
        pipe_put(c->end.in, PIECE_LOAN, run);
        at += used;
        b->wire += used;
        b->seen += run.n;
        b->done = b->chunked->done;
    }
    *taken = at;
    return H1_PUMP_DONE;
}

/* Offers the input that is there to the pipe. H1_PUMP_WAIT: all of it was taken and more is needed. */
static enum h1_pump offer_input(struct h1_conn *c)
{
    struct h1_body *b = &c->body;
    size_t taken = c->in_n;
    if (b->kind == H1_BODY_CHUNKED) {
        enum h1_pump r = put_chunked(c, &taken);
        if (r != H1_PUMP_DONE)
            return r;
    } else {
        if (b->kind == H1_BODY_LENGTH && taken > b->left)
            taken = (size_t)b->left;
        if (over_limit(b, taken))
            return H1_PUMP_BIG;
        if (!pipe_put(c->end.in, PIECE_LOAN, slice_of(c->in, taken)))
            return H1_PUMP_FULL;
        b->wire += taken;
        b->seen += taken;
        if (b->kind == H1_BODY_LENGTH) {
            b->left -= taken;
            b->done = b->left == 0;
        }
    }
    if (b->done)
        pipe_end(c->end.in, b->trailers && b->trailers->n ? b->trailers : NULL);
    int rc = pipe_push(c->end.in);
    h1_conn_consume(c, taken);
    if (rc < 0)
        return H1_PUMP_NOMEM;
    if (b->done)
        return H1_PUMP_DONE;
    return rc == PIPE_FULL ? H1_PUMP_FULL : H1_PUMP_WAIT;
}

/* recv into p; the result as h1_body_pump's, WAIT with *got 0 when nothing is there. */
static enum h1_pump receive(struct h1_conn *c, char *p, size_t cap, size_t *got)
{
    ssize_t n = h1_conn_recv(c, p, cap);
    *got = n > 0 ? (size_t)n : 0;
    c->received += *got;
    if (n > 0)
        return H1_PUMP_WAIT;
    if (n == ERR_CLOSED)
        return H1_PUMP_CLOSED;
    if (n == ERR_SYS)
        return H1_PUMP_ERROR;
    c->readable = false;
    return H1_PUMP_WAIT;
}

/* Reads at most cap bytes behind what the pipe has, or into a new buffer of its own. */
static enum h1_pump fill_pipe(struct h1_conn *c, size_t cap, size_t *got)
{
    struct pipe *p = c->end.in;
    size_t room;
    char *tail = pipe_tail(p, &room);
    if (tail) {
        enum h1_pump r = receive(c, tail, cap < room ? cap : room, got);
        pipe_grow(p, *got);
        return r;
    }
    struct buf *buf = buf_new(&c->w->budget, cap);
    if (!buf)
        buf = buf_new_forced(&c->w->budget, cap < PIPE_FLOOR ? cap : PIPE_FLOOR);
    if (!buf)
        return H1_PUMP_NOMEM;
    enum h1_pump r = receive(c, buf->data, buf->cap, got);
    buf->len = *got;
    if (*got)
        pipe_put_buf(p, buf, slice_of(buf->data, *got)); /* it has a place, or the pipe would have wanted nothing */
    else
        buf_unref(buf);
    return r;
}

/* Nobody consumes yet and the framing is a plain count: read into buffers that the pipe keeps. */
static enum h1_pump read_direct(struct h1_conn *c, size_t want)
{
    struct h1_body *b = &c->body;
    size_t got = 0, cap = b->left < want ? (size_t)b->left : want;
    if (over_limit(b, cap))
        return H1_PUMP_BIG;
    enum h1_pump r = fill_pipe(c, cap, &got);
    if (!got)
        return r;
    b->wire += got;
    b->seen += got;
    b->left -= got;
    b->done = b->left == 0;
    if (b->done)
        pipe_end(c->end.in, NULL);
    int rc = pipe_push(c->end.in);
    return b->done ? H1_PUMP_DONE : rc == PIPE_FULL ? H1_PUMP_FULL : H1_PUMP_WAIT;
}

/* What a client sends behind its body is for later: whatever is read of it is kept until then. */
static size_t not_far_ahead(const struct h1_body *b, size_t want)
{
    if (b->kind != H1_BODY_CHUNKED || !b->ahead || b->chunked->left >= want)
        return want;
    size_t most = (size_t)b->chunked->left + b->ahead;
    return want < most ? want : most;
}

/* A little more than the body is asked for: bytes behind a message must be seen, not left for the next one (row Q3). */
static enum h1_pump read_more(struct h1_conn *c, size_t want)
{
    struct h1_body *b = &c->body;
    struct pipe *p = c->end.in;
    if (b->kind == H1_BODY_LENGTH && !p->ready && !p->discard && b->left >= PIPE_FLOOR)
        return read_direct(c, want);
    if (b->kind == H1_BODY_LENGTH && want > b->left)
        want = (size_t)b->left + OVERREAD;
    if (unlikely(c->lost)) {
        errno = c->lost;
        return H1_PUMP_ERROR;
    }
    ssize_t n = h1_conn_read(c, not_far_ahead(b, want));
    if (n > 0)
        return H1_PUMP_WAIT;
    if (n == ERR_CLOSED && b->kind == H1_BODY_CLOSE && !c->cut) {
        b->done = true;
        pipe_end(p, NULL);
        pipe_push(p);
        return H1_PUMP_DONE;
    }
    return n == ERR_AGAIN    ? H1_PUMP_WAIT
           : n == ERR_CLOSED ? H1_PUMP_CLOSED
           : n == ERR_NOMEM  ? H1_PUMP_NOMEM
                             : H1_PUMP_ERROR;
}

/*
 * The peer has ended its side, and these may be its last bytes. When it is known that they are, they and the end go on
 * together: one segment less for a connection that serves one request, or one tunnel.
 */
static void look_behind(struct h1_conn *c)
{
    ssize_t n = h1_conn_read(c, H1_HEAD_READ);
    if (n == ERR_CLOSED && !c->cut)
        c->body.done = true;
    else if (n == ERR_SYS)
        c->lost = (uint8_t)errno;
}

enum h1_pump h1_body_pump(struct h1_conn *c)
{
    struct pipe *p = c->end.in;
    if (c->body.done)
        return H1_PUMP_DONE;
    for (int turn = 0; turn < TURNS; turn++) {
        enum h1_pump r;
        size_t want = pipe_want(p);
        if (want == 0) {
            p->stalled = true;
            return H1_PUMP_FULL;
        }
        if (c->in_n == 0) {
            if (!c->readable)
                return H1_PUMP_WAIT;
            r = read_more(c, want);
            if (r != H1_PUMP_WAIT || c->in_n == 0) {
                if (r == H1_PUMP_WAIT && c->readable)
                    continue;
                return r;
            }
        }
        if (unlikely(c->hup) && c->body.kind == H1_BODY_CLOSE && c->in_n < want && c->readable && !c->lost)
            look_behind(c);
        r = offer_input(c);
        if (r != H1_PUMP_WAIT)
            return r;
    }
    task_post_later(&c->w->loop, &c->end.kick);
    return H1_PUMP_YIELD;
}
