/*
 * headers: `add_header` and `add_trailer`. What they add goes to every answer of the location, whoever made it, when
 * the status is one of nginx's list or the line says `always`. Etag and Last-Modified replace what is there; everything
 * else is added.
 *
 * A trailer needs a body that is sent in chunks, so such an answer loses its length. Its value is made when the body
 * has passed, by a transform that changes nothing else.
 */
#include "policy/headers.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/answer.h"
#include "http/chars.h"
#include "http/transform.h"

/* One line of either directive. */
struct add_line {
    slice name;
    uint16_t token;
    bool always;
    struct template value;
    struct conf_pos pos;
    struct add_line *next;
};

enum inherit { INHERIT_ON, INHERIT_OFF, INHERIT_MERGE };

/* What is written at a level, and what holds there in the end. */
struct add_list {
    struct add_line *written; /* this very level's, or those that the schema inherited */
    struct add_line *lines;
};

/* SCOPE_LOCATION */
struct headers {
    struct add_list headers, trailers;
    uint32_t headers_inherit, trailers_inherit; /* enum inherit */
};

/* ngx_http_headers_module's manual, "add_header". */
static bool usual_status(unsigned status)
{
    switch (status) {
    case 200:
    case 201:
    case 204:
    case 206:
    case 301:
    case 302:
    case 303:
    case 304:
    case 307:
    case 308:
        return true;
    default:
        return false;
    }
}

/* ---- fields ---- */

/* Connection is no field of ours to write: it can only ask that the client's connection be closed. */
static int add_one(struct exchange *x, const struct add_line *line)
{
    slice value;
    if (exchange_eval(x, &line->value, &value) != OK)
        return ERR_NOMEM;
    if (line->token == TOK_CONNECTION) {
        x->req.keep_alive = x->req.keep_alive && !slice_ieq(value, SLICE("close"));
        return OK;
    }
    if ((line->token == TOK_ETAG || line->token == TOK_LAST_MODIFIED) && !answer_drop(x, line->token))
        return ERR_NOMEM;
    if (value.n == 0)
        return OK;
    exchange_trace(x, &line->pos, "add_header %.*s: %.*s", SLICE_FMT(line->name), SLICE_FMT(value));
    return answer_add(x, line->token, line->name, value) ? OK : ERR_NOMEM;
}

/* ---- trailers ---- */

/* Passes the body on as it is; its end is what this is about. */
struct trailer {
    struct transform t;
    struct exchange *x;
    const struct add_line *lines;
    bool usual;
};

static enum transform_result trailer_step(struct transform *t, struct pipe *in, struct pipe *out)
{
    if (!in->queued)
        return TRANSFORM_NEED_INPUT;
    return pipe_move(in, out, SIZE_MAX) ? TRANSFORM_MOVED : TRANSFORM_NEED_ROOM;
}

/* Without memory for them the body ends with the trailers that it had: they are not what an answer hangs on. */
static const struct fields *trailer_fields(struct transform *t, const struct fields *from)
{
    struct trailer *tr = container_of(t, struct trailer, t);
    struct exchange *x = tr->x;
    struct fields *f = arena_new(&x->arena, struct fields);
    slice value;
    if (!f)
        return from;
    for (uint32_t i = 0; from && i < from->n; i++) {
        if (!fields_add(&x->arena, f, from->v[i]))
            return from;
    }
    for (const struct add_line *l = tr->lines; l; l = l->next) {
        if (!tr->usual && !l->always)
            continue;
        struct field one = { .name = l->name, .token = l->token };
        if (exchange_eval(x, &l->value, &value) != OK)
            return from;
        one.value = value;
        if (value.n && http_is_value(value) && !fields_add(&x->arena, f, one))
            return from;
    }
    return f;
}

/* Only a chunked body can end with fields. */
static bool can_trail(const struct exchange *x)
{
    return x->req.minor >= 1 && x->req.method != METHOD_HEAD && x->resp.status >= 200 && x->resp.status != 204 &&
           x->resp.status != 304;
}

