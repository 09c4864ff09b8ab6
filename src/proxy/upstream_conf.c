/*
 * The upstream block and its directives.
 *
 * A block is read into a list of declarations, and made into a struct upstream when it ends: names are resolved (from
 * the bundle: nothing is looked up here), every address becomes a peer, its memory is fetched from the registry, and
 * the balancing method prepares its order. Upstreams are found by name in one map of the configuration; an address
 * written in proxy_pass becomes an implicit upstream in the same map under "host:port".
 *
 * Idle connections: nginx keeps 32 per worker by default. A cap below the number of busy connections turns reuse into
 * a churn of reconnects, so the default here only guards against a runaway.
 */
#include "proxy/upstream_conf.h"

#include <limits.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/generation.h"
#include "proxy/balance/balance.h"
#include "proxy/server_line.h"
#include "proxy/upstream_live.h"

enum { KEEPALIVE_DEFAULT = 16384, REQUESTS_DEFAULT = 1000, TIMEOUT_DEFAULT = 60000, TIME_DEFAULT = 3600000 };

/* One `server` line. */
struct decl {
    const struct conf_node *node;
    struct endpoint at;
    struct peer peer; /* its parameters; address and state come later */
    bool resolve;
    struct decl *next;
};

struct upstream_conf {
    struct decl *first, **last;
    const struct balance_ops *balance;
    uint64_t keepalive;
    bool keepalive_given;
    uint64_t keepalive_requests, keepalive_timeout, keepalive_time;
};

struct upstream_main {
    struct gen_cleanup cleanup;
    struct map names; /* struct upstream; made lazily, `ready` says whether */
    bool ready;
    struct upstream *blocks; /* as the file has them */
};

/* ---- the map of names ---- */

static void names_free(struct gen_cleanup *c)
{
    map_done(&container_of(c, struct upstream_main, cleanup)->names);
}

static struct upstream_main *names_ready(struct conf_ctx *cf)
{
    struct upstream_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &upstream_feature);
    if (m && !m->ready) {
        map_init(&m->names, true);
        generation_cleanup(cf->gen, &m->cleanup, names_free);
        m->ready = true;
    }
    return m;
}

const struct upstream *upstream_find(const struct generation *g, slice name)
{
    const struct upstream_main *m = g->main[upstream_feature.id];
    return m && m->ready ? map_get(&m->names, name) : NULL;
}

static bool set_has_key(const struct peer_set *s, uint64_t key)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->peers[i].pool_key == key)
            return true;
    }
    return false;
}

bool upstream_has_key(const struct generation *g, uint64_t key)
{
    const struct upstream_main *m = g->main[upstream_feature.id];
    for (size_t i = 0; m && m->ready && i < m->names.cap; i++) {
        const struct upstream *u = m->names.slots[i].value;
        if (u && (set_has_key(&u->primary, key) || set_has_key(&u->backup, key) ||
                  (u->live && upstream_live_has_key(u, key))))
            return true;
    }
    return false;
}

/* ---- making one ---- */

static int peer_make(struct conf_ctx *cf, struct peer *p, const struct upstream *u, const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];
    p->addr = *addr;
    if (!arena_dup(cf->arena, slice_of(text, addr_text(text, addr)), &p->text))
        return ERR_NOMEM;
    p->pool_key = hash_bytes(p->text, false);
    p->state = registry_peer(u->name, p->text);
    return p->state ? OK : ERR_NOMEM;
}

struct resolved {
    struct addr *v;
    uint32_t n;
};

/* Fills one of the two sets from the declarations that belong to it. */
static int set_make(struct conf_ctx *cf, struct upstream *u, struct peer_set *set, const struct decl *first,
                    const struct resolved *r, bool backup)
{
    size_t n = 0, i = 0;
    for (const struct decl *d = first; d; d = d->next, i++)
        n += d->peer.backup == backup ? r[i].n : 0;
    if (n == 0)
        return OK;
    set->peers = arena_new_n(cf->arena, struct peer, n);
    set->cursor = registry_cursor(u->name, backup);
    if (!set->peers || !set->cursor)
        return ERR_NOMEM;
    i = 0;
    for (const struct decl *d = first; d; d = d->next, i++) {
        if (d->peer.backup != backup)
            continue;
        for (uint32_t k = 0; k < r[i].n; k++) {
            struct peer *p = &set->peers[set->n++];
            *p = d->peer;
            int rc = peer_make(cf, p, u, &r[i].v[k]);
            if (rc != OK)
                return rc;
            u->nlive += !p->down;
        }
    }
    return OK;
}

