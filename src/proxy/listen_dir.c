/*
 * Addresses are compared and kept as text in canonical form (net/addr.h), so that `*:80`, `80` and `0.0.0.0:80` are
 * one. A name is looked up once, when the bundle is gathered.
 */
#include "proxy/listen_dir.h"

#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/units.h"
#include "net/listen.h"

enum { PORT_DEFAULT = 80, PORT_UNPRIVILEGED = 8000, RANGE_MAX = 1024 };

struct endpoint {
    slice host;           /* empty: every IPv4 address */
    uint16_t first, last; /* ports */
};

/* ---- parameters ---- */

static int set_number(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, enum listen_set bit,
                      int *slot, struct listen_opts *o)
{
    uint64_t v;
    if (slice_to_u64(value, &v) != OK || v > INT32_MAX)
        return conf_error(cf, node, arg, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[arg].text));
    *slot = (int)v;
    o->set |= bit;
    return OK;
}

static int set_backlog(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct listen_opts *o)
{
    uint64_t v;
    if (slice_to_u64(value, &v) != OK || v == 0 || v > INT32_MAX)
        return conf_error(cf, node, arg, "invalid backlog \"%.*s\"", SLICE_FMT(value));
    return set_number(cf, node, arg, value, LISTEN_BACKLOG, &o->backlog, o);
}

static int set_fastopen(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct listen_opts *o)
{
    return set_number(cf, node, arg, value, LISTEN_FASTOPEN, &o->fastopen, o);
}

static int set_buffer(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, enum listen_set bit,
                      int *slot, struct listen_opts *o)
{
    uint64_t v;
    if (conf_size(value, &v) != OK || v == 0 || v > INT32_MAX)
        return conf_error(cf, node, arg, "invalid size \"%.*s\"", SLICE_FMT(value));
    *slot = (int)v;
    o->set |= bit;
    return OK;
}

static int set_rcvbuf(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct listen_opts *o)
{
    return set_buffer(cf, node, arg, value, LISTEN_RCVBUF, &o->rcvbuf, o);
}

static int set_sndbuf(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct listen_opts *o)
{
    return set_buffer(cf, node, arg, value, LISTEN_SNDBUF, &o->sndbuf, o);
}

static int set_ipv6only(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct listen_opts *o)
{
    if (!slice_eq(value, SLICE("on")) && !slice_eq(value, SLICE("off")))
        return conf_error(cf, node, arg, "invalid ipv6only flags \"%.*s\"", SLICE_FMT(value));
    o->ipv6only = slice_eq(value, SLICE("on"));
    o->set |= LISTEN_IPV6ONLY;
    return OK;
}

/* on, off, or [idle]:[interval]:[count] with at least one of them. */
static int set_keepalive(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct listen_opts *o)
{
    slice idle, interval, count;
    uint64_t v[3] = { 0 };
    o->set |= LISTEN_KEEPALIVE;
    o->keepalive = !slice_eq(value, SLICE("off"));
    if (slice_eq(value, SLICE("on")) || !o->keepalive)
        return OK;
    if (!slice_cut(value, ':', &idle, &interval) || !slice_cut(interval, ':', &interval, &count) ||
        (idle.n + interval.n + count.n == 0) || (idle.n && conf_sec(idle, &v[0]) != OK) ||
        (interval.n && conf_sec(interval, &v[1]) != OK) || (count.n && slice_to_u64(count, &v[2]) != OK) ||
        (idle.n && !v[0]) || (interval.n && !v[1]) || (count.n && !v[2]) || v[0] > INT16_MAX || v[1] > INT16_MAX ||
        v[2] > INT8_MAX)
        return conf_error(cf, node, arg, "invalid so_keepalive value: \"%.*s\"", SLICE_FMT(value));
    o->keepidle = (int)v[0];
    o->keepintvl = (int)v[1];
    o->keepcnt = (int)v[2];
    o->set |= (idle.n ? LISTEN_KEEPIDLE : 0u) | (interval.n ? LISTEN_KEEPINTVL : 0u) | (count.n ? LISTEN_KEEPCNT : 0u);
    return OK;
}

