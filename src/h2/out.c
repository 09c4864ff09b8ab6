/*
 * Output: control frames and heads wait in one buffer, data stays in the pipes of its streams until it is written.
 *
 * One write takes the buffer and then DATA frames of the streams that have something, may send it, and are next (RFC
 * 9218: by urgency; streams of one urgency take turns, those that are not incremental long ones). What the kernel took
 * of them is then taken from the pipes. A frame that was cut is completed by copying its rest to the buffer, so there
 * is no half frame to remember, whatever becomes of its stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/checked.h"
#include "base/err.h"
#include "h2/conn.h"

enum { PLAN_IOV = 96, PLAN_FRAMES = 32, LONG_TURN = 64 << 10, DIRECT = 16 << 10, OUT_KEEP = 16 << 10 };

/* ---- the buffer ---- */

char *h2_out_room(struct h2_conn *c, size_t n)
{
    size_t need;
    if (c->out_at && c->out_at == c->out_n)
        c->out_at = c->out_n = 0;
    if (!checked_add(c->out_n, n, &need))
        return NULL;
    if (need > c->out_cap && c->out_at && c->out_at >= c->out_cap / 2) {
        /* a peer that never lets it run empty must not make it grow by all that was ever written */
        memmove(c->out, c->out + c->out_at, c->out_n - c->out_at);
        c->out_n -= c->out_at;
        c->out_at = 0;
        need = c->out_n + n;
    }
    if (need > c->out_cap) {
        size_t cap = need < 512 ? 512 : need * 2;
        char *p = realloc(c->out, cap);
        if (!p)
            return NULL;
        c->out = p;
        c->out_cap = cap;
    }
    return c->out + c->out_n;
}

void h2_out_took(struct h2_conn *c, const char *end)
{
    c->out_n = (size_t)(end - c->out);
    h2_flush_soon(c);
}

void h2_flush_soon(struct h2_conn *c)
{
    if (!c->blocked && !c->flushing && !c->closed)
        task_post_later(&c->w->loop, &c->flush);
}

/* Without memory for a few bytes the connection is over. */
static void no_room(struct h2_conn *c)
{
    worker_count(c->w, COUNT_MEMORY_REFUSED);
    h2_conn_abort(c, WHY_NOMEM);
}

void h2_out_frame(struct h2_conn *c, enum h2_type type, unsigned flags, uint32_t stream, slice payload)
{
    char *at = c->closed ? NULL : h2_out_room(c, H2_HEAD + payload.n);
    if (!at) {
        no_room(c);
        return;
    }
    at = h2_put_head(at, payload.n, type, flags, stream);
    if (payload.n)
        memcpy(at, payload.p, payload.n);
    h2_out_took(c, at + payload.n);
}

void h2_out_u32(struct h2_conn *c, enum h2_type type, uint32_t stream, uint32_t value)
{
    char b[4];
    h2_put_u32(b, value);
    h2_out_frame(c, type, 0, stream, slice_of(b, sizeof(b)));
}

void h2_out_goaway(struct h2_conn *c, uint32_t last, enum h2_error e)
{
    char b[8];
    h2_put_u32(h2_put_u32(b, last), e);
    h2_out_frame(c, H2_GOAWAY, 0, 0, slice_of(b, sizeof(b)));
}

/* A block that is larger than a frame is cut into CONTINUATIONs: heads are put between its pieces, from the end. */
static size_t cut_block(char *frame, size_t n, size_t max, unsigned flags, uint32_t stream)
{
    size_t pieces = n ? (n + max - 1) / max : 1;
    for (size_t i = pieces; i-- > 0;) {
        size_t at = i * max, len = n - at < max ? n - at : max;
        char *to = frame + i * (max + H2_HEAD);
        memmove(to + H2_HEAD, frame + H2_HEAD + at, len);
        h2_put_head(to, len, i ? H2_CONTINUATION : H2_HEADERS, (i ? 0 : flags) | (i + 1 == pieces ? H2_END_HEADERS : 0),
                    stream);
    }
    return n + pieces * H2_HEAD;
}

