/*
 * realip: who is the client.
 *
 * Peers that `set_real_ip_from` or `trusted_proxies` name are proxies in front of us: what they say about the client is
 * believed, and the exchange goes on with a copy of its client that has the address found (struct client, `connected`).
 * Everything that asks for the client's address asks that copy. From any other peer, forwarding fields are lies: once a
 * configuration has named whom it trusts, they are dropped before any decision and before a backend could see them
 * (rows F1 to F5 of the threat list in docs/threats.md).
 *
 * As in nginx there are two moments: by the server's lines before anything else, and, when that found no address and
 * the location has lines of its own, by those. What the server's lines dropped is judged again then.
 */
#include "policy/realip.h"

#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "http/chars.h"
#include "http/client.h"
#include "http/forwarded.h"
#include "http/vars.h"
#include "net/proxy_protocol.h"
#include "proxy/http_block.h"
#include "proxy/proxy.h"

/* Peers, as lines of one directive name them. */
struct peers {
    struct cidr *v;
    uint32_t n;
    bool unix_domain, given;
    const struct conf_node *node; /* the first of the lines */
};

enum source { SOURCE_FIELD, SOURCE_ADDRESSES, SOURCE_ELEMENTS, SOURCE_PROXY };

/* real_ip_header; name.n 0: not given. */
struct header {
    slice name;
    uint16_t token;
    uint8_t source;
};

/* SCOPE_LOCATION */
struct realip {
    struct peers from, proxies;
    struct header header;
    uint32_t recursion; /* enum recursion */
    /* what these come to */
    struct cidr_set trusted;
    struct header where;
    bool named, shorthand, recursive;
    struct conf_pos pos;
};

enum recursion { RECURSION_DEFAULT, RECURSION_OFF, RECURSION_ON };

/* An exchange that was judged. */
struct judged {
    struct client client; /* first: x->client */
    const struct realip *by;
    bool found, dropped;
    struct fields fields, hop; /* when dropped: as they came */
};

static struct judged *judged_of(const struct exchange *x)
{
    return x->client->connected ? container_of(x->client, struct judged, client) : NULL;
}

/* ---- who is it ---- */

static void walk_fields(const struct exchange *x, const struct header *where, struct forwarded_walk *w)
{
    const struct fields *f = &x->req.fields;
    enum forwarded_form form = where->source == SOURCE_ELEMENTS ? FORWARDED_ELEMENTS : FORWARDED_ADDRESSES;
    for (uint32_t i = f->n; i-- > 0 && !w->over;) {
        if (f->v[i].token == where->token)
            forwarded_walk(w, form, f->v[i].value);
    }
}

/* Of a field that is no list the first one counts (nginx). */
static void walk_first(const struct exchange *x, const struct header *where, struct forwarded_walk *w)
{
    const struct field *f = fields_named(&x->req.fields, where->name);
    if (f)
        forwarded_walk(w, FORWARDED_ADDRESSES, f->value);
}

static void take_proxy_header(const struct client *c, struct forwarded_walk *w)
{
    if (!c->proxied || !c->proxied->src.len || c->proxied->src.sa.sa_family == AF_UNIX)
        return;
    memset(&w->addr, 0, sizeof(w->addr));
    if (c->proxied->src.sa.sa_family == AF_INET)
        w->addr.in = c->proxied->src.in;
    else
        w->addr.in6 = c->proxied->src.in6;
    w->found = true;
}

static void find_client(struct exchange *x, const struct realip *c, struct judged *j)
{
    struct forwarded_walk w = { .addr = j->client.peer, .trusted = &c->trusted, .recursive = c->recursive };
    switch ((enum source)c->where.source) {
    case SOURCE_FIELD:
        walk_first(x, &c->where, &w);
        break;
    case SOURCE_ADDRESSES:
    case SOURCE_ELEMENTS:
        walk_fields(x, &c->where, &w);
        break;
    case SOURCE_PROXY:
        take_proxy_header(&j->client, &w);
        break;
    }
    if (!w.found) {
        exchange_trace(x, &c->pos, "the peer is trusted, and names no client in %.*s", SLICE_FMT(c->where.name));
        return;
    }
    j->client.peer = w.addr;
    j->found = true;
    exchange_forget_values(x);
    if (x->trace) {
        slice text = exchange_client_text(x);
        exchange_trace(x, &c->pos, "the client is %.*s, by %.*s of a trusted peer", SLICE_FMT(text),
                       SLICE_FMT(c->where.name));
    }
}

/* ---- lies ---- */

static bool is_lie(const struct realip *c, const struct field *f)
{
    return forwarded_is_field(f) || (c->where.name.n && forwarded_is_named(f, c->where.name));
}

