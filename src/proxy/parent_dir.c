/*
 * `parent` blocks and `route` lines of a forward block.
 *
 *     parent tor { server socks5://127.0.0.1:9050; }
 *     acl onions dstdomain .onion;
 *     route tor onions;
 *     route direct;
 *
 * A `server` line is one way: its URLs are the hops, from us to the target. Several lines are several ways to the same
 * end; which is taken is what `upstream` blocks do with servers. Nothing goes direct by default: where a request goes
 * that no parent takes is written, or it is refused, because what must not be seen in DNS or by the target's network is
 * what parents are for.
 */
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "proxy/balance/balance.h"
#include "proxy/forward_block.h"
#include "proxy/forward_rules.h"
#include "proxy/http_block.h"
#include "proxy/parent.h"
#include "proxy/server_line.h"

/* SCOPE_UPSTREAM */
struct parent_block {
    struct member *first, **last;
    struct tls_origin origin;
    uint64_t keepalive;
    bool or_direct;
};

/* ---- parent ---- */

static bool is_url(slice s)
{
    ptrdiff_t colon = slice_find(s, ':');
    return colon > 0 && slice_starts(slice_from(s, (size_t)colon), SLICE("://"));
}

static int set_server(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct parent_block *b = conf;
    struct member *m = arena_new(cf->arena, struct member);
    struct chain *c = arena_new(cf->arena, struct chain);
    const char *why;
    int rc;
    if (!m || !c || !(c->hops = arena_new_n(cf->arena, struct hop, PARENT_HOPS)))
        return ERR_NOMEM;
    *m = (struct member){ .node = node, .chain = c, .peer = server_line_peer(SLICE_NONE) };
    for (uint32_t i = 0; i < node->nargs; i++) {
        slice arg = node->args[i].text;
        if (!is_url(arg)) {
            if (server_line_is_max_conns(arg) || server_line_parameter(arg, &m->peer) != OK)
                return conf_error(cf, node, (int)i, "invalid parameter \"%.*s\"", SLICE_FMT(arg));
            continue;
        }
        if (c->n == PARENT_HOPS)
            return conf_error(cf, node, (int)i, "more than %d hops", PARENT_HOPS);
        rc = hop_parse(cf->arena, arg, &c->hops[c->n++], &why);
        if (rc != OK) /* the argument is not repeated: it may hold a password */
            return rc == ERR_SYNTAX ? conf_error(cf, node, (int)i, "%s in hop %u", why, c->n) : rc;
    }
    if (!c->n)
        return conf_error(cf, node, 0, "\"server\" of a parent needs a URL");
    rc = chain_finish(cf->arena, c, &why);
    if (rc != OK)
        return rc == ERR_SYNTAX ? conf_error(cf, node, 0, "%s", why) : rc;
    if (!b->last)
        b->last = &b->first;
    *b->last = m;
    b->last = &m->next;
    return OK;
}

static int tls_ready(struct conf_ctx *cf, const struct conf_node *node, struct parent_block *b)
{
    bool any = false;
    for (struct member *m = b->first; m; m = m->next) {
        for (uint32_t i = 0; i < m->chain->n; i++)
            if (m->chain->hops[i].tls)
                m->chain->tls = &b->origin;
        any = any || m->chain->tls;
    }
    if (b->origin.certs && !b->origin.keys)
        return conf_error(cf, b->origin.certs->node, 0, "no \"proxy_ssl_certificate_key\" is defined for it");
    if (!any)
        return OK;
    if (!b->origin.verify)
        conf_warn(cf, node, 0,
                  "the certificate of parent \"%.*s\" is not checked: whoever stands in between reads along",
                  SLICE_FMT(node->args[0].text));
    int rc = b->origin.verify && !b->origin.trusted ? parent_trust_system(cf, node, &b->origin) : OK;
    b->origin.server_name = true;
    return rc == OK ? tls_origin_finish(cf, &b->origin) : rc;
}

