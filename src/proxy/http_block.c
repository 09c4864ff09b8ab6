#include "proxy/http_block.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/logs.h"
#include "proxy/forward_block.h"
#include "proxy/tester.h"

struct http_main *http_main_of(struct conf_ctx *cf)
{
    return conf_scope_own(cf, cf->scope[SCOPE_MAIN], &http_feature);
}

int content_set(struct conf_ctx *cf, const struct conf_node *node, const struct content *c, const struct feature *f)
{
    struct http_main *m = http_main_of(cf);
    if (!m)
        return ERR_NOMEM;
    struct location_build *l = m->location;
    if (!l || (l->kind == LOCATION_INSIDE && l->parent->kind == LOCATION_BASE))
        return conf_error(cf, node, -1, "\"%.*s\" needs a location", SLICE_FMT(node->name));
    if (l->content)
        return conf_error(cf, node, -1, "\"%s\" answers in this location already", l->content->name);
    l->content = c;
    l->content_feature = f;
    return OK;
}

int content_default(struct conf_ctx *cf, const struct content *c, const struct feature *f)
{
    struct http_main *m = http_main_of(cf);
    if (!m)
        return ERR_NOMEM;
    m->fallback = c;
    m->fallback_feature = f;
    return OK;
}

/* ---- named locations ---- */

int named_location_used(struct conf_ctx *cf, const struct conf_node *node, int arg)
{
    slice name = node->args[arg].text;
    if (!slice_starts(name, SLICE("@")) || slice_find(name, '$') >= 0)
        return OK;
    struct http_main *m = http_main_of(cf);
    struct named_use *u = m ? arena_new(cf->arena, struct named_use) : NULL;
    if (!u)
        return ERR_NOMEM;
    *u = (struct named_use){ .node = node, .arg = arg, .name = name, .server = m->server, .next = m->named_uses };
    m->named_uses = u;
    return OK;
}

static bool is_there(const struct http_main *m, const struct named_use *u)
{
    for (const struct server_build *s = u->server ? u->server : m->servers; s; s = s->next) {
        if (route_named_location(s->server, u->name))
            return true;
        if (u->server)
            return false;
    }
    return false;
}

/* The last line stands first, and messages are read from the top: the list is turned on the way. */
static void warn_of_missing(struct conf_ctx *cf, struct http_main *m)
{
    struct named_use *turned = NULL, *next;
    for (struct named_use *u = m->named_uses; u; u = next) {
        next = u->next;
        u->next = turned;
        turned = u;
    }
    for (struct named_use *u = turned; u; u = u->next) {
        if (!is_there(m, u))
            conf_warn(cf, u->node, u->arg, "named location \"%.*s\" does not exist%s", SLICE_FMT(u->name),
                      u->server ? " in this server" : "");
    }
}

/* ---- merging ---- */

/* Of two results the one to go on with: what is out of memory stops at once, an error is kept for the end. */
static int worse(int a, int b)
{
    return b == OK || a == ERR_NOMEM ? a : b;
}

/* Parents first; the scope being merged is the current one, for what a finish function looks up. */
static int merge(struct conf_ctx *cf, struct conf_scope *s)
{
    struct conf_scope *before = cf->scope[s->kind];
    cf->scope[s->kind] = s;
    int rc = conf_scope_merge(cf, s);
    cf->scope[s->kind] = before;
    return rc;
}

/* Walks the tree of locations without recursion; goes on after an error so that all are reported. */
static int merge_locations(struct conf_ctx *cf, struct http_main *m, struct location_build *base)
{
    struct location_build *l = base;
    int rc = OK;
    while (l) {
        m->location = l;
        int one = merge(cf, l->scope);
        if (one == ERR_NOMEM)
            return one;
        rc = one != OK ? one : rc;
        if (l->children) {
            l = l->children;
            continue;
        }
        while (l != base && !l->next)
            l = l->parent;
        l = l == base ? NULL : l->next;
    }
    m->location = NULL;
    return rc;
}

static int merge_all(struct conf_ctx *cf, struct http_main *m, struct conf_scope *server, struct conf_scope *location)
{
    int rc = merge(cf, server);
    if (rc != ERR_NOMEM)
        rc = worse(rc, merge(cf, location));
    if (rc == ERR_NOMEM)
        return rc;
    for (struct server_build *s = m->servers; s; s = s->next) {
        struct conf_scope *before = cf->scope[SCOPE_SERVER];
        m->server = s;
        cf->scope[SCOPE_SERVER] = s->scope;
        int one = merge(cf, s->scope);
        if (one != ERR_NOMEM)
            one = worse(one, merge_locations(cf, m, &s->base));
        cf->scope[SCOPE_SERVER] = before;
        if (one == ERR_NOMEM)
            return one;
        rc = worse(rc, one);
    }
    m->server = NULL;
    return rc;
}

