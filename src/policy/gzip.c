/*
 * The decision is nginx's, test by test and in its order (ngx_http_gzip_module's manual and, where that is silent, what
 * nginx does): first whether the answer is one to compress, which also decides about Vary, then whether the request may
 * have it so.
 *
 * The body passes through a transform. What the compressor holds back is flushed a tick after it came, or at once where
 * the answer is not buffered (proxy_buffering off): a stream of events is not held, and a body that flows costs a flush
 * every few hundred kilobytes. The compressor's state is given back when the last byte was made, not when the client
 * has taken it.
 */
#include "policy/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/accept.h"
#include "http/answer.h"
#include "http/date.h"
#include "policy/gzip_stream.h"
#include "proxy/proxy.h"

enum { INPUT_MAX = 64 << 10 };

/* ---- is it an answer to compress ---- */

static bool is_coded(const struct fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].token == TOK_CONTENT_ENCODING && f->v[i].value.n)
            return true;
    }
    return false;
}

/* The type without its parameters. */
static bool type_listed(const struct exchange *x, const struct gzip_types *types)
{
    const struct field *f = fields_find(&x->resp.fields, TOK_CONTENT_TYPE);
    if (types->all)
        return true;
    if (!f)
        return false;
    slice type = f->value, rest;
    slice_cut(type, ';', &type, &rest);
    type = slice_trim(type);
    for (const struct gzip_type *t = types->first; t; t = t->next) {
        if (slice_ieq(t->name, type))
            return true;
    }
    return slice_ieq(type, SLICE("text/html"));
}

bool gzip_answer_fits(const struct exchange *x, const struct gzip_conf *c)
{
    const struct response *r = &x->resp;
    bool head = x->req.method == METHOD_HEAD;
    const struct body_fact *body = head ? &r->declared : &r->body;
    if (r->status != 200 && r->status != 403 && r->status != 404)
        return false;
    if ((body->kind == BODY_NONE && !head) || is_coded(&r->fields))
        return false;
    if (body->kind == BODY_LENGTH && body->length < c->min_length)
        return false;
    return type_listed(x, &c->types);
}

/* ---- does the request take it ---- */

static bool is_digit_of(char c, const char *set)
{
    for (; *set; set++) {
        if (c == *set)
            return true;
    }
    return false;
}

/* "MSIE 4." to "MSIE 6.", but for the 6.0 of Windows XP SP2, which says SV1 (nginx's manual, "gzip_disable"). */
static bool is_msie6(slice agent)
{
    static const slice mark = { "MSIE ", 5 }, sp2 = { "SV1", 3 };
    for (size_t i = 0; i + mark.n + 3 <= agent.n; i++) {
        slice s = slice_from(agent, i);
        if (!slice_starts(s, mark))
            continue;
        if (!is_digit_of(s.p[5], "456") || s.p[6] != '.')
            return false;
        for (size_t k = 7; s.p[5] == '6' && k + sp2.n <= s.n; k++) {
            if (slice_starts(slice_from(s, k), sp2))
                return false;
        }
        return true;
    }
    return false;
}

static bool agent_disabled(const struct exchange *x, const struct gzip_agents *d)
{
    const struct field *f = fields_find(&x->req.fields, TOK_USER_AGENT);
    if (!f)
        return false;
    if (d->msie6 && is_msie6(f->value))
        return true;
    for (const struct gzip_agent *a = d->first; a; a = a->next) {
        if (regex_match(a->regex, f->value, NULL, 0) != ERR_NOTFOUND)
            return true;
    }
    return false;
}

/* Is the directive in some Cache-Control of the answer? */
static bool cache_says(const struct exchange *x, slice directive)
{
    const struct fields *f = &x->resp.fields;
    for (uint32_t i = 0; i < f->n; i++) {
        slice rest = f->v[i].value, one;
        bool more = f->v[i].token == TOK_CACHE_CONTROL;
        while (more) {
            one = rest;
            more = slice_cut(rest, ',', &one, &rest);
            if (slice_ieq(slice_trim(one), directive))
                return true;
        }
    }
    return false;
}

/* Has it expired already, by its own Date or the clock. */
static bool has_expired(const struct exchange *x, slice expires)
{
    const struct field *d = fields_find(&x->resp.fields, TOK_DATE);
    int64_t at, now = x->w->loop.clock.sec;
    if (date_parse(expires, &at) != OK || (d && date_parse(d->value, &now) != OK))
        return false;
    return at < now;
}