static const struct {
    const char *name;
    int (*set)(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct listen_opts *o);
} valued[] = {
    { "backlog", set_backlog }, { "fastopen", set_fastopen }, { "rcvbuf", set_rcvbuf },
    { "sndbuf", set_sndbuf },   { "ipv6only", set_ipv6only }, { "so_keepalive", set_keepalive },
};

/* What nginx knows and this server does not do: said plainly instead of "invalid parameter". */
static const struct {
    const char *name, *why;
} refused[] = {
    { "quic", "QUIC and HTTP/3 are not supported by this version" },
    { "multipath", "multipath TCP is not supported" },
    { "accept_filter", "accept filters do not exist on this system" },
    { "setfib", "routing tables by number do not exist on this system" },
};

/* What a line says beyond its address and the socket's options. */
struct words {
    bool is_default, proxy_protocol, ssl, http2;
    uint8_t protocol; /* enum listen_protocol */
};

static int set_word(struct conf_ctx *cf, const struct conf_node *node, int arg, slice word, struct listen_opts *o,
                    struct words *w)
{
    if (slice_eq(word, SLICE("default_server")) || slice_eq(word, SLICE("default"))) {
        w->is_default = true;
    } else if (slice_eq(word, SLICE("proxy_protocol"))) {
        w->proxy_protocol = true;
    } else if (slice_eq(word, SLICE("ssl"))) {
        w->ssl = true;
    } else if (slice_eq(word, SLICE("http2"))) {
        conf_warn(cf, node, arg,
                  "the \"listen ... http2\" directive is deprecated, use the \"http2\" directive instead");
        w->http2 = true;
    } else if (slice_eq(word, SLICE("reuseport"))) {
        o->reuseport = 1;
        o->set |= LISTEN_REUSEPORT;
    } else if (slice_eq(word, SLICE("deferred"))) {
        o->deferred = 1;
        o->set |= LISTEN_DEFERRED;
    } else if (!slice_eq(word, SLICE("bind"))) { /* every address is bound by itself anyway */
        return conf_error(cf, node, arg, "invalid parameter \"%.*s\"", SLICE_FMT(word));
    }
    return OK;
}

/* protocol=: a server speaks HTTP, whatever it begins with. */
static int set_protocol(struct conf_ctx *cf, const struct conf_node *node, int arg, slice value, struct words *w)
{
    static const char *const names[] = { [LISTEN_ANY] = "any", [LISTEN_HTTP] = "http", [LISTEN_SOCKS] = "socks" };
    if (cf->context != CONF_FORWARD)
        return conf_error(cf, node, arg, "\"protocol=\" belongs to \"listen\" lines of \"forward\" blocks");
    for (size_t i = 0; i < array_len(names); i++) {
        if (slice_eq(value, slice_str(names[i]))) {
            w->protocol = (uint8_t)i;
            return OK;
        }
    }
    return conf_error(cf, node, arg, "invalid protocol \"%.*s\": it is http, socks or any", SLICE_FMT(value));
}

static int set_parameter(struct conf_ctx *cf, const struct conf_node *node, int arg, struct listen_opts *o,
                         struct words *w)
{
    slice word = node->args[arg].text, name = word, value = SLICE_NONE;
    bool has_value = slice_cut(word, '=', &name, &value);
    for (size_t i = 0; i < array_len(refused); i++) {
        if (slice_eq(name, slice_str(refused[i].name)))
            return conf_error(cf, node, arg, "the parameter \"%.*s\" cannot be used: %s", SLICE_FMT(word),
                              refused[i].why);
    }
    if (!has_value)
        return set_word(cf, node, arg, word, o, w);
    if (slice_eq(name, SLICE("protocol")))
        return set_protocol(cf, node, arg, value, w);
    for (size_t i = 0; i < array_len(valued); i++) {
        if (slice_eq(name, slice_str(valued[i].name)))
            return valued[i].set(cf, node, arg, value, o);
    }
    return conf_error(cf, node, arg, "invalid parameter \"%.*s\"", SLICE_FMT(word));
}