/* ---- http ---- */

static void main_cleanup(struct gen_cleanup *c)
{
    map_done(&container_of(c, struct http_main, cleanup)->listeners);
}

static int http_block(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct http_main *m = conf;
    enum conf_context outer = cf->context;
    m->servers_end = &m->servers;
    map_init(&m->listeners, false);
    generation_cleanup(cf->gen, &m->cleanup, main_cleanup);
    struct conf_scope *server = conf_scope_enter(cf, SCOPE_SERVER, node);
    struct conf_scope *location = server ? conf_scope_enter(cf, SCOPE_LOCATION, node) : NULL;
    if (!location)
        return ERR_NOMEM;
    int rc = conf_apply(cf, node, CONF_HTTP);
    vars_spread(cf);
    if (rc != ERR_NOMEM && !cf->partial)
        rc = worse(rc, merge_all(cf, m, server, location));
    if (rc != ERR_NOMEM && !cf->partial)
        rc = worse(rc, router_build(cf, m, location));
    if (rc == OK && !cf->partial)
        rc = forward_check(cf, m);
    if (rc == OK && !cf->partial) {
        warn_of_missing(cf, m);
        tester_run(cf, m, node);
    }
    conf_scope_leave(cf, location);
    conf_scope_leave(cf, server);
    cf->context = outer;
    return rc;
}

/* ---- server ---- */

/* A server without server_name has the empty name, the one of requests without Host. */
int server_default_name(struct conf_ctx *cf, struct server_build *s)
{
    if (s->names)
        return OK;
    struct server_name *n = arena_new(cf->arena, struct server_name);
    if (!n)
        return ERR_NOMEM;
    s->names = n;
    return OK;
}

struct server_build *server_build_new(struct conf_ctx *cf, const struct conf_node *node)
{
    struct server_build *s = arena_new(cf->arena, struct server_build);
    if (!s)
        return NULL;
    s->server = arena_new(cf->arena, struct server);
    s->base.loc = arena_new(cf->arena, struct location);
    if (!s->server || !s->base.loc)
        return NULL;
    s->names_end = &s->names;
    s->base.kind = LOCATION_BASE;
    s->base.node = node;
    s->base.children_end = &s->base.children;
    s->server->base = s->base.loc;
    s->server->pos = s->base.loc->pos = node->pos;
    s->base.loc->server = s->server;
    s->scope = conf_scope_enter(cf, SCOPE_SERVER, node);
    s->base.scope = s->scope ? conf_scope_enter(cf, SCOPE_LOCATION, node) : NULL;
    return s->base.scope ? s : NULL;
}

void server_build_begin(struct http_main *m, struct server_build *s)
{
    *m->servers_end = s;
    m->servers_end = &s->next;
    m->server = s;
    m->location = &s->base;
}

void server_build_end(struct conf_ctx *cf, struct http_main *m, struct server_build *s)
{
    m->server = NULL;
    m->location = NULL;
    conf_scope_leave(cf, s->base.scope);
    conf_scope_leave(cf, s->scope);
}

static int server_block(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct http_main *m = http_main_of(cf);
    enum conf_context outer = cf->context;
    struct server_build *s = m ? server_build_new(cf, node) : NULL;
    if (!s)
        return ERR_NOMEM;
    server_build_begin(m, s);
    int rc = conf_apply(cf, node, CONF_SERVER);
    int listening = s->listens || rc != OK ? OK : listen_default(cf, &s->listens);
    int named = rc == OK ? server_default_name(cf, s) : OK;
    server_build_end(cf, m, s);
    cf->context = outer;
    if (rc == OK)
        rc = listening;
    return rc == OK ? named : rc;
}

static int set_listen(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct http_main *m = http_main_of(cf);
    return m ? listen_parse(cf, node, &m->server->listens) : ERR_NOMEM;
}

static int set_server_name(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct http_main *m = http_main_of(cf);
    int rc = m ? OK : ERR_NOMEM;
    for (uint32_t i = 0; rc == OK && i < node->nargs; i++) {
        struct server_name *n = arena_new(cf->arena, struct server_name);
        if (!n)
            return ERR_NOMEM;
        rc = server_name_parse(cf, node, (int)i, n);
        if (rc != OK)
            break;
        *m->server->names_end = n;
        m->server->names_end = &n->next;
    }
    return rc;
}

/* ---- what stands at several levels ---- */

static int set_error_log(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct http_level *l = conf;
    if (!l->log)
        l->log = arena_new(cf->arena, struct log);
    return l->log ? log_directive(cf, node, l->log) : ERR_NOMEM;
}

static int set_internal(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    ((struct http_level *)conf)->internal = true;
    return OK;
}

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