/* Leaves the old array alone: it may be judged again. ERR_NOMEM. */
static int filter(struct exchange *x, const struct realip *c, struct fields *list, uint32_t *dropped)
{
    struct field *v = arena_new_n(&x->arena, struct field, list->n);
    uint32_t n = 0;
    if (list->n && !v)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < list->n; i++) {
        if (!is_lie(c, &list->v[i])) {
            v[n++] = list->v[i];
            continue;
        }
        ++*dropped;
        exchange_trace(x, &c->pos, "field %.*s is dropped: the peer is no trusted proxy", SLICE_FMT(list->v[i].name));
    }
    *list = (struct fields){ .v = v, .n = n, .cap = list->n };
    return OK;
}

static bool any_lie(const struct realip *c, const struct fields *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (is_lie(c, &list->v[i]))
            return true;
    }
    return false;
}

static int drop_lies(struct exchange *x, const struct realip *c, struct judged *j)
{
    uint32_t dropped = 0;
    if (!any_lie(c, &x->req.fields) && !any_lie(c, &x->req.hop))
        return OK;
    j->fields = x->req.fields;
    j->hop = x->req.hop;
    if (filter(x, c, &x->req.fields, &dropped) < 0 || filter(x, c, &x->req.hop, &dropped) < 0)
        return ERR_NOMEM;
    j->dropped = true;
    worker_count_n(x->w, COUNT_FORWARDING_DROPPED, dropped);
    exchange_forget_values(x);
    return OK;
}

/* ---- the two moments ---- */

static enum verdict judge(struct exchange *x, const struct realip *c, struct judged *j)
{
    j->by = c;
    j->client.trusted = cidr_set_has(&c->trusted, &j->client.peer.sa);
    if (j->client.trusted) {
        find_client(x, c, j);
        return VERDICT_NEXT;
    }
    if (drop_lies(x, c, j) == OK)
        return VERDICT_NEXT;
    worker_count(x->w, COUNT_MEMORY_REFUSED);
    return VERDICT_DROP;
}

static enum verdict realip_request(struct exchange *x, const void *conf)
{
    struct judged *j = arena_new(&x->arena, struct judged);
    if (!j) {
        worker_count(x->w, COUNT_MEMORY_REFUSED);
        return VERDICT_DROP; /* never on with the wrong address */
    }
    j->client = *x->client;
    j->client.connected = x->client;
    x->client = &j->client;
    return judge(x, conf, j);
}

static enum verdict location_request(struct exchange *x, const void *conf)
{
    struct judged *j = judged_of(x);
    if (!j)
        return realip_request(x, conf);
    if (j->by == conf || j->found)
        return VERDICT_NEXT;
    if (j->dropped) {
        x->req.fields = j->fields;
        x->req.hop = j->hop;
        j->dropped = false;
    }
    return judge(x, conf, j);
}

static bool realip_active(const void *conf)
{
    return ((const struct realip *)conf)->named;
}

const struct policy realip_policy = {
    .name = "realip",
    .feature = &realip_feature,
    .active = realip_active,
    .on_request = realip_request,
};

const struct policy realip_location_policy = {
    .name = "realip_location",
    .feature = &realip_feature,
    .active = realip_active,
    .on_request = location_request,
};

/* ---- directives ---- */

static int add_peer(struct conf_ctx *cf, struct peers *p, struct cidr c)
{
    struct cidr *v = arena_new_n(cf->arena, struct cidr, p->n + 1);
    if (!v)
        return ERR_NOMEM;
    if (p->n)
        memcpy(v, p->v, p->n * sizeof(*v));
    v[p->n] = c;
    p->v = v;
    p->n++;
    return OK;
}

/* A host name: every address that it has when the configuration is loaded. */
static int add_name(struct conf_ctx *cf, const struct conf_node *node, uint32_t arg, struct peers *p)
{
    slice addresses, one;
    struct addr a;
    struct cidr c;
    bool any = false;
    int rc = bundle_name(cf->bundle, node->args[arg].text, &addresses);
    if (rc == ERR_NOMEM)
        return rc;
    while (rc == OK && slice_cut(addresses, '\0', &one, &addresses)) {
        if (addr_parse_ip(one, 0, &a) != OK || cidr_of(&a.sa, &c) != OK)
            continue;
        any = true;
        rc = add_peer(cf, p, c);
    }
    if (!any)
        return conf_error(cf, node, (int)arg, "host not found in \"%.*s\" directive: \"%.*s\"", SLICE_FMT(node->name),
                          SLICE_FMT(node->args[arg].text));
    return rc;
}