static int add_trailers(struct exchange *x, const struct add_line *lines, bool usual)
{
    const struct add_line *due = lines;
    while (due && !usual && !due->always)
        due = due->next;
    if (!due || !can_trail(x))
        return OK;
    struct trailer *t = arena_new(&x->arena, struct trailer);
    if (!t)
        return ERR_NOMEM;
    *t = (struct trailer){ .x = x, .lines = lines, .usual = usual };
    t->t = (struct transform){ .order = TRANSFORM_TRAIL, .step = trailer_step, .trailers = trailer_fields };
    x->resp.body = x->resp.declared = (struct body_fact){ .kind = BODY_UNKNOWN };
    for (; due; due = due->next)
        if (usual || due->always)
            exchange_trace(x, &due->pos, "add_trailer %.*s: its value is known at the end of the body",
                           SLICE_FMT(due->name));
    transform_insert(x, &t->t);
    return OK;
}

static int headers_response(struct exchange *x, const void *conf)
{
    const struct headers *h = conf;
    bool usual = usual_status(x->resp.status);
    int rc = OK;
    for (const struct add_line *l = h->headers.lines; l && rc == OK; l = l->next) {
        if (usual || l->always)
            rc = add_one(x, l);
    }
    if (rc == OK && h->trailers.lines)
        rc = add_trailers(x, h->trailers.lines, usual);
    return rc;
}

static bool headers_active(const void *conf)
{
    const struct headers *h = conf;
    return h->headers.lines || h->trailers.lines;
}

/* ---- directives ---- */

static int check_name(struct conf_ctx *cf, const struct conf_node *node, slice name, enum token t, bool trailer)
{
    if (!http_is_token(name))
        return conf_error(cf, node, 0, "\"%.*s\" is no name of a header field", SLICE_FMT(name));
    if (t == TOK_CONTENT_LENGTH || t == TOK_TRANSFER_ENCODING)
        return conf_error(cf, node, 0, "\"%.*s\" cannot be added: how a message is framed follows from its body alone",
                          SLICE_FMT(name));
    if (trailer && (token_flags(t) & T_NOTRAIL))
        return conf_error(cf, node, 0, "\"%.*s\" cannot be a trailer: recipients must know it before the body",
                          SLICE_FMT(name));
    return OK;
}

static int add_written(struct conf_ctx *cf, const struct conf_node *node, struct add_list *list, bool trailer)
{
    struct add_line *line = arena_new(cf->arena, struct add_line), **at = &list->written;
    if (!line)
        return ERR_NOMEM;
    line->name = node->args[0].text;
    line->token = (uint16_t)token_find(line->name);
    line->pos = node->pos;
    if (node->nargs == 3 && !slice_eq(node->args[2].text, SLICE("always")))
        return conf_error(cf, node, 2, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[2].text));
    line->always = node->nargs == 3;
    int rc = check_name(cf, node, line->name, line->token, trailer);
    if (rc == OK)
        rc = template_compile(cf, &node->args[1], &line->value);
    if (rc != OK)
        return rc;
    while (*at)
        at = &(*at)->next;
    *at = line;
    return OK;
}

static int set_add_header(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return add_written(cf, node, &((struct headers *)conf)->headers, false);
}

static int set_add_trailer(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return add_written(cf, node, &((struct headers *)conf)->trailers, true);
}

/* Own lines, and behind them the outer level's: copies, because each list has its own chain. */
static int append_lines(struct conf_ctx *cf, const struct add_line *own, const struct add_line *outer,
                        struct add_line **out)
{
    const struct add_line *const parts[] = { own, outer };
    struct add_line *first = NULL, **at = &first;
    for (size_t i = 0; i < array_len(parts); i++) {
        for (const struct add_line *l = parts[i]; l; l = l->next) {
            struct add_line *copy = arena_new(cf->arena, struct add_line);
            if (!copy)
                return ERR_NOMEM;
            *copy = *l;
            copy->next = NULL;
            *at = copy;
            at = &copy->next;
        }
    }
    *out = first;
    return OK;
}

