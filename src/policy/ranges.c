/*
 * ranges: Range requests (RFC 9110 §14), answered from files, and with proxy_force_ranges from what backends send.
 *
 * The last of the response policies: whatever else changes an answer has done so, and one that is compressed or has no
 * known length any more is not cut. Of a file any number of ranges can be had, in any order; of a backend's answer one,
 * because it passes by once: what lies before it is dropped, and what lies behind it is not waited for.
 */
#include "policy/ranges.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "http/date.h"
#include "http/range.h"
#include "http/transform.h"
#include "policy/conditional.h"
#include "policy/files.h"

/* SCOPE_LOCATION */
struct ranges_conf {
    uint64_t max;
    bool force;
};

static bool put(struct exchange *x, enum token t, slice name, slice value)
{
    return value.p &&
           fields_add(&x->arena, &x->resp.fields, (struct field){ .name = name, .value = value, .token = (uint16_t)t });
}

/* ---- a part of a body that passes by ---- */

struct cut {
    struct transform t;
    uint64_t skip, left;
};

static void put_piece(struct pipe *out, const struct piece *e, size_t at, size_t n)
{
    if (e->kind == PIECE_FILE)
        pipe_put_file(out, e->fd, e->offset + at, n);
    else if (e->kind == PIECE_BUF)
        pipe_put_buf(out, buf_ref(e->buf), slice_of(e->p + at, n));
    else
        pipe_put(out, (enum piece_kind)e->kind, slice_of(e->p + at, n));
}

static enum transform_result cut_step(struct transform *t, struct pipe *in, struct pipe *out)
{
    struct cut *c = container_of(t, struct cut, t);
    size_t taken;
    const struct piece *e = pipe_front(in, &taken);
    if (!e)
        return TRANSFORM_NEED_INPUT;
    size_t n = e->n - taken;
    if (c->skip) {
        n = n < c->skip ? n : (size_t)c->skip;
        c->skip -= n;
        pipe_take(in, n);
        return TRANSFORM_MOVED;
    }
    n = n < c->left ? n : (size_t)c->left;
    put_piece(out, e, taken, n);
    pipe_take(in, n);
    c->left -= n;
    if (!c->left)
        pipe_end(out, NULL);
    return TRANSFORM_MOVED;
}

static int cut_body(struct exchange *x, const struct range *r)
{
    if (x->req.method == METHOD_HEAD)
        return OK;
    struct cut *c = arena_new(&x->arena, struct cut);
    if (!c)
        return ERR_NOMEM;
    c->t.order = TRANSFORM_CUT;
    c->t.step = cut_step;
    c->skip = r->start;
    c->left = r->end - r->start;
    transform_insert(x, &c->t);
    return OK;
}

/* ---- answers ---- */

static int accept_ranges(struct exchange *x)
{
    return put(x, TOK_ACCEPT_RANGES, SLICE("Accept-Ranges"), SLICE("bytes")) ? OK : ERR_NOMEM;
}

static void set_partial(struct exchange *x, uint64_t length)
{
    x->resp.status = 206;
    x->resp.reason = status_reason(206);
    x->resp.declared = (struct body_fact){ BODY_LENGTH, length };
    if (x->resp.body.kind != BODY_NONE)
        x->resp.body = x->resp.declared;
}

static slice content_range(struct exchange *x, const struct range *r, uint64_t size)
{
    return arena_printf(&x->arena, "bytes %llu-%llu/%llu", (unsigned long long)r->start, (unsigned long long)r->end - 1,
                        (unsigned long long)size);
}

static int answer_one(struct exchange *x, const struct range *r, uint64_t size)
{
    set_partial(x, r->end - r->start);
    if (!put(x, TOK_CONTENT_RANGE, SLICE("Content-Range"), content_range(x, r, size)))
        return ERR_NOMEM;
    if (!file_answers(x))
        return cut_body(x, r);
    struct file_part *part = arena_new(&x->arena, struct file_part);
    if (!part)
        return ERR_NOMEM;
    part->range = *r;
    file_answer_parts(x, part, 1, SLICE_NONE);
    return OK;
}