int h2_out_head(struct h2_stream *s, const struct field *fields, size_t n, bool ends)
{
    struct h2_conn *c = s->c;
    if (c->closed || c->failing || s->reset)
        return OK;
    size_t bound = h2_hpack_bound(&c->hpack, fields, n), most = bound + (bound / H2_FRAME_MAX + 1) * H2_HEAD;
    char *at = h2_out_room(c, most);
    ptrdiff_t len = at ? h2_hpack_encode(&c->hpack, fields, n, at + H2_HEAD, bound) : ERR_NOMEM;
    if (len < 0) {
        no_room(c);
        return ERR_NOMEM;
    }
    size_t size = cut_block(at, (size_t)len, H2_FRAME_MAX, ends ? H2_END_STREAM : 0, s->id);
    h2_out_took(c, at + size);
    c->role->wrote(s, size, 0);
    if (ends) {
        s->ended_out = true;
        list_del(&s->link);
        list_add_tail(&c->sent, &s->link);
    }
    return OK;
}

/* ---- who is next ---- */

static bool has_output(const struct h2_stream *s)
{
    const struct pipe *p = s->end.out;
    return p && s->head_out && !s->ended_out && !s->reset && (p->queued || p->state != PIPE_OPEN);
}

static void stuck(struct h2_stream *s, bool on)
{
    if (!on && !s->stuck)
        return;
    s->stuck = on;
    s->c->role->out_stuck(s, on);
}

void h2_stream_ready(struct h2_stream *s)
{
    struct h2_conn *c = s->c;
    if (!has_output(s) || c->closed)
        return;
    if (s->end.out->queued && s->send_window <= 0) {
        list_del(&s->link);
        stuck(s, true);
        return;
    }
    if (!list_linked(&s->link))
        list_add_tail(&c->ready[s->priority.urgency], &s->link);
    if (c->send_window <= 0 && s->end.out->queued) {
        stuck(s, true);
        return;
    }
    h2_flush_soon(c);
}

void h2_stream_kicked(struct h2_stream *s)
{
    struct h2_conn *c = s->c;
    h2_stream_ready(s);
    if (s->end.out->queued - s->end.out->filed >= DIRECT && list_linked(&s->link) && !c->blocked && c->send_window > 0)
        h2_flush(c);
}

void h2_window_opened(struct h2_conn *c)
{
    for (int i = 0; i < H2_URGENCIES; i++) {
        if (!list_empty(&c->ready[i])) {
            h2_flush_soon(c);
            return;
        }
    }
}

/* ---- one write ---- */

struct frame {
    struct h2_stream *s;
    uint32_t n;
    int iov, niov; /* of the payload; the head is the one before */
    bool ends, finishes;
};

struct plan {
    struct iovec iov[PLAN_IOV];
    int n;
    struct frame frames[PLAN_FRAMES];
    char heads[PLAN_FRAMES][H2_HEAD];
    int nframes;
    size_t total;
    int64_t window; /* of the connection, what is left */
};

static bool room(const struct plan *p)
{
    return p->nframes < PLAN_FRAMES && p->n + 1 + PIPE_PIECES < PLAN_IOV;
}

/* One frame of n bytes from v[*i], *skip bytes into it. */
static void add_frame(struct plan *p, struct h2_stream *s, uint32_t n, const struct iovec *v, int *i, size_t *skip)
{
    struct frame *f = &p->frames[p->nframes];
    *f = (struct frame){ .s = s, .n = n, .iov = p->n + 1 };
    p->iov[p->n++] = (struct iovec){ p->heads[p->nframes], H2_HEAD };
    for (uint32_t left = n; left;) {
        size_t k = v[*i].iov_len - *skip;
        if (k > left)
            k = left;
        p->iov[p->n++] = (struct iovec){ (char *)v[*i].iov_base + *skip, k };
        f->niov++;
        left -= (uint32_t)k;
        *skip += k;
        if (*skip == v[*i].iov_len) {
            *skip = 0;
            (*i)++;
        }
    }
    p->nframes++;
    p->total += H2_HEAD + n;
    p->window -= n;
}

