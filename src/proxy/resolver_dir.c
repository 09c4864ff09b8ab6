/*
 * resolver, resolver_timeout: read here, used by proxy/dial.h (targets found at run time) and proxy/upstream_live.h
 * (servers of a group whose names are followed).
 */
#include "proxy/resolver_dir.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/generation.h"
#include "conf/units.h"
#include "proxy/endpoint.h"
#include "proxy/upstream_conf.h"

enum { IDENTITY_MAX = 4096 };

/* SCOPE_MAIN: the system's way, when something asked for it. */
struct resolver_main {
    struct gen_cleanup cleanup;
    struct map hosts;
    struct resolver_conf *system;
};

/* ---- workers ---- */

static int room_init(struct worker *w)
{
    const struct resolver_counts counts = {
        .asked = &w->count[COUNT_DNS_ASKED],
        .remembered = &w->count[COUNT_DNS_REMEMBERED],
        .joined = &w->count[COUNT_DNS_JOINED],
        .stale = &w->count[COUNT_DNS_STALE],
        .failed = &w->count[COUNT_DNS_FAILED],
        .timed_out = &w->count[COUNT_DNS_TIMEOUT],
        .refused = &w->count[COUNT_DNS_REFUSED],
        .shares = &w->count[COUNT_DNS_SHARE],
    };
    w->resolvers = resolvers_new(&w->loop, &counts);
    return w->resolvers ? OK : ERR_NOMEM;
}

static void room_done(struct worker *w)
{
    resolvers_free(w->resolvers);
    w->resolvers = NULL;
}

const struct room_hooks resolver_room = { .name = "resolver", .init = room_init, .done = room_done };

/* ---- the system's way ---- */

static void main_cleanup(struct gen_cleanup *c)
{
    map_done(&container_of(c, struct resolver_main, cleanup)->hosts);
}

int resolver_system(struct conf_ctx *cf, const struct resolver_conf **out)
{
    struct resolver_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &resolver_feature);
    if (!m)
        return ERR_NOMEM;
    if (!m->system) {
        struct resolver_conf *c = arena_new(cf->arena, struct resolver_conf);
        if (!c)
            return ERR_NOMEM;
        map_init(&m->hosts, false);
        generation_cleanup(cf->gen, &m->cleanup, main_cleanup);
        int rc = resolver_conf_system(cf->arena, cf->bundle, &m->hosts, c);
        if (rc != OK)
            return rc;
        m->system = c;
    }
    *out = m->system;
    return OK;
}

/* ---- directives ---- */

struct servers {
    struct addr v[RESOLVER_SERVERS_MAX];
    uint32_t n;
};

static int add_server(struct conf_ctx *cf, const struct conf_node *node, int arg, struct servers *s)
{
    slice text = node->args[arg].text;
    struct endpoint e;
    struct addr *v;
    uint32_t n;
    const char *why;
    if (endpoint_parse(text, RESOLVER_PORT, &e, &why) != OK)
        return conf_error(cf, node, arg, "%s in resolver \"%.*s\"", why, SLICE_FMT(text));
    if (e.is_unix)
        return conf_error(cf, node, arg, "invalid host in resolver \"%.*s\"", SLICE_FMT(text));
    int rc = endpoint_resolve(cf, &e, &v, &n);
    if (rc == ERR_NOTFOUND)
        return conf_error(cf, node, arg, "host not found in resolver \"%.*s\"", SLICE_FMT(text));
    if (rc != OK)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        if (s->n == RESOLVER_SERVERS_MAX)
            return conf_error(cf, node, arg, "more than %d addresses of name servers", RESOLVER_SERVERS_MAX);
        s->v[s->n++] = v[i];
    }
    return OK;
}

static bool on_off(slice v, bool *out)
{
    if (!slice_eq(v, SLICE("on")) && !slice_eq(v, SLICE("off")))
        return false;
    *out = slice_eq(v, SLICE("on"));
    return true;
}

/* OK, ERR_NOTFOUND: no parameter at all, ERR_SYNTAX: a wrong value. */
static int parameter(slice arg, struct resolver_conf *c, bool *zone)
{
    slice v;
    bool ok;
    if (slice_starts(arg, SLICE("valid="))) {
        v = slice_from(arg, 6);
        ok = conf_msec(v, &c->valid) == OK;
    } else if (slice_starts(arg, SLICE("stale="))) {
        v = slice_from(arg, 6);
        ok = conf_msec(v, &c->stale) == OK;
    } else if (slice_starts(arg, SLICE("ipv4="))) {
        ok = on_off(slice_from(arg, 5), &c->ipv4);
    } else if (slice_starts(arg, SLICE("ipv6="))) {
        ok = on_off(slice_from(arg, 5), &c->ipv6);
    } else if (slice_starts(arg, SLICE("status_zone="))) {
        ok = arg.n > 12;
        *zone = true;
    } else {
        return ERR_NOTFOUND;
    }
    return ok ? OK : ERR_SYNTAX;
}

