/*
 * Deriving the origin's head from the client's, per attempt, and the client's from the origin's.
 *
 * The client's fields travel as they are; a configuration that sets and drops none costs nothing here: the array is the
 * client's own. Nothing of a message's framing passes through: the body is one fact, and the codec writes what follows
 * from it. X-Forwarded-For and its kin are sent only when a configuration says so.
 */
#include "proxy/origin.h"

#include "base/attr.h"
#include "base/err.h"
#include "http/chars.h"
#include "http/upgrade.h"
#include "proxy/accel.h"
#include "proxy/chain.h"
#include "proxy/forward_fields.h"
#include "proxy/forward_privacy.h"
#include "proxy/forward_rules.h"
#include "proxy/headers.h"
#include "proxy/proxy_redirect.h"
#include "proxy/redirect.h"

/* What a proxy_set_header line gives. */
static int set_value(struct exchange *x, const struct set_field *f, slice *out)
{
    int rc = exchange_eval(x, &f->value, out);
    if (rc == OK)
        exchange_trace(x, &f->pos, "proxy_set_header %.*s: %.*s", SLICE_FMT(f->name), SLICE_FMT(*out));
    return rc;
}

static int origin_method(struct exchange *x, const struct proxy_conf *c)
{
    struct origin_head *o = &x->origin;
    slice text = SLICE_NONE;
    if (likely(template_literal(&c->method) && c->method.source.n == 0)) {
        o->method = x->pass.method_text;
        o->method_id = x->pass.method;
        return OK;
    }
    int rc = exchange_eval(x, &c->method, &text);
    if (rc != OK)
        return rc;
    if (!http_is_token(text))
        return ERR_SYNTAX;
    o->method = text;
    o->method_id = method_find(text);
    return OK;
}

/*
 * A body that is complete in the pipe has a known length. An internal redirect that changed the method (error_page)
 * asks for another resource: the client's body is not part of that request. Nor is a body of which an earlier pass has
 * taken something that was not kept, nor one that was refused.
 */
static int origin_body(struct exchange *x)
{
    struct origin_head *o = &x->origin;
    const struct pipe *p = &x->req_pipe;
    o->body = x->req.body;
    if (o->body.kind == BODY_NONE)
        return OK;
    if (x->body_refused || (x->pass.redirected && (x->pass.method != x->req.method || p->taken))) {
        o->body = (struct body_fact){ .kind = BODY_NONE };
    } else if (o->body.kind == BODY_UNKNOWN && p->state == PIPE_EOF && !(p->trailers && p->trailers->n)) {
        o->body = (struct body_fact){ .kind = BODY_LENGTH, .length = p->put };
    }
    return o->body.kind == BODY_UNKNOWN && o->minor == 0 ? ERR_UNSUPPORTED : OK;
}

/*
 * The backend is asked to switch to what both the client and the configuration name. Not by HTTP/1.0, and not by a
 * request with a body: whose bytes would those behind it be (row U3)? And never to HTTP itself (row U2).
 */
static int origin_upgrade(struct exchange *x, const struct set_field *protocols)
{
    struct origin_head *o = &x->origin;
    slice value;
    if (o->minor == 0 || x->req.body.kind != BODY_NONE || !x->front->ops->switch_protocol ||
        !x->back->ops->switch_protocol)
        return OK;
    int rc = set_value(x, protocols, &value);
    if (rc != OK)
        return rc;
    slice allowed = upgrade_allowed(&x->arena, value, &x->req.hop);
    exchange_trace(x, NULL, "the backend is asked to switch to \"%.*s\", of \"%.*s\"", SLICE_FMT(allowed),
                   SLICE_FMT(value));
    if (allowed.p && !allowed.n)
        return OK;
    struct field f = { .name = SLICE("Upgrade"), .value = allowed, .token = TOK_UPGRADE };
    if (!allowed.p || !fields_add(&x->arena, &o->fields, f))
        return ERR_NOMEM;
    o->upgrade = allowed;
    o->close = false; /* the connection is not kept in any case */
    return OK;
}

/* The intents that Connection can state; see headers.c. */
static int origin_connection(struct exchange *x, const struct header_rules *r)
{
    struct origin_head *o = &x->origin;
    slice value;
    o->close = o->minor == 0 || x->proxy->upstream->keepalive == 0;
    o->upgrade = SLICE_NONE;
    if (!r->connection)
        return OK;
    int rc = set_value(x, r->connection, &value);
    if (rc != OK || !value.n)
        return rc;
    if (list_has(value, SLICE("close")))
        o->close = true;
    return r->upgrade && x->req.upgrade && list_has(value, SLICE("upgrade")) ? origin_upgrade(x, r->upgrade) : OK;
}

bool origin_upgrades(struct exchange *x)
{
    const struct header_rules *r = x->proxy->conf->headers;
    slice value;
    return x->req.upgrade && r->connection && r->upgrade && x->req.body.kind == BODY_NONE &&
           x->front->ops->switch_protocol && exchange_eval(x, &r->connection->value, &value) == OK &&
           list_has(value, SLICE("upgrade")) && exchange_eval(x, &r->upgrade->value, &value) == OK && value.n;
}

/*
 * proxy_set_body and proxy_pass_request_body off: the back end empties a pipe of its own. The client's body, which has
 * been gathered, stays for a pass that wants it.
 */