static struct routes *routes_ready(struct conf_ctx *cf, struct parent_conf *c)
{
    if (c->routes || !(c->routes = arena_new(cf->arena, struct routes)))
        return c->routes;
    fwd_rules_init(&c->routes->rules, false);
    c->routes->last = &c->routes->parents;
    return c->routes;
}

static const struct parent *parent_find(const struct routes *r, slice name)
{
    const struct parent *p = r->parents;
    while (p && !slice_eq(p->name, name))
        p = p->next;
    return p;
}

static bool reserved(slice name)
{
    return slice_eq(name, SLICE("direct")) || slice_eq(name, SLICE("deny"));
}

static int parent_finish(struct conf_ctx *cf, const struct conf_node *node, struct routes *r, struct parent_block *b)
{
    struct parent *p = arena_new(cf->arena, struct parent);
    bool primary = false;
    if (!p)
        return ERR_NOMEM;
    *p = (struct parent){ .name = node->args[0].text, .pos = node->pos, .or_direct = b->or_direct };
    for (const struct member *m = b->first; m; m = m->next)
        primary = primary || !m->peer.backup;
    if (!primary)
        return conf_error(cf, node, 0, "no servers in parent \"%.*s\"", SLICE_FMT(p->name));
    if (reserved(p->name) || parent_find(r, p->name))
        return conf_error(cf, node, 0, "a parent cannot be named \"%.*s\": the name is taken", SLICE_FMT(p->name));
    int rc = tls_ready(cf, node, b);
    if (rc == OK)
        rc = parent_build(cf, p, b->first, NULL, b->keepalive);
    if (rc != OK)
        return rc;
    *r->last = p;
    r->last = &p->next;
    return OK;
}

static int set_parent(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct routes *r = routes_ready(cf, conf);
    enum conf_context outer = cf->context;
    struct conf_scope *scope = r ? conf_scope_enter(cf, SCOPE_UPSTREAM, node) : NULL;
    if (!scope)
        return ERR_NOMEM;
    struct parent_block *b = conf_scope_own(cf, scope, &parent_feature);
    int rc = b ? conf_apply(cf, node, CONF_PARENT) : ERR_NOMEM;
    if (rc == OK)
        rc = conf_scope_merge(cf, scope);
    conf_scope_leave(cf, scope);
    cf->context = outer;
    return rc == OK && !cf->partial ? parent_finish(cf, node, r, b) : rc;
}

#define FILE_SETTER(function, member, what)                                                 \
    static int function(struct conf_ctx *cf, const struct conf_node *node, void *conf)      \
    {                                                                                       \
        return tls_file_add(cf, node, &((struct parent_block *)conf)->origin.member, what); \
    }
FILE_SETTER(set_certificate, certs, "certificate")
FILE_SETTER(set_key, keys, "certificate key")
FILE_SETTER(set_trusted, trusted, "certificates of")

/* ---- route ---- */

static int set_route(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct routes *r = routes_ready(cf, conf);
    struct forward_conf *f = conf_scope_own(cf, cf->scope[SCOPE_LOCATION], &forward_feature);
    struct fwd_policy *p = r && f ? forward_policy(cf, f) : NULL;
    return p ? fwd_rules_value(&r->rules, &p->acls, &p->c, node, 1, node->args[0].text) : ERR_NOMEM;
}

/* A condition on the host's addresses, in a group too: it has the name asked of DNS here. */
static bool looks_at_addresses(const struct fwd_term *terms, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct fwd_acl *a = terms[i].acl;
        if (a->type == ACL_DST)
            return true;
        for (const struct fwd_value *v = a->values; v; v = v->next) /* groups name older ones only, to a fixed depth */
            if (v->nterms && looks_at_addresses(v->terms, v->nterms))
                return true;
    }
    return false;
}

static struct conf_node node_at(slice name, struct conf_pos pos)
{
    return (struct conf_node){ .name = name, .pos = pos };
}

