/*
 * proxy_pass: reading it, and choosing the upstream and target of a request.
 *
 * A value without variables is settled at load: the upstream is a block of that name or an implicit one of the address.
 * With variables the value is evaluated per request; what it names is looked up among the upstreams, else dialled
 * (proxy/dial.h): resolved by `resolver`, and, where the client can choose the target (design section 6), judged by the
 * egress guard: this machine and the networks behind it are refused.
 */
#include "proxy/proxy_pass.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/generation.h"
#include "http/chars.h"
#include "proxy/dial.h"
#include "proxy/forward_block.h"
#include "proxy/forward_rules.h"
#include "proxy/egress_dir.h"
#include "proxy/http_block.h"
#include "proxy/resolver_dir.h"
#include "proxy/target.h"
#include "proxy/upstream_conf.h"
#include "proxy/upstream_live.h"

enum { TARGET_LIMIT = 64 << 10 }; /* bytes of an evaluated proxy_pass */

static const slice http_prefix = SLICE("http://"), https_prefix = SLICE("https://");

/* How long the scheme is, and which; 0: none that we know. */
static size_t scheme_of(slice url, bool *tls)
{
    *tls = slice_istarts(url, https_prefix);
    return *tls ? https_prefix.n : slice_istarts(url, http_prefix) ? http_prefix.n : 0;
}

/* $proxy_host and $proxy_port: the port is left out of the host when it is the scheme's own. */
static int host_header(struct arena *a, const struct endpoint *e, bool tls, slice *host, slice *port)
{
    unsigned own = tls ? 443 : 80;
    if (e->is_unix) {
        *host = SLICE("localhost");
        *port = SLICE_NONE;
        return OK;
    }
    *port = e->port == 80 ? SLICE("80") : arena_printf(a, "%u", e->port);
    *host = e->port == own ? e->host : arena_printf(a, "%.*s:%u", SLICE_FMT(e->host), e->port);
    return host->p && port->p ? OK : ERR_NOMEM;
}

/* ---- load ---- */

/* What the location means for a URI part: the prefix it replaces, or that there is none to replace. */
static int pass_location(struct conf_ctx *cf, const struct conf_node *node, struct proxy_conf *c)
{
    const struct http_main *m = http_main_of(cf);
    if (!m || !m->location)
        return ERR_NOMEM;
    const struct location_build *l = m->location;
    if (l->kind == LOCATION_PREFIX || l->kind == LOCATION_EXACT)
        c->location = l->path;
    else if (c->has_uri && !c->dynamic)
        return conf_error(
            cf, node, 0,
            "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named "
            "location, or inside \"if\" statement, or inside \"limit_except\" block");
    return OK;
}

static int pass_static(struct conf_ctx *cf, const struct conf_node *node, struct proxy_conf *c)
{
    slice text, uri;
    struct endpoint e;
    const char *why;
    size_t scheme = scheme_of(c->pass, &c->tls);
    if (!scheme)
        return conf_error(cf, node, 0, "invalid URL prefix");
    endpoint_cut(slice_from(c->pass, scheme), &text, &uri);
    if (endpoint_parse(text, c->tls ? 443 : 80, &e, &why) != OK)
        return conf_error(cf, node, 0, "%s in upstream \"%.*s\"", why, SLICE_FMT(text));
    for (size_t i = 0; i < uri.n; i++)
        if (!ch_is(uri.p[i], CH_TARGET))
            return conf_error(cf, node, 0, "invalid character in the URI part \"%.*s\"", SLICE_FMT(uri));
    c->has_uri = uri.n > 0;
    c->uri = uri;
    if (c->has_uri && uri.p[0] == '?')
        c->uri = arena_printf(cf->arena, "/%.*s", SLICE_FMT(uri));
    return c->has_uri && !c->uri.p ? ERR_NOMEM : OK;
}

int pass_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf *c = conf;
    int rc = template_compile(cf, &node->args[0], &c->target);
    if (rc != OK)
        return rc;
    c->node = node;
    c->pass = node->args[0].text;
    c->dynamic = !template_literal(&c->target);
    if (!c->dynamic)
        rc = pass_static(cf, node, c);
    if (rc == OK)
        rc = pass_location(cf, node, c);
    if (rc == OK)
        rc = content_set(cf, node, &proxy_content, &proxy_feature);
    c->set = rc == OK;
    return rc;
}

