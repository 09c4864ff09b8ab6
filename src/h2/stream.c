/*
 * A stream's input: body into the pipe, and credit back to the peer.
 *
 * What comes while the pipe flows is lent to it. What comes before the body is wanted, or has no place, is held: no
 * more than the window, because the window is opened by what has left the pipe and by nothing else.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "h2/conn.h"

enum { HELD_MIN = 4096 };

static struct h2_stream **bucket(const struct h2_conn *c, uint32_t id)
{
    return (struct h2_stream **)&c->buckets[id / 2 % H2_BUCKETS];
}

struct h2_stream *h2_stream_find(const struct h2_conn *c, uint32_t id)
{
    struct h2_stream *s = *bucket(c, id);
    while (s && s->id != id)
        s = s->next;
    return s;
}

void h2_stream_init(struct h2_stream *s, struct h2_conn *c, uint32_t id, const struct end_ops *ops)
{
    memset(s, 0, sizeof(*s));
    end_init(&s->end, ops);
    s->c = c;
    s->id = id;
    s->send_window = c->peer.window;
    s->recv_window = c->window;
    s->length = UINT64_MAX;
    s->chunk = H2_FRAME_MAX;
    s->priority.urgency = 3;
    s->began = loop_now(&c->w->loop);
    list_init(&s->link);
    list_add_tail(&c->streams, &s->all);
    s->next = *bucket(c, id);
    *bucket(c, id) = s;
    c->nstreams++;
}

void h2_stream_number(struct h2_stream *s, uint32_t id)
{
    struct h2_stream **at = bucket(s->c, s->id);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->id = id;
    s->next = *bucket(s->c, id);
    *bucket(s->c, id) = s;
}

static void drop_held(struct h2_stream *s)
{
    if (s->held)
        buf_unref(s->held);
    s->held = NULL;
    s->held_at = 0;
}

void h2_stream_done(struct h2_stream *s)
{
    struct h2_conn *c = s->c;
    struct h2_stream **at = bucket(c, s->id);
    assert(!s->end.x);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    list_del(&s->all);
    list_del(&s->link);
    timer_drop(&c->w->loop, &s->in_timer);
    timer_drop(&c->w->loop, &s->out_timer);
    drop_held(s);
    c->nstreams--;
    c->head_bytes -= s->head_bytes;
}

static size_t held(const struct h2_stream *s)
{
    return s->held ? s->held->len - s->held_at : 0;
}

/* How much may wait: the window that was announced, or the pipe where somebody gathers more than that in it. */
static int64_t room_of(const struct h2_stream *s)
{
    size_t most = s->end.in->capacity < H2_WINDOW_MAX ? s->end.in->capacity : H2_WINDOW_MAX;
    return most > s->c->window ? (int64_t)most : (int64_t)s->c->window;
}

/* Opens the window by as much as has left: not for a few bytes, and not when nothing more will come. */
static void give_credit(struct h2_stream *s)
{
    const struct pipe *p = s->end.in;
    if (s->ended_in || s->reset || !p)
        return;
    int64_t waiting = (int64_t)(held(s) + p->queued - p->filed), goal = room_of(s) - waiting;
    if (goal - s->recv_window < s->c->window / 4 && (s->recv_window > s->c->window / 4 || goal <= s->recv_window))
        return;
    h2_out_u32(s->c, H2_WINDOW_UPDATE, s->id, (uint32_t)(goal - s->recv_window));
    s->recv_window = goal;
}

/* The kick that comes when the pipe is half empty is wanted also when the pipe itself had room. */
static void await_room(struct h2_stream *s)
{
    struct pipe *p = s->end.in;
    if (p->queued && p->state == PIPE_OPEN && !p->discard)
        p->stalled = true;
}

static void no_memory(struct h2_stream *s)
{
    worker_count(s->c->w, COUNT_MEMORY_REFUSED);
    h2_stream_fail(s, WHY_NOMEM, H2_INTERNAL_ERROR);
}

/* Keeps bytes for later; the peer's window bounds how many. */
static bool hold(struct h2_stream *s, slice run)
{
    struct buf *b = s->held;
    if (!run.n)
        return true;
    if (!b || b->refs > 1 || b->cap - b->len < run.n) {
        size_t had = held(s), need = had + run.n;
        struct buf *n = buf_new_forced(&s->c->w->budget, need < HELD_MIN ? HELD_MIN : need + need / 2);
        if (!n)
            return false;
        if (had)
            memcpy(n->data, b->data + s->held_at, had);
        n->len = had;
        drop_held(s);
        s->held = b = n;
    }
    memcpy(b->data + b->len, run.p, run.n);
    b->len += run.n;
    return true;
}

static void push(struct h2_stream *s)
{
    struct pipe *p = s->end.in;
    int rc = pipe_push(p);
    if (rc < 0) {
        no_memory(s);
        return;
    }
    if (rc == PIPE_FULL && s->end.x)
        s->c->role->in_full(s);
}

/* The end of the body, when all of it is in the pipe. */
static void give_end(struct h2_stream *s)
{
    struct pipe *p = s->end.in;
    if (!s->ended_in || s->given || held(s) || p->state != PIPE_OPEN)
        return;
    s->given = true;
    pipe_end(p, s->trailers);
}