static void warn_of_dns(struct conf_ctx *cf, const struct fwd_rules *l, slice name, bool parents)
{
    for (const struct fwd_rule *r = l->first; r && parents; r = r->next) {
        struct conf_node at = node_at(name, r->pos);
        if (looks_at_addresses(r->terms, r->nterms))
            conf_warn(
                cf, &at, -1,
                "a condition of type dst: names of targets are asked of DNS here before a parent gets the request");
    }
}

static int route_target(struct conf_ctx *cf, struct routes *r, struct route *to)
{
    slice name = to->rule->value;
    to->to = slice_eq(name, SLICE("direct")) ? ROUTE_DIRECT : slice_eq(name, SLICE("deny")) ? ROUTE_DENY : ROUTE_PARENT;
    to->parent = to->to == ROUTE_PARENT ? parent_find(r, name) : NULL;
    if (to->to != ROUTE_PARENT || to->parent)
        return OK;
    struct conf_node at = node_at(SLICE("route"), to->rule->pos);
    return conf_error(cf, &at, -1, "unknown parent \"%.*s\"", SLICE_FMT(name));
}

/* cache_peer lines and what goes with them. */
static int squid_end(struct conf_ctx *cf, struct parent_conf *c, const struct fwd_policy *p)
{
    struct conf_node at = node_at(SLICE("cache_peer"), p->peers ? p->peers->pos : p->never_direct.first->pos);
    struct routes *r = c->routes;
    if (r)
        return conf_error(cf, &at, -1, "\"parent\" and \"route\" cannot stand with cache_peer or never_direct");
    r = routes_ready(cf, c);
    if (!r || (p->peers && !(r->peers = arena_new(cf->arena, struct parent))))
        return ERR_NOMEM;
    r->squid = p;
    warn_of_dns(cf, &p->always_direct, SLICE("always_direct"), p->peers);
    warn_of_dns(cf, &p->never_direct, SLICE("never_direct"), p->peers);
    warn_of_dns(cf, &p->http_access, SLICE("http_access"), p->peers);
    return p->peers ? chain_squid_build(cf, p, r->peers) : OK;
}

int parent_block_end(struct conf_ctx *cf, const struct conf_node *block)
{
    struct parent_conf *c = conf_scope_own(cf, cf->scope[SCOPE_LOCATION], &parent_feature);
    struct forward_conf *f = conf_scope_own(cf, cf->scope[SCOPE_LOCATION], &forward_feature);
    struct routes *r = c ? c->routes : NULL;
    const struct fwd_rule *last = NULL;
    bool parents = false;
    uint32_t i = 0;
    int rc = OK;
    if (!c || !f)
        return ERR_NOMEM;
    if (!cf->partial && f->policy && (f->policy->peers || f->policy->never_direct.n))
        return squid_end(cf, c, f->policy);
    if (!r || cf->partial)
        return OK;
    if (!r->rules.n) {
        struct conf_node at = node_at(SLICE("parent"), r->parents ? r->parents->pos : block->pos);
        return conf_error(cf, &at, -1, "no \"route\" leads to a parent");
    }
    r->v = arena_new_n(cf->arena, struct route, r->rules.n);
    if (!r->v)
        return ERR_NOMEM;
    for (const struct fwd_rule *rule = r->rules.first; rule; rule = rule->next, i++) {
        r->v[i].rule = last = rule;
        int one = route_target(cf, r, &r->v[i]);
        rc = one != OK ? one : rc;
        parents = parents || r->v[i].parent;
    }
    if (last->nterms) {
        struct conf_node at = node_at(SLICE("route"), last->pos);
        conf_warn(cf, &at, -1,
                  "requests that no \"route\" matches are refused: \"route direct\" at the end lets them out");
    }
    warn_of_dns(cf, &r->rules, SLICE("route"), parents);
    warn_of_dns(cf, &f->policy->http_access, SLICE("http_access"), parents);
    return rc;
}