static bool begins_with_slash(const struct var *v)
{
    return slice_eq(v->name, SLICE("request_uri")) || slice_eq(v->name, SLICE("uri")) ||
           slice_eq(v->name, SLICE("document_uri"));
}

/*
 * Does a value that a client may choose stand before the path? As far as that can be told before the values are known:
 * eval_target decides.
 */
static bool host_is_chosen(const struct template *t)
{
    size_t scheme = slice_istarts(t->source, https_prefix) ? https_prefix.n : http_prefix.n, host = 0;
    for (uint32_t i = 0; i < t->nparts; i++) {
        const struct template_part *p = &t->parts[i];
        if (p->var && p->var->client)
            return !(host && begins_with_slash(p->var));
        if (p->var) {
            host++;
            continue;
        }
        size_t skip = p->literal.n < scheme ? p->literal.n : scheme;
        slice rest = slice_from(p->literal, skip);
        scheme -= skip;
        host += rest.n;
        if (slice_find(rest, '/') >= 0)
            return false;
    }
    return false;
}

int pass_compile(struct conf_ctx *cf, struct proxy_conf *c)
{
    slice text, uri;
    struct endpoint e;
    const char *why;
    if (!c->set)
        return OK;
    if (c->dynamic) {
        c->client_chosen = template_client(&c->target);
        if (c->client_chosen && host_is_chosen(&c->target))
            conf_warn(cf, c->node, 0,
                      "the client chooses where \"%.*s\" leads: only groups of servers and public addresses "
                      "will be reached",
                      SLICE_FMT(c->pass));
        return OK;
    }
    endpoint_cut(slice_from(c->pass, scheme_of(c->pass, &c->tls)), &text, &uri);
    int rc = endpoint_parse(text, c->tls ? 443 : 80, &e, &why);
    if (rc == OK)
        rc = host_header(cf->arena, &e, c->tls, &c->host_header, &c->port_text);
    return rc == OK ? upstream_for(cf, c->node, &e, &c->upstream) : rc;
}

/* ---- run ---- */