/* What holds at a level; a list that the schema has copied from the outer level is not the level's own. */
static int settle(struct conf_ctx *cf, struct add_list *list, const struct add_list *outer, enum inherit how)
{
    struct add_line *own = outer && list->written == outer->written ? NULL : list->written;
    struct add_line *around = outer && how != INHERIT_OFF ? outer->lines : NULL;
    if (how == INHERIT_MERGE && own && around)
        return append_lines(cf, own, around, &list->lines);
    list->lines = own ? own : around;
    return OK;
}

static int headers_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                          const void *parent)
{
    struct headers *h = conf;
    const struct headers *p = parent;
    if (kind != SCOPE_LOCATION)
        return OK;
    int rc = settle(cf, &h->headers, p ? &p->headers : NULL, h->headers_inherit);
    return rc == OK ? settle(cf, &h->trailers, p ? &p->trailers : NULL, h->trailers_inherit) : rc;
}

/* Where `off` holds, an inner level has less than this one. */
static bool headers_shared(const void *outer)
{
    const struct headers *h = outer;
    return h->headers_inherit != INHERIT_OFF && h->trailers_inherit != INHERIT_OFF;
}

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LOCATION_IF)

static const struct conf_value inherit_values[] = {
    { "on", INHERIT_ON },
    { "off", INHERIT_OFF },
    { "merge", INHERIT_MERGE },
    { NULL, 0 },
};

#define LINES(dname, member, fn, usage_text, doc_text)                                                              \
    {                                                                                                               \
        .name = dname, .contexts = HSL, .min_args = 2, .max_args = 3, .type = CONF_CUSTOM, .scope = SCOPE_LOCATION, \
        .repeat = true, .offset = offsetof(struct headers, member), .size = sizeof(struct add_line *), .set = fn,   \
        .usage = usage_text, .doc = doc_text,                                                                       \
    }
#define INHERIT(dname, member, usage_text, doc_text)                                                              \
    {                                                                                                             \
        .name = dname, .contexts = HSL, .min_args = 1, .max_args = 1, .type = CONF_ENUM, .scope = SCOPE_LOCATION, \
        .offset = offsetof(struct headers, member), .values = inherit_values, .def = "on", .usage = usage_text,   \
        .doc = doc_text,                                                                                          \
    }

static const struct directive directives[] = {
    LINES("add_header", headers.written, set_add_header, "add_header NAME VALUE [always];",
          "Adds a field to answers with status 200, 201, 204, 206, 301, 302, 303, 304, 307 or 308; with always, to "
          "every answer. An empty value adds nothing. ETag and Last-Modified replace what is there. A level with any "
          "add_header inherits none of outer levels, unless add_header_inherit says otherwise."),
    INHERIT("add_header_inherit", headers_inherit, "add_header_inherit on | off | merge;",
            "What a level takes of the add_header lines around it. on: all of them, if it has none of its own. off: "
            "none. merge: all of them, behind its own."),
    LINES("add_trailer", trailers.written, set_add_trailer, "add_trailer NAME VALUE [always];",
          "Adds a field behind the body of answers, which are sent chunked then; for the statuses of add_header, or "
          "with always for all. The value is made when the body ends. Clients of HTTP/1.0 get none."),
    INHERIT("add_trailer_inherit", trailers_inherit, "add_trailer_inherit on | off | merge;",
            "What a level takes of the add_trailer lines around it; as add_header_inherit."),
};

struct feature headers_feature = {
    .name = "headers",
    .forward = true,
    .doc = "Fields and trailers added to answers.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct headers) },
    .finish = headers_finish,
    .shared = headers_shared,
};

const struct policy headers_policy = {
    .name = "headers",
    .feature = &headers_feature,
    .active = headers_active,
    .on_response = headers_response,
};