int parent_check(struct conf_ctx *cf, const struct parent_conf *c, const struct egress_own *own)
{
    int rc = OK;
    const struct parent *first = !c->routes ? NULL : c->routes->peers ? c->routes->peers : c->routes->parents;
    for (const struct parent *p = first; p; p = p->next) {
        const struct peer_set *sets[] = { &p->upstream->primary, &p->upstream->backup };
        for (size_t s = 0; s < array_len(sets); s++) {
            for (uint32_t i = 0; i < sets[s]->n; i++) {
                struct conf_node at = node_at(SLICE("parent"), p->pos);
                if (egress_is_own(own, &sets[s]->peers[i].addr))
                    rc = conf_error(cf, &at, -1, "%.*s is an address that this block listens on itself",
                                    SLICE_FMT(sets[s]->peers[i].text));
            }
        }
    }
    return rc;
}

/* A line of Squid's language, whose conf is the block's. */
static int set_line(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct forward_conf *f = conf_scope_own(cf, cf->scope[SCOPE_LOCATION], &forward_feature);
    return f ? forward_line(cf, node, f) : ERR_NOMEM;
}

/* ---- directives ---- */

#define LINE(name_, min_, usage_, doc_)                                                                            \
    {                                                                                                              \
        .name = name_, .contexts = CONF_FORWARD, .min_args = min_, .max_args = CONF_ANY_ARGS, .type = CONF_CUSTOM, \
        .scope = SCOPE_LOCATION, .repeat = true, .set = set_line, .usage = usage_, .doc = doc_                     \
    }

#define AT(member) .scope = SCOPE_UPSTREAM, .offset = offsetof(struct parent_block, member)
#define FILES(name_, member, setter, usage_, doc_)                                                                    \
    {                                                                                                                 \
        .name = name_, .contexts = CONF_PARENT, .min_args = 1, .max_args = 1, .type = CONF_CUSTOM, AT(origin.member), \
        .size = sizeof(struct tls_file *), .set = setter, .usage = usage_, .doc = doc_                                \
    }
#define SLOT(name_, type_, member, max_, values_, def_, usage_, doc_)                                                \
    {                                                                                                                \
        .name = name_, .contexts = CONF_PARENT, .min_args = 1, .max_args = (type_) == CONF_BITS ? CONF_ANY_ARGS : 1, \
        .type = type_, AT(member), .max = max_, .values = values_, .def = def_, .usage = usage_, .doc = doc_         \
    }