static bool is_name(slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (!ch_is(text.p[i], CH_PLAIN) && text.p[i] != '.' && text.p[i] != '_')
            return false;
    }
    return text.n && !ascii_digit(text.p[text.n - 1]); /* no top-level domain ends in a digit (RFC 3696 §2) */
}

static int read_peer(struct conf_ctx *cf, const struct conf_node *node, uint32_t arg, struct peers *p)
{
    slice text = node->args[arg].text;
    struct cidr c;
    bool loose;
    if (!p->given)
        *p = (struct peers){ .given = true, .node = node };
    if (slice_eq(text, SLICE("unix:"))) {
        p->unix_domain = true;
        return OK;
    }
    if (cidr_parse(text, &c, &loose) == OK) {
        if (loose)
            conf_warn(cf, node, (int)arg, "low address bits of %.*s are meaningless", SLICE_FMT(text));
        return add_peer(cf, p, c);
    }
    if (is_name(text))
        return add_name(cf, node, arg, p);
    return conf_error(cf, node, (int)arg, "invalid address or network \"%.*s\"", SLICE_FMT(text));
}

static int set_from(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return read_peer(cf, node, 0, &((struct realip *)conf)->from);
}

static int set_proxies(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct peers *p = &((struct realip *)conf)->proxies;
    int rc = OK;
    if (node->nargs == 1 && slice_eq(node->args[0].text, SLICE("none"))) {
        if (p->given)
            return conf_error(cf, node, 0, "\"none\" contradicts other \"trusted_proxies\"");
        *p = (struct peers){ .given = true, .node = node };
        return OK;
    }
    for (uint32_t i = 0; i < node->nargs && rc == OK; i++)
        rc = read_peer(cf, node, i, p);
    return rc;
}

static int set_header(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct header *h = &((struct realip *)conf)->header;
    slice name = node->args[0].text;
    enum token t = token_find(name);
    if (!http_is_token(name) || t == TOK_HOST || (token_flags(t) & T_HOP))
        return conf_error(cf, node, 0, "invalid field name \"%.*s\"", SLICE_FMT(name));
    *h = (struct header){ .name = name, .token = (uint16_t)t };
    if (slice_eq(name, SLICE("proxy_protocol")))
        h->source = SOURCE_PROXY;
    else if (t == TOK_X_FORWARDED_FOR)
        h->source = SOURCE_ADDRESSES;
    else if (t == TOK_FORWARDED)
        h->source = SOURCE_ELEMENTS;
    return OK;
}

/* The lines of this level, of both directives, else what the outer level came to. */
static int join_peers(struct conf_ctx *cf, struct realip *c, const struct realip *parent)
{
    bool from = c->from.given && (!parent || c->from.node != parent->from.node);
    bool proxies = c->proxies.given && (!parent || c->proxies.node != parent->proxies.node);
    if (!from && !proxies) {
        if (parent) {
            c->trusted = parent->trusted;
            c->named = parent->named;
            c->shorthand = parent->shorthand;
            c->pos = parent->pos;
        }
        return OK;
    }
    uint32_t nfrom = from ? c->from.n : 0, nproxies = proxies ? c->proxies.n : 0;
    struct cidr *v = arena_new_n(cf->arena, struct cidr, nfrom + nproxies + 1);
    if (!v)
        return ERR_NOMEM;
    if (nfrom)
        memcpy(v, c->from.v, nfrom * sizeof(*v));
    if (nproxies)
        memcpy(v + nfrom, c->proxies.v, nproxies * sizeof(*v));
    c->trusted =
        (struct cidr_set){ .v = v,
                           .n = nfrom + nproxies,
                           .unix_domain = (from && c->from.unix_domain) || (proxies && c->proxies.unix_domain) };
    c->named = true;
    c->shorthand = proxies;
    c->pos = (proxies ? c->proxies.node : c->from.node)->pos;
    return OK;
}

/* The warning of the design: without a named proxy every client may say who it is. Once, at the first proxy_pass. */
static void warn_unnamed(struct conf_ctx *cf, const struct http_main *m)
{
    for (const struct server_build *s = m ? m->servers : NULL; s; s = s->next) {
        const struct location_build *l = &s->base;
        while (l) {
            const struct proxy_conf *p = conf_get(l->scope->conf, &proxy_feature);
            const struct realip *c = conf_get(l->scope->conf, &realip_feature);
            if (l->content == &proxy_content && !c->named) {
                conf_warn(cf, p->node, -1,
                          "no trusted proxies are named here: backends get X-Forwarded-For and its kin as any client "
                          "invents them; name the proxies in front with \"trusted_proxies ADDRESS ...\", or say "
                          "\"trusted_proxies none\"");
                return;
            }
            if (l->children) {
                l = l->children;
                continue;
            }
            while (l && !l->next)
                l = l->parent;
            l = l ? l->next : NULL;
        }
    }
}