static enum verdict fail(struct exchange *x, unsigned status)
{
    return reply_set(x, status, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

/*
 * Evaluates proxy_pass. *client_at: where in the value the first byte stands that a client may have chosen, which makes
 * the target its choice when that is in the host (`http://10.0.0.1$request_uri` is not); SIZE_MAX: nowhere.
 */
static int eval_target(struct exchange *x, const struct proxy_conf *c, slice *value, size_t *client_at)
{
    struct strb b;
    slice part;
    *client_at = SIZE_MAX;
    if (!c->client_chosen)
        return exchange_eval(x, &c->target, value);
    strb_init(&b, TARGET_LIMIT);
    for (uint32_t i = 0; i < c->target.nparts; i++) {
        const struct template_part *t = &c->target.parts[i];
        part = t->literal;
        int rc = t->var ? exchange_var(x, t->var, &part) : OK;
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc != OK) {
            strb_done(&b);
            return rc;
        }
        if (t->var && t->var->client && part.n && *client_at == SIZE_MAX)
            *client_at = b.n;
        strb_add(&b, part);
    }
    bool ok = !b.failed && arena_dup(&x->arena, strb_slice(&b), value);
    strb_done(&b);
    return ok ? OK : ERR_NOMEM;
}

/* The outcome of dialling, as far as it is one. */
static enum verdict dialled(struct exchange *x, int rc)
{
    struct proxy_exchange *px = x->proxy;
    if (rc == ERR_AGAIN)
        return VERDICT_WAIT;
    px->upstream = px->dial->upstream;
    if (rc == OK)
        return VERDICT_NEXT;
    return dial_reply(x, px->dial) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

enum verdict proxy_choose(struct exchange *x, bool client_chosen, const struct endpoint *e)
{
    struct proxy_exchange *px = x->proxy;
    const struct resolver_level *r = exchange_conf(x, &resolver_feature);
    const struct upstream *u = px->foreign ? NULL : upstream_find(x->gen->gen, e->text);
    if (!(u && !(u->implicit && client_chosen)) && !e->literal && !client_chosen) {
        slice key = endpoint_text(&x->arena, e->host, e->port);
        u = key.p ? upstream_find(x->gen->gen, key) : NULL;
        if (u && !u->implicit)
            u = NULL;
    }
    if (u && !(u->implicit && client_chosen)) {
        px->upstream = u->live ? upstream_live_now(u, &x->arena) : u;
        return px->upstream ? VERDICT_NEXT : fail(x, 500);
    }
    const struct dial_rules rules = {
        .resolver = r->conf ? r->conf : px->resolver,
        .timeout = r->timeout,
        .share = (uint32_t)r->share,
        .egress = egress_of(exchange_conf(x, &egress_feature)),
        .idle = px->forward ? px->forward->conf->idle : 0,
        .guarded = client_chosen,
        .judge = px->forward ? forward_judge : NULL,
    };
    px->dial = arena_new(&x->arena, struct dial);
    if (!px->dial)
        return fail(x, 500);
    px->guarded = client_chosen;
    return dialled(x, dial_begin(x, px->dial, &rules, e));
}

static enum verdict select_dynamic(struct exchange *x, const struct proxy_conf *c, struct proxy_exchange *px)
{
    slice value, text, uri;
    struct endpoint e;
    const char *why;
    size_t client_at;
    int rc = eval_target(x, c, &value, &client_at);
    if (rc != OK)
        return fail(x, 500);
    size_t scheme = scheme_of(value, &px->tls);
    if (!scheme) {
        exchange_log(x, LEVEL_ERROR, "invalid URL prefix in \"%.*s\"", SLICE_FMT(value));
        return fail(x, 500);
    }
    endpoint_cut(slice_from(value, scheme), &text, &uri);
    if (endpoint_parse(text, px->tls ? 443 : 80, &e, &why) != OK) {
        exchange_log(x, LEVEL_ERROR, "%s in upstream \"%.*s\"", why, SLICE_FMT(text));
        return fail(x, 500);
    }
    rc = host_header(&x->arena, &e, px->tls, &px->host, &px->port);
    if (rc == OK)
        rc = uri.n ? target_given(&x->arena, uri, &px->target)
                   : target_make(x, false, SLICE_NONE, SLICE_NONE, &px->target);
    return rc == OK ? proxy_choose(x, client_at < scheme + text.n, &e) : fail(x, 500);
}

/* Woken while a name is being resolved: this very pass began it. */
static bool is_dialling(const struct exchange *x, const void *conf)
{
    const struct proxy_exchange *px = x->proxy;
    return px && px->dial && px->dial->waiting && px->conf == conf && px->dial->pass == x->passes;
}

bool proxy_chosen(struct exchange *x, const struct proxy_conf *c, enum verdict *v)
{
    if (is_dialling(x, c)) {
        *v = dialled(x, dial_go_on(x->proxy->dial));
        return true;
    }
    if (x->proxy && x->proxy->dial)
        dial_drop(x->proxy->dial);
    return false;
}

int proxy_begin(struct exchange *x, const struct proxy_conf *c)
{
    struct proxy_exchange *px = arena_new(&x->arena, struct proxy_exchange);
    if (!px)
        return ERR_NOMEM;
    px->conf = c;
    px->buffering = c->buffering;
    if (x->proxy) { /* an earlier pass had a backend too: its attempts stay on record */
        px->first = x->proxy->first;
        px->last = x->proxy->last;
        if (px->last)
            px->last->group_end = true;
    }
    if (c->next_timeout)
        px->deadline = loop_now(&x->w->loop) + c->next_timeout;
    x->proxy = px;
    return OK;
}

enum verdict proxy_select(struct exchange *x, const void *conf)
{
    const struct proxy_conf *c = conf;
    enum verdict v;
    if (proxy_chosen(x, c, &v))
        return v;
    if (proxy_begin(x, c) != OK)
        return fail(x, 500);
    struct proxy_exchange *px = x->proxy;
    if (c->dynamic)
        return select_dynamic(x, c, px);
    px->tls = c->tls;
    px->upstream = c->upstream;
    if (unlikely(c->upstream->live) && !(px->upstream = upstream_live_now(c->upstream, &x->arena)))
        return fail(x, 500);
    px->host = c->host_header;
    px->port = c->port_text;
    return target_make(x, c->has_uri, c->uri, c->location, &px->target) == OK ? VERDICT_NEXT : fail(x, 500);
}

const struct content proxy_content = { .name = "proxy_pass", .select = proxy_select, .slash_redirect = true };