/* ---- addresses ---- */

/* PORT or PORT-PORT. */
static int parse_ports(slice text, struct endpoint *e)
{
    slice low = text, high = text;
    uint64_t a, b;
    slice_cut(text, '-', &low, &high);
    if (slice_to_u64(low, &a) != OK || slice_to_u64(high, &b) != OK)
        return ERR_SYNTAX;
    if (a < 1 || b > UINT16_MAX || b < a || b - a >= RANGE_MAX)
        return ERR_RANGE;
    e->first = (uint16_t)a;
    e->last = (uint16_t)b;
    return OK;
}

/* HOST, HOST:PORTS, PORTS, *:PORTS, [IPV6], [IPV6]:PORTS. */
static int parse_endpoint(slice text, struct endpoint *out)
{
    struct endpoint e = { .first = PORT_DEFAULT, .last = PORT_DEFAULT };
    ptrdiff_t colon = slice_rfind(text, ':'), bracket = slice_rfind(text, ']');
    int rc = OK;
    if (colon >= 0 && colon > bracket) {
        e.host = slice_upto(text, (size_t)colon);
        rc = parse_ports(slice_from(text, (size_t)colon + 1), &e);
        if (rc == ERR_SYNTAX)
            rc = ERR_RANGE; /* behind a colon it is a port and nothing else */
    } else if (bracket >= 0 || parse_ports(text, &e) == ERR_SYNTAX) {
        e.host = text;
    } else {
        rc = parse_ports(text, &e);
    }
    if (rc != OK)
        return rc;
    if (colon == 0)
        return ERR_NOTFOUND;
    if (slice_eq(e.host, SLICE("*")))
        e.host = SLICE_NONE;
    *out = e;
    return OK;
}

static int add_line(struct conf_ctx *cf, const struct conf_node *node, const struct listen_opts *o,
                    const struct words *w, struct listen_line **list)
{
    struct bundle_entry *entry = NULL;
    struct listen_line *line = arena_new(cf->arena, struct listen_line);
    if (!line)
        return ERR_NOMEM;
    int rc = listen_request(cf->bundle, o, &entry);
    if (rc == ERR_REFUSED)
        return conf_error(cf, node, 0, "duplicate listen options for %.*s: another line sets one of them differently",
                          SLICE_FMT(node->args[0].text));
    if (rc != OK)
        return rc;
    *line = (struct listen_line){ .addr = o->addr,
                                  .default_server = w->is_default,
                                  .proxy_protocol = w->proxy_protocol,
                                  .ssl = w->ssl,
                                  .http2 = w->http2,
                                  .protocol = w->protocol,
                                  .node = node };
    if (!arena_dup(cf->arena, entry->key, &line->key))
        return ERR_NOMEM;
    for (; *list; list = &(*list)->next) {
        if (slice_eq((*list)->key, line->key))
            return conf_error(cf, node, 0, "a duplicate listen %.*s", SLICE_FMT(line->key));
    }
    *list = line;
    return OK;
}

static int add_ports(struct conf_ctx *cf, const struct conf_node *node, struct listen_opts *o, const struct endpoint *e,
                     const struct words *w, struct listen_line **list)
{
    for (uint32_t port = e->first; port <= e->last; port++) {
        addr_set_port(&o->addr, (uint16_t)port);
        int rc = add_line(cf, node, o, w, list);
        if (rc != OK)
            return rc;
    }
    return OK;
}