static int finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent)
{
    struct realip *c = conf;
    if (kind == SCOPE_MAIN) {
        warn_unnamed(cf, conf_get(cf->scope[SCOPE_MAIN]->conf, &http_feature));
        return OK;
    }
    int rc = join_peers(cf, c, parent);
    if (rc != OK)
        return rc;
    c->where = c->header;
    if (!c->header.name.n && c->shorthand)
        c->where = (struct header){ SLICE("X-Forwarded-For"), TOK_X_FORWARDED_FOR, SOURCE_ADDRESSES };
    else if (!c->header.name.n)
        c->where = (struct header){ SLICE("X-Real-IP"), TOK_X_REAL_IP, SOURCE_FIELD };
    c->recursive = c->recursion == RECURSION_DEFAULT ? c->shorthand : c->recursion == RECURSION_ON;
    return OK;
}

static const struct conf_value recursion_values[] = {
    { "off", RECURSION_OFF },
    { "on", RECURSION_ON },
    { NULL, 0 },
};

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)
#define AT(slot) \
    .scope = SCOPE_LOCATION, .offset = offsetof(struct realip, slot), .size = sizeof(((struct realip *)0)->slot)

static const struct directive directives[] = {
    { .name = "set_real_ip_from",
      .contexts = HSL,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      AT(from),
      .repeat = true,
      .set = set_from,
      .usage = "set_real_ip_from ADDRESS | NETWORK | NAME | unix:;",
      .doc = "Peers that are trusted to say who the client is, by real_ip_header. A name stands for the addresses that "
             "it has when the configuration is loaded. Where any are named, forwarding fields (Forwarded, "
             "X-Forwarded-*, X-Real-IP, True-Client-IP and others) of all other peers are dropped, before any rule and "
             "any backend sees them." },
    { .name = "trusted_proxies",
      .contexts = HSL,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      AT(proxies),
      .repeat = true,
      .set = set_proxies,
      .usage = "trusted_proxies none | ADDRESS | NETWORK | NAME | unix: ...;",
      .doc = "All about proxies in front in one line: set_real_ip_from for each, real_ip_header X-Forwarded-For and "
             "real_ip_recursive on (unless these are written). \"none\": clients connect directly, and whatever they "
             "say of themselves is dropped." },
    { .name = "real_ip_header",
      .contexts = HSL,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      AT(header),
      .set = set_header,
      .usage = "real_ip_header FIELD | X-Real-IP | X-Forwarded-For | Forwarded | proxy_protocol;",
      .doc = "Where a trusted peer says who the client is; X-Real-IP when not given. Of X-Forwarded-For and Forwarded "
             "the last element of the last field counts. Choose the one that the proxy in front writes: it may pass "
             "the others on as clients invent them." },
    { .name = "real_ip_recursive",
      .contexts = HSL,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_ENUM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct realip, recursion),
      .values = recursion_values,
      .usage = "real_ip_recursive on | off;",
      .doc = "On: while the address found is a trusted one, the element left of it is taken; so the client is the last "
             "address that is not trusted. Off, when not given: the last element is taken." },
};

/* ---- variables ---- */

static const struct client *connected(const struct exchange *x)
{
    return x->client->connected ? x->client->connected : x->client;
}

static int get_addr(struct exchange *x, const struct var *v, slice *out)
{
    char text[ADDR_TEXT_MAX];
    struct addr a;
    client_peer(connected(x), &a);
    return arena_dup(&x->arena, slice_of(text, addr_text_ip(text, &a)), out) ? OK : ERR_NOMEM;
}

static int get_port(struct exchange *x, const struct var *v, slice *out)
{
    struct addr a;
    client_peer(connected(x), &a);
    return addr_port(&a) ? var_number(x, addr_port(&a), out) : ERR_NOTFOUND;
}

static const struct var_def vars[] = {
    { "realip_remote_addr", false, VAR_REQUEST, true, 0, get_addr, "The address of who is connected." },
    { "realip_remote_port", false, VAR_REQUEST, true, 0, get_port, "The port of who is connected." },
};

struct feature realip_feature = {
    .name = "realip",
    .forward = true,
    .doc = "Who the client is behind trusted proxies.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = vars,
    .nvars = array_len(vars),
    .size = { [SCOPE_MAIN] = 1, [SCOPE_LOCATION] = sizeof(struct realip) },
    .finish = finish,
};
