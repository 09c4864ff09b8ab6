/*
 * valid_referers: $invalid_referer, which says whether a request comes from a page of somebody else
 * (ngx_http_referer_module of nginx's manual). It keeps honest browsers out, not anybody who writes the field himself.
 */
#include "policy/referers.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/generation.h"
#include "http/masks.h"
#include "http/match.h"
#include "http/vars.h"
#include "proxy/http_block.h"

enum { HOST_MAX = 256 }; /* a longer host is none, as in nginx */

/* A host that may refer; `path` is what its URI must begin with (empty: anything). */
struct referer_host {
    slice path;
    struct conf_pos pos;
};

struct referer_regex {
    const struct regex *regex;
    struct conf_pos pos;
    struct referer_regex *next;
};

/* What the lines of one level say. */
struct referers {
    bool none, blocked, server_names;
    bool finished;
    struct conf_pos pos;
    struct masks hosts;                                 /* -> struct referer_host */
    struct referer_regex *server_regexes, **server_end; /* names of the server: match the host */
    struct referer_regex *regexes, **regexes_end;       /* match host and path */
    struct gen_cleanup cleanup;
};

/* SCOPE_LOCATION */
struct referers_conf {
    struct referers *list;
};

/* ---- asking ---- */

static bool any_matches(struct exchange *x, const struct referer_regex *r, slice subject)
{
    for (; r; r = r->next) {
        if (regex_match(r->regex, subject, NULL, 0) > 0) {
            exchange_trace(x, &r->pos, "valid_referers: a regular expression matches \"%.*s\"", SLICE_FMT(subject));
            return true;
        }
    }
    return false;
}

/* http:// or https:// taken off; false: neither is there, or hardly more than that. */
static bool cut_scheme(slice referer, slice *rest)
{
    if (referer.n < sizeof("http://i.ru") - 1)
        return false;
    size_t n = slice_istarts(referer, SLICE("http://")) ? 7 : slice_istarts(referer, SLICE("https://")) ? 8 : 0;
    *rest = slice_from(referer, n);
    return n > 0;
}

static slice lower_host(char *buffer, slice rest)
{
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != ':') {
        if (n == HOST_MAX)
            return SLICE_NONE;
        buffer[n] = ascii_lower(rest.p[n]);
        n++;
    }
    return slice_of(buffer, n);
}

static bool valid_url(struct exchange *x, const struct referers *r, slice rest)
{
    char buffer[HOST_MAX];
    slice host = lower_host(buffer, rest);
    if (!host.p)
        return false;
    const struct referer_host *h = masks_find(&r->hosts, host);
    if (!h)
        return any_matches(x, r->server_regexes, host) || any_matches(x, r->regexes, rest);
    ptrdiff_t slash = slice_find(rest, '/');
    slice path = slash < 0 ? SLICE_NONE : slice_from(rest, (size_t)slash);
    bool valid = slice_starts(path, h->path);
    exchange_trace(x, &h->pos, "valid_referers: host \"%.*s\"%s", SLICE_FMT(host), valid ? "" : ", another path");
    return valid;
}

static bool valid(struct exchange *x, const struct referers *r)
{
    slice rest;
    const struct field *f = fields_find(&x->req.fields, TOK_REFERER);
    if (!f)
        return r->none;
    return cut_scheme(f->value, &rest) ? valid_url(x, r, rest) : r->blocked;
}

/* Kept for the exchange, as in nginx. */
static int get_invalid(struct exchange *x, const struct var *v, slice *out)
{
    const struct referers_conf *conf = exchange_conf(x, &referers_feature);
    bool ok = !conf->list || valid(x, conf->list);
    if (conf->list)
        exchange_trace(x, &conf->list->pos, "the referer is %s", ok ? "valid" : "invalid");
    *out = ok ? SLICE("") : SLICE("1");
    return exchange_var_set(x, v, *out) ? OK : ERR_NOMEM;
}

/* ---- reading ---- */

static void cleanup(struct gen_cleanup *c)
{
    masks_done(&container_of(c, struct referers, cleanup)->hosts);
}

static struct referers *list_new(struct conf_ctx *cf, const struct conf_node *node)
{
    struct referers *r = arena_new(cf->arena, struct referers);
    if (!r)
        return NULL;
    r->pos = node->pos;
    r->server_end = &r->server_regexes;
    r->regexes_end = &r->regexes;
    masks_init(&r->hosts);
    generation_cleanup(cf->gen, &r->cleanup, cleanup);
    return r;
}

static int add_regex(struct conf_ctx *cf, struct referer_regex ***end, const struct regex *regex, struct conf_pos pos)
{
    struct referer_regex *r = arena_new(cf->arena, struct referer_regex);
    if (!r)
        return ERR_NOMEM;
    *r = (struct referer_regex){ .regex = regex, .pos = pos };
    **end = r;
    *end = &r->next;
    return OK;
}