/* gzip_proxied: for requests that came through a proxy, which says so by Via. */
static bool proxied_allows(const struct exchange *x, uint32_t p)
{
    const struct fields *f = &x->resp.fields;
    if (!fields_find(&x->req.fields, TOK_VIA))
        return true;
    if (p & GZIP_P_OFF)
        return false;
    if ((p & GZIP_P_ANY) || ((p & GZIP_P_AUTH) && fields_find(&x->req.fields, TOK_AUTHORIZATION)))
        return true;
    const struct field *e = fields_find(f, TOK_EXPIRES);
    if (e)
        return (p & GZIP_P_EXPIRED) && has_expired(x, e->value);
    if (fields_find(f, TOK_CACHE_CONTROL))
        return ((p & GZIP_P_NO_CACHE) && cache_says(x, SLICE("no-cache"))) ||
               ((p & GZIP_P_NO_STORE) && cache_says(x, SLICE("no-store"))) ||
               ((p & GZIP_P_PRIVATE) && cache_says(x, SLICE("private")));
    if ((p & GZIP_P_NO_LAST_MODIFIED) && fields_find(f, TOK_LAST_MODIFIED))
        return false;
    return !((p & GZIP_P_NO_ETAG) && fields_find(f, TOK_ETAG));
}

bool gzip_request_takes(const struct exchange *x, const struct gzip_conf *c, const char **why)
{
    if (!accepts_coding(&x->req.fields, SLICE("gzip")))
        *why = "the client does not accept it";
    else if (x->req.minor < c->minor)
        *why = "gzip_http_version";
    else if (!proxied_allows(x, c->proxied))
        *why = "gzip_proxied";
    else if (agent_disabled(x, &c->disable))
        *why = "gzip_disable";
    else
        return true;
    return false;
}

/* ---- the body ---- */

struct gzip_body {
    struct transform t;
    struct worker *w;
    struct gzip_stream *stream; /* NULL: the last byte is made */
    struct timer timer;
    uint64_t in, out;
    bool eager;
    bool pending; /* the compressor may hold input back */
    bool due;     /* and shall not any longer */
};

static void wait_and_flush(struct gzip_body *g)
{
    if (!g->pending || g->due)
        return;
    if (!g->eager) {
        if (!g->timer.at)
            timer_set(&g->w->loop, &g->timer, LOOP_TICK_MS);
        return;
    }
    g->due = true;
    transform_wake(&g->t);
}

static void on_timer(struct timer *timer)
{
    struct gzip_body *g = container_of(timer, struct gzip_body, timer);
    g->due = true;
    transform_wake(&g->t);
}

/* What is next in the pipe, as memory; SLICE_NONE: nothing. false: a file could not be read. */
static bool next_input(struct gzip_body *g, const struct pipe *in, slice *out)
{
    size_t skip;
    const struct piece *e = pipe_front(in, &skip);
    *out = SLICE_NONE;
    if (!e)
        return true;
    size_t n = e->n - skip, most = e->kind == PIECE_FILE ? GZIP_BUFFER : INPUT_MAX;
    if (n > most)
        n = most;
    if (e->kind != PIECE_FILE) {
        *out = slice_of(e->p + skip, n);
        return true;
    }
    ssize_t got;
    do
        got = pread(e->fd, g->w->gzip->in, n, (off_t)(e->offset + skip));
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    *out = slice_of(g->w->gzip->in, (size_t)got);
    return true;
}

static void end_stream(struct gzip_body *g)
{
    if (g->stream)
        gzip_stream_give(g->w->gzip, g->stream);
    g->stream = NULL;
    timer_drop(&g->w->loop, &g->timer);
}

/* What to ask of the compressor with that input, when it has something to do. */
static bool goal_of(const struct gzip_body *g, const struct pipe *in, slice data, enum gzip_goal *goal)
{
    *goal = GZIP_MORE;
    if (in->state == PIPE_EOF && data.n == in->queued)
        *goal = GZIP_END;
    else if (!data.n && g->pending && (g->due || in->state == PIPE_ABORTED))
        *goal = GZIP_FLUSH;
    else
        return data.n > 0;
    return true;
}

/* One call of the compressor; returns how much it wrote. */
static size_t compress(struct gzip_body *g, struct pipe *in, slice data, enum gzip_goal goal)
{
    bool done;
    size_t before = data.n;
    size_t n = gzip_stream_run(g->stream, &data, g->w->gzip->out, GZIP_BUFFER, goal, &done);
    size_t taken = before - data.n;
    if (taken)
        pipe_take(in, taken);
    g->in += taken;
    g->out += n;
    if (done && goal == GZIP_END) {
        end_stream(g);
    } else if (done && goal == GZIP_FLUSH) {
        g->pending = g->due = false;
        timer_clear(&g->timer);
    } else if (goal == GZIP_MORE) {
        g->pending = true;
    }
    return n;
}

static enum transform_result gzip_step(struct transform *t, struct pipe *in, struct pipe *out)
{
    struct gzip_body *g = container_of(t, struct gzip_body, t);
    enum gzip_goal goal;
    slice data;
    while (g->stream) {
        if (!next_input(g, in, &data))
            return TRANSFORM_FAILED;
        if (!goal_of(g, in, data, &goal)) {
            wait_and_flush(g);
            return TRANSFORM_NEED_INPUT;
        }
        size_t n = compress(g, in, data, goal);
        if (!n)
            continue;
        pipe_put(out, PIECE_LOAN, slice_of(g->w->gzip->out, n));
        return g->stream ? TRANSFORM_MOVED : TRANSFORM_NEED_INPUT; /* the end goes with the last bytes */
    }
    return TRANSFORM_NEED_INPUT;
}

