#include "proxy/tunnel_pass.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "proxy/bind.h"
#include "proxy/endpoint.h"
#include "proxy/http_block.h"
#include "proxy/port_list.h"
#include "proxy/proxy_pass.h"

/* proxy_connect_bind: "off" is a word too. */
struct connect_bind {
    const struct proxy_bind *bind;
    bool said;
};

/* SCOPE_LOCATION. What the steps of the proxy work from, and what decides here. */
struct tunnel_conf {
    struct proxy_conf proxy; /* of it: target, timeouts, next_*, bind, socket_keepalive, buffer_size */
    struct port_list ports;  /* proxy_connect_allow */
    struct connect_bind connect_bind;
    struct template address; /* proxy_connect_address; empty: where the request says */
    bool module;             /* proxy_connect, and not tunnel_pass */
    uint64_t lifetime;       /* of a tunnel; 0: any */
    uint64_t connect_timeout, data_timeout, read_timeout, send_timeout; /* proxy_connect_*_timeout; 0: tunnel_* holds */
};

/* ---- running ---- */

uint64_t tunnel_lifetime(struct exchange *x)
{
    return ((const struct tunnel_conf *)exchange_conf(x, &tunnel_feature))->lifetime;
}

static enum verdict fail(struct exchange *x, unsigned status)
{
    return reply_set(x, status, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

/* Other methods find what they would without this. */
static enum verdict not_a_tunnel(struct exchange *x)
{
    const struct http_main *m = conf_get(x->gen->gen->main, &http_feature);
    if (!m->fallback)
        return fail(x, 405);
    return m->fallback->select(x, exchange_conf(x, m->fallback_feature));
}

/* Where to: what the client asks for, or what the configuration says instead. */
static int target_of(struct exchange *x, const struct tunnel_conf *c, slice *out, bool *chosen)
{
    const struct template *t = c->module ? &c->address : &c->proxy.target;
    *chosen = !t->source.n || template_client(t);
    if (t->source.n)
        return exchange_eval(x, t, out);
    *out = endpoint_text(&x->arena, x->req.host, x->req.port);
    return out->p ? OK : ERR_NOMEM;
}

static enum verdict tunnel_select(struct exchange *x, const void *conf)
{
    const struct tunnel_conf *c = conf;
    struct endpoint e;
    const char *why;
    enum verdict v;
    bool chosen;
    slice text;
    if (proxy_chosen(x, &c->proxy, &v))
        return v;
    if (x->pass.method != METHOD_CONNECT)
        return not_a_tunnel(x);
    if (c->module && !port_list_has(&c->ports, x->req.port)) {
        exchange_log(x, LEVEL_ERROR, "proxy_connect_allow does not name port %u", x->req.port);
        return fail(x, 403);
    }
    if (proxy_begin(x, &c->proxy) != OK || target_of(x, c, &text, &chosen) != OK)
        return fail(x, 500);
    if (endpoint_parse(text, x->req.port, &e, &why) != OK) {
        exchange_log(x, LEVEL_ERROR, "%s in tunnel target \"%.*s\"", why, SLICE_FMT(text));
        return fail(x, 502);
    }
    struct proxy_exchange *px = x->proxy;
    px->tunnel = true;
    x->arena.chunk = TUNNEL_CHUNK;
    px->host = e.host;
    px->port = arena_printf(&x->arena, "%u", e.port);
    px->target = text;
    return px->port.p ? proxy_choose(x, chosen, &e) : fail(x, 500);
}

static const struct content tunnel_content = { .name = "tunnel_pass", .select = tunnel_select, .connect = true };
static const struct content connect_content = {
    .name = "proxy_connect", .select = tunnel_select, .connect = true, .whole_server = true
};

/* ---- load ---- */

static int set_pass(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct tunnel_conf *c = conf;
    int rc = node->nargs ? template_compile(cf, &node->args[0], &c->proxy.target) : OK;
    c->proxy.node = node;
    c->proxy.set = true;
    return rc == OK ? content_set(cf, node, &tunnel_content, &tunnel_feature) : rc;
}

static int set_connect(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct tunnel_conf *c = conf;
    c->proxy.node = node;
    c->proxy.set = c->module = true;
    return content_set(cf, node, &connect_content, &tunnel_feature);
}

static int set_allow(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return port_list_read(cf, node, &((struct tunnel_conf *)conf)->ports);
}

static int set_address(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct template *t = &((struct tunnel_conf *)conf)->address;
    if (slice_eq(node->args[0].text, SLICE("off"))) {
        *t = (struct template){ .source = SLICE_NONE };
        return OK;
    }
    return template_compile(cf, &node->args[0], t);
}

static int set_bind(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return bind_directive(cf, node, &((struct tunnel_conf *)conf)->proxy);
}

static int set_connect_bind(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf made = { .bind = NULL };
    int rc = bind_directive(cf, node, &made);
    if (rc == OK)
        ((struct tunnel_conf *)conf)->connect_bind = (struct connect_bind){ .bind = made.bind, .said = true };
    return rc;
}

/* The module's names win where they are written. */
static int finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent)
{
    struct tunnel_conf *c = conf;
    if (kind != SCOPE_LOCATION)
        return OK;
    if (c->connect_bind.said)
        c->proxy.bind = c->connect_bind.bind;
    if (c->connect_timeout)
        c->proxy.connect_timeout = c->connect_timeout;
    if (c->data_timeout)
        c->proxy.read_timeout = c->proxy.send_timeout = c->data_timeout;
    if (c->read_timeout)
        c->proxy.read_timeout = c->read_timeout;
    if (c->send_timeout)
        c->proxy.send_timeout = c->send_timeout;
    return OK;
}

static const struct conf_value next_values[] = {
    { "error", NEXT_ERROR }, { "timeout", NEXT_TIMEOUT }, { "off", NEXT_OFF }, { NULL, 0 }
};

#define EVERYWHERE (CONF_HTTP | CONF_SERVER | CONF_LOCATION)
#define AT(member) .scope = SCOPE_LOCATION, .offset = offsetof(struct tunnel_conf, member)
#define ONE        .min_args = 1, .max_args = 1
#define TIME(text, member, value, words)                                                        \
    {                                                                                           \
        .name = text, .contexts = EVERYWHERE, ONE, .type = CONF_MSEC, AT(member), .def = value, \
        .usage = text " TIME;", .doc = words                                                    \
    }

static const struct directive directives[] = {
    { .name = "tunnel_pass",
      .contexts = CONF_SERVER | CONF_LOCATION,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .set = set_pass,
      .usage = "tunnel_pass [ADDRESS];",
      .doc =
          "Serves CONNECT here: connects to ADDRESS (HOST:PORT, which may hold variables; the host and port that the "
          "client asks for, by default), answers 200, and passes bytes both ways. A target that the client chooses may "
          "be an upstream block by "
          "name or a public address. Other methods are served as without it. Nested locations do not inherit it." },
    TIME("tunnel_connect_timeout", proxy.connect_timeout, "60s",
         "How long connecting may take; then the next address, or 504."),
    TIME("tunnel_read_timeout", proxy.read_timeout, "60s", "How long a tunnel in which nothing moves is kept."),
    TIME("tunnel_send_timeout", proxy.send_timeout, "60s", "How long the peer may take nothing of what waits for it."),
    { .name = "tunnel_lifetime",
      .contexts = EVERYWHERE | CONF_FORWARD,
      ONE,
      .type = CONF_MSEC,
      AT(lifetime),
      .def = "0",
      .usage = "tunnel_lifetime TIME;",
      .doc = "How long a tunnel (by CONNECT or SOCKS) may stand, however much moves in it; 0: as long as it is not "
             "silent for too long. At its end both sides are closed." },
    { .name = "tunnel_buffer_size",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_SIZE,
      AT(proxy.buffer_size),
      .min = 1024,
      .max = 16 << 20,
      .def = "16k",
      .usage = "tunnel_buffer_size SIZE;",
      .doc = "How many bytes may wait in either direction of a tunnel; what flows waits in none." },
    { .name = "tunnel_next_upstream",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_BITS,
      AT(proxy.next_upstream),
      .values = next_values,
      .def = "error timeout",
      .usage = "tunnel_next_upstream error | timeout | off ...;",
      .doc = "When the next address is tried. Once the tunnel stands there is no other." },
    { .name = "tunnel_next_upstream_tries",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_NUM,
      AT(proxy.next_tries),
      .def = "0",
      .usage = "tunnel_next_upstream_tries NUMBER;",
      .doc = "How many addresses are tried; 0: all." },
    TIME("tunnel_next_upstream_timeout", proxy.next_timeout, "0",
         "How long further addresses may be tried; 0: no limit."),
    { .name = "tunnel_socket_keepalive",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(proxy.socket_keepalive),
      .def = "off",
      .usage = "tunnel_socket_keepalive on | off;",
      .doc = "On: TCP keepalive (SO_KEEPALIVE) for connections of tunnels." },
    { .name = "tunnel_bind",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      AT(proxy.bind),
      .size = sizeof(void *),
      .set = set_bind,
      .usage = "tunnel_bind ADDRESS[:PORT] | off;",
      .doc = "The address of ours that tunnels come from; it may hold variables. transparent is not supported." },
    { .name = "tunnel_send_lowat",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_TUNING,
      .scope = SCOPE_LOCATION,
      .usage = "tunnel_send_lowat SIZE;",
      .doc = "Linux has no low-water mark for sending." },
    { .name = "proxy_connect",
      .contexts = CONF_SERVER,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .set = set_connect,
      .usage = "proxy_connect;",
      .doc =
          "Serves CONNECT in all of the server, as the CONNECT module for nginx does: locations have no say about it, "
          "rules of the server have. tunnel_ directives hold for it too." },
    { .name = "proxy_connect_allow",
      .contexts = CONF_SERVER,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      AT(ports),
      .size = sizeof(struct port_list),
      .set = set_allow,
      .def = "443 563",
      .usage = "proxy_connect_allow all | PORT | PORT-PORT ...;",
      .doc = "The ports that proxy_connect connects to; others get 403." },
    TIME("proxy_connect_connect_timeout", connect_timeout, NULL, "tunnel_connect_timeout by the module's name."),
    TIME("proxy_connect_data_timeout", data_timeout, NULL, "tunnel_read_timeout and tunnel_send_timeout in one."),
    TIME("proxy_connect_read_timeout", read_timeout, NULL, "tunnel_read_timeout by the module's name."),
    TIME("proxy_connect_send_timeout", send_timeout, NULL, "tunnel_send_timeout by the module's name."),
    { .name = "proxy_connect_bind",
      .contexts = CONF_SERVER,
      ONE,
      .type = CONF_CUSTOM,
      AT(connect_bind),
      .size = sizeof(struct connect_bind),
      .set = set_connect_bind,
      .usage = "proxy_connect_bind ADDRESS[:PORT] | off;",
      .doc = "tunnel_bind by the module's name." },
    { .name = "proxy_connect_address",
      .contexts = CONF_SERVER,
      ONE,
      .type = CONF_CUSTOM,
      AT(address),
      .size = sizeof(struct template),
      .set = set_address,
      .usage = "proxy_connect_address ADDRESS[:PORT] | off;",
      .doc = "Where proxy_connect connects to instead of where the client asks; it may hold variables." },
};

struct feature tunnel_feature = {
    .name = "tunnel",
    .doc = "Tunnels that clients ask for with CONNECT.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct tunnel_conf) },
    .finish = finish,
};