static int origin_own_body(struct exchange *x)
{
    const struct template *text = x->proxy->conf->body;
    struct origin_head *o = &x->origin;
    slice body = SLICE_NONE;
    if (!text) {
        o->body = (struct body_fact){ .kind = BODY_NONE };
        return OK;
    }
    struct pipe *p = arena_new(&x->arena, struct pipe);
    if (!p || exchange_eval(x, text, &body) != OK)
        return ERR_NOMEM;
    pipe_init(p, &x->w->loop, &x->w->budget, body.n);
    pipe_put(p, PIECE_MEM, body);
    pipe_end(p, NULL);
    o->body = (struct body_fact){ .kind = BODY_LENGTH, .length = body.n };
    x->back->out->consumer = NULL;
    x->back->out = p;
    p->consumer = x->back;
    return OK;
}

static int origin_fields(struct exchange *x, const struct header_rules *r)
{
    const struct proxy_conf *c = x->proxy->conf;
    const struct fields *from = &x->req.fields;
    struct fields *to = &x->origin.fields;
    *to = *from;
    to->cap = to->n; /* the array is the request's: adding to it makes a new one */
    const struct forward_exchange *forward = x->proxy->forward;
    if (likely(c->plain_fields && !forward))
        return OK;
    int rc = c->own_body ? origin_own_body(x) : OK;
    uint32_t n = 0, nfrom = c->pass_fields ? from->n : 0;
    size_t cap = nfrom + (size_t)r->nset + (r->announce ? ANNOUNCE_FIELDS : 0) + 1;
    struct field *v = arena_alloc(&x->arena, cap * sizeof(*v));
    if (!v)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < nfrom; i++) {
        if (!name_set_has(&r->drop, &from->v[i]) && !(r->announce && announce_drops(x, r->announce, &from->v[i])))
            v[n++] = from->v[i];
    }
    if (forward && forward->strip)
        n = forward_strip_fields(x, v, n);
    if (rc == OK && forward && unlikely(x->req.method == METHOD_OPTIONS))
        rc = forward_one_hop_less(x, v, n);
    for (uint32_t i = 0; rc == OK && i < r->nset; i++) {
        slice value;
        rc = set_value(x, &r->set[i], &value);
        if (rc == OK && value.n)
            v[n++] = (struct field){ .name = r->set[i].name, .value = value, .token = r->set[i].token };
    }
    if (rc == OK && r->announce) {
        int more = announce_fields(x, r->announce, &r->drop.tokens, v + n);
        if (more < 0)
            return more;
        n += (uint32_t)more;
    }
    *to = (struct fields){ .v = v, .n = n, .cap = (uint32_t)cap };
    return rc;
}

int origin_build(struct exchange *x, const struct peer *peer)
{
    struct proxy_exchange *px = x->proxy;
    const struct header_rules *r = px->conf->headers;
    struct origin_head *o = &x->origin;
    px->peer = peer;
    o->minor = px->conf->http_version != 0;
    o->target = px->target;
    o->host = px->host;
    int rc = origin_method(x, px->conf);
    if (rc == OK)
        rc = origin_body(x);
    if (rc == OK && r->host)
        rc = set_value(x, r->host, &o->host);
    if (rc == OK)
        rc = origin_fields(x, r);
    if (rc == OK && px->forward && px->forward->conf->fields)
        rc = forward_origin(x);
    if (rc == OK && unlikely(px->chained))
        rc = chain_origin(x, peer->chain);
    return rc == OK ? origin_connection(x, r) : rc;
}

/* ---- the answer ---- */

/* 201, 3xx and whoever else sends it. */
static int answer_redirect(struct exchange *x, struct field *f)
{
    size_t at = 0;
    slice value;
    if (f->token == TOK_REFRESH && !redirect_refresh(f->value, &at))
        return OK;
    int rc = redirect_apply(x, x->proxy->conf, f->value, at, &value);
    if (rc == ERR_NOTFOUND)
        return OK;
    if (rc == OK && f->token == TOK_LOCATION)
        rc = redirect_location(x, value, &value);
    if (rc == OK)
        f->value = value;
    return rc;
}

/* A field of conf->special. What is changed is kept in hop as it came; of cookies all are, because one name has many.
 */
static int answer_special(struct exchange *x, struct field *f)
{
    struct field before = *f;
    slice value;
    int rc;
    if (f->token == TOK_LOCATION || f->token == TOK_REFRESH) {
        rc = answer_redirect(x, f);
    } else if (f->token == TOK_SET_COOKIE) {
        rc = cookie_rewrite(x, &x->proxy->conf->cookies, f->value, &value);
        if (rc == OK)
            f->value = value;
    } else {
        return accel_note(x, f);
    }
    if (rc != OK || (f->value.p == before.value.p && f->token != TOK_SET_COOKIE))
        return rc;
    return fields_add(&x->arena, &x->resp.hop, before) ? OK : ERR_NOMEM;
}

int origin_answer(struct exchange *x)
{
    const struct proxy_conf *c = x->proxy->conf;
    const struct name_set *hide = &c->headers->hide;
    struct fields *f = &x->resp.fields;
    uint32_t n = 0;
    int rc = OK;
    for (uint32_t i = 0; i < f->n && rc == OK; i++) {
        struct field *one = &f->v[i];
        bool hidden = name_set_has(hide, one);
        if (hidden && !fields_add(&x->arena, &x->resp.hop, *one))
            return ERR_NOMEM;
        if (token_set_has(&c->special, one->token))
            rc = hidden ? accel_note(x, one) : answer_special(x, one);
        if (hidden)
            continue;
        if (n != i)
            f->v[n] = *one;
        n++;
    }
    f->n = n;
    if (rc == OK && c->headers->announce)
        rc = announce_answer(x, c->headers->announce);
    return rc == OK && x->proxy->accel_redirect.n ? ORIGIN_ELSEWHERE : rc;
}