/* A host name: every address that it has. */
static int add_name(struct conf_ctx *cf, const struct conf_node *node, struct listen_opts *o, const struct endpoint *e,
                    const struct words *w, struct listen_line **list)
{
    slice addresses, one;
    bool any = false;
    int rc = bundle_name(cf->bundle, e->host, &addresses);
    if (rc == ERR_NOMEM)
        return rc;
    while (rc == OK && slice_cut(addresses, '\0', &one, &addresses)) {
        if (addr_parse_ip(one, e->first, &o->addr) != OK)
            continue;
        any = true;
        rc = add_ports(cf, node, o, e, w, list);
    }
    if (!any)
        return conf_error(cf, node, 0, "host not found in \"%.*s\" of the \"listen\" directive",
                          SLICE_FMT(node->args[0].text));
    return rc;
}

static int add_unix(struct conf_ctx *cf, const struct conf_node *node, struct listen_opts *o, const struct words *w,
                    struct listen_line **list)
{
    if (node->args[0].text.n == sizeof("unix:") - 1)
        return conf_error(cf, node, 0, "no path in the unix domain socket in \"%.*s\" of the \"listen\" directive",
                          SLICE_FMT(node->args[0].text));
    int rc = addr_parse(node->args[0].text, &o->addr);
    if (rc != OK)
        return conf_error(cf, node, 0,
                          "too long path in the unix domain socket in \"%.*s\" of the \"listen\" directive",
                          SLICE_FMT(node->args[0].text));
    return add_line(cf, node, o, w, list);
}

int listen_parse(struct conf_ctx *cf, const struct conf_node *node, struct listen_line **list)
{
    slice text = node->args[0].text;
    struct listen_opts o = { 0 };
    struct endpoint e;
    struct words w = { 0 };
    int rc = OK;
    for (uint32_t i = 1; i < node->nargs; i++) {
        int one = set_parameter(cf, node, (int)i, &o, &w);
        rc = one != OK ? one : rc;
    }
    if (rc != OK)
        return rc;
    if (slice_starts(text, SLICE("unix:")))
        return add_unix(cf, node, &o, &w, list);
    rc = parse_endpoint(text, &e);
    if (rc == ERR_RANGE)
        return conf_error(cf, node, 0, "invalid port in \"%.*s\" of the \"listen\" directive", SLICE_FMT(text));
    if (rc != OK || text.n == 0)
        return conf_error(cf, node, 0, "no host in \"%.*s\" of the \"listen\" directive", SLICE_FMT(text));
    slice host = e.host.n ? e.host : SLICE("0.0.0.0");
    if (addr_parse_ip(host, e.first, &o.addr) != OK)
        return add_name(cf, node, &o, &e, &w, list);
    if ((o.set & LISTEN_IPV6ONLY) && o.addr.sa.sa_family != AF_INET6) {
        conf_warn(cf, node, 0, "ipv6only is not supported on addr \"%.*s\", ignored", SLICE_FMT(text));
        o.set &= ~(unsigned)LISTEN_IPV6ONLY;
    }
    return add_ports(cf, node, &o, &e, &w, list);
}

/* Whether the master is root is a fact of the bundle: the engine that compiles it again need not be. */
static int default_port(struct bundle *b, uint16_t *port)
{
    slice name = SLICE("listen-default");
    if (bundle_option(b, name).n == 0) {
        int rc = bundle_option_set(b, name, geteuid() == 0 ? SLICE("80") : SLICE("8000"));
        if (rc != OK)
            return rc;
    }
    *port = slice_eq(bundle_option(b, name), SLICE("80")) ? PORT_DEFAULT : PORT_UNPRIVILEGED;
    return OK;
}

int listen_default(struct conf_ctx *cf, struct listen_line **list)
{
    struct listen_opts o = { 0 };
    struct bundle_entry *entry;
    uint16_t port;
    int rc = default_port(cf->bundle, &port);
    if (rc == OK)
        rc = addr_parse_ip(SLICE("0.0.0.0"), port, &o.addr);
    if (rc == OK)
        rc = listen_request(cf->bundle, &o, &entry);
    if (rc != OK)
        return rc;
    struct listen_line *line = arena_new(cf->arena, struct listen_line);
    if (!line || !arena_dup(cf->arena, entry->key, &line->key))
        return ERR_NOMEM;
    line->addr = o.addr;
    *list = line;
    return OK;
}