static void close_frame(struct plan *p, struct frame *f)
{
    h2_put_head(p->heads[f - p->frames], f->n, H2_DATA, f->ends ? H2_END_STREAM : 0, f->s->id);
}

static bool has_trailers(const struct pipe *p)
{
    return p->trailers && p->trailers->n;
}

/* A range of a file: read into the buffer as a frame of its own. The file may have become shorter: the answer breaks.
 */
static bool add_file(struct h2_conn *c, struct plan *p, struct h2_stream *s, const struct piece *e, size_t skip)
{
    size_t n = e->n - skip;
    n = n < s->chunk ? n : s->chunk;
    n = (int64_t)n < s->send_window ? n : (size_t)s->send_window;
    n = (int64_t)n < p->window ? n : (size_t)p->window;
    char *at = n ? h2_out_room(c, H2_HEAD + n) : NULL;
    ssize_t got = at ? pread(e->fd, at + H2_HEAD, n, (off_t)(e->offset + skip)) : -1;
    if (got <= 0) {
        s->broken = true;
        return false;
    }
    h2_put_head(at, (size_t)got, H2_DATA, 0, s->id);
    c->out_n = (size_t)(at + H2_HEAD + got - c->out);
    s->send_window -= got;
    c->send_window -= got;
    p->window -= got; /* what is planned already, and this, share one window */
    pipe_take(s->end.out, (size_t)got);
    c->role->wrote(s, H2_HEAD, (size_t)got);
    return true;
}

/* The body broke off: so does the stream. */
static void break_stream(struct h2_stream *s)
{
    s->broken = true;
    h2_stream_reset(s, s->tunnel ? H2_CONNECT_ERROR : H2_INTERNAL_ERROR);
    s->c->role->out_done(s);
}

/* Everything of the body is out: END_STREAM, by itself or with the trailers. */
static void end_stream(struct h2_stream *s);

enum visit { VISIT_NEXT, VISIT_AGAIN, VISIT_STOP };

/* Plans what may go of one stream. VISIT_AGAIN: it wrote to the buffer, or is off the list. */
static enum visit visit(struct h2_conn *c, struct plan *p, struct h2_stream *s)
{
    struct pipe *pipe = s->end.out;
    struct iovec v[PIPE_PIECES];
    size_t total, skip = 0;
    int i = 0;
    if (!has_output(s)) {
        list_del(&s->link);
        return VISIT_AGAIN;
    }
    int n = pipe_iov(pipe, v, PIPE_PIECES, &total);
    if (!n && pipe->queued) {
        const struct piece *e = pipe_front(pipe, &skip);
        if (s->send_window > 0 && p->window > 0 && !add_file(c, p, s, e, skip)) {
            break_stream(s);
            return VISIT_AGAIN;
        }
        if (pipe->queued && s->send_window > 0 && p->window > 0)
            return VISIT_AGAIN;
        if (pipe->queued) {
            if (s->send_window <= 0 || c->send_window <= 0)
                stuck(s, true);
            if (s->send_window <= 0)
                list_del(&s->link);
            return s->send_window <= 0 ? VISIT_AGAIN : VISIT_NEXT;
        }
        return VISIT_AGAIN;
    }
    if (!total && pipe->state == PIPE_ABORTED) {
        break_stream(s);
        return VISIT_AGAIN;
    }
    if (!total && has_trailers(pipe)) {
        end_stream(s);
        return VISIT_AGAIN;
    }
    int64_t turn = s->priority.incremental ? s->chunk : LONG_TURN, most = (int64_t)total;
    most = most < turn ? most : turn;
    most = most < s->send_window ? most : s->send_window;
    most = most < p->window ? most : p->window;
    if (total && most <= 0)
        return VISIT_NEXT; /* no window: handled after the write */
    if (!total)
        most = 0; /* the end alone needs no window (RFC 9113 §6.9), and SETTINGS may have taken it below zero */
    int64_t planned = 0;
    do {
        int64_t k = most - planned < s->chunk ? most - planned : s->chunk;
        if (!room(p))
            return VISIT_STOP;
        add_frame(p, s, (uint32_t)k, v, &i, &skip);
        planned += k;
        struct frame *f = &p->frames[p->nframes - 1];
        f->finishes = pipe->state == PIPE_EOF && (size_t)planned == pipe->queued;
        f->ends = f->finishes && !has_trailers(pipe);
        close_frame(p, f);
    } while (planned < most);
    return VISIT_NEXT;
}

