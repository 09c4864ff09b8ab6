#include "http/pipe.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "http/end.h"
#include "loop/loop.h"
#include "loop/scratch.h"

enum { BUF_MIN = 4096 };

static struct piece *piece_at(const struct pipe *p, unsigned k)
{
    return (struct piece *)&p->ring[(p->first + k) % PIPE_PIECES];
}

void pipe_init(struct pipe *p, struct loop *loop, struct buf_budget *budget, size_t capacity)
{
    memset(p, 0, offsetof(struct pipe, ring));
    p->loop = loop;
    p->budget = budget;
    p->capacity = capacity;
    p->burst = SCRATCH_SIZE;
}

static void piece_drop(const struct piece *e)
{
    if (e->kind == PIECE_BUF)
        buf_unref(e->buf);
}

static void drop_first(struct pipe *p)
{
    piece_drop(piece_at(p, 0));
    p->first = (uint8_t)((p->first + 1) % PIPE_PIECES);
    p->count--;
    if (!p->spilling)
        return;
    if (p->run_first)
        p->run_first--;
    else if (p->run_count)
        p->run_count--;
}

static void drop_all(struct pipe *p)
{
    while (p->count)
        drop_first(p);
    p->done = 0;
    p->skip = 0;
    p->queued = 0;
    p->filed = 0;
    p->spilling = false;
}

void pipe_done(struct pipe *p)
{
    drop_all(p);
}

/* ---- producer ---- */

static bool budget_tight(const struct pipe *p)
{
    return p->budget->limit && p->budget->used > p->budget->limit / 2;
}

static size_t in_memory(const struct pipe *p)
{
    return p->queued - p->filed;
}

size_t pipe_want(const struct pipe *p)
{
    if (p->state != PIPE_OPEN)
        return 0;
    if (p->discard)
        return p->burst;
    if (!pipe_has_place(p) || p->spilling)
        return 0;
    size_t held = in_memory(p), room = p->capacity > held ? p->capacity - held : 0;
    if (budget_tight(p)) {
        size_t floor = held < PIPE_FLOOR ? PIPE_FLOOR - held : 0;
        return room < floor ? room : floor;
    }
    return p->ready && !p->queued ? p->burst : room;
}

static bool put(struct pipe *p, struct piece e)
{
    assert(p->state == PIPE_OPEN);
    if (p->count == PIPE_PIECES)
        return false;
    p->put += e.n;
    if (p->discard) {
        p->taken += e.n;
        piece_drop(&e);
        return true;
    }
    *piece_at(p, p->count) = e;
    p->count++;
    p->queued += e.n;
    if (e.kind == PIECE_FILE)
        p->filed += e.n;
    return true;
}

bool pipe_put(struct pipe *p, enum piece_kind kind, slice s)
{
    assert(kind == PIECE_LOAN || kind == PIECE_MEM);
    return s.n == 0 || put(p, (struct piece){ .p = s.p, .n = s.n, .kind = (uint8_t)kind });
}

bool pipe_put_buf(struct pipe *p, struct buf *b, slice s)
{
    return put(p, (struct piece){ .p = s.p, .n = s.n, .buf = b, .kind = PIECE_BUF });
}

char *pipe_tail(const struct pipe *p, size_t *room)
{
    const struct piece *e = p->count ? piece_at(p, p->count - 1u) : NULL;
    if (!e || e->kind != PIECE_BUF || e->buf->refs != 1 || p->done == p->count)
        return NULL;
    char *end = e->buf->data + e->buf->len;
    *room = e->buf->cap - e->buf->len;
    return *room && e->p + e->n == end ? end : NULL;
}

void pipe_grow(struct pipe *p, size_t n)
{
    struct piece *e = piece_at(p, p->count - 1u);
    assert(p->state == PIPE_OPEN && n <= e->buf->cap - e->buf->len);
    e->buf->len += n;
    e->n += n;
    p->put += n;
    p->queued += n;
}

bool pipe_put_file(struct pipe *p, int fd, uint64_t offset, size_t n)
{
    return n == 0 || put(p, (struct piece){ .n = n, .offset = offset, .fd = fd, .kind = PIECE_FILE });
}

bool pipe_put_lent(struct pipe *p, int fd, size_t n)
{
    assert(p->splices && !p->retain && !p->queued);
    return put(p, (struct piece){ .n = n, .fd = fd, .kind = PIECE_LENT });
}

void pipe_end(struct pipe *p, const struct fields *trailers)
{
    assert(p->state == PIPE_OPEN);
    p->state = PIPE_EOF;
    p->trailers = trailers;
}