static void gzip_done(struct transform *t)
{
    end_stream(container_of(t, struct gzip_body, t));
}

int gzip_insert(struct exchange *x, unsigned level, size_t memory, bool eager)
{
    struct worker *w = x->w;
    if (!w->gzip)
        w->gzip = calloc(1, sizeof(*w->gzip));
    struct gzip_body *g = w->gzip ? arena_new(&x->arena, struct gzip_body) : NULL;
    if (!g)
        return ERR_NOMEM;
    g->stream = gzip_stream_take(w->gzip, level, memory);
    if (!g->stream)
        return ERR_LIMIT;
    g->t = (struct transform){ .order = TRANSFORM_CODE, .step = gzip_step, .done = gzip_done };
    g->w = w;
    g->eager = eager;
    timer_init(&g->timer, on_timer);
    transform_insert(x, &g->t);
    return OK;
}

bool gzip_counts(const struct exchange *x, uint64_t *in, uint64_t *out)
{
    const struct transform *t = transform_find(x, gzip_step);
    if (!t)
        return false;
    const struct gzip_body *g = container_of(t, struct gzip_body, t);
    *in = g->in;
    *out = g->out;
    return true;
}

/* ---- the answer's head ---- */

static bool vary_names_it(const struct exchange *x)
{
    const struct fields *f = &x->resp.fields;
    for (uint32_t i = 0; i < f->n; i++) {
        slice rest = f->v[i].value, one;
        bool more = f->v[i].token == TOK_VARY;
        while (more) {
            one = rest;
            more = slice_cut(rest, ',', &one, &rest);
            one = slice_trim(one);
            if (slice_ieq(one, SLICE("accept-encoding")) || slice_eq(one, SLICE("*")))
                return true;
        }
    }
    return false;
}

/* The bytes are no longer those that a strong validator stands for (RFC 9110 §8.8.1). One that is no validator goes. */
static bool weaken_etag(struct exchange *x)
{
    const struct field *f = fields_find(&x->resp.fields, TOK_ETAG);
    if (!f || slice_starts(f->value, SLICE("W/")))
        return true;
    slice value = f->value, weak = arena_printf(&x->arena, "W/%.*s", SLICE_FMT(value));
    if (!weak.p || !answer_drop(x, TOK_ETAG))
        return false;
    return !slice_starts(value, SLICE("\"")) || answer_add(x, TOK_ETAG, SLICE("ETag"), weak);
}

/* The head of an answer to HEAD says what that to GET would. */
static int compress_answer(struct exchange *x, const struct gzip_conf *c)
{
    bool eager = !x->local && x->proxy && !x->proxy->buffering, head = x->req.method == METHOD_HEAD;
    int rc = head ? OK : gzip_insert(x, (unsigned)c->level, c->memory, eager);
    if (rc == ERR_LIMIT) {
        worker_count(x->w, COUNT_GZIP_REFUSED);
        exchange_trace(x, &c->pos, "gzip: gzip_memory is used up");
        return OK;
    }
    if (rc != OK)
        return rc;
    exchange_trace(x, &c->pos, "gzip: compressed at level %u", (unsigned)c->level);
    x->resp.declared = (struct body_fact){ .kind = BODY_UNKNOWN };
    if (!head)
        x->resp.body = x->resp.declared;
    bool ok = answer_drop(x, TOK_ACCEPT_RANGES) && weaken_etag(x) && answer_drop(x, TOK_CONTENT_ENCODING) &&
              answer_add(x, TOK_CONTENT_ENCODING, SLICE("Content-Encoding"), SLICE("gzip"));
    return ok ? OK : ERR_NOMEM;
}

static int gzip_response(struct exchange *x, const void *conf)
{
    const struct gzip_conf *c = conf;
    const char *why;
    if (!gzip_answer_fits(x, c))
        return OK;
    if (c->vary && !vary_names_it(x) && !answer_add(x, TOK_VARY, SLICE("Vary"), SLICE("Accept-Encoding")))
        return ERR_NOMEM;
    if (gzip_request_takes(x, c, &why))
        return compress_answer(x, c);
    exchange_trace(x, &c->pos, "gzip: not compressed: %s", why);
    return OK;
}

static bool gzip_active(const void *conf)
{
    return ((const struct gzip_conf *)conf)->on;
}

const struct policy gzip_policy = {
    .name = "gzip",
    .feature = &gzip_feature,
    .active = gzip_active,
    .on_response = gzip_response,
};

/* ---- the worker ---- */

static void gzip_worker_done(struct worker *w)
{
    if (!w->gzip)
        return;
    gzip_store_done(w->gzip);
    free(w->gzip);
    w->gzip = NULL;
}

const struct room_hooks gzip_room = { .name = "gzip", .done = gzip_worker_done };