static const struct directive directives[] = {
    { .name = "parent",
      .contexts = CONF_FORWARD,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_BLOCK,
      .scope = SCOPE_LOCATION,
      .repeat = true,
      .set = set_parent,
      .usage = "parent NAME { server ...; ... }",
      .doc = "Other proxies that route lines can send requests through. Targets' names are not resolved here then but "
             "by the parent; targets that are special-purpose addresses are still refused unless egress_allow has "
             "them." },
    { .name = "route",
      .contexts = CONF_FORWARD,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .repeat = true,
      .set = set_route,
      .usage = "route NAME | direct | deny [[!]ACL ...];",
      .doc = "The way of a request: the first line whose conditions (names of acl lines) all hold decides. NAME: the "
             "parent of that name; direct: the target itself is connected to; deny: 403. When lines stand here and "
             "none matches, the request is refused. Without any line everything goes direct." },
    LINE("cache_peer", 4, "cache_peer HOST parent PORT 0 [OPTION ...];",
         "Squid's way of naming a parent, an HTTP proxy. Options: round-robin, weight=, default, login=USER:PASSWORD, "
         "name=, max-conn=, connect-timeout=SECONDS, connect-fail-limit=, tls or ssl with tls-cafile=, tls-cert=, "
         "tls-key=, tls-domain=, sslflags=DONT_VERIFY_PEER; no-query, no-digest, proxy-only and the like are so "
         "anyway. Others are refused. parent and route cannot stand beside it."),
    LINE("cache_peer_access", 3, "cache_peer_access NAME allow | deny [!]ACL ...;",
         "Which requests may go by that cache_peer; without a line all may."),
    LINE("always_direct", 2, "always_direct allow | deny [!]ACL ...;",
         "Requests for which this is allow go direct, past every cache_peer."),
    LINE("never_direct", 2, "never_direct allow | deny [!]ACL ...;",
         "Requests for which this is allow go by a cache_peer or not at all (503). Of others only GET without "
         "credentials is given to one, and goes direct when none can be reached; see nonhierarchical_direct."),
    LINE("nonhierarchical_direct", 1, "nonhierarchical_direct on | off;",
         "Off: CONNECT and what is not GET are given to a cache_peer too where never_direct does not hold. On by "
         "default, as with Squid."),
    LINE("peer_connect_timeout", 1, "peer_connect_timeout NUMBER [seconds | minutes];",
         "The time for connecting through a cache_peer; 30 seconds by default."),
    { .name = "server",
      .contexts = CONF_PARENT,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      .scope = SCOPE_UPSTREAM,
      .repeat = true,
      .set = set_server,
      .usage = "server URL ... [weight=NUMBER] [max_fails=NUMBER] [fail_timeout=TIME] [backup] [down];",
      .doc = "One way out: a proxy, or up to 8 of them, each reached through the one before. A URL is "
             "SCHEME://[USER:PASSWORD@]HOST:PORT (%XX for other characters in credentials). http: an HTTP proxy, asked "
             "in absolute form or, for tunnels and in front of other hops, by CONNECT; connect: by CONNECT always; "
             "socks5; socks4a. https, connect+tls, socks5+tls and socks4a+tls reach the proxy itself by TLS. Several "
             "lines take turns and stand in for each other as the servers of an upstream block do; a target that a "
             "parent cannot reach is no failure of the parent. One that takes a connection and says nothing within the "
             "time for connecting has failed, unless it has answered another request meanwhile, or another parent "
             "was silent for the same target." },
    SLOT("or_direct", CONF_FLAG, or_direct, 0, NULL, "off", "or_direct on | off;",
         "On: when no server of the block can be reached, the target itself is connected to."),
    SLOT("keepalive", CONF_NUM, keepalive, 1 << 20, NULL, "64", "keepalive NUMBER;",
         "Idle connections to each server that a worker keeps."),
    SLOT("proxy_ssl_verify", CONF_FLAG, origin.verify, 0, NULL, "on", "proxy_ssl_verify on | off;",
         "Whether the certificates of parents that are reached by TLS are checked, names included."),
    SLOT("proxy_ssl_verify_depth", CONF_NUM, origin.verify_depth, 100, NULL, "9", "proxy_ssl_verify_depth NUMBER;",
         "How many authorities may stand between a parent's certificate and one that is trusted."),
    SLOT("proxy_ssl_session_reuse", CONF_FLAG, origin.session_reuse, 0, NULL, "on", "proxy_ssl_session_reuse on | off;",
         "Whether TLS sessions with parents are resumed."),
    SLOT("proxy_ssl_protocols", CONF_BITS, origin.protocols, 0, tls_protocol_values, "TLSv1.2 TLSv1.3",
         "proxy_ssl_protocols [SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3];",
         "Versions that are spoken with parents."),
    SLOT("proxy_ssl_ciphers", CONF_STRING, origin.ciphers, 0, NULL, "DEFAULT", "proxy_ssl_ciphers LIST;",
         "Ciphers for TLS 1.2 and older, as OpenSSL writes them."),
    FILES("proxy_ssl_trusted_certificate", trusted, set_trusted, "proxy_ssl_trusted_certificate FILE;",
          "Authorities that parents' certificates are checked against. Without: those of this system "
          "(/etc/ssl/certs/ca-certificates.crt)."),
    FILES("proxy_ssl_certificate", certs, set_certificate, "proxy_ssl_certificate FILE | data:PEM;",
          "The certificate that a parent is shown when it asks for one."),
    FILES("proxy_ssl_certificate_key", keys, set_key, "proxy_ssl_certificate_key FILE | data:PEM;", "Its key."),
};

struct feature parent_feature = {
    .name = "parent",
    .doc = "Chains: forward proxying through other proxies.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct parent_conf), [SCOPE_UPSTREAM] = sizeof(struct parent_block) },
};