static const struct directive directives[] = {
    {
        .name = "http",
        .contexts = CONF_MAIN,
        .type = CONF_BLOCK,
        .scope = SCOPE_MAIN,
        .set = http_block,
        .usage = "http { ... }",
        .doc = "Everything about HTTP: servers and what they have in common.",
    },
    {
        .name = "server",
        .contexts = CONF_HTTP,
        .type = CONF_BLOCK,
        .scope = SCOPE_SERVER,
        .repeat = true,
        .set = server_block,
        .usage = "server { ... }",
        .doc = "A virtual server: addresses to listen on, names, and locations.",
    },
    {
        .name = "listen",
        .contexts = CONF_SERVER | CONF_FORWARD,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_SERVER,
        .repeat = true,
        .set = set_listen,
        .usage = "listen ADDRESS[:PORT] | PORT | unix:PATH [default_server] [http2] [proxy_protocol] [bind] "
                 "[reuseport] [deferred] "
                 "[backlog=NUMBER] [fastopen=NUMBER] [rcvbuf=SIZE] [sndbuf=SIZE] [ipv6only=on|off] "
                 "[so_keepalive=on|off|IDLE:INTERVAL:COUNT] [protocol=any|http|socks];",
        .doc =
            "An address on which the server takes connections: an IPv4 or IPv6 address, a name, a port or a range of "
            "ports on every address, or a unix socket. The default_server, else the first one of an address, takes "
            "requests whose host no server_name matches. Options of an address may stand in any of its lines. "
            "proxy_protocol: every connection of the address must begin with a PROXY header (version 1 or 2), for "
            "which "
            "client_header_timeout runs; one without is closed. http2: an old way to say http2 on. "
            "protocol, in a forward block: what is spoken there; any, which is the default, tells SOCKS 4, 4a and 5 "
            "from "
            "HTTP by the first byte of a connection. "
            "Without listen: port 80, or 8000 when not started by root.",
    },
    {
        .name = "server_name",
        .contexts = CONF_SERVER,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_SERVER,
        .repeat = true,
        .set = set_server_name,
        .usage = "server_name NAME ...;",
        .doc =
            "Names of the server: exact, *.NAME, .NAME (both), NAME.*, or ~REGEX. An exact name wins, then the longest "
            "wildcard at the front, the longest at the end, the first regular expression. Named groups of a regular "
            "expression become variables. The empty name is that of requests without Host.",
    },
    {
        .name = "location",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_BLOCK,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = location_block,
        .usage = "location [ = | ~ | ~* | ^~ ] URI { ... }   or   location @NAME { ... }",
        .doc = "Directives for the paths that it matches: = exactly, a prefix, ~ and ~* a regular expression (~* "
               "ignores letter case), ^~ a prefix that keeps regular expressions from being tried, @NAME only for "
               "internal redirects.",
    },
    {
        .name = "error_log",
        .contexts = HSL | CONF_FORWARD,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .offset = offsetof(struct http_level, log),
        .size = sizeof(struct log *),
        .set = set_error_log,
        .usage = "error_log FILE | stderr | syslog:server=ADDRESS[,facility=NAME][,tag=TEXT][,nohostname] [LEVEL];",
        .doc = "Where errors of this level go. Several lines at one level add up.",
    },
    {
        .name = "internal",
        .contexts = CONF_LOCATION,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct http_level, internal),
        .size = sizeof(bool),
        .set = set_internal,
        .usage = "internal;",
        .doc = "Only internal redirects reach this location; to clients it is a 404.",
    },
    {
        .name = "uninitialized_variable_warn",
        .contexts = HSL | CONF_SERVER_IF | CONF_LOCATION_IF,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct http_level, warns_uninitialized),
        .def = "on",
        .usage = "uninitialized_variable_warn on | off;",
        .doc = "Whether the error log says when a variable is read that `set` has not given a value yet. It reads as "
               "empty either way.",
    },
    {
        .name = "absolute_redirect",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct http_level, absolute_redirect),
        .def = "on",
        .usage = "absolute_redirect on | off;",
        .doc = "Whether redirects of our own to a path name scheme, host and port.",
    },
    {
        .name = "server_name_in_redirect",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct http_level, server_name_in_redirect),
        .def = "off",
        .usage = "server_name_in_redirect on | off;",
        .doc = "Whether such redirects use the first server_name instead of the request's host.",
    },
    {
        .name = "port_in_redirect",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct http_level, port_in_redirect),
        .def = "on",
        .usage = "port_in_redirect on | off;",
        .doc = "Whether such redirects name the port that the server listens on.",
    },
};

struct feature http_feature = {
    .name = "http",
    .doc = "Listening addresses, virtual servers and locations.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct http_main), [SCOPE_LOCATION] = sizeof(struct http_level) },
};
