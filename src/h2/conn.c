/*
 * The connection: its input, and every frame that is not data or a head.
 *
 * The peer decides how often each of these frames comes, so each costs a token (rows A1, A3, A5): RST_STREAM and what
 * makes us send one cost the dear kind, the others the cheap kind. A connection that has spent them is closed.
 */
#include "h2/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"

enum { FRAMES_A_TURN = 512, OPENED_A_TURN = 64, OUT_FULL = 64 << 10, READS_A_TURN = 4, CONN_WINDOW = 1 << 20 };

/* The buckets fill again within these times. */
enum { CONTROL_MS = 10000, LINGER_MS = 1000, LARGE_STEP = 1024, LITTLE = 16 };

bool h2_bucket_take(struct h2_bucket *b, uint64_t now, uint32_t burst, uint64_t ms)
{
    uint64_t back = now > b->at ? (now - b->at) * burst / ms : 0;
    if (back) {
        b->used = back >= b->used ? 0 : b->used - (uint32_t)back;
        b->at = now;
    }
    if (b->used >= burst)
        return false;
    b->used++;
    return true;
}

/* ---- life ---- */

static void on_flush(struct task *t)
{
    h2_flush(container_of(t, struct h2_conn, flush));
}

static void on_again(struct task *t)
{
    h2_conn_read(container_of(t, struct h2_conn, again));
}

int h2_conn_init(struct h2_conn *c, struct worker *w, int fd, struct transport *tr, const struct h2_role *role,
                 void (*on_io)(struct io *, unsigned))
{
    int rc = h2_hpack_init(&c->hpack);
    if (rc != OK)
        return rc;
    io_init(&c->io, fd, on_io);
    c->tr = tr;
    c->w = w;
    c->role = role;
    task_init(&c->flush, on_flush);
    task_init(&c->again, on_again);
    h2_reader_init(&c->reader);
    c->reader.no_push = true;
    h2_settings_init(&c->peer);
    for (int i = 0; i < H2_URGENCIES; i++)
        list_init(&c->ready[i]);
    list_init(&c->sent);
    list_init(&c->streams);
    c->send_window = c->recv_window = H2_WINDOW;
    c->window = H2_WINDOW;
    c->max_block = 64 << 10;
    c->most_forgotten = H2_FORGOTTEN;
    c->control_burst = 1000;
    c->resets_burst = 100;
    c->readable = true;
    c->credit = CONN_WINDOW - H2_WINDOW;
    c->control.at = c->resets.at = loop_now(&w->loop);
    h2_alive_init(c);
    return OK;
}

static void gone(struct reap *r)
{
    struct h2_conn *c = container_of(r, struct h2_conn, reap);
    c->role->gone(c);
}

void h2_conn_close(struct h2_conn *c)
{
    struct loop *l = &c->w->loop;
    if (c->closed)
        return;
    assert(!c->nstreams);
    c->closed = true;
    task_cancel(l, &c->flush);
    task_cancel(l, &c->again);
    timer_drop(l, &c->timer);
    timer_drop(l, &c->out_timer);
    timer_drop(l, &c->alive.timer);
    transport_free(c->tr);
    c->tr = NULL;
    io_close(l, &c->io);
    h2_hpack_done(&c->hpack);
    free(c->out);
    free(c->stash);
    free(c->block);
    free(c->forgotten);
    c->out = c->stash = c->block = NULL;
    c->forgotten = NULL;
    loop_reap(l, &c->reap, gone);
}

/* Nothing is left: it closes, or lets its peer read the GOAWAY first. */
static void settle_end(struct h2_conn *c)
{
    if (!c->failing || c->nstreams || c->reading || c->flushing || c->closed)
        return;
    if (!c->lingering) {
        h2_conn_close(c);
        return;
    }
    timer_set(&c->w->loop, &c->timer, LINGER_MS);
    if (!c->io.watched && io_watch(&c->w->loop, &c->io) < 0)
        h2_conn_close(c);
}

void h2_conn_left(struct h2_conn *c)
{
    settle_end(c);
}

/* Every stream fails; the last one that goes closes the connection (h2_conn_left), or we do. */
static void fail_streams(struct h2_conn *c, enum x_why why)
{
    c->closing = true;
    c->failing = true;
    struct list *at = c->streams.next, *next;
    for (; at != &c->streams; at = next) {
        struct h2_stream *s = list_entry(at, struct h2_stream, all);
        next = at->next;
        s->reset = true;
        list_del(&s->link);
        s->failed = false; /* whatever it was, now it is over */
        h2_stream_fail(s, why, H2_CANCEL);
    }
    settle_end(c);
}