/* Twenty digits, as nginx's: nobody can know them beforehand, so no file can hold them on purpose. */
static void make_boundary(char dst[20])
{
    uint64_t number;
    rand_bytes(&number, sizeof(number));
    for (int i = 19; i >= 0; i--) {
        dst[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* multipart/byteranges, RFC 9110 §14.6. */
static int answer_many(struct exchange *x, const struct ranges *all, uint64_t size)
{
    char digits[20];
    const struct field *type = fields_find(&x->resp.fields, TOK_CONTENT_TYPE);
    struct file_part *parts = arena_new_n(&x->arena, struct file_part, all->n);
    uint64_t total = 0;
    make_boundary(digits);
    slice of = type ? arena_printf(&x->arena, "Content-Type: %.*s\r\n", SLICE_FMT(type->value)) : SLICE("");
    slice last = arena_printf(&x->arena, "\r\n--%.20s--\r\n", digits);
    if (!parts || !of.p || !last.p)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < all->n; i++) {
        slice where = content_range(x, &all->v[i], size);
        slice head = arena_printf(&x->arena, "\r\n--%.20s\r\n%.*sContent-Range: %.*s\r\n\r\n", digits, SLICE_FMT(of),
                                  SLICE_FMT(where));
        if (!where.p || !head.p)
            return ERR_NOMEM;
        parts[i] = (struct file_part){ .before = head, .range = all->v[i] };
        total += head.n + (all->v[i].end - all->v[i].start); /* the ranges together are no more than the file */
    }
    fields_remove(&x->resp.fields, TOK_CONTENT_TYPE);
    slice value = arena_printf(&x->arena, "multipart/byteranges; boundary=%.20s", digits);
    if (!put(x, TOK_CONTENT_TYPE, SLICE("Content-Type"), value))
        return ERR_NOMEM;
    set_partial(x, total + last.n);
    file_answer_parts(x, parts, all->n, last);
    return OK;
}

/* 416 with the size of what there is, RFC 9110 §15.5.17. */
static int answer_none(struct exchange *x, uint64_t size)
{
    slice value = arena_printf(&x->arena, "bytes */%llu", (unsigned long long)size);
    if (!value.p || reply_set(x, 416, SLICE_NONE, SLICE_NONE, true) != OK ||
        !put(x, TOK_CONTENT_RANGE, SLICE("Content-Range"), value))
        return ERR_NOMEM;
    return RESPONSE_REPLACED;
}

/* ---- the policy ---- */

/* Can this answer be cut, and how long is it? */
static bool divisible(const struct exchange *x, const struct ranges_conf *c, uint64_t *size)
{
    const struct response *r = &x->resp;
    bool file = file_answers(x);
    if (r->status != 200 || r->declared.kind != BODY_LENGTH || c->max == 0)
        return false; /* what changes a body has taken its length away */
    if (!file && (x->local || !c->force || (r->body.kind == BODY_NONE && x->req.method != METHOD_HEAD)))
        return false;
    *size = r->declared.length;
    return true;
}

static bool if_range(const struct exchange *x)
{
    const struct field *etag = fields_find(&x->resp.fields, TOK_ETAG);
    const struct field *date = fields_find(&x->resp.fields, TOK_LAST_MODIFIED);
    int64_t modified;
    if (!date || date_parse(date->value, &modified) != OK)
        modified = NO_MODIFIED;
    return conditional_range(x, etag ? etag->value : SLICE_NONE, modified);
}

static int ranges_response(struct exchange *x, const void *conf)
{
    const struct ranges_conf *c = conf;
    const struct field *f = fields_find(&x->req.fields, TOK_RANGE);
    struct ranges all;
    uint64_t size;
    bool file = file_answers(x);
    if (!file && !x->local && c->force)
        fields_remove(&x->resp.fields, TOK_ACCEPT_RANGES); /* what the backend says of itself holds no more */
    if (!divisible(x, c, &size))
        return OK;
    if (!f || !if_range(x))
        return accept_ranges(x);
    int rc = range_parse(&x->arena, f->value, size, file ? c->max : 1, &all);
    exchange_trace(x, &x->pass.loc->pos, "Range \"%.*s\": %s", SLICE_FMT(f->value),
                   rc == OK          ? "answered in parts"
                   : rc == ERR_RANGE ? "not satisfiable"
                                     : "answered whole");
    if (rc == ERR_UNSUPPORTED)
        return accept_ranges(x);
    if (rc == ERR_RANGE)
        return answer_none(x, size);
    if (rc != OK)
        return rc;
    return all.n == 1 ? answer_one(x, &all.v[0], size) : answer_many(x, &all, size);
}

static bool ranges_active(const void *conf)
{
    return ((const struct ranges_conf *)conf)->force;
}

static bool ranges_active_at(const struct location *l)
{
    return l->content == &files_content;
}

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

static const struct directive directives[] = {
    {
        .name = "max_ranges",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_NUM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct ranges_conf, max),
        .def = "16",
        .usage = "max_ranges NUMBER;",
        .doc = "How many ranges a request may ask for; one that asks for more gets the whole. 0: ranges are not "
               "answered. nginx sets no limit.",
    },
    {
        .name = "proxy_force_ranges",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct ranges_conf, force),
        .def = "off",
        .usage = "proxy_force_ranges on | off;",
        .doc = "Whether a range is cut out of a backend's answer with status 200 and a known length, whatever the "
               "backend makes of ranges.",
    },
};

struct feature ranges_feature = {
    .name = "ranges",
    .doc = "Parts of answers.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct ranges_conf) },
};

const struct policy ranges_policy = {
    .name = "ranges",
    .feature = &ranges_feature,
    .active = ranges_active,
    .active_at = ranges_active_at,
    .on_response = ranges_response,
};
