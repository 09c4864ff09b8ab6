/*
 * Rules for fields, compiled at load.
 *
 * proxy_set_header drops the client's field of that name and adds its own when the value is not empty. Names that say
 * how a message is framed or how a connection is used (Connection, Upgrade, TE, Transfer-Encoding, Content-Length,
 * Keep-Alive, Expect, Trailer, ...) are accepted, because files hold them, and never become bytes: the codec writes its
 * own framing. They state intents: `Connection: close` that the connection is not kept, `Upgrade` with `Connection:
 * upgrade` that the backend may be asked to switch protocols (origin.c).
 *
 * Hidden from answers are nginx's Date, Server, X-Pad and X-Accel-*, plus proxy_hide_header, minus proxy_pass_header.
 */
#include "proxy/headers.h"

#include "base/err.h"
#include "http/chars.h"

static const uint16_t hidden[] = { TOK_DATE,
                                   TOK_SERVER,
                                   TOK_X_PAD,
                                   TOK_X_ACCEL_EXPIRES,
                                   TOK_X_ACCEL_REDIRECT,
                                   TOK_X_ACCEL_LIMIT_RATE,
                                   TOK_X_ACCEL_BUFFERING,
                                   TOK_X_ACCEL_CHARSET };

bool name_set_has(const struct name_set *s, const struct field *f)
{
    if (f->token != TOK_NONE)
        return token_set_has(&s->tokens, f->token);
    for (uint32_t i = 0; i < s->n; i++)
        if (slice_ieq(s->names[i], f->name))
            return true;
    return false;
}

/* ---- reading ---- */

static int check_name(struct conf_ctx *cf, const struct conf_node *node)
{
    if (http_is_token(node->args[0].text))
        return OK;
    return conf_error(cf, node, 0, "invalid field name \"%.*s\"", SLICE_FMT(node->args[0].text));
}

/* Room for one more: the lists of a configuration are short, so each line takes a new array of the arena. */
static int names_add(struct conf_ctx *cf, struct name_list *l, slice name)
{
    slice *v = arena_new_n(cf->arena, slice, l->n + 1);
    if (!v)
        return ERR_NOMEM;
    if (l->n)
        memcpy(v, l->v, l->n * sizeof(*v));
    v[l->n] = name;
    *l = (struct name_list){ v, l->n + 1 };
    return OK;
}

int headers_hide(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf *c = conf;
    int rc = check_name(cf, node);
    return rc == OK ? names_add(cf, &c->hide, node->args[0].text) : rc;
}

int headers_pass(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf *c = conf;
    int rc = check_name(cf, node);
    return rc == OK ? names_add(cf, &c->pass_headers, node->args[0].text) : rc;
}

int headers_set(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf *c = conf;
    struct set_list *l = &c->set_header;
    struct set_field f = { .name = node->args[0].text,
                           .token = (uint16_t)token_find(node->args[0].text),
                           .pos = node->pos };
    int rc = check_name(cf, node);
    if (rc == OK)
        rc = template_compile(cf, &node->args[1], &f.value);
    if (rc != OK)
        return rc;
    if (template_literal(&f.value) && !http_is_value(f.value.source))
        return conf_error(cf, node, 1, "invalid characters in the value of \"%.*s\"", SLICE_FMT(f.name));
    for (uint32_t i = 0; f.token == TOK_HOST && i < l->n; i++)
        if (l->v[i].token == TOK_HOST)
            return conf_error(cf, node, 0, "duplicate \"Host\": a request has one");
    struct set_field *v = arena_new_n(cf->arena, struct set_field, l->n + 1);
    if (!v)
        return ERR_NOMEM;
    if (l->n)
        memcpy(v, l->v, l->n * sizeof(*v));
    v[l->n] = f;
    *l = (struct set_list){ v, l->n + 1 };
    return OK;
}

/* ---- compiling ---- */

/* `names` must have room. */
static void set_add(struct name_set *s, slice *names, uint16_t token, slice name)
{
    if (token != TOK_NONE)
        token_set_add(&s->tokens, token);
    else
        names[s->n++] = name;
}

static int compile_requests(struct conf_ctx *cf, struct header_rules *r, const struct set_list *l)
{
    if (l->n == 0)
        return OK;
    struct set_field *set = arena_new_n(cf->arena, struct set_field, l->n);
    slice *names = arena_new_n(cf->arena, slice, l->n);
    if (!set || !names)
        return ERR_NOMEM;
    r->set = set;
    r->drop.names = names;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct set_field *f = &l->v[i];
        if (f->token == TOK_HOST) {
            r->host = f;
        } else if (f->token == TOK_CONNECTION) {
            r->connection = f;
        } else if (f->token == TOK_UPGRADE) {
            r->upgrade = f;
        } else if (!(token_flags(f->token) & T_HOP)) {
            set_add(&r->drop, names, f->token, f->name);
            if (f->value.nparts || f->value.source.n)
                set[r->nset++] = *f;
        }
    }
    return OK;
}

static bool listed(const struct name_list *l, slice name)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (slice_ieq(l->v[i], name))
            return true;
    return false;
}

static int compile_answers(struct conf_ctx *cf, struct header_rules *r, const struct name_list *hide,
                           const struct name_list *pass)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (!listed(pass, token_name(hidden[i])))
            token_set_add(&r->hide.tokens, hidden[i]);
    if (hide->n == 0)
        return OK;
    slice *names = arena_new_n(cf->arena, slice, hide->n);
    if (!names)
        return ERR_NOMEM;
    r->hide.names = names;
    for (uint32_t i = 0; i < hide->n; i++)
        if (!listed(pass, hide->v[i]))
            set_add(&r->hide, names, (uint16_t)token_find(hide->v[i]), hide->v[i]);
    return OK;
}

static bool same_text(slice a, slice b)
{
    return a.p == b.p && a.n == b.n;
}

static bool same_announce(const struct announce *a, const struct announce *b)
{
    return a->x_forwarded == b->x_forwarded && a->forwarded.mode == b->forwarded.mode &&
           same_text(a->forwarded.by, b->forwarded.by) && a->via.on == b->via.on && same_text(a->via.name, b->via.name);
}

static bool same(const struct proxy_conf *a, const struct proxy_conf *b)
{
    return a->set_header.v == b->set_header.v && a->hide.v == b->hide.v && a->pass_headers.v == b->pass_headers.v &&
           same_announce(&a->announce, &b->announce);
}

int headers_compile(struct conf_ctx *cf, struct proxy_conf *conf, const struct proxy_conf *parent)
{
    if (parent && parent->headers && same(conf, parent)) {
        conf->headers = parent->headers;
        return OK;
    }
    struct header_rules *r = arena_new(cf->arena, struct header_rules);
    if (!r)
        return ERR_NOMEM;
    if (announce_any(&conf->announce))
        r->announce = &conf->announce;
    int rc = compile_requests(cf, r, &conf->set_header);
    if (rc == OK)
        rc = compile_answers(cf, r, &conf->hide, &conf->pass_headers);
    r->plain = !r->announce && !r->drop.n && !(r->drop.tokens.w[0] | r->drop.tokens.w[1]);
    if (rc == OK)
        conf->headers = r;
    return rc;
}
