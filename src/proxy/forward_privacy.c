#include "proxy/forward_privacy.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/schema.h"
#include "forward/privacy.h"
#include "http/chars.h"
#include "proxy/forward_block.h"
#include "proxy/forward_filter.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy.h"

enum kind { REFERER, TRACKERS, HEADER, SOURCE, KINDS };
enum mode { MODE_OFF, MODE_ON, MODE_CROSS };

struct privacy_rule {
    enum mode mode;
    slice name;         /* of HEADER */
    struct addr source; /* of SOURCE, when on */
    struct fwd_term *terms;
    uint32_t nterms;
    struct conf_pos pos;
    slice text;
    struct privacy_rule *next;
};

struct privacy_lines {
    struct privacy_rule *first[KINDS], **last[KINDS];
    uint32_t nheaders;
};

/* ---- running ---- */

/* A condition that cannot be told does not spare what gives away. */
static bool holds(const struct privacy_rule *r, enum fwd_answer a, enum kind k)
{
    if (a == FWD_STUCK || a == FWD_NEED_USER)
        return k != SOURCE && r->mode != MODE_OFF;
    return a == FWD_YES;
}

/* The first line of a kind, behind `after` (NULL: of all), that holds: OK and *out (NULL: none), or ERR_AGAIN. */
static int next_line(struct exchange *x, const struct privacy_rule *r, enum kind k, const struct fwd_request *v,
                     const struct privacy_rule **out)
{
    for (; r; r = r->next) {
        enum fwd_answer a = fwd_terms_match(r->terms, r->nterms, v, NULL);
        if (a == FWD_NEED_ADDRESSES)
            return ERR_AGAIN;
        if (!holds(r, a, k))
            continue;
        exchange_trace(x, &r->pos, "%.*s", SLICE_FMT(r->text));
        break;
    }
    *out = r;
    return OK;
}

static int headers(struct exchange *x, const struct privacy_lines *l, const struct fwd_request *v,
                   struct forward_strip *s)
{
    const struct privacy_rule *r;
    slice *names = arena_new_n(&x->arena, slice, l->nheaders);
    if (!names)
        return ERR_NOMEM;
    s->names = names;
    int rc = next_line(x, l->first[HEADER], HEADER, v, &r);
    while (rc == OK && r) {
        names[s->n++] = r->name;
        rc = next_line(x, r->next, HEADER, v, &r);
    }
    return rc;
}

static int parameters(struct exchange *x)
{
    slice target = x->proxy->target;
    if (x->req.form != TARGET_ABSOLUTE || slice_find(target, '?') < 0)
        return OK;
    char *dst = arena_bytes(&x->arena, target.n + 1);
    if (!dst)
        return ERR_NOMEM;
    size_t n = strip_trackers(dst, target);
    if (n == target.n)
        return OK;
    if (!n)
        dst[n++] = '/';
    x->proxy->target = slice_of(dst, n);
    worker_count(x->w, COUNT_TRACKERS_STRIPPED);
    exchange_trace(x, NULL, "the target goes out as %.*s", SLICE_FMT(x->proxy->target));
    return OK;
}

static int fields(struct exchange *x, const struct privacy_lines *l, const struct fwd_request *v,
                  struct forward_strip *s)
{
    const struct privacy_rule *r;
    int rc = next_line(x, l->first[REFERER], REFERER, v, &r);
    if (rc == OK && r) {
        s->referer = r->mode == MODE_ON;
        s->foreign_referer = r->mode == MODE_CROSS;
    }
    if (rc == OK)
        rc = next_line(x, l->first[TRACKERS], TRACKERS, v, &r);
    if (rc == OK && r)
        s->trackers = r->mode == MODE_ON;
    if (rc == OK && l->nheaders)
        rc = headers(x, l, v, s);
    return rc == OK && s->trackers ? parameters(x) : rc;
}

int forward_privacy_decide(struct exchange *x, const struct fwd_request *v)
{
    const struct privacy_level *level = exchange_conf(x, &forward_privacy_feature);
    const struct privacy_lines *l = level->lines;
    struct forward_exchange *f = x->proxy->forward;
    const struct privacy_rule *r;
    if (likely(!l))
        return OK;
    int rc = next_line(x, l->first[SOURCE], SOURCE, v, &r);
    if (rc != OK)
        return rc;
    f->source = r && r->mode == MODE_ON ? &r->source : NULL;
    f->source_only = f->source;
    if (x->proxy->tunnel) /* what a tunnel holds is nobody's but its ends' */
        return OK;
    struct forward_strip *s = arena_new(&x->arena, struct forward_strip);
    if (!s)
        return ERR_NOMEM;
    rc = fields(x, l, v, s);
    f->strip = rc == OK && (s->referer || s->foreign_referer || s->trackers || s->n) ? s : NULL;
    return rc;
}

