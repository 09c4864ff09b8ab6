/*
 * A stream to a backend: the request that goes out, the answer that comes, and how both end.
 */
#include <errno.h>

#include "base/err.h"
#include "h2/client_priv.h"
#include "h2/head.h"
#include "h2/request.h"
#include "http/chars.h"

enum { INTERIMS_MAX = 8 };

/* Of one head: what a backend may send, and what is read of one that is too much, for the sake of the table. */
enum { FIELDS_MAX = 1000, FIELDS_HARD = 1 << 15 };

/* ---- the request ---- */

static int send_head(struct end *e, struct exchange *x)
{
    struct h2_stream *s = h2_stream_of(e);
    const struct origin_head *o = &x->origin;
    struct h2_head h;
    if (s->c->failing)
        return OK; /* what has failed is posted */
    int rc = h2_head_begin(&h, &x->arena, o->fields.n + 6);
    if (rc == OK)
        rc = h2_head_pseudo(&h, SLICE(":method"), o->method);
    if (rc == OK)
        rc = h2_head_pseudo(&h, SLICE(":scheme"), s->c->tr ? SLICE("https") : SLICE("http"));
    if (rc == OK)
        rc = h2_head_pseudo(&h, SLICE(":path"), o->target);
    if (rc == OK && o->host.n)
        rc = h2_head_pseudo(&h, SLICE(":authority"), o->host);
    if (rc == OK && o->body.kind == BODY_LENGTH)
        rc = h2_head_length(&h, o->body.length);
    if (rc == OK)
        rc = h2_head_fields(&h, &o->fields, false);
    if (rc == OK && h2_client_limits_of(s)->pass_trailers)
        rc = h2_head_pseudo(&h, SLICE("te"), SLICE("trailers"));
    if (rc != OK)
        return rc;
    h2_stream_number(s, s->c->next_id);
    s->c->next_id += 2;
    s->send_window = s->c->peer.window;
    s->head_out = true;
    e->out->ready = true;
    bool ends = o->body.kind == BODY_NONE || (o->body.kind == BODY_LENGTH && !o->body.length);
    return h2_out_head(s, h.v, h.n, ends);
}

static void kick_out(struct end *e)
{
    h2_stream_kicked(h2_stream_of(e));
}

void h2_client_out_done(struct h2_stream *s)
{
    timer_clear(&s->out_timer);
    if (!s->end.x || s->broken)
        return;
    if (!s->head_done)
        h2_client_timer(s, &s->in_timer, h2_client_limits_of(s)->read_timeout);
    exchange_post(s->end.x, X_BACK_SENT);
}

void h2_client_out_stuck(struct h2_stream *s, bool on)
{
    if (on && !s->out_timer.at)
        h2_client_timer(s, &s->out_timer, h2_client_limits_of(s)->send_timeout);
    else if (!on)
        timer_clear(&s->out_timer);
}

/* ---- the answer ---- */

struct answer {
    struct exchange *x;
    struct response r;
    slice length;
    size_t bytes, most;
    uint32_t fields;
    bool bad, big, nomem, regular;
};

static bool answer_field(void *arg, slice name, slice value)
{
    struct answer *a = arg;
    enum token t = token_find(name);
    struct field f = { .name = token_name(t), .token = (uint16_t)t };
    uint64_t status;
    a->bytes += name.n + value.n;
    a->big = a->big || ++a->fields > FIELDS_MAX || a->bytes > a->most;
    if (a->big)
        return true;
    if (name.n && name.p[0] == ':') {
        a->bad = a->bad || a->regular || a->r.status || !slice_eq(name, SLICE(":status")) || value.n != 3 ||
                 slice_to_u64(value, &status) != OK || status < 100 || status > 599;
        if (!a->bad)
            a->r.status = (uint16_t)status;
        return true;
    }
    a->regular = true;
    if (!h2_name_ok(name) || !http_is_value(value) || t == TOK_CONNECTION || t == TOK_TRANSFER_ENCODING ||
        t == TOK_UPGRADE || (t == TOK_CONTENT_LENGTH && a->length.p))
        a->bad = true;
    if (a->bad)
        return true;
    value = slice_trim(value);
    a->nomem = (t == TOK_NONE && !arena_dup(&a->x->arena, name, &f.name)) ||
               !arena_dup(&a->x->arena, value, &f.value) ||
               !fields_add(&a->x->arena, token_flags(t) & T_HOP ? &a->r.hop : &a->r.fields, f);
    if (t == TOK_CONTENT_LENGTH)
        a->length = f.value.p ? f.value : SLICE("");
    return !a->nomem;
}