void h2_conn_abort(struct h2_conn *c, enum x_why why)
{
    if (c->closed || c->failing)
        return;
    fail_streams(c, why);
}

void h2_conn_error(struct h2_conn *c, enum h2_error e, const char *why)
{
    if (c->closed || c->failing)
        return;
    if (e == H2_ENHANCE_YOUR_CALM)
        worker_count(c->w, COUNT_H2_ATTACKS);
    worker_count(c->w, COUNT_H2_ERRORS);
    c->role->erred(c, e, why);
    c->closing = true;
    list_init(&c->sent);
    for (int i = 0; i < H2_URGENCIES; i++) {
        while (!list_empty(&c->ready[i]))
            list_del(c->ready[i].next);
    }
    h2_out_goaway(c, c->last_in, e);
    h2_flush(c);
    if (c->failing || c->closed)
        return;
    c->lingering = !c->blocked;
    if (c->tr)
        c->tr->ops->end_write(c->tr);
    else
        shutdown(c->io.fd, SHUT_WR);
    fail_streams(c, WHY_CLIENT_CLOSED);
}

void h2_conn_end(struct h2_conn *c)
{
    if (c->closed || c->failing)
        return;
    assert(!c->nstreams);
    h2_flush(c);
    if (c->closed || c->failing)
        return;
    c->lingering = !c->blocked;
    c->closing = c->failing = true;
    if (c->tr)
        c->tr->ops->end_write(c->tr);
    else
        shutdown(c->io.fd, SHUT_WR);
    settle_end(c);
}

/* ---- frames ---- */

bool h2_conn_token(struct h2_conn *c)
{
    if (h2_bucket_take(&c->control, loop_now(&c->w->loop), c->control_burst, CONTROL_MS))
        return true;
    h2_conn_error(c, H2_ENHANCE_YOUR_CALM, "too many control frames");
    return false;
}

bool h2_conn_idle(const struct h2_conn *c, uint32_t id)
{
    bool ours = (id & 1) != (c->role->server ? 1 : 0);
    return ours ? id >= c->next_id : id > c->last_in;
}

static void open_streams(struct h2_conn *c, int64_t by)
{
    struct list *at = c->streams.next, *next;
    for (; at != &c->streams; at = next) {
        struct h2_stream *s = list_entry(at, struct h2_stream, all);
        next = at->next;
        s->send_window += by;
        if (s->send_window > H2_WINDOW_MAX) {
            h2_conn_error(c, H2_FLOW_CONTROL_ERROR, "SETTINGS overflow a window");
            return;
        }
        if (by > 0 && s->head_out && !s->ended_out)
            h2_stream_ready(s);
    }
}

static void take_settings(struct h2_conn *c, const struct h2_event *e)
{
    struct h2_settings was = c->peer;
    if (e->flags & H2_ACK) {
        if (c->unacked)
            c->unacked--;
        return;
    }
    enum h2_error err = h2_settings_read(&c->peer, e->run);
    if (err != H2_NO_ERROR) {
        h2_conn_error(c, err, "invalid SETTINGS");
        return;
    }
    h2_out_frame(c, H2_SETTINGS, H2_ACK, 0, SLICE_NONE);
    if (c->peer.table_size != was.table_size && h2_hpack_table(&c->hpack, c->peer.table_size) != OK) {
        h2_conn_error(c, H2_INTERNAL_ERROR, "out of memory");
        return;
    }
    if (c->peer.window != was.window)
        open_streams(c, (int64_t)c->peer.window - was.window);
    if (!c->closing)
        c->role->settings(c);
}

static void take_window(struct h2_conn *c, const struct h2_event *e)
{
    uint32_t n = h2_u32(e->run.p) & H2_WINDOW_MAX;
    if (!e->stream) {
        c->send_window += n;
        if (!n || c->send_window > H2_WINDOW_MAX)
            h2_conn_error(c, n ? H2_FLOW_CONTROL_ERROR : H2_PROTOCOL_ERROR, "invalid WINDOW_UPDATE");
        else
            h2_window_opened(c);
        return;
    }
    struct h2_stream *s = h2_stream_find(c, e->stream);
    if (!s && h2_conn_idle(c, e->stream)) {
        h2_conn_error(c, H2_PROTOCOL_ERROR, "WINDOW_UPDATE for an idle stream");
        return;
    }
    if (!s)
        return;
    s->send_window += n;
    if (!n || s->send_window > H2_WINDOW_MAX)
        h2_stream_fault(c, s, s->id, n ? H2_FLOW_CONTROL_ERROR : H2_PROTOCOL_ERROR);
    else if (s->head_out && !s->ended_out)
        h2_stream_ready(s);
}