static bool drops(const struct forward_strip *s, slice host, const struct field *f)
{
    if (f->token == TOK_REFERER && (s->referer || (s->foreign_referer && referer_is_foreign(f->value, host))))
        return true;
    if (s->trackers && f->token == TOK_NONE && tracker_field(f->name))
        return true;
    for (uint32_t i = 0; i < s->n; i++) {
        if (slice_ieq(f->name, s->names[i]))
            return true;
    }
    return false;
}

uint32_t forward_strip_fields(const struct exchange *x, struct field *v, uint32_t n)
{
    const struct forward_exchange *f = x->proxy->forward;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!drops(f->strip, f->host, &v[i]))
            v[kept++] = v[i];
    }
    return kept;
}

/* ---- load ---- */

static struct privacy_lines *lines_of(struct conf_ctx *cf, struct privacy_level *l)
{
    if (l->lines)
        return l->lines;
    l->lines = arena_new(cf->arena, struct privacy_lines);
    for (enum kind k = 0; l->lines && k < KINDS; k++)
        l->lines->last[k] = &l->lines->first[k];
    return l->lines;
}

static int add_line(struct conf_ctx *cf, const struct conf_node *node, void *conf, enum kind k, struct privacy_rule *r)
{
    struct privacy_lines *l = lines_of(cf, conf);
    if (!l)
        return ERR_NOMEM;
    r->pos = node->pos;
    int rc = forward_terms(cf, node, 1, &r->terms, &r->nterms);
    if (rc != OK)
        return rc;
    r->text = forward_line_text(cf, node);
    *l->last[k] = r;
    l->last[k] = &r->next;
    l->nheaders += k == HEADER;
    return r->text.p ? OK : ERR_NOMEM;
}

static int set_strip(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    enum kind k = slice_eq(node->name, SLICE("strip_referer")) ? REFERER : TRACKERS;
    struct privacy_rule *r = arena_new(cf->arena, struct privacy_rule);
    slice mode = node->args[0].text;
    if (!r)
        return ERR_NOMEM;
    if (slice_eq(mode, SLICE("on")))
        r->mode = MODE_ON;
    else if (k == REFERER && slice_eq(mode, SLICE("cross")))
        r->mode = MODE_CROSS;
    else if (!slice_eq(mode, SLICE("off")))
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(mode));
    return add_line(cf, node, conf, k, r);
}

static int set_header(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct privacy_rule *r = arena_new(cf->arena, struct privacy_rule);
    if (!r)
        return ERR_NOMEM;
    r->mode = MODE_ON;
    r->name = node->args[0].text;
    if (!http_is_token(r->name))
        return conf_error(cf, node, 0, "invalid field name \"%.*s\"", SLICE_FMT(r->name));
    return add_line(cf, node, conf, HEADER, r);
}

static int set_source(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct privacy_rule *r = arena_new(cf->arena, struct privacy_rule);
    slice text = node->args[0].text;
    if (!r)
        return ERR_NOMEM;
    if (!slice_eq(text, SLICE("off"))) {
        r->mode = MODE_ON;
        if (addr_parse_ip(text, 0, &r->source) != OK)
            return conf_error(cf, node, 0, "invalid address \"%.*s\"", SLICE_FMT(text));
    }
    return add_line(cf, node, conf, SOURCE, r);
}

#define LINE(text, setter, args, about)                                                                               \
    {                                                                                                                 \
        .name = text, .contexts = CONF_FORWARD, .min_args = 1, .max_args = CONF_ANY_ARGS, .type = CONF_CUSTOM,        \
        .scope = SCOPE_LOCATION, .repeat = true, .offset = offsetof(struct privacy_level, lines),                     \
        .size = sizeof(struct privacy_lines *), .set = setter, .usage = text " " args " [[!]ACL ...];", .doc = about, \
    }

static const struct directive directives[] = {
    LINE("strip_referer", set_strip, "on | cross | off",
         "Whether targets are told the page that led to them. on: Referer is taken out. cross: when it is a page of "
         "another site, whose host is neither the target's nor above or below it. The first line whose conditions all "
         "hold decides; without one it travels. What is inside a tunnel is not seen."),
    LINE("strip_trackers", set_strip, "on | off",
         "On: parameters that only trackers read (utm_..., gclid, fbclid, ...) are taken out of the query of "
         "absolute-form "
         "requests, and fields that only tell who the client is (X-UIDH, X-Client-Data, ...) are not sent; "
         "docs/forward.md "
         "lists them. The first line whose conditions all hold decides."),
    LINE("strip_header", set_header, "NAME",
         "Takes a field of that name out of requests when all conditions hold; of several lines each one counts. What "
         "proxy_set_header gives is sent nevertheless."),
    LINE("egress_source", set_source, "ADDRESS | off",
         "The address of ours from which targets are connected to, by the first line whose conditions all hold; off, "
         "or no "
         "line: as proxy_bind says. Targets are then reached in that address's family alone."),
};

struct feature forward_privacy_feature = {
    .name = "forward_privacy",
    .doc = "What targets are told of the clients of a forward proxy.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct privacy_level) },
};