/* Walks the streams that may write, once. */
static void make_plan(struct h2_conn *c, struct plan *p)
{
    p->n = p->nframes = 0;
    p->total = c->out_n - c->out_at;
    p->window = c->send_window;
    for (int u = 0; u < H2_URGENCIES; u++) {
        struct list *at = c->ready[u].next, *next;
        for (; at != &c->ready[u]; at = next) {
            next = at->next;
            struct h2_stream *s = list_entry(at, struct h2_stream, link);
            enum visit v = VISIT_AGAIN;
            while (v == VISIT_AGAIN && list_linked(&s->link) && !s->ended_out && c->out_n - c->out_at < DIRECT * 8)
                v = visit(c, p, s);
            if (v == VISIT_STOP || c->failing)
                return;
        }
    }
}

/* One trailer section; fields that may not be trailers are left out. */
static void end_with_trailers(struct h2_stream *s)
{
    const struct fields *t = s->end.out->trailers;
    struct field *v = arena_new_n(&s->end.x->arena, struct field, t->n);
    size_t n = 0;
    for (uint32_t i = 0; v && i < t->n; i++) {
        enum token k = t->v[i].token != TOK_NONE ? t->v[i].token : token_find(t->v[i].name);
        char *name = token_flags(k) & T_NOTRAIL ? NULL : arena_bytes(&s->end.x->arena, t->v[i].name.n);
        if (!name)
            continue;
        for (size_t j = 0; j < t->v[i].name.n; j++)
            name[j] = ascii_lower(t->v[i].name.p[j]);
        v[n] = t->v[i];
        v[n++].name.p = name;
    }
    if (n) {
        h2_out_head(s, v, n, true);
        return;
    }
    h2_out_frame(s->c, H2_DATA, H2_END_STREAM, s->id, SLICE_NONE);
    s->ended_out = true;
    list_del(&s->link);
    list_add_tail(&s->c->sent, &s->link);
}

static void end_stream(struct h2_stream *s)
{
    end_with_trailers(s);
    stuck(s, false);
}

/* The frame is out, or its rest is in the buffer. */
static void commit(struct h2_conn *c, struct frame *f)
{
    struct h2_stream *s = f->s;
    s->send_window -= f->n;
    c->send_window -= f->n;
    if (f->n)
        pipe_take(s->end.out, f->n);
    c->role->wrote(s, H2_HEAD, f->n);
    stuck(s, false);
    if (f->ends) {
        s->ended_out = true;
        list_del(&s->link);
        list_add_tail(&c->sent, &s->link);
    } else if (f->finishes) {
        end_stream(s);
    } else if (list_linked(&s->link)) { /* had its turn */
        list_del(&s->link);
        list_add_tail(&c->ready[s->priority.urgency], &s->link);
    }
}

/* The rest of a frame that was cut after `done` bytes. */
static bool keep_rest(struct h2_conn *c, const struct plan *p, const struct frame *f, size_t done)
{
    char *at = h2_out_room(c, H2_HEAD + f->n - done);
    if (!at)
        return false;
    for (int i = f->iov - 1; i < f->iov + f->niov; i++) {
        size_t n = p->iov[i].iov_len, skip = done < n ? done : n;
        memcpy(at, (char *)p->iov[i].iov_base + skip, n - skip);
        at += n - skip;
        done -= skip;
    }
    c->out_n = (size_t)(at - c->out);
    return true;
}

/* A frame that was cut is completed before any other is committed: a commit may put trailers into the buffer, and these
 * must not come between the two halves. */