static void take_reset(struct h2_conn *c, const struct h2_event *e)
{
    struct h2_stream *s = h2_stream_find(c, e->stream);
    if (!s && h2_conn_idle(c, e->stream)) {
        h2_conn_error(c, H2_PROTOCOL_ERROR, "RST_STREAM for an idle stream");
        return;
    }
    worker_count(c->w, COUNT_H2_RESETS);
    /* Row A1: what counts is a stream that hardly lived. A client that gives up a long download is nobody's enemy. */
    bool young = !s || loop_now(&c->w->loop) - s->began < 1000;
    if (c->role->server && young && !h2_bucket_take(&c->resets, loop_now(&c->w->loop), c->resets_burst, 60000)) {
        h2_conn_error(c, H2_ENHANCE_YOUR_CALM, "too many resets");
        return;
    }
    if (!s)
        return;
    s->reset = true;
    list_del(&s->link);
    h2_stream_fail(s, WHY_CLIENT_CLOSED, (enum h2_error)h2_u32(e->run.p));
}

static void take_priority_update(struct h2_conn *c, const struct h2_event *e)
{
    struct h2_stream *s = h2_stream_find(c, h2_u32(e->run.p) & H2_STREAM_MAX);
    if (!c->role->server) {
        h2_conn_error(c, H2_PROTOCOL_ERROR, "PRIORITY_UPDATE from a server");
        return;
    }
    if (!s)
        return;
    s->priority = (struct h2_priority){ 3, false };
    h2_priority_read(slice_from(e->run, 4), &s->priority);
    if (list_linked(&s->link) && !s->ended_out) {
        list_del(&s->link);
        h2_stream_ready(s);
    }
}

/* It means nothing (RFC 9113 §5.3.2); only its form is looked at. RST_STREAM must not be sent for an idle stream
 * (§6.4). */
static void take_priority(struct h2_conn *c, const struct h2_event *e)
{
    bool loop = !e->soft && (h2_u32(e->run.p) & H2_STREAM_MAX) == e->stream;
    enum h2_error error = e->soft ? e->soft : loop ? H2_PROTOCOL_ERROR : H2_NO_ERROR;
    struct h2_stream *s = error ? h2_stream_find(c, e->stream) : NULL;
    if (error && !s && h2_conn_idle(c, e->stream))
        h2_conn_error(c, error, "a broken PRIORITY for an idle stream");
    else if (error)
        h2_stream_fault(c, s, e->stream, error);
}

static void take_gathered(struct h2_conn *c, const struct h2_event *e)
{
    /* A large increment needs no token: what it allows runs out by itself (the window overflows). */
    bool large = e->type == H2_WINDOW_UPDATE && (h2_u32(e->run.p) & H2_WINDOW_MAX) >= LARGE_STEP;
    if (e->type != H2_RST_STREAM && !large && !h2_conn_token(c))
        return;
    switch (e->type) {
    case H2_SETTINGS:
        take_settings(c, e);
        return;
    case H2_PING:
        if (e->flags & H2_ACK)
            c->role->ping_ack(c, e->run);
        else
            h2_out_frame(c, H2_PING, H2_ACK, 0, e->run);
        return;
    case H2_GOAWAY:
        c->peer_gone = true;
        c->role->goaway(c, h2_u32(e->run.p) & H2_STREAM_MAX, (enum h2_error)h2_u32(e->run.p + 4));
        return;
    case H2_WINDOW_UPDATE:
        take_window(c, e);
        return;
    case H2_RST_STREAM:
        take_reset(c, e);
        return;
    case H2_PRIORITY:
        take_priority(c, e);
        return;
    case H2_PRIORITY_UPDATE:
        take_priority_update(c, e);
        return;
    default:
        return; /* unknown, or a PUSH_PROMISE that the reader has refused */
    }
}

/* ---- data ---- */

/* The connection's window counts whole frames, for whomever they are; credit is given back at once. */
static bool charge(struct h2_conn *c, const struct h2_event *e)
{
    c->recv_window -= e->length;
    c->credit += e->length;
    if (c->recv_window < 0) {
        h2_conn_error(c, H2_FLOW_CONTROL_ERROR, "the connection's window is exceeded");
        return false;
    }
    if (c->credit >= CONN_WINDOW / 2) {
        h2_out_u32(c, H2_WINDOW_UPDATE, 0, c->credit);
        c->recv_window += c->credit;
        c->credit = 0;
    }
    return true;
}