/* Every name that nobody knows is reported. */
static int resolve_all(struct conf_ctx *cf, const struct decl *first, struct resolved **out)
{
    size_t n = 0, i = 0;
    int result = OK;
    for (const struct decl *d = first; d; d = d->next)
        n++;
    struct resolved *r = arena_new_n(cf->arena, struct resolved, n + 1);
    if (!r)
        return ERR_NOMEM;
    for (const struct decl *d = first; d; d = d->next, i++) {
        if (d->resolve) /* asked for once requests run */
            continue;
        int rc = endpoint_resolve(cf, &d->at, &r[i].v, &r[i].n);
        if (rc == ERR_NOTFOUND)
            result = conf_error(cf, d->node, 0, "host not found in upstream \"%.*s\"", SLICE_FMT(d->at.text));
        else if (rc != OK)
            return rc;
    }
    *out = r;
    return result;
}

/* A group of which a name at least is followed: upstream_live.h makes its peers. */
static int build_live(struct conf_ctx *cf, struct upstream *u, const struct decl *first,
                      const struct resolver_level *own)
{
    struct resolved *r;
    uint32_t n = 0, i = 0;
    for (const struct decl *d = first; d; d = d->next)
        n++;
    struct live_server *servers = arena_new_n(cf->arena, struct live_server, n);
    const struct resolver_level *http = conf_scope_own(cf, cf->scope[SCOPE_LOCATION], &resolver_feature);
    if (!servers || !http)
        return ERR_NOMEM;
    int rc = resolve_all(cf, first, &r);
    if (rc != OK)
        return rc;
    for (const struct decl *d = first; d; d = d->next, i++)
        servers[i] =
            (struct live_server){ .peer = d->peer, .at = d->at, .resolve = d->resolve, .v = r[i].v, .n = r[i].n };
    return upstream_live_make(cf, u, servers, n, own, http);
}

int upstream_check_resolvers(struct conf_ctx *cf)
{
    int rc = OK;
    for (const struct upstream *u = upstream_blocks(cf); u; u = u->next) {
        if (!u->live || upstream_live_has_resolver(u))
            continue;
        struct conf_node at = { .name = SLICE("upstream"), .pos = u->pos };
        rc = conf_error(cf, &at, -1, "no resolver defined to resolve names at run time in upstream \"%.*s\"",
                        SLICE_FMT(u->name));
    }
    return rc;
}

const struct upstream *upstream_blocks_of(const struct generation *g)
{
    const struct upstream_main *m = g->main[upstream_feature.id];
    return m && m->ready ? m->blocks : NULL;
}

static int upstream_build(struct conf_ctx *cf, struct upstream *u, const struct decl *first)
{
    struct resolved *r;
    int rc = resolve_all(cf, first, &r);
    if (rc == OK)
        rc = set_make(cf, u, &u->primary, first, r, false);
    if (rc == OK)
        rc = set_make(cf, u, &u->backup, first, r, true);
    if (rc != OK)
        return rc;
    u->npeers = u->primary.n + u->backup.n;
    if (u->npeers == 1 && u->primary.n)
        u->primary.peers->alone = true;
    return u->balance->init(cf, u);
}

static int upstream_register(struct conf_ctx *cf, slice key, struct upstream *u)
{
    struct upstream_main *m = names_ready(cf);
    if (!m)
        return ERR_NOMEM;
    return map_put(&m->names, key, u);
}