static bool set_body(struct h2_stream *s, struct answer *a, bool ends)
{
    struct response *r = &a->r;
    enum method m = a->x->origin.method_id;
    uint64_t n = 0;
    if (a->length.p && (slice_to_u64(a->length, &n) != OK || n >> 63))
        return false;
    bool none = m == METHOD_HEAD || r->status == 204 || r->status == 304;
    r->declared = (struct body_fact){ a->length.p ? BODY_LENGTH : ends ? BODY_NONE : BODY_UNKNOWN, n };
    r->body = none || ends ? (struct body_fact){ BODY_NONE, 0 } : r->declared;
    if (ends && !none && n)
        return false;
    s->length = none ? 0 : a->length.p ? n : UINT64_MAX;
    return true;
}

static void take_final(struct h2_stream *s, struct answer *a, bool ends)
{
    struct exchange *x = s->end.x;
    if (!set_body(s, a, ends)) {
        worker_count(x->w, COUNT_UPSTREAM_BAD);
        h2_client_fail(s, WHY_BAD_HEAD, 0, "Content-Length does not fit");
        return;
    }
    a->r.minor = 1;
    a->r.keep_alive = true;
    x->resp = a->r;
    s->head_done = true;
    s->ended_in = ends;
    timer_clear(&s->in_timer);
    exchange_post(x, X_BACK_HEAD);
}

static void take_interim(struct h2_stream *s, const struct answer *a, bool ends)
{
    struct exchange *x = s->end.x;
    if (ends || a->r.status == 101 || ++s->interims > INTERIMS_MAX) {
        h2_client_fail(s, ends || a->r.status == 101 ? WHY_BAD_HEAD : WHY_INTERIMS, 0, "unexpected interim response");
        return;
    }
    if (a->r.status == 100 || (x->events & X_BACK_INTERIM))
        return; /* we ask for none; and a second before the first was passed on is dropped */
    if (!x->interim && !(x->interim = arena_new(&x->arena, struct response))) {
        h2_client_fail(s, WHY_NOMEM, 0, NULL);
        return;
    }
    *x->interim = a->r;
    x->interim->minor = 1;
    exchange_post(x, X_BACK_INTERIM);
}

static void take_trailers(struct h2_stream *s, bool ends, slice block, const struct h2_limits *limits)
{
    struct exchange *x = s->end.x;
    struct fields *out = x && h2_client_limits_of(s)->pass_trailers ? arena_new(&x->arena, struct fields) : NULL;
    struct h2_trailers t = { .arena = out ? &x->arena : NULL, .out = out };
    size_t bytes;
    if (h2_hpack_decode(&s->c->hpack, block, limits, h2_trailer_field, &t, &bytes) != OK) {
        h2_conn_error(s->c, H2_COMPRESSION_ERROR, "trailers cannot be decoded");
    } else if (t.bad || t.fields > FIELDS_MAX || !ends || s->ended_in) {
        h2_stream_fail(s, WHY_CLIENT_BODY, H2_PROTOCOL_ERROR);
    } else {
        s->trailers = out;
        h2_stream_ended(s);
    }
}

static bool ignore(void *arg, slice name, slice value)
{
    return true;
}

void h2_client_block(struct h2_conn *c, struct h2_stream *s, uint32_t id, bool ends, slice block)
{
    struct h2_limits limits = { .bytes = H2_ANSWER_BYTES, .fields = FIELDS_HARD };
    struct answer a = { 0 };
    size_t bytes = 0;
    if (!s && (!(id & 1) || h2_conn_idle(c, id))) {
        h2_conn_error(c, H2_PROTOCOL_ERROR, "HEADERS for an idle stream");
        return;
    }
    bool wanted = s && s->end.x && !s->failed && !(s->end.x->events & X_BACK_FAILED);
    if (wanted) {
        a.x = s->end.x;
        a.most = h2_client_limits_of(s)->head_max;
    }
    if (wanted && s->head_done) {
        take_trailers(s, ends, block, &limits);
        return;
    }
    int rc = h2_hpack_decode(&c->hpack, block, &limits, wanted ? answer_field : ignore, &a, &bytes);
    if (rc != OK) {
        h2_conn_error(c, rc == ERR_LIMIT ? H2_ENHANCE_YOUR_CALM : H2_COMPRESSION_ERROR, "a head cannot be decoded");
        return;
    }
    if (!wanted)
        return;
    s->received += bytes;
    a.r.head_size = bytes;
    if (a.big) {
        worker_count(c->w, COUNT_UPSTREAM_LIMIT);
        h2_client_fail(s, WHY_BIG_HEAD, 0, NULL);
    } else if (a.bad || !a.r.status) {
        worker_count(c->w, COUNT_UPSTREAM_BAD);
        h2_client_fail(s, WHY_BAD_HEAD, 0, "malformed head");
    } else if (a.r.status < 200) {
        take_interim(s, &a, ends);
    } else {
        take_final(s, &a, ends);
    }
}