/* Bytes of a DATA frame without its padding, at its first run. */
static uint32_t carried(const struct h2_conn *c, const struct h2_event *e)
{
    return e->flags & H2_PADDED ? e->length - c->reader.pad - 1 : e->length;
}

static void take_data(struct h2_conn *c, const struct h2_event *e)
{
    struct h2_stream *s = h2_stream_find(c, e->stream);
    if (e->first && !charge(c, e))
        return;
    if (e->first && carried(c, e) < LITTLE && !(e->flags & H2_END_STREAM) && !h2_conn_token(c))
        return; /* row A5: frames that carry next to nothing */
    if (!s) {
        if (h2_conn_idle(c, e->stream))
            h2_conn_error(c, H2_PROTOCOL_ERROR, "DATA for an idle stream");
        else if (e->first && !h2_stream_forgotten(c, e->stream))
            h2_stream_fault(c, NULL, e->stream, H2_STREAM_CLOSED);
        return;
    }
    if (s->reset || s->failed)
        return;
    if (s->ended_in) {
        h2_stream_fault(c, s, s->id, H2_STREAM_CLOSED);
        return;
    }
    if (e->first) {
        s->recv_window -= e->length;
        if (s->recv_window < 0) {
            h2_stream_fault(c, s, s->id, H2_FLOW_CONTROL_ERROR);
            return;
        }
    }
    h2_stream_data(s, e);
}

/* ---- header blocks ---- */

static bool keep_fragment(struct h2_conn *c, slice run)
{
    size_t need = c->block_n + run.n;
    if (need > c->max_block) {
        h2_conn_error(c, H2_ENHANCE_YOUR_CALM, "a header block is too large");
        return false;
    }
    if (need > c->block_cap) {
        size_t cap = need < 1024 ? 1024 : need * 2;
        char *p = realloc(c->block, cap);
        if (!p) {
            h2_conn_error(c, H2_INTERNAL_ERROR, "out of memory");
            return false;
        }
        c->block = p;
        c->block_cap = cap;
    }
    if (run.n)
        memcpy(c->block + c->block_n, run.p, run.n);
    c->block_n = need;
    return true;
}

static void take_fragment(struct h2_conn *c, const struct h2_event *e)
{
    slice block = e->run;
    if (e->first)
        c->block_n = 0;
    if (!e->first || !e->last) {
        if (!keep_fragment(c, e->run) || !e->last)
            return;
        block = slice_of(c->block, c->block_n);
    }
    struct h2_stream *s = h2_stream_find(c, e->stream);
    c->opened++;
    c->role->block(c, s, e->stream, e->flags & H2_END_STREAM, block);
    free(c->block);
    c->block = NULL;
    c->block_n = c->block_cap = 0;
}

static void take(struct h2_conn *c, const struct h2_event *e)
{
    if (!c->greeted && e->type != H2_SETTINGS) {
        h2_conn_error(c, H2_PROTOCOL_ERROR, "no SETTINGS at the beginning");
        return;
    }
    c->greeted = true;
    switch (e->type) {
    case H2_DATA:
        take_data(c, e);
        return;
    case H2_HEADERS:
        take_fragment(c, e);
        if (e->soft && !c->closing)
            h2_stream_fault(c, h2_stream_find(c, e->stream), e->stream, e->soft);
        return;
    default:
        take_gathered(c, e);
        return;
    }
}

/* ---- reading ---- */

/* What is left of a read, which is not nothing, for the next turn. */
static bool put_aside(struct h2_conn *c, slice rest)
{
    assert(rest.n);
    char *p = malloc(rest.n);
    if (!p) {
        h2_conn_error(c, H2_INTERNAL_ERROR, "out of memory");
        return false;
    }
    memcpy(p, rest.p, rest.n);
    free(c->stash);
    c->stash = p;
    c->stash_n = rest.n;
    c->stash_at = 0;
    return true;
}

static bool preface(struct h2_conn *c, slice *in)
{
    slice want = slice_from(H2_PREFACE, c->preface_at);
    size_t n = in->n < want.n ? in->n : want.n;
    if (memcmp(in->p, want.p, n) != 0) {
        h2_conn_error(c, H2_PROTOCOL_ERROR, "invalid connection preface");
        return false;
    }
    c->preface_at = (uint8_t)(c->preface_at + n);
    *in = slice_from(*in, n);
    return true;
}

/* How much a wake-up may cost the others (row A14), and how much may wait to be written (row A5). */
static bool had_enough(const struct h2_conn *c)
{
    return c->frames >= FRAMES_A_TURN || c->opened >= OPENED_A_TURN || c->out_n - c->out_at > OUT_FULL;
}