int upstream_for(struct conf_ctx *cf, const struct conf_node *node, const struct endpoint *e,
                 const struct upstream **out)
{
    struct upstream_main *m = names_ready(cf);
    if (!m)
        return ERR_NOMEM;
    const struct upstream *u = map_get(&m->names, e->text);
    if (u) {
        *out = u;
        return OK;
    }
    u = e->is_unix ? NULL : map_get(&m->names, e->host);
    if (u && !u->implicit)
        return conf_error(cf, node, 0, "upstream \"%.*s\" may not have port %u", SLICE_FMT(e->host), e->port);
    slice key = e->is_unix ? e->text : arena_printf(cf->arena, "%.*s:%u", SLICE_FMT(e->host), e->port);
    struct upstream *made = arena_new(cf->arena, struct upstream);
    if (!key.p || !made)
        return ERR_NOMEM;
    u = map_get(&m->names, key);
    if (u) {
        *out = u;
        return OK;
    }
    *made = (struct upstream){ .name = key,
                               .pos = node->pos,
                               .implicit = true,
                               .balance = balance_methods[0],
                               .keepalive = KEEPALIVE_DEFAULT,
                               .keepalive_requests = REQUESTS_DEFAULT,
                               .keepalive_timeout = TIMEOUT_DEFAULT,
                               .keepalive_time = TIME_DEFAULT };
    struct decl d = { .node = node, .at = *e, .peer = server_line_peer(e->text) };
    int rc = upstream_build(cf, made, &d);
    if (rc == OK)
        rc = upstream_register(cf, key, made);
    if (rc == OK)
        *out = made;
    return rc;
}

const struct upstream *upstream_of_addresses(struct arena *a, slice name, const struct addr *v, uint32_t n,
                                             uint64_t idle)
{
    struct found {
        struct upstream u;
        _Atomic uint32_t cursor;
    } *f = arena_new(a, struct found);
    struct peer *peers = arena_new_n(a, struct peer, n);
    struct peer_state *states = arena_new_n(a, struct peer_state, n);
    uint32_t *order = arena_new_n(a, uint32_t, n);
    if (!f || !peers || !states || !order)
        return NULL;
    for (uint32_t i = 0; i < n; i++) {
        char text[ADDR_TEXT_MAX];
        struct peer *p = &peers[i];
        *p = server_line_peer(name);
        p->addr = v[i];
        p->alone = n == 1;
        p->state = &states[i];
        if (!arena_dup(a, slice_of(text, addr_text(text, &v[i])), &p->text))
            return NULL;
        p->pool_key = hash_bytes(p->text, false);
        order[i] = i;
    }
    f->u = (struct upstream){
        .name = name,
        .implicit = true,
        .balance = balance_methods[0],
        .npeers = n,
        .nlive = n,
        .primary = { .peers = peers, .n = n, .sequence = order, .nsequence = n, .cursor = &f->cursor },
        .keepalive = KEEPALIVE_DEFAULT,
        .keepalive_requests = REQUESTS_DEFAULT,
        .keepalive_timeout = idle ? idle : TIMEOUT_DEFAULT,
        .keepalive_time = TIME_DEFAULT
    };
    return &f->u;
}

/* ---- directives ---- */

static int set_server(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct upstream_conf *c = conf;
    struct decl *d = arena_new(cf->arena, struct decl);
    if (!d)
        return ERR_NOMEM;
    const char *why;
    d->node = node;
    d->peer = server_line_peer(node->args[0].text);
    if (endpoint_parse(node->args[0].text, 80, &d->at, &why) != OK)
        return conf_error(cf, node, 0, "%s in upstream \"%.*s\"", why, SLICE_FMT(node->args[0].text));
    for (uint32_t i = 1; i < node->nargs; i++) {
        if (slice_eq(node->args[i].text, SLICE("resolve")))
            d->resolve = !d->at.literal; /* an address needs none */
        else if (server_line_parameter(node->args[i].text, &d->peer) != OK)
            return conf_error(cf, node, (int)i, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[i].text));
    }
    if (!c->last)
        c->last = &c->first;
    *c->last = d;
    c->last = &d->next;
    return OK;
}

static int set_keepalive(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct upstream_conf *c = conf;
    uint64_t n;
    if (slice_to_u64(node->args[0].text, &n) != OK || n > INT_MAX)
        return conf_error(cf, node, 0, "invalid value \"%.*s\" in \"keepalive\" directive",
                          SLICE_FMT(node->args[0].text));
    if (node->nargs == 2 && !slice_eq(node->args[1].text, SLICE("local")))
        return conf_error(cf, node, 1, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[1].text));
    c->keepalive = n;
    c->keepalive_given = true;
    return OK;
}