/* Held bytes go first, and are not copied again. */
static bool move_held(struct h2_stream *s)
{
    struct pipe *p = s->end.in;
    while (held(s)) {
        size_t want = pipe_want(p), n = held(s) < want ? held(s) : want;
        if (!n)
            return false;
        if (!pipe_put_buf(p, buf_ref(s->held), slice_of(s->held->data + s->held_at, n))) {
            buf_unref(s->held);
            return false;
        }
        s->held_at += n;
        if (!held(s))
            drop_held(s);
        give_end(s);
        push(s);
        if (!s->end.x || s->failed)
            return false;
    }
    return true;
}

static void take_run(struct h2_stream *s, slice run)
{
    struct pipe *p = s->end.in;
    if (s->stopped || p->discard)
        return;
    if (s->asked && !held(s)) {
        size_t want = pipe_want(p);
        slice now = slice_upto(run, want);
        if (now.n && pipe_put(p, PIECE_LOAN, now)) {
            run = slice_from(run, now.n);
            if (!run.n)
                give_end(s);
            push(s);
            if (!s->end.x || s->failed)
                return;
        }
    }
    if (run.n && !hold(s, run))
        no_memory(s);
}

static void finish_input(struct h2_stream *s)
{
    struct pipe *p = s->end.in;
    if (s->stopped || !s->asked || held(s) || !s->ended_in)
        return;
    if (!s->given) {
        give_end(s);
        push(s);
    }
    if (s->given && s->end.x && p->state == PIPE_EOF)
        s->c->role->in_done(s);
}

void h2_stream_data(struct h2_stream *s, const struct h2_event *e)
{
    uint64_t most = s->length;
    if (!s->c->role->server && !s->head_done) { /* RFC 9113 §8.1: it would be taken for the body of whatever comes */
        h2_stream_fail(s, WHY_CLIENT_BODY, H2_PROTOCOL_ERROR);
        return;
    }
    s->seen += e->run.n;
    s->received += e->run.n;
    if (s->seen > most) {
        h2_stream_fail(s, WHY_CLIENT_BODY, H2_PROTOCOL_ERROR);
        return;
    }
    bool ends = e->last && (e->flags & H2_END_STREAM);
    if (ends)
        s->ended_in = true;
    if (ends && s->length != UINT64_MAX && s->seen != s->length) {
        h2_stream_fail(s, WHY_CLIENT_BODY, H2_PROTOCOL_ERROR);
        return;
    }
    if (e->run.n)
        take_run(s, e->run);
    if (!s->end.x || s->failed)
        return;
    if (ends) {
        s->c->role->in_wait(s, false);
        finish_input(s);
        return;
    }
    if (s->asked && !s->stopped) {
        give_credit(s);
        await_room(s);
        s->c->role->in_wait(s, s->recv_window > 0);
    }
}

/* By a header block: an empty body, or trailers. */
bool h2_stream_ended(struct h2_stream *s)
{
    s->ended_in = true;
    if (s->length != UINT64_MAX && s->seen != s->length) {
        h2_stream_fail(s, WHY_CLIENT_BODY, H2_PROTOCOL_ERROR);
        return false;
    }
    s->c->role->in_wait(s, false);
    finish_input(s);
    return true;
}

void h2_stream_want(struct h2_stream *s)
{
    if (s->stopped || s->failed || s->given)
        return;
    s->asked = true;
    if (!move_held(s))
        return;
    if (s->ended_in) {
        finish_input(s);
        return;
    }
    give_credit(s);
    await_room(s);
    s->c->role->in_wait(s, true);
}

void h2_stream_stop(struct h2_stream *s)
{
    if (s->stopped)
        return;
    s->stopped = true;
    drop_held(s);
    s->c->role->in_wait(s, false);
    if (s->end.in)
        pipe_close(s->end.in);
}

/* Without memory the stream is one that has ended well: a peer that goes on sending is told once more. */
static void forget(struct h2_conn *c, uint32_t id)
{
    if (!c->forgotten)
        c->forgotten = calloc(c->most_forgotten, sizeof(*c->forgotten));
    if (c->forgotten)
        c->forgotten[c->nforgotten++ % c->most_forgotten] = id;
}

bool h2_stream_forgotten(const struct h2_conn *c, uint32_t id)
{
    for (uint32_t i = 0; c->forgotten && i < c->most_forgotten; i++) {
        if (c->forgotten[i] == id)
            return true;
    }
    return false;
}

void h2_stream_forget(struct h2_stream *s)
{
    s->reset = true;
    forget(s->c, s->id);
}

void h2_stream_reset(struct h2_stream *s, enum h2_error e)
{
    struct h2_conn *c = s->c;
    if (s->reset)
        return;
    s->reset = true;
    list_del(&s->link);
    if (c->closed)
        return;
    forget(c, s->id);
    h2_out_u32(c, H2_RST_STREAM, s->id, e);
}

void h2_stream_fail(struct h2_stream *s, enum x_why why, enum h2_error e)
{
    if (s->failed)
        return;
    s->failed = true;
    s->c->role->in_wait(s, false);
    if (s->end.x)
        s->c->role->failed(s, why, e);
}

void h2_stream_fault(struct h2_conn *c, struct h2_stream *s, uint32_t id, enum h2_error e)
{
    worker_count(c->w, COUNT_H2_FAULTS);
    if (!h2_bucket_take(&c->resets, loop_now(&c->w->loop), c->resets_burst, 60000)) {
        h2_conn_error(c, H2_ENHANCE_YOUR_CALM, "too many stream errors");
        return;
    }
    if (!s) {
        forget(c, id);
        h2_out_u32(c, H2_RST_STREAM, id, e);
        return;
    }
    h2_stream_reset(s, e);
    h2_stream_fail(s, WHY_CLIENT_CLOSED, e);
}