/*
 * A backend sends the heads of all answers that are due, and behind them the bodies. What of these has not come with
 * the head mostly comes in the next turn, so the head waits that long: a segment of its own costs a client's connection
 * more than all the rest.
 */
static void kick_in(struct end *e)
{
    struct h2_stream *s = h2_stream_of(e);
    struct pipe *p = e->in;
    if (!s->head_done || !e->x->head_sent || (e->x->events & X_BACK_FAILED))
        return;
    bool first = !s->asked;
    h2_stream_want(s);
    if (p->soon) {
        p->soon = false;
        pipe_push(p);
    } else if (first && !p->put && p->state == PIPE_OPEN && !e->x->transforms && !s->failed) {
        p->soon = true;
        task_post_later(&s->c->w->loop, &e->kick);
    }
}

void h2_client_in_done(struct h2_stream *s)
{
    exchange_post(s->end.x, X_BACK_DONE);
}

void h2_client_in_full(struct h2_stream *s)
{
    timer_clear(&s->in_timer);
    if (s->end.in->overflow)
        exchange_post(s->end.x, X_BACK_FULL);
}

/* Behind a full pipe the backend's time stands still. */
void h2_client_in_wait(struct h2_stream *s, bool on)
{
    if (on && !s->end.in->queued)
        h2_client_timer(s, &s->in_timer, h2_client_limits_of(s)->read_timeout);
    else
        timer_clear(&s->in_timer);
}

static void stop_in(struct end *e)
{
    h2_stream_stop(h2_stream_of(e));
}

/* ---- the end ---- */

void h2_client_failed(struct h2_stream *s, enum x_why why, enum h2_error error)
{
    if (s->ended_in && why == WHY_CLIENT_CLOSED) {
        s->failed = false; /* the answer is whole, and the rest of the request for nobody (RFC 9113 §8.1) */
        return;
    }
    if (error == H2_REFUSED_STREAM)
        s->untouched = true;
    if (why == WHY_CONNECT)
        h2_client_fail(s, WHY_CONNECT, errno, NULL);
    else if (why == WHY_HANDSHAKE)
        h2_client_fail(s, WHY_HANDSHAKE, 0, h2_client_of(s->c)->why);
    else if (why == WHY_CLIENT_BODY)
        h2_client_fail(s, WHY_BAD_BODY, 0, "malformed message");
    else if (why == WHY_CLIENT_CLOSED)
        h2_client_fail(s, s->head_done ? WHY_CLOSED_BODY : WHY_CLOSED, 0, NULL);
    else
        h2_client_fail(s, why, 0, NULL);
}

static void leave(struct end *e, enum h2_error error)
{
    struct h2_stream *s = h2_stream_of(e);
    struct h2_conn *c = s->c;
    if (s->id && !(s->ended_in && s->ended_out))
        h2_stream_reset(s, error);
    end_detach(e);
    h2_stream_done(s);
    slab_give(&c->w->h2->streams, s);
    if (c->failing)
        h2_conn_left(c);
    else if (!c->nstreams && h2_client_of(c)->connecting)
        h2_conn_abort(c, WHY_SHUTDOWN);
    else
        h2_client_rest(h2_client_of(c));
}

static void reset(struct end *e)
{
    leave(e, H2_CANCEL);
}

static void finish(struct end *e)
{
    leave(e, H2_NO_ERROR);
}

void h2_client_wrote(struct h2_stream *s, size_t head, size_t body)
{
    s->sent += head + body;
    s->body += body;
}

const struct end_ops h2_client_ops = {
    .name = "h2 client",
    .send_head = send_head,
    .kick_out = kick_out,
    .kick_in = kick_in,
    .stop_in = stop_in,
    .reset = reset,
    .finish = finish,
};