static int set_method(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct upstream_conf *c = conf;
    if (c->balance)
        conf_warn(cf, node, -1, "load balancing method redefined");
    for (const struct balance_ops *const *m = balance_methods; *m; m++) {
        if (slice_eq(node->name, slice_str((*m)->name))) {
            c->balance = *m;
            return OK;
        }
    }
    return conf_error(cf, node, -1, "load balancing method \"%.*s\" is not supported", SLICE_FMT(node->name));
}

/* The struct upstream of a block that was read without error. */
static int upstream_finish(struct conf_ctx *cf, const struct conf_node *node, struct upstream *u,
                           const struct upstream_conf *c, const struct resolver_level *own)
{
    if (!c->first)
        return conf_error(cf, node, -1, "no servers are inside upstream");
    u->balance = c->balance ? c->balance : balance_methods[0];
    u->keepalive = c->keepalive_given ? c->keepalive : KEEPALIVE_DEFAULT;
    u->keepalive_requests = c->keepalive_requests;
    u->keepalive_timeout = c->keepalive_timeout;
    u->keepalive_time = c->keepalive_time;
    bool primary = false;
    for (const struct decl *d = c->first; d; d = d->next) {
        primary |= !d->peer.backup;
        if (d->peer.backup && !u->balance->backup)
            return conf_error(cf, d->node, -1, "balancing method does not support parameter \"backup\"");
    }
    if (!primary)
        return conf_error(cf, node, 0, "no servers in upstream \"%.*s\"", SLICE_FMT(u->name));
    for (const struct decl *d = c->first; d; d = d->next)
        if (d->resolve)
            return build_live(cf, u, c->first, own);
    return upstream_build(cf, u, c->first);
}

const struct upstream *upstream_blocks(struct conf_ctx *cf)
{
    const struct upstream_main *m = names_ready(cf);
    return m ? m->blocks : NULL;
}

static void keep_block(struct conf_ctx *cf, struct upstream *u)
{
    struct upstream **at = &names_ready(cf)->blocks; /* it is ready: the name was just put there */
    while (*at)
        at = &(*at)->next;
    *at = u;
}

static int set_upstream(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    slice name = node->args[0].text;
    struct upstream *u = arena_new(cf->arena, struct upstream);
    if (!u)
        return ERR_NOMEM;
    u->name = name;
    u->pos = node->pos;
    slice host, uri;
    endpoint_cut(name, &host, &uri);
    if (name.n == 0 || uri.n || slice_istarts(name, SLICE("unix:")))
        return conf_error(cf, node, 0, "invalid host in upstream \"%.*s\"", SLICE_FMT(name));
    int known = upstream_register(cf, name, u);
    if (known == ERR_REFUSED)
        known = conf_error(cf, node, 0, "duplicate upstream \"%.*s\"", SLICE_FMT(name));
    if (known == ERR_NOMEM)
        return known;
    if (known == OK)
        keep_block(cf, u);

    struct conf_scope *scope = conf_scope_enter(cf, SCOPE_UPSTREAM, node);
    if (!scope)
        return ERR_NOMEM;
    /* a block without any directive of ours still has to be refused for having no server */
    const struct upstream_conf *c = conf_scope_own(cf, scope, &upstream_feature);
    int rc = c ? conf_apply(cf, node, CONF_UPSTREAM) : ERR_NOMEM;
    if (rc == OK)
        rc = conf_scope_merge(cf, scope);
    conf_scope_leave(cf, scope);
    if (rc == OK && !cf->partial)
        rc = upstream_finish(cf, node, u, c, conf_get(scope->conf, &resolver_feature));
    else if (rc == ERR_SYNTAX && !cf->partial) /* what was refused may be what would be missed; hosts are not */
        resolve_all(cf, c->first, &(struct resolved *){ NULL });
    return known == OK ? rc : known;
}

#define OURS(member) .offset = offsetof(struct upstream_conf, member)