static size_t parse(struct h2_conn *c, slice in)
{
    slice all = in;
    if (c->role->server && c->preface_at < H2_PREFACE.n && !preface(c, &in))
        return all.n;
    while (!c->closing || c->goaway_sent) {
        struct h2_event e;
        size_t used;
        if (c->failing)
            break;
        if (had_enough(c))
            return all.n - in.n;
        int rc = h2_read(&c->reader, in, &used, &e);
        in = slice_from(in, used);
        if (rc == ERR_MORE)
            break;
        if (rc != OK) {
            h2_conn_error(c, c->reader.error, "malformed frame");
            break;
        }
        c->frames++;
        take(c, &e);
    }
    return all.n;
}

void h2_conn_feed(struct h2_conn *c, slice bytes)
{
    bool outer = c->reading;
    c->reading = true;
    size_t used = parse(c, bytes);
    if (used < bytes.n && put_aside(c, slice_from(bytes, used)))
        c->choked = true;
    c->reading = outer;
    settle_end(c);
}

static ssize_t receive(struct h2_conn *c, char *dst, size_t cap)
{
    ssize_t n;
    if (c->tr) {
        n = c->tr->ops->read(c->tr, dst, cap);
    } else {
        do
            n = recv(c->io.fd, dst, cap, 0);
        while (n < 0 && errno == EINTR);
        n = n == 0 ? ERR_CLOSED : n > 0 ? n : errno == EAGAIN ? ERR_AGAIN : ERR_SYS;
    }
    if (n == ERR_AGAIN || (n > 0 && (size_t)n < cap && !c->hup && !(c->tr && c->tr->more)))
        c->readable = false;
    return n;
}

/* The rest of an earlier read goes first. */
static bool feed_stash(struct h2_conn *c)
{
    if (!c->stash)
        return true;
    char *p = c->stash;
    size_t at = c->stash_at, n = c->stash_n;
    c->stash = NULL;
    size_t used = parse(c, slice_of(p + at, n - at));
    if (at + used < n && !c->closed) {
        c->stash = p;
        c->stash_at = at + used;
        return false;
    }
    free(p);
    return true;
}

static void read_some(struct h2_conn *c)
{
    c->frames = c->opened = 0;
    for (int i = 0; i < READS_A_TURN && !c->failing; i++) {
        if (!feed_stash(c) || (!c->readable && !c->stash))
            return;
        char *dst = scratch_take(&c->w->scratch, NULL);
        ssize_t n = receive(c, dst, c->w->scratch.size);
        if (n == ERR_AGAIN)
            return;
        if (n < 0) {
            h2_conn_abort(c, WHY_CLIENT_CLOSED);
            return;
        }
        size_t used = parse(c, slice_of(dst, (size_t)n));
        if (used < (size_t)n && !c->failing) {
            put_aside(c, slice_of(dst + used, (size_t)n - used));
            return;
        }
    }
}

void h2_conn_read(struct h2_conn *c)
{
    if (c->closed || c->failing || c->reading)
        return;
    c->choked = false;
    c->reading = true;
    read_some(c);
    c->reading = false;
    if (c->failing) {
        settle_end(c);
        return;
    }
    if (c->out_n - c->out_at > OUT_FULL) {
        c->choked = true; /* until it has been written */
        h2_flush(c);
    } else if (c->stash || c->readable) {
        task_post_later(&c->w->loop, &c->again);
    }
    if (!c->closed && !c->io.watched && io_watch(&c->w->loop, &c->io) < 0)
        h2_conn_abort(c, WHY_NOMEM);
}

/* What the peer still sends is read and dropped, until it has read our GOAWAY and closes. */
static void linger(struct h2_conn *c)
{
    char *dst = scratch_take(&c->w->scratch, NULL);
    ssize_t n;
    for (int i = 0; i < READS_A_TURN && c->readable; i++) {
        n = receive(c, dst, c->w->scratch.size);
        if (n < 0 && n != ERR_AGAIN) {
            h2_conn_close(c);
            return;
        }
    }
}

void h2_conn_io(struct h2_conn *c, unsigned events)
{
    if (c->closed)
        return;
    if (events & IO_IN)
        h2_alive_heard(c);
    if (events & IO_HUP)
        c->hup = true;
    if (c->failing) {
        c->readable = true;
        if (c->lingering && !c->nstreams)
            linger(c);
        return;
    }
    if (events & (IO_IN | IO_HUP))
        c->readable = true;
    if ((events & IO_OUT) && c->blocked) {
        c->blocked = false;
        c->role->blocked(c, false);
        h2_flush(c);
    }
    if (c->readable && !c->choked)
        h2_conn_read(c);
}