static int read_regex(struct conf_ctx *cf, const struct conf_node *node, uint32_t arg, struct referers *r)
{
    slice text = node->args[arg].text;
    struct match m;
    if (text.n == 1)
        return conf_error(cf, node, (int)arg, "empty regex in \"%.*s\"", SLICE_FMT(text));
    int rc = match_compile(cf, node, (int)arg, slice_from(text, 1), true, &m);
    return rc == OK ? add_regex(cf, &r->regexes_end, m.regex, node->args[arg].pos) : rc;
}

static int put_host(struct conf_ctx *cf, const struct conf_node *node, int arg, struct referers *r, slice name,
                    slice path)
{
    enum mask_kind kind;
    slice key;
    struct referer_host *h = arena_new(cf->arena, struct referer_host);
    if (!h)
        return ERR_NOMEM;
    *h = (struct referer_host){ .path = path, .pos = arg < 0 ? node->pos : node->args[arg].pos };
    if (mask_parse(name, &kind, &key) != OK)
        return conf_error(cf, node, arg, "invalid hostname or wildcard \"%.*s\"", SLICE_FMT(name));
    int rc = masks_put(&r->hosts, kind, key, h);
    if (rc == ERR_REFUSED)
        return conf_error(cf, node, arg, "conflicting parameter \"%.*s\"", SLICE_FMT(name));
    return rc;
}

static int read_referer(struct conf_ctx *cf, const struct conf_node *node, uint32_t arg, struct referers *r)
{
    slice text = node->args[arg].text;
    if (text.n == 0)
        return conf_error(cf, node, (int)arg, "invalid referer \"\"");
    if (slice_eq(text, SLICE("none")))
        r->none = true;
    else if (slice_eq(text, SLICE("blocked")))
        r->blocked = true;
    else if (slice_eq(text, SLICE("server_names")))
        r->server_names = true;
    else if (text.p[0] == '~')
        return read_regex(cf, node, arg, r);
    else {
        ptrdiff_t slash = slice_find(text, '/');
        size_t n = slash < 0 ? text.n : (size_t)slash;
        return put_host(cf, node, (int)arg, r, slice_upto(text, n), slice_from(text, n));
    }
    return OK;
}

static int set_referers(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct referers_conf *c = conf;
    if (!c->list)
        c->list = list_new(cf, node);
    int rc = c->list ? OK : ERR_NOMEM;
    for (uint32_t i = 0; i < node->nargs && rc == OK; i++)
        rc = read_referer(cf, node, i, c->list);
    return rc;
}

static int add_server_names(struct conf_ctx *cf, const struct conf_node *node, struct referers *r)
{
    int rc = OK;
    for (const struct server_name *n = http_main_of(cf)->server->names; n && rc == OK; n = n->next)
        rc = n->regex ? add_regex(cf, &r->server_end, n->match.regex, n->node->args[n->arg].pos)
                      : put_host(cf, n->node ? n->node : node, n->node ? n->arg : -1, r, n->text, SLICE_NONE);
    return rc;
}

static int finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent)
{
    struct referers *r = ((struct referers_conf *)conf)->list;
    if (!r || r->finished)
        return OK;
    r->finished = true;
    int rc = r->server_names ? add_server_names(cf, node, r) : OK;
    const struct masks *m = &r->hosts;
    if (rc != OK || (!r->none && !r->blocked) || m->exact.count || m->head.count || m->tail.count)
        return rc;
    conf_diag_add(cf->diag, CONF_EMERG, r->pos, SLICE_NONE,
                  "the \"none\" or \"blocked\" referers are specified in the \"valid_referers\" directive without any "
                  "valid referer");
    return ERR_SYNTAX;
}

#define HASH_DOC "Tables size themselves."

static const struct directive directives[] = {
    {
        .name = "valid_referers",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .offset = offsetof(struct referers_conf, list),
        .size = sizeof(struct referers *),
        .set = set_referers,
        .usage = "valid_referers none | blocked | server_names | HOST[/PATH] | ~REGEX ...;",
        .doc =
            "From where requests may come: with $invalid_referer, which is empty for them and 1 for others. none: "
            "without the Referer field. blocked: with one that does not begin with http:// or https://. server_names: "
            "from a name of the server. HOST may be a mask, *.NAME, .NAME or NAME.*; PATH is what the path begins "
            "with. ~REGEX matches what stands behind the scheme, letter case does not count.",
    },
    {
        .name = "referer_hash_max_size",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_TUNING,
        .usage = "referer_hash_max_size SIZE;",
        .doc = HASH_DOC,
    },
    {
        .name = "referer_hash_bucket_size",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_TUNING,
        .usage = "referer_hash_bucket_size SIZE;",
        .doc = HASH_DOC,
    },
};

static const struct var_def vars[] = {
    { .name = "invalid_referer",
      .known = VAR_REQUEST,
      .get = get_invalid,
      .doc = "Empty if the Referer field is one of valid_referers, else 1." },
};

struct feature referers_feature = {
    .name = "referers",
    .doc = "From where requests may come.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = vars,
    .nvars = array_len(vars),
    .size = { [SCOPE_LOCATION] = sizeof(struct referers_conf) },
    .finish = finish,
};