static int identify(struct arena *a, struct resolver_conf *c)
{
    struct strb b;
    char text[ADDR_TEXT_MAX];
    strb_init(&b, IDENTITY_MAX);
    for (uint32_t i = 0; i < c->nservers; i++) {
        strb_add(&b, slice_of(text, addr_text(text, &c->servers[i])));
        strb_char(&b, ' ');
    }
    strb_printf(&b, "%llu %llu %d %d", (unsigned long long)c->valid, (unsigned long long)c->stale, c->ipv4, c->ipv6);
    bool ok = !b.failed && arena_dup(a, strb_slice(&b), &c->identity);
    strb_done(&b);
    return ok ? OK : ERR_NOMEM;
}

static int set_resolver(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct resolver_level *l = conf;
    struct resolver_conf *c = arena_new(cf->arena, struct resolver_conf);
    struct servers *s = arena_new(cf->arena, struct servers);
    bool zone = false;
    if (!c || !s)
        return ERR_NOMEM;
    *c = (struct resolver_conf){ .servers = s->v,
                                 .stale = RESOLVER_STALE,
                                 .try_ms = RESOLVER_TRY,
                                 .tries = RESOLVER_TRIES,
                                 .ipv4 = true,
                                 .ipv6 = true,
                                 .ndots = 1 };
    for (uint32_t i = 0; i < node->nargs; i++) {
        slice arg = node->args[i].text;
        int rc = parameter(arg, c, &zone);
        if (rc == ERR_SYNTAX)
            return conf_error(cf, node, (int)i, "invalid parameter: %.*s", SLICE_FMT(arg));
        if (rc == ERR_NOTFOUND && (rc = add_server(cf, node, (int)i, s)) != OK)
            return rc;
    }
    c->nservers = s->n;
    if (s->n == 0)
        return conf_error(cf, node, -1, "no name servers defined");
    if (!c->ipv4 && !c->ipv6)
        return conf_error(cf, node, -1, "\"ipv4\" and \"ipv6\" cannot both be \"off\"");
    if (zone)
        conf_warn(cf, node, -1, "\"status_zone\" does nothing: all resolvers share one set of counters (DNS_...)");
    l->conf = c;
    return identify(cf->arena, c);
}

#define RESOLVER(where, kind)                                                                                          \
    { .name = "resolver",                                                                                              \
      .contexts = where,                                                                                               \
      .min_args = 1,                                                                                                   \
      .max_args = CONF_ANY_ARGS,                                                                                       \
      .type = CONF_CUSTOM,                                                                                             \
      .scope = kind,                                                                                                   \
      .offset = offsetof(struct resolver_level, conf),                                                                 \
      .size = sizeof(struct resolver_conf *),                                                                          \
      .set = set_resolver,                                                                                             \
      .usage = "resolver ADDRESS[:PORT] ... [valid=TIME] [ipv4=on|off] [ipv6=on|off] [stale=TIME];",                   \
      .doc = "The name servers that are asked for names while requests run: for proxy_pass with variables, and for "   \
             "servers of a group with `resolve`. The first is asked until it is silent. An answer holds for its TTL, " \
             "or for `valid`. Each worker remembers up to 8192 names, over reloads too. When servers fail, the last "  \
             "good answer is given for as long as `stale` says after it ran out (default 1h; 0: never). A name in "    \
             "place of a server's address is looked up when the configuration is loaded." },                           \
    {                                                                                                                  \
        .name = "resolver_timeout", .contexts = where, .min_args = 1, .max_args = 1, .type = CONF_MSEC, .scope = kind, \
        .offset = offsetof(struct resolver_level, timeout), .def = "30s", .usage = "resolver_timeout TIME;",           \
        .doc = "How long a request waits for a name."                                                                  \
    }

static const struct directive directives[] = {
    RESOLVER(CONF_HTTP | CONF_SERVER | CONF_LOCATION, SCOPE_LOCATION),
    { .name = "resolver_client_lookups",
      .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct resolver_level, share),
      .min = 1,
      .max = RESOLVER_LOOKUPS_MAX,
      .def = "64",
      .usage = "resolver_client_lookups NUMBER;",
      .doc =
          "How many names a worker asks DNS servers for at once on behalf of one client: an IPv4 address, the /64 of "
          "an IPv6 one, all unix sockets together. Requests for further names fail as if the servers had (502), "
          "until one is answered or given up; names that are remembered, or that somebody else has asked for, do "
          "not count. A worker asks for 512 names at once at most, so a client whose names nobody answers does not "
          "keep others from theirs." },
    RESOLVER(CONF_UPSTREAM, SCOPE_UPSTREAM),
};

/* The http level is merged, and all groups were read. */
static int resolver_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                           const void *parent)
{
    return kind == SCOPE_LOCATION && !parent && !cf->partial ? upstream_check_resolvers(cf) : OK;
}

struct feature resolver_feature = {
    .name = "resolver",
    .forward = true,
    .doc = "Finding the addresses of names while requests run.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct resolver_main),
              [SCOPE_LOCATION] = sizeof(struct resolver_level),
              [SCOPE_UPSTREAM] = sizeof(struct resolver_level) },
    .finish = resolver_finish,
};