static void settle(struct h2_conn *c, struct plan *p, size_t n)
{
    size_t k = c->out_n - c->out_at < n ? c->out_n - c->out_at : n;
    int begun = 0;
    c->out_at += k;
    n -= k;
    while (begun < p->nframes && n) {
        struct frame *f = &p->frames[begun++];
        size_t size = H2_HEAD + f->n;
        if (n < size && !keep_rest(c, p, f, n)) {
            no_room(c);
            return;
        }
        n = n < size ? 0 : n - size;
    }
    for (int i = 0; i < begun && !c->failing; i++)
        commit(c, &p->frames[i]);
}

static ssize_t send_plan(struct h2_conn *c, struct plan *p)
{
    struct iovec iov[PLAN_IOV + 1];
    int n = 0;
    if (c->out_n > c->out_at)
        iov[n++] = (struct iovec){ c->out + c->out_at, c->out_n - c->out_at };
    memcpy(iov + n, p->iov, (size_t)p->n * sizeof(*iov));
    n += p->n;
    if (c->tr)
        return c->tr->ops->write(c->tr, iov, n, false);
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n };
    return sendmsg(c->io.fd, &m, MSG_NOSIGNAL);
}

/* Streams whose last byte is with the kernel. */
static void tell_sent(struct h2_conn *c)
{
    while (!list_empty(&c->sent)) {
        struct h2_stream *s = list_entry(c->sent.next, struct h2_stream, link);
        list_del(&s->link);
        c->role->out_done(s);
    }
}

/* Those that still wait have no window: their time runs. */
static void note_stuck(struct h2_conn *c)
{
    for (int u = 0; u < H2_URGENCIES; u++) {
        struct list *at = c->ready[u].next, *next;
        for (; at != &c->ready[u]; at = next) {
            struct h2_stream *s = list_entry(at, struct h2_stream, link);
            next = at->next;
            if (!has_output(s)) {
                list_del(&s->link);
            } else if (s->end.out->queued && s->send_window <= 0) {
                list_del(&s->link);
                stuck(s, true);
            } else if (s->end.out->queued && c->send_window <= 0) {
                stuck(s, true);
            }
        }
    }
}

static void block(struct h2_conn *c)
{
    c->blocked = true;
    c->role->blocked(c, true);
    if (!c->io.watched && io_watch(&c->w->loop, &c->io) < 0)
        h2_conn_abort(c, WHY_NOMEM);
}

static void write_all(struct h2_conn *c)
{
    struct plan p;
    while (!c->blocked && !c->closed && !c->failing) {
        make_plan(c, &p);
        if (!p.nframes && c->out_n == c->out_at)
            break;
        size_t total = c->out_n - c->out_at;
        for (int i = 0; i < p.n; i++)
            total += p.iov[i].iov_len;
        ssize_t n = send_plan(c, &p);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            h2_conn_abort(c, WHY_CLIENT_CLOSED);
            return;
        }
        if (n > 0)
            settle(c, &p, (size_t)n);
        /* a transport may take less than there is although the kernel has room: then nobody would wake us */
        if (n <= 0 || (!c->tr && (size_t)n < total))
            block(c);
        if (c->out_at == c->out_n && !c->failing)
            tell_sent(c);
    }
    if (c->tr && !c->blocked && !c->failing) {
        int rc = c->tr->ops->flush(c->tr);
        if (rc == ERR_AGAIN)
            block(c);
        else if (rc != OK)
            h2_conn_abort(c, WHY_CLIENT_CLOSED);
    }
}

void h2_flush(struct h2_conn *c)
{
    if (c->closed || c->flushing)
        return;
    c->flushing = true;
    write_all(c);
    c->flushing = false;
    if (c->closed)
        return;
    if (c->failing) {
        h2_conn_left(c);
        return;
    }
    note_stuck(c);
    if (c->out_at == c->out_n) {
        c->out_at = c->out_n = 0;
        if (c->out_cap > OUT_KEEP || !c->nstreams) {
            free(c->out);
            c->out = NULL;
            c->out_cap = 0;
        }
        if (c->choked) {
            c->choked = false;
            task_post_later(&c->w->loop, &c->again);
        }
    }
}