/* A method of nginx that is not built in: the file is refused, because another order would be a different meaning. */
#define REFUSED(method)                                                                            \
    {                                                                                              \
        .name = method, .contexts = CONF_UPSTREAM, .max_args = CONF_ANY_ARGS, .type = CONF_CUSTOM, \
        .scope = SCOPE_UPSTREAM, .repeat = true, .set = set_method, .usage = method " ...;",       \
        .doc = "Not supported in this version: a configuration that uses it is refused."           \
    }

static const struct directive directives[] = {
    { .name = "upstream",
      .contexts = CONF_HTTP,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_BLOCK,
      .scope = SCOPE_MAIN,
      .repeat = true,
      .set = set_upstream,
      .usage = "upstream NAME { ... }",
      .doc = "Defines a group of servers under a name that proxy_pass can use. Requests are spread by weighted round "
             "robin unless the block names another method. Order and failures are shared by all workers and outlive "
             "a reload." },
    { .name = "server",
      .contexts = CONF_UPSTREAM,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      .scope = SCOPE_UPSTREAM,
      .repeat = true,
      .set = set_server,
      .usage = "server ADDRESS [weight=N] [max_conns=N] [max_fails=N] [fail_timeout=TIME] [backup] [down] "
               "[resolve];",
      .doc =
          "A server of the group: IP:PORT, [IPv6]:PORT, a host name (resolved when the configuration is loaded; "
          "each of its addresses is a server) or unix:PATH. The port is 80 when none is given. After max_fails "
          "failures (default 1; 0 turns it off) a server is left out for fail_timeout (default 10s) and then "
          "tried by one request; the only server of a group is never left out. A backup is used when no other "
          "server can be. max_conns limits the requests in flight over all workers. With "
          "`resolve` the name is asked of the resolver of the block, or of the http block, again whenever its answer "
          "has run out, and the servers follow its addresses without a reload; until the first answer is there the "
          "line has no server." },
    { .name = "keepalive",
      .contexts = CONF_UPSTREAM,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      .scope = SCOPE_UPSTREAM,
      .set = set_keepalive,
      .usage = "keepalive CONNECTIONS [local];",
      .def = "16384",
      .doc = "How many idle connections to the group a worker keeps; 0: none. The default is larger than nginx's 32: "
             "a limit below the number of busy connections only causes reconnects, and idle connections end by "
             "keepalive_timeout. Connections are shared by all locations that use the same address in the same way, "
             "with `local` or without." },
    { .name = "keepalive_requests",
      .contexts = CONF_UPSTREAM,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_UPSTREAM,
      OURS(keepalive_requests),
      .def = "1000",
      .usage = "keepalive_requests NUMBER;",
      .doc = "After this many requests a connection to a server is closed." },
    { .name = "keepalive_timeout",
      .contexts = CONF_UPSTREAM,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_MSEC,
      .scope = SCOPE_UPSTREAM,
      OURS(keepalive_timeout),
      .def = "60s",
      .usage = "keepalive_timeout TIME;",
      .doc = "How long an idle connection to a server is kept." },
    { .name = "keepalive_time",
      .contexts = CONF_UPSTREAM,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_MSEC,
      .scope = SCOPE_UPSTREAM,
      OURS(keepalive_time),
      .def = "1h",
      .usage = "keepalive_time TIME;",
      .doc = "A connection to a server that is older than this is closed after its current request." },
    { .name = "zone",
      .contexts = CONF_UPSTREAM,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_TUNING,
      .scope = SCOPE_UPSTREAM,
      .usage = "zone NAME [SIZE];",
      .doc = "The state of a group is always shared by all workers, which is what a zone is for in nginx: there is "
             "nothing to size." },
    { .name = "least_conn",
      .contexts = CONF_UPSTREAM,
      .type = CONF_CUSTOM,
      .scope = SCOPE_UPSTREAM,
      .repeat = true,
      .set = set_method,
      .usage = "least_conn;",
      .doc = "Gives each request to the server with the fewest requests in flight for its weight, counted over all "
             "workers; equal ones take turns." },
    REFUSED("ip_hash"),
    REFUSED("hash"),
    REFUSED("random"),
    REFUSED("least_time"),
    REFUSED("sticky"),
};

struct feature upstream_feature = {
    .name = "upstream",
    .doc = "Groups of backend servers.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct upstream_main), [SCOPE_UPSTREAM] = sizeof(struct upstream_conf) },
};
