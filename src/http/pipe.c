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
}

static void drop_all(struct pipe *p)
{
    while (p->count)
        drop_first(p);
    p->done = 0;
    p->skip = 0;
    p->queued = 0;
    p->filed = 0;
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
    if (!pipe_has_place(p))
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
    memcpy(dst, e->p + from, n);
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
    while (k > 0 && piece_at(p, k - 1)->kind == PIECE_LOAN) {
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
    if (in_memory(p) < p->capacity && !pipe_has_place(p))
        compact(p);
    if (in_memory(p) < p->capacity && pipe_has_place(p))
        return PIPE_MORE;
    p->stalled = true;
    return PIPE_FULL;
}

/* ---- consumer ---- */

int pipe_iov(const struct pipe *p, struct iovec *iov, int max, size_t *total)
{
    int n = 0;
    size_t sum = 0, skip = p->skip;
    for (unsigned k = p->done; k < p->count && n < max; k++) {
        const struct piece *e = piece_at(p, k);
        if (e->kind == PIECE_FILE)
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
    if (p->stalled && in_memory(p) <= p->capacity / 2 && pipe_has_place(p) && p->producer) {
        p->stalled = false;
        task_post(p->loop, &p->producer->kick);
    }
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
    if (p->stalled && in_memory(p) < p->capacity && p->producer) {
        p->stalled = false;
        task_post(p->loop, &p->producer->kick);
    }
}

static int write_all(int fd, const char *p, size_t size, uint64_t at)
{
    size_t n = 0;
    while (n < size) {
        ssize_t rc = pwrite(fd, p + n, size - n, (off_t)(at + n));
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc <= 0)
            return ERR_SYS;
        n += (size_t)rc;
    }
    return OK;
}

/* The pieces from `first` on are in the file now: they go, and a range of the file takes their place. */
static void replace_tail(struct pipe *p, unsigned first, int fd, uint64_t from, size_t n)
{
    for (unsigned k = first; k < p->count; k++)
        piece_drop(piece_at(p, k));
    p->count = (uint8_t)first;
    p->filed += n;
    struct piece *before = first > p->done ? piece_at(p, first - 1) : NULL;
    if (before && before->kind == PIECE_FILE && before->fd == fd && before->offset + before->n == from) {
        before->n += n;
        return;
    }
    *piece_at(p, first) = (struct piece){ .n = n, .offset = from, .fd = fd, .kind = PIECE_FILE };
    p->count++;
    if (first == p->done)
        p->skip = 0;
}

/*
 * Where the spilled part begins: in the piece that is returned, behind *part of its bytes. What the consumer is busy
 * with stays in memory: `keep` bytes at the front, in at most half of the ring. It keeps nothing behind a file, which
 * is served first, and nothing when all of it would stay: then the ring is what is full.
 */
static unsigned spill_from(const struct pipe *p, size_t keep, size_t *part)
{
    unsigned first = memory_tail(p), k = first;
    size_t n;
    *part = first == p->done ? p->skip : 0;
    if (first > p->done || keep >= in_memory(p))
        return first;
    for (; k - first < PIPE_PIECES / 2 && keep >= (n = piece_at(p, k)->n - *part); k++) {
        keep -= n;
        *part = 0;
    }
    *part += k - first < PIPE_PIECES / 2 ? keep : 0;
    return k;
}

/*
 * What lies behind `part` bytes of the piece is in the file. A copy of what stays, if there is any, frees the buffer.
 * Returns the first piece that goes as a whole.
 */
static unsigned trim(struct pipe *p, unsigned k, size_t part)
{
    struct piece *e = piece_at(p, k);
    size_t skip = k == p->done ? p->skip : 0, n = part - skip;
    if (n == 0)
        return k;
    struct buf *b = e->kind == PIECE_BUF ? buf_new(p->budget, n) : NULL;
    if (!b) {
        e->n = part;
        return k + 1;
    }
    memcpy(b->data, e->p + skip, n);
    b->len = n;
    piece_drop(e);
    *e = (struct piece){ .p = b->data, .n = n, .buf = b, .kind = PIECE_BUF };
    if (k == p->done)
        p->skip = 0;
    return k + 1;
}

int pipe_to_file(struct pipe *p, int fd, uint64_t *offset, size_t keep)
{
    uint64_t at = *offset;
    size_t part;
    unsigned first = spill_from(p, keep, &part);
    assert(!p->retain || (p->taken == 0 && keep == 0));
    for (unsigned k = first; k < p->count; k++) {
        const struct piece *e = piece_at(p, k);
        size_t from = k == first ? part : 0;
        if (write_all(fd, e->p + from, e->n - from, at) < 0)
            return ERR_SYS;
        at += e->n - from;
    }
    if (at > *offset)
        replace_tail(p, trim(p, first, part), fd, *offset, (size_t)(at - *offset));
    *offset = at;
    p->stalled = false;
    return OK;
}
