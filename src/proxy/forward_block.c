/*
 * `forward { }`: a server whose content is the world outside.
 *
 * It is built as a server block is, so that everything that holds for clients holds here too; only who answers differs:
 * the host that the request names, by absolute form or by CONNECT, dialled and judged as a client's choice. What
 * differs in defaults is applied as if it stood in the block, so it can be written otherwise there. Until access rules
 * say who may come, only this machine may; what they say is looked at in forward_check.c.
 */
#include "proxy/forward_block.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/client.h"
#include "proxy/chain.h"
#include "proxy/client_count.h"
#include "proxy/client_life.h"
#include "proxy/endpoint.h"
#include "proxy/forward_fields.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy_pass.h"
#include "proxy/resolver_dir.h"
#include "proxy/squid_block.h"
#include "proxy/squid_deny.h"
#include "proxy/squid_log.h"
#include "proxy/target.h"
#include "proxy/tunnel_pass.h"
#include "proxy/udp_relay.h"

/* ---- running ---- */

static enum verdict fail(struct exchange *x, unsigned status)
{
    return reply_set(x, status, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static enum verdict refuse(struct exchange *x, unsigned status, const char *why)
{
    exchange_log(x, LEVEL_ERROR, "forward request refused: %s", why);
    exchange_trace(x, NULL, "answered with %u: %s", status, why);
    return fail(x, status);
}

static bool tunnel_port(struct exchange *x, const struct forward_conf *c)
{
    bool socks = x->req.socks, named = port_list_has(socks ? &c->socks_ports : &c->connect_ports, x->req.port);
    const struct conf_node *line = socks ? c->socks_line : c->ports_line;
    exchange_trace(x, line ? &line->pos : NULL, "%s %s port %u", socks ? "socks_ports" : "connect_ports",
                   named ? "names" : "does not name", x->req.port);
    return named;
}

/* What is wrong with it, if anything. */
static const char *wrong(struct exchange *x, const struct forward_conf *c, unsigned *status)
{
    const struct request *r = &x->req;
    struct addr peer;
    client_peer(x->client, &peer);
    *status = 403;
    if (!c->ruled && peer.sa.sa_family != AF_UNIX && !addr_is_loopback(&peer))
        return "no access rule lets in clients of other hosts";
    if (!c->ruled)
        exchange_trace(x, NULL, "no access rule stands here: clients of this machine may come in");
    if (r->login || r->udp)
        return NULL;
    *status = 400;
    if (r->host_differs &&
        r->form == TARGET_ABSOLUTE) /* a tunnel's goes nowhere; clients write the proxy's name there */
        return "Host differs from the target";
    if (r->form == TARGET_ABSOLUTE && !slice_eq(r->scheme, SLICE("http")))
        return "the target's scheme is not http";
    *status = 403;
    if (r->form == TARGET_AUTHORITY && !tunnel_port(x, c))
        return r->socks ? "socks_ports does not name the port" : "connect_ports does not name the port";
    return NULL;
}

/* For the proxy itself. */
static enum verdict own_request(struct exchange *x, const struct forward_conf *c)
{
    int rc =
        c->pac && (x->req.method == METHOD_GET || x->req.method == METHOD_HEAD) ? forward_pac(x, c->pac) : ERR_NOTFOUND;
    if (rc == ERR_NOTFOUND)
        return refuse(x, 400, "the target names no host");
    return rc == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static int names_of(struct exchange *x, const struct endpoint *e)
{
    struct proxy_exchange *px = x->proxy;
    px->port = e->port_text;
    px->host = e->port == 80 && !px->tunnel ? e->host : e->text;
    if (px->tunnel)
        px->target = e->text;
    else if (target_make(x, false, SLICE_NONE, SLICE_NONE, &px->target) != OK)
        return ERR_NOMEM;
    return OK;
}

static enum verdict choose_way(struct exchange *x, const struct endpoint *e)
{
    switch (chain_route(x)) {
    case CHAIN_PARENT:
        return VERDICT_NEXT;
    case OK:
    case ERR_AGAIN:
        return proxy_choose(x, true, e);
    case ERR_REFUSED:
        return VERDICT_REPLY;
    default:
        return VERDICT_DROP;
    }
}

/* client_ip_max_connections: beyond that, connections are closed without a word, as by Squid. */
static bool counted_in(struct exchange *x, const struct forward_conf *c)
{
    uint64_t most = c->policy->sizes[FWD_CLIENT_IP_MAX_CONNECTIONS];
    if (x->passes == 0 && client_count_enter(x) != OK)
        return false;
    if (!most || client_count_of(NULL, &x->client->peer.sa) <= most)
        return true;
    exchange_log(x, LEVEL_WARN, "closed: client_ip_max_connections");
    return false;
}

/* What holds of a client's connection, whatever it asks for. */
static bool client_limits(struct exchange *x, const struct forward_conf *c)
{
    if (x->trace)
        return true;
    if (c->counted && !counted_in(x, c))
        return false;
    return !c->lifetime || x->passes || client_life_watch(x, c->lifetime) == OK;
}

/* UDP ASSOCIATE of SOCKS. */
static enum verdict associate(struct exchange *x, const struct forward_conf *c, const struct proxy_conf *pc)
{
    const struct endpoint none = { .text = SLICE("") };
    if (!c->udp_destinations)
        return refuse(x, 405, "datagrams are not relayed");
    if (proxy_begin(x, pc) != OK || forward_begin(x, c, &none) != OK || !client_limits(x, c) ||
        reply_set(x, 200, SLICE_NONE, SLICE_NONE, false) != OK)
        return VERDICT_DROP;
    int rc = udp_relay_begin(x, c);
    return rc == OK ? VERDICT_REPLY : fail(x, rc == ERR_UNSUPPORTED ? 405 : 500);
}

static enum verdict forward_select(struct exchange *x, const void *conf)
{
    const struct forward_conf *c = conf;
    const struct proxy_conf *pc = exchange_conf(x, &proxy_feature);
    struct endpoint e;
    const char *why;
    enum verdict v;
    unsigned status;
    if (proxy_chosen(x, pc, &v))
        return v;
    if (x->pass.redirected)
        return fail(x, 404); /* a page that error_page names is not one of the target's */
    if ((why = wrong(x, c, &status)))
        return refuse(x, status, why);
    if (x->req.login) /* its name and password were good, or nobody asks for them */
        return reply_set(x, 204, SLICE_NONE, SLICE_NONE, false) == OK ? VERDICT_REPLY : VERDICT_DROP;
    if (x->req.udp)
        return associate(x, c, pc);
    bool connect = x->req.form == TARGET_AUTHORITY;
    if (!connect && x->req.form != TARGET_ABSOLUTE)
        return own_request(x, c);
    slice text = endpoint_text(&x->arena, x->req.host, x->req.port ? x->req.port : 80);
    if (!text.p || proxy_begin(x, pc) != OK)
        return fail(x, 500);
    if (endpoint_parse(text, 80, &e, &why) != OK || e.is_unix)
        return refuse(x, 400, "the target is no host");
    x->proxy->tunnel = connect;
    if (connect)
        x->arena.chunk = TUNNEL_CHUNK;
    x->proxy->resolver = c->system;
    x->proxy->foreign = true;
    if (names_of(x, &e) != OK || forward_begin(x, c, &e) != OK)
        return fail(x, 500);
    if (!client_limits(x, c))
        return VERDICT_DROP;
    int rc = forward_decide(x);
    if (rc == ERR_REFUSED)
        return VERDICT_REPLY;
    if (rc != OK && rc != ERR_AGAIN)
        return VERDICT_DROP;
    if (forward_ends_here(x))
        return reply_set(x, 200, SLICE_NONE, SLICE_NONE, false) == OK ? VERDICT_REPLY : VERDICT_DROP;
    x->proxy->forward->unrouted = chain_any(x);
    return rc == OK && x->proxy->forward->unrouted ? choose_way(x, &e) : proxy_choose(x, true, &e);
}

static const struct content forward_content = {
    .name = "forward", .select = forward_select, .connect = true, .whole_server = true
};

/* ---- load: what differs from a server ---- */

struct line {
    const char *name, *args[3];
    unsigned levels; /* of hiding, as bits; 0: all */
};

enum { TRANSPARENT = 1 << HIDING_TRANSPARENT, ANONYMOUS = 1 << HIDING_ANONYMOUS, ELITE = 1 << HIDING_ELITE };

/* Several lines of one name stand together. */
static const struct line lines[] = {
    { "client_max_body_size", { "0" }, 0 },
    { "merge_slashes", { "off" }, 0 },
    { "proxy_request_buffering", { "off" }, 0 },
    { "proxy_read_timeout", { "15m" }, 0 },
    { "proxy_redirect", { "off" }, 0 },
    { "proxy_pass_header", { "Date" }, 0 },
    { "proxy_pass_header", { "Server" }, 0 },
    { "proxy_pass_header", { "X-Pad" }, 0 },
    { "proxy_pass_header", { "X-Accel-Redirect" }, 0 },
    { "proxy_pass_header", { "X-Accel-Expires" }, 0 },
    { "proxy_pass_header", { "X-Accel-Limit-Rate" }, 0 },
    { "proxy_pass_header", { "X-Accel-Buffering" }, 0 },
    { "proxy_pass_header", { "X-Accel-Charset" }, 0 },
    { "proxy_ignore_headers", { "X-Accel-Redirect", "X-Accel-Limit-Rate", "X-Accel-Buffering" }, 0 },
    { "proxy_x_forwarded", { "add" }, TRANSPARENT },
    { "proxy_forwarded", { "add" }, TRANSPARENT },
    { "proxy_x_forwarded", { "remove" }, ANONYMOUS | ELITE },
    { "proxy_forwarded", { "remove" }, ANONYMOUS | ELITE },
    { "proxy_via", { "on" }, TRANSPARENT | ANONYMOUS },
    { "proxy_via", { "off" }, ELITE },
    { "proxy_set_header", { "Via", "" }, ELITE },
};

static const struct conf_node *written(const struct conf_node *block, slice name)
{
    for (const struct conf_node *n = block->children; n; n = n->next) {
        if (slice_eq(n->name, name))
            return n;
    }
    return NULL;
}

/* Is it one of the lines up to `end` that were Squid's? */
static bool squid_says(const struct conf_node *first, struct conf_node *const *end, slice name)
{
    for (const struct conf_node *n = first; n && n != *end; n = n->next) {
        if (slice_eq(n->name, name))
            return true;
    }
    return false;
}

static struct conf_node *line_node(struct conf_ctx *cf, const struct conf_node *block, const struct line *l)
{
    uint32_t nargs = 0;
    while (nargs < array_len(l->args) && l->args[nargs])
        nargs++;
    struct conf_node *n = conf_node_new(cf->arena, slice_str(l->name), block->pos, nargs);
    for (uint32_t i = 0; n && i < nargs; i++)
        n->args[i].text = slice_str(l->args[i]);
    return n;
}

/* The lines that the block leaves out. */
static int apply_defaults(struct conf_ctx *cf, const struct conf_node *block, struct forward_conf *c)
{
    uint32_t hiding = c->hiding;
    struct conf_node more = { .name = block->name, .pos = block->pos, .block = true, .parent = block->parent };
    struct conf_node **end = &more.children, **squid;
    int rc = forward_policy(cf, c) ? squid_lines(cf, block, c, &end) : ERR_NOMEM;
    if (rc != OK)
        return rc;
    squid = end;
    for (size_t i = 0; i < array_len(lines); i++) {
        const struct line *l = &lines[i];
        if ((l->levels && !(l->levels & 1u << hiding)) || written(block, slice_str(l->name)) ||
            squid_says(more.children, squid, slice_str(l->name)))
            continue;
        *end = line_node(cf, block, l);
        if (!*end)
            return ERR_NOMEM;
        (*end)->parent = (struct conf_node *)(uintptr_t)block;
        end = &(*end)->next;
    }
    rc = conf_apply(cf, &more, CONF_FORWARD);
    return rc == OK ? squid_logs(cf, block, c->policy) : rc;
}

static int forward_block(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct http_main *m = http_main_of(cf);
    enum conf_context outer = cf->context;
    struct server_build *s = m ? server_build_new(cf, node) : NULL;
    struct forward_conf *c = s ? conf_scope_own(cf, s->base.scope, &forward_feature) : NULL;
    if (!c)
        return ERR_NOMEM;
    server_build_begin(m, s);
    s->server->forward = true;
    c->hiding = HIDING_ANONYMOUS;
    int rc = conf_apply(cf, node, CONF_FORWARD);
    if (rc == OK)
        rc = apply_defaults(cf, node, c);
    if (rc == OK && !s->listens)
        rc = conf_error(cf, c->squid ? c->squid : node, -1, "\"forward\" needs a \"listen\"%s",
                        c->squid ? " or the squid.conf an \"http_port\"" : "");
    if (rc == OK)
        rc = content_set(cf, node, &forward_content, &forward_feature);
    if (rc == OK)
        rc = resolver_system(cf, &c->system);
    if (rc == OK)
        rc = forward_policy(cf, c) ? fwd_policy_finish(c->policy) : ERR_NOMEM;
    if (rc == OK)
        rc = squid_deny_pages(cf, c->policy);
    c->fields = rc == OK && forward_has_fields(c);
    c->lifetime = rc == OK ? c->policy->times[FWD_CLIENT_LIFETIME] : 0;
    c->idle = rc == OK ? c->policy->times[FWD_SERVER_IDLE_PCONN_TIMEOUT] : 0;
    c->counted =
        rc == OK && (fwd_acls_use(&c->policy->acls, ACL_MAXCONN) || c->policy->sizes[FWD_CLIENT_IP_MAX_CONNECTIONS]);
    if (rc == OK)
        rc = parent_block_end(cf, node);
    if (rc == OK)
        rc = server_default_name(cf, s);
    server_build_end(cf, m, s);
    cf->context = outer;
    return rc;
}

/* ---- directives ---- */

static int set_ports(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct forward_conf *c = conf;
    c->ports_line = node;
    return port_list_read(cf, node, &c->connect_ports);
}

static int set_socks_ports(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct forward_conf *c = conf;
    c->socks_line = node;
    return port_list_read(cf, node, &c->socks_ports);
}

static const struct conf_value levels[] = {
    { "transparent", HIDING_TRANSPARENT }, { "anonymous", HIDING_ANONYMOUS }, { "elite", HIDING_ELITE }, { NULL, 0 }
};

#define HERE(member)                                                                 \
    .contexts = CONF_FORWARD, .min_args = 1, .max_args = 1, .scope = SCOPE_LOCATION, \
    .offset = offsetof(struct forward_conf, member)

/* A line of Squid's language. */
#define LINE                                                                                                           \
    .contexts = CONF_FORWARD, .max_args = CONF_ANY_ARGS, .type = CONF_CUSTOM, .scope = SCOPE_LOCATION, .repeat = true, \
    .set = forward_line

#define SQUID(text, how, about)                                       \
    {                                                                 \
        .name = text, LINE, .min_args = 1, .usage = how, .doc = about \
    }

static const struct directive directives[] = {
    { .name = "forward",
      .contexts = CONF_HTTP,
      .type = CONF_BLOCK,
      .scope = SCOPE_SERVER,
      .repeat = true,
      .set = forward_block,
      .usage = "forward { ... }",
      .doc =
          "A forward proxy: clients ask it for http:// targets and, by CONNECT, for tunnels. Targets are public "
          "addresses, and what egress_allow adds. Until allow, deny, auth_basic or the like say who may come in, only "
          "clients of this machine may. Its defaults differ: client_max_body_size 0, proxy_request_buffering off, "
          "proxy_read_timeout 15m, merge_slashes off, fields of answers pass as they are, and names are resolved as "
          "the system does without resolver. auth_basic asks by 407 here. With listen ... ssl the proxy itself is "
          "reached by TLS, and ssl_verify_client on is a rule too: whoever has a certificate may come in." },
    { .name = "acl",
      LINE,
      .min_args = 2,
      .usage = "acl NAME TYPE VALUE ...;",
      .doc =
          "A named condition in Squid's language; lines of one name add values. Types: src, dst, localip, dstdomain, "
          "dstdom_regex, url_regex, urlpath_regex, port, method, proto, time, proxy_auth, browser, referer_regex, "
          "req_header, maxconn, any-of, all-of. A value in quotes is a file of values." },
    { .name = "http_access",
      LINE,
      .min_args = 2,
      .usage = "http_access allow | deny [!]ACL ...;",
      .doc = "Who may go where: the first line whose conditions all hold decides; when none does, the opposite of the "
             "last line. It is asked after allow, deny and auth_basic, and both must agree." },
    { .name = "squid_conf",
      HERE(squid),
      .type = CONF_CUSTOM,
      .set = squid_conf_line,
      .usage = "squid_conf FILE;",
      .doc = "Reads a squid.conf, with what it includes, into the block: http_port listens, http_access decides, and "
             "Squid's own defaults take the place of the block's (connect_ports all, egress_allow all, via on, "
             "forwarded_for on). Lines of ours in the block win over those of the file. What the file asks for and "
             "cannot be had is an error, what has no effect here a warning; docs/forward.md has the table. hinge "
             "--squid FILE makes a whole configuration of one file." },
    SQUID(
        "http_reply_access", "http_reply_access allow | deny [!]ACL ...;",
        "As http_access, asked of answers of targets: http_status, rep_header and rep_mime_type look at them. What is "
        "refused is answered with 403, or as deny_info says."),
    SQUID("http_port", "http_port [ADDRESS:]PORT;",
          "A listen that speaks HTTP only; a port alone is on all addresses."),
    SQUID("tcp_outgoing_address", "tcp_outgoing_address ADDRESS [[!]ACL ...];",
          "The address that targets of its family are connected from; the first line that holds counts."),
    SQUID("deny_info", "deny_info URL | CODE:URL | PAGE | CODE:PAGE ACL ...;",
          "What a refusal looks like when ACL stands last on the line that refused: a redirect, or a page of "
          "error_directory, with Squid's %-codes (%u, %H, %i, %a, ...)."),
    SQUID("error_directory", "error_directory DIRECTORY;", "Where the pages of deny_info are."),
    SQUID("cache_mgr", "cache_mgr ADDRESS;", "What %w means in pages of deny_info."),
    SQUID("via", "via on | off;", "Whether Via is added, with the name of visible_hostname or of this system."),
    SQUID(
        "forwarded_for", "forwarded_for on | off | transparent | truncate | delete;",
        "X-Forwarded-For of requests: the client is added, \"unknown\" is, it stays as it is, the client stands there "
        "alone, it is left out."),
    SQUID(
        "request_header_access", "request_header_access FIELD | Other | All allow | deny [!]ACL ...;",
        "Which fields of requests reach targets. The lines of the field itself count, else those of Other (for fields "
        "that nobody knows), else those of All. Host and what frames a message always travel."),
    SQUID("request_header_replace", "request_header_replace FIELD VALUE;",
          "The value that a field gets instead of being left out by request_header_access."),
    SQUID("reply_header_access", "reply_header_access FIELD | Other | All allow | deny [!]ACL ...;",
          "As request_header_access, of the fields that clients get."),
    SQUID("reply_header_replace", "reply_header_replace FIELD VALUE;", "As request_header_replace, of answers."),
    SQUID("request_header_add", "request_header_add FIELD VALUE [[!]ACL ...];", "A field that requests get."),
    SQUID("auth_param",
          "auth_param basic program basic_ncsa_auth FILE | realm TEXT | credentialsttl TIME | "
          "casesensitive on|off;",
          "Names and passwords for proxy_auth: stands for auth_basic, auth_basic_user_file and auth_basic_by_rules."),
    SQUID("visible_hostname", "visible_hostname NAME;", "The name of this proxy in Via and in pages."),
    SQUID("unique_hostname", "unique_hostname NAME;", "The name in Via, when it differs from visible_hostname."),
    SQUID("dns_nameservers", "dns_nameservers ADDRESS ...;", "As resolver."),
    SQUID("connect_timeout", "connect_timeout NUMBER [UNIT];",
          "As proxy_connect_timeout; UNIT is seconds, minutes, ..."),
    SQUID("read_timeout", "read_timeout NUMBER [UNIT];", "As proxy_read_timeout."),
    SQUID("write_timeout", "write_timeout NUMBER [UNIT];", "As proxy_send_timeout and send_timeout."),
    SQUID("request_timeout", "request_timeout NUMBER [UNIT];", "As client_header_timeout."),
    SQUID("client_lifetime", "client_lifetime NUMBER [UNIT];",
          "How long a client may stay connected; then its tunnel or answer is cut off."),
    SQUID("client_idle_pconn_timeout", "client_idle_pconn_timeout NUMBER [UNIT];", "As keepalive_timeout."),
    SQUID("server_idle_pconn_timeout", "server_idle_pconn_timeout NUMBER [UNIT];",
          "How long idle connections to targets are kept."),
    SQUID("forward_timeout", "forward_timeout NUMBER [UNIT];", "As proxy_next_upstream_timeout."),
    SQUID("dns_timeout", "dns_timeout NUMBER [UNIT];", "As resolver_timeout."),
    SQUID("request_header_max_size", "request_header_max_size NUMBER [UNIT];",
          "As large_client_header_buffers 1 SIZE."),
    SQUID("reply_header_max_size", "reply_header_max_size NUMBER [UNIT];", "As proxy_buffer_size."),
    SQUID("request_body_max_size", "request_body_max_size NUMBER [UNIT];", "As client_max_body_size."),
    SQUID("client_ip_max_connections", "client_ip_max_connections NUMBER;",
          "How many requests one client address may have under way; connections beyond that are closed."),
    { .name = "connect_ports",
      .contexts = CONF_FORWARD,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct forward_conf, connect_ports),
      .size = sizeof(struct port_list),
      .set = set_ports,
      .def = "443",
      .usage = "connect_ports all | PORT | PORT-PORT ...;",
      .doc = "The ports that CONNECT may ask for; others get 403." },
    { .name = "socks_ports",
      .contexts = CONF_FORWARD,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct forward_conf, socks_ports),
      .size = sizeof(struct port_list),
      .set = set_socks_ports,
      .def = "1-24 26-65535",
      .usage = "socks_ports all | PORT | PORT-PORT ...;",
      .doc =
          "The ports that SOCKS clients may ask for: all but that of mail by default. Others are refused (reply 2)." },
    { .name = "socks_udp_destinations",
      HERE(udp_destinations),
      .type = CONF_NUM,
      .max = 4096,
      .def = "256",
      .usage = "socks_udp_destinations NUMBER;",
      .doc = "How many destinations the datagrams of one SOCKS client's association may have at a time. One that was "
             "not used for 10 seconds makes room for another. 0: UDP ASSOCIATE is refused (reply 7). Each destination "
             "is decided as that of a tunnel is, by socks_ports, rules and guard; an association in which no datagram "
             "passes for proxy_read_timeout ends." },
    { .name = "hiding",
      HERE(hiding),
      .type = CONF_ENUM,
      .values = levels,
      .def = "anonymous",
      .usage = "hiding transparent | anonymous | elite;",
      .doc = "What targets are told. transparent: X-Forwarded-For, Forwarded and Via are added. anonymous: no field "
             "tells the client's address, Via has a made-up name. elite: none of these fields is sent, so loops "
             "are found by our own addresses only. It stands for proxy_x_forwarded, proxy_forwarded, proxy_via and "
             "proxy_set_header lines; lines of these names in the block win." },
    { .name = "allow_open_proxy",
      HERE(allow_open),
      .type = CONF_FLAG,
      .def = "off",
      .usage = "allow_open_proxy on | off;",
      .doc = "Off: access rules that let everybody in are an error where the block listens on more than loopback "
             "addresses. On: they are taken." },
    { .name = "proxy_pac",
      HERE(pac),
      .type = CONF_CUSTOM,
      .size = sizeof(struct pac *),
      .set = forward_pac_line,
      .usage = "proxy_pac FILE | on | off;",
      .doc = "/proxy.pac and /wpad.dat are answered with a PAC file: with FILE as it was when the configuration was "
             "loaded, or (on) with one that names this proxy as the request did. off, the default: with 400. A "
             "relative FILE is looked for beside the configuration file." },
};

struct feature forward_feature = {
    .name = "forward",
    .doc = "Forward proxying: clients inside, the world outside.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = squid_vars,
    .nvars = array_len(squid_vars),
    .size = { [SCOPE_LOCATION] = sizeof(struct forward_conf) },
};