void pipe_abort(struct pipe *p)
{
    if (p->state == PIPE_OPEN)
        p->state = PIPE_ABORTED;
}

static bool is_loan(const struct piece *e)
{
    return e->kind == PIECE_LOAN || e->kind == PIECE_LENT;
}

/* The last n bytes of a loan. Those of a pipe of the kernel's are all there, or something else has read from it. */
static bool fetch(char *dst, const struct piece *e, size_t from, size_t n)
{
    if (e->kind == PIECE_LOAN) {
        memcpy(dst, e->p + from, n);
        return true;
    }
    while (n) {
        ssize_t got = read(e->fd, dst, n);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        dst += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

/*
 * Copies one loan. Bytes already taken are copied only when they may be asked for again. `hint` is how much all loans
 * of this push hold, so that they share a buffer. Under memory pressure a pipe may still keep its floor.
 */
static int keep_loan(struct pipe *p, unsigned k, size_t hint)
{
    struct piece *e = piece_at(p, k);
    size_t from = k == p->done && !p->retain ? p->skip : 0, n = e->n - from;
    struct piece *last = k > p->done ? piece_at(p, k - 1) : NULL;
    bool joins = last && last->kind == PIECE_BUF && last->buf->refs == 1 &&
                 last->p + last->n == last->buf->data + last->buf->len && last->buf->cap - last->buf->len >= n;
    struct buf *b = joins ? last->buf : buf_new(p->budget, hint < BUF_MIN ? BUF_MIN : hint);
    if (!b && in_memory(p) <= PIPE_FLOOR)
        b = buf_new_forced(p->budget, n);
    if (!b)
        return ERR_NOMEM;
    char *dst = b->data + b->len;
    if (!fetch(dst, e, from, n)) {
        if (!joins)
            buf_unref(b);
        return ERR_SYS;
    }
    b->len += n;
    if (joins) {
        last->n += n;
        e->n = 0; /* squeezed out below */
        return OK;
    }
    *e = (struct piece){ .p = dst, .n = n, .buf = b, .kind = PIECE_BUF };
    if (k == p->done)
        p->skip -= from;
    return OK;
}

/* Whatever was lent and not taken becomes ours now. Loans stand at the tail of the ring. */
static int settle(struct pipe *p)
{
    unsigned k = p->count, w;
    size_t hint = 0;
    while (k > 0 && is_loan(piece_at(p, k - 1))) {
        k--;
        hint += piece_at(p, k)->n;
    }
    for (w = k; k < p->count; k++) {
        struct piece e = *piece_at(p, k);
        *piece_at(p, w) = e;
        int rc = keep_loan(p, w, hint);
        if (rc < 0) {
            p->count = (uint8_t)w;
            return rc;
        }
        hint -= e.n < hint ? e.n : hint;
        if (piece_at(p, w)->n)
            w++;
    }
    p->count = (uint8_t)w;
    return OK;
}

/* Where the memory pieces at the tail begin. */
static unsigned memory_tail(const struct pipe *p)
{
    unsigned k = p->count;
    while (k > p->done && piece_at(p, k - 1)->kind != PIECE_FILE)
        k--;
    return k;
}

/*
 * Many pieces of a few kilobytes would fill the ring long before the pipe: what is queued becomes one buffer, with room
 * for as much again, so that a byte is copied twice more at most on the average. Without memory the ring stays full,
 * and the producer waits as it does for bytes.
 */
static void compact(struct pipe *p)
{
    unsigned from = memory_tail(p);
    size_t skip = from == p->done ? p->skip : 0, n = 0;
    if (p->retain || p->count - from < 2)
        return;
    for (unsigned k = from; k < p->count; k++)
        n += piece_at(p, k)->n;
    n -= skip;
    struct buf *b = buf_new(p->budget, n < p->capacity / 2 ? 2 * n : n);
    if (!b)
        return;
    for (unsigned k = from; k < p->count; k++) {
        const struct piece *e = piece_at(p, k);
        memcpy(b->data + b->len, e->p + skip, e->n - skip);
        b->len += e->n - skip;
        skip = 0;
        piece_drop(e);
    }
    *piece_at(p, from) = (struct piece){ .p = b->data, .n = n, .buf = b, .kind = PIECE_BUF };
    p->count = (uint8_t)(from + 1);
    if (from == p->done)
        p->skip = 0;
}

int pipe_push(struct pipe *p)
{
    bool had = p->queued > 0;
    if (p->consumer && p->ready)
        p->consumer->ops->kick_out(p->consumer);
    if (p->count && settle(p) < 0) {
        p->queued = 0;
        drop_all(p);
        p->state = PIPE_ABORTED;
        return ERR_NOMEM;
    }
    if (p->queued)
        p->burst = p->capacity < PIPE_FLOOR ? PIPE_FLOOR : p->capacity;
    else if (had && p->burst < SCRATCH_SIZE)
        p->burst *= 2;
    bool room = in_memory(p) < p->capacity && !p->spilling;
    if (room && !pipe_has_place(p))
        compact(p);
    if (room && pipe_has_place(p))
        return PIPE_MORE;
    p->stalled = true;
    return PIPE_FULL;
}

/* From the run queue, because kicks do not nest. */
static void kick_producer(struct pipe *p)
{
    if (!p->stalled || !p->producer)
        return;
    p->stalled = false;
    task_post(p->loop, &p->producer->kick);
}

/* A producer that waits goes on when the pipe is half empty. */
static void drained(struct pipe *p)
{
    if (in_memory(p) <= p->capacity / 2 && pipe_has_place(p) && !p->spilling)
        kick_producer(p);
}

/* ---- consumer ---- */

int pipe_iov(const struct pipe *p, struct iovec *iov, int max, size_t *total)
{
    int n = 0;
    size_t sum = 0, skip = p->skip;
    for (unsigned k = p->done; k < p->count && n < max; k++) {
        const struct piece *e = piece_at(p, k);
        if (e->kind == PIECE_FILE || e->kind == PIECE_LENT)
            break;
        iov[n++] = (struct iovec){ (char *)e->p + skip, e->n - skip };
        sum += e->n - skip;
        skip = 0;
    }
    *total = sum;
    return n;
}

const struct piece *pipe_front(const struct pipe *p, size_t *skip)
{
    if (p->done == p->count)
        return NULL;
    *skip = p->skip;
    return piece_at(p, p->done);
}

void pipe_take(struct pipe *p, size_t n)
{
    assert(n <= p->queued);
    p->queued -= n;
    p->taken += n;
    while (n) {
        struct piece *e = piece_at(p, p->done);
        size_t left = e->n - p->skip;
        if (e->kind == PIECE_FILE)
            p->filed -= n < left ? n : left;
        if (n < left) {
            p->skip += n;
            break;
        }
        n -= left;
        p->skip = 0;
        if (p->retain)
            p->done++;
        else
            drop_first(p);
    }
    if (p->stalled)
        drained(p);
}

size_t pipe_move(struct pipe *from, struct pipe *to, size_t max)
{
    size_t moved = 0;
    while (moved < max && from->queued && pipe_has_place(to)) {
        size_t skip;
        struct piece e = *pipe_front(from, &skip);
        e.n -= skip;
        if (e.n > max - moved)
            e.n = max - moved;
        if (e.kind == PIECE_FILE)
            e.offset += skip;
        else
            e.p += skip;
        if (e.kind == PIECE_BUF)
            buf_ref(e.buf);
        put(to, e);
        pipe_take(from, e.n);
        moved += e.n;
    }
    return moved;
}

void pipe_close(struct pipe *p)
{
    p->taken += p->queued;
    drop_all(p);
    p->discard = true;
    p->retain = false;
    p->ready = false;
}

/* ---- the exchange ---- */

static void offer_again(struct pipe *p, const struct piece *e, size_t n)
{
    p->queued += n;
    if (e->kind == PIECE_FILE)
        p->filed += n;
}

void pipe_rewind(struct pipe *p)
{
    assert(pipe_can_rewind(p));
    for (unsigned k = 0; k < p->done; k++)
        offer_again(p, piece_at(p, k), piece_at(p, k)->n);
    if (p->skip)
        offer_again(p, piece_at(p, p->done), p->skip);
    p->taken = 0;
    p->done = 0;
    p->skip = 0;
}

void pipe_release(struct pipe *p)
{
    p->retain = false;
    while (p->done) {
        drop_first(p);
        p->done--;
    }
}

void pipe_reopen(struct pipe *p)
{
    assert(p->state == PIPE_EOF && p->queued == 0 && !p->discard);
    drop_all(p);
    p->state = PIPE_OPEN;
    p->put = p->taken = 0;
    p->trailers = NULL;
    p->retain = p->stalled = false;
}

void pipe_resize(struct pipe *p, size_t capacity)
{
    p->capacity = capacity;
    if (in_memory(p) < p->capacity && !p->spilling)
        kick_producer(p);
}

/* ---- spilling ---- */

/* The piece is cut in two behind n bytes. They are copied, so that the buffer goes with the rest. False: no place, or
 * no memory. */
static bool split(struct pipe *p, unsigned k, size_t n)
{
    struct piece *e = piece_at(p, k);
    struct buf *b = p->count < PIPE_PIECES ? buf_new(p->budget, n) : NULL;
    if (!b)
        return false;
    memcpy(b->data, e->p, n);
    b->len = n;
    e->p += n;
    e->n -= n;
    for (unsigned i = p->count++; i > k; i--)
        *piece_at(p, i) = *piece_at(p, i - 1);
    *piece_at(p, k) = (struct piece){ .p = b->data, .n = n, .buf = b, .kind = PIECE_BUF };
    return true;
}

/*
 * Which piece the run begins with; p->count: none. What the consumer is busy with stays in memory: `keep` bytes at the
 * front, in at most half of the ring. It keeps nothing behind a file, which is served first, and nothing when all of it
 * would stay: then the ring is what is full.
 */
static unsigned run_from(struct pipe *p, size_t keep)
{
    unsigned first = p->count, k;
    size_t n;
    while (first > p->done && piece_at(p, first - 1)->kind == PIECE_BUF)
        first--;
    if (first > p->done || first == p->count || p->retain)
        return first;
    piece_at(p, first)->p += p->skip; /* bytes that were taken need no place in the file */
    piece_at(p, first)->n -= p->skip;
    p->skip = 0;
    if (keep >= in_memory(p))
        return first;
    for (k = first; k - first < PIPE_PIECES / 2 && keep >= (n = piece_at(p, k)->n); k++)
        keep -= n;
    return k - first < PIPE_PIECES / 2 && keep && split(p, k, keep) ? k + 1 : k;
}

bool pipe_spill_begin(struct pipe *p, struct pipe_run *r, size_t keep)
{
    if (p->spilling || p->state != PIPE_OPEN)
        return false;
    unsigned first = run_from(p, keep);
    if (first == p->count)
        return false;
    r->n = 0;
    r->size = 0;
    for (unsigned k = first; k < p->count; k++, r->n++) {
        const struct piece *e = piece_at(p, k);
        r->iov[r->n] = (struct iovec){ (char *)e->p, e->n };
        r->buf[r->n] = buf_ref(e->buf);
        r->size += e->n;
    }
    p->spilling = true;
    p->run_first = (uint8_t)first;
    p->run_count = (uint8_t)(p->count - first);
    return true;
}

/*
 * The n bytes that pieces `from` to `to` hold stand in the file: one range takes their place, or lengthens the one
 * before. What was put behind them, by a producer that could not stop at once, moves up.
 */
static void replace_pieces(struct pipe *p, unsigned from, unsigned to, int fd, uint64_t offset, size_t n)
{
    struct piece *before = from > p->done ? piece_at(p, from - 1) : NULL;
    bool joins = before && before->kind == PIECE_FILE && before->fd == fd && before->offset + before->n == offset;
    for (unsigned k = from; k < to; k++)
        piece_drop(piece_at(p, k));
    if (joins)
        before->n += n;
    else if (n)
        *piece_at(p, from++) = (struct piece){ .n = n, .offset = offset, .fd = fd, .kind = PIECE_FILE };
    for (unsigned k = to; k < p->count; k++)
        *piece_at(p, from++) = *piece_at(p, k);
    p->count = (uint8_t)from;
}

void pipe_spill_commit(struct pipe *p, const struct pipe_run *r, int fd, uint64_t offset)
{
    unsigned from = p->run_first, to = from + p->run_count;
    size_t n = 0, taken = 0;
    if (!p->spilling)
        return;
    p->spilling = false;
    for (unsigned k = from; k < to; k++) {
        n += piece_at(p, k)->n;
        if (k < p->done)
            taken += piece_at(p, k)->n;
    }
    bool within = from <= p->done && p->done < to; /* the first byte not taken is one of these */
    if (within)
        taken += p->skip;
    offset += r->size - n; /* pieces that were dropped meanwhile stood before what is left */
    p->filed += n - taken;
    if (!p->retain && taken) { /* then it is the first piece: nothing behind what was taken is done */
        offset += taken;
        n -= taken;
        taken = p->skip = 0;
    }
    replace_pieces(p, from, to, fd, offset, n);
    if (within) {
        p->done = (uint8_t)from;
        p->skip = taken;
    } else if (p->done >= to && to > from) {
        p->done = (uint8_t)(p->done - (to - from) + 1);
    }
    kick_producer(p);
}

void pipe_spill_abort(struct pipe *p)
{
    if (!p->spilling)
        return;
    p->spilling = false;
    drained(p);
}

void pipe_run_drop(struct pipe_run *r)
{
    while (r->n)
        buf_unref(r->buf[--r->n]);
}
