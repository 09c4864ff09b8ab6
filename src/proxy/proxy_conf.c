/*
 * The proxy_* directives of a location.
 *
 * Names, defaults, inheritance and messages are nginx's (ngx_http_proxy_module). Two defaults differ and say so:
 * answers are not spilled to disk unless asked (proxy_max_temp_file_size 0: a full buffer pauses the backend), and
 * connections are kept. What more than one directive decides is checked and compiled in `finish`, once per level.
 */
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/units.h"
#include "http/client_conf.h"
#include "proxy/accel.h"
#include "proxy/bind.h"
#include "proxy/headers.h"
#include "proxy/proxy.h"
#include "proxy/proxy_pass.h"
#include "proxy/proxy_redirect.h"

/* ---- reading ---- */

static int set_buffers(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf *c = conf;
    uint64_t n, size;
    if (slice_to_u64(node->args[0].text, &n) != OK || n == 0 || n > 65536)
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(node->args[0].text));
    if (conf_size(node->args[1].text, &size) != OK || size == 0 || size > 64 << 20)
        return conf_error(cf, node, 1, "invalid value \"%.*s\"", SLICE_FMT(node->args[1].text));
    if (n < 2)
        return conf_error(cf, node, 0, "there must be at least 2 \"proxy_buffers\"");
    c->buffers_n = n;
    c->buffers_size = size;
    return OK;
}

/* proxy_temp_path PATH [LEVEL1 [LEVEL2 [LEVEL3]]]: spilled files are unlinked at once, so levels have nothing to order.
 */
static int set_temp_path(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return temp_dir_read(cf, node, &((struct proxy_conf *)conf)->temp_dir);
}

static int set_body(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct template *t = arena_new(cf->arena, struct template);
    if (!t)
        return ERR_NOMEM;
    ((struct proxy_conf *)conf)->body = t;
    return template_compile(cf, &node->args[0], t);
}

static int check_rate(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    uint64_t size;
    slice text = node->args[0].text;
    if (slice_find(text, '$') < 0 && conf_size(text, &size) != OK)
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(text));
    return OK;
}

/* ---- after inheritance ---- */

/* Which fields of an answer are looked at one by one, and whether the request's travel as they are. */
static void compile_fields(struct proxy_conf *c)
{
    c->special = (struct token_set){ 0 };
    if (c->nredirects) {
        token_set_add(&c->special, TOK_LOCATION);
        token_set_add(&c->special, TOK_REFRESH);
    }
    if (cookie_rules_any(&c->cookies))
        token_set_add(&c->special, TOK_SET_COOKIE);
    accel_tokens(&c->special, c->ignored);
    c->own_body = c->body || !c->pass_body;
    c->plain_fields = c->headers->plain && c->pass_fields && !c->own_body;
}

static int check_buffers(struct conf_ctx *cf, const struct conf_node *node, struct proxy_conf *c)
{
    uint64_t largest = c->buffer_size > c->buffers_size ? c->buffer_size : c->buffers_size;
    c->busy = c->busy_size ? c->busy_size : 2 * largest;
    if (c->busy < largest)
        return conf_error(cf, node, -1,
                          "\"proxy_busy_buffers_size\" must be equal to or greater than the maximum of the value of "
                          "\"proxy_buffer_size\" and one of the \"proxy_buffers\"");
    if (c->busy > (c->buffers_n - 1) * c->buffers_size)
        return conf_error(cf, node, -1,
                          "\"proxy_busy_buffers_size\" must be less than the size of all \"proxy_buffers\" minus one "
                          "buffer");
    if (c->max_temp_file_size && c->max_temp_file_size < largest)
        return conf_error(cf, node, -1,
                          "\"proxy_max_temp_file_size\" must be equal to zero to disable temporary files usage or must "
                          "be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of "
                          "the \"proxy_buffers\"");
    return OK;
}

static int finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent)
{
    struct proxy_conf *c = conf;
    if (kind != SCOPE_LOCATION)
        return OK;
    if (cf->spoiled)
        return pass_compile(cf, c); /* hosts that nobody knows */
    c->body_var = map_get(&cf->vars, SLICE("request_body"));
    int rc = check_buffers(cf, node, c);
    if (rc == OK)
        rc = headers_compile(cf, c, parent);
    if (rc == OK)
        rc = pass_compile(cf, c);
    if (rc == OK)
        rc = redirect_compile(cf, c);
    if (rc == OK)
        compile_fields(c);
    return rc;
}

/* ---- the table ---- */

static const struct conf_value versions[] = { { "1.0", 0 }, { "1.1", 1 }, { "2", 2 }, { NULL, 0 } };

static const struct conf_value ignore_values[] = {
    { "X-Accel-Redirect", IGNORE_REDIRECT },
    { "X-Accel-Buffering", IGNORE_BUFFERING },
    { "X-Accel-Limit-Rate", IGNORE_LIMIT_RATE },
    { "X-Accel-Expires", IGNORE_OTHER },
    { "X-Accel-Charset", IGNORE_OTHER },
    { "Expires", IGNORE_OTHER },
    { "Cache-Control", IGNORE_OTHER },
    { "Set-Cookie", IGNORE_OTHER },
    { "Vary", IGNORE_OTHER },
    { NULL, 0 },
};

static const struct conf_value next_values[] = {
    { "error", NEXT_ERROR },
    { "timeout", NEXT_TIMEOUT },
    { "invalid_header", NEXT_INVALID_HEADER },
    { "non_idempotent", NEXT_NON_IDEMPOTENT },
    { "http_500", NEXT_HTTP_500 },
    { "http_502", NEXT_HTTP_502 },
    { "http_503", NEXT_HTTP_503 },
    { "http_504", NEXT_HTTP_504 },
    { "http_403", NEXT_HTTP_403 },
    { "http_404", NEXT_HTTP_404 },
    { "http_429", NEXT_HTTP_429 },
    { "off", NEXT_OFF },
    { NULL, 0 },
};

#define EVERYWHERE (CONF_HTTP | CONF_SERVER | CONF_LOCATION)
#define AT(member) .scope = SCOPE_LOCATION, .offset = offsetof(struct proxy_conf, member)
/* A custom slot: `first` to `last` are inherited together. */
#define SLOT(first, last)                                                                           \
    AT(first), .size = offsetof(struct proxy_conf, last) + sizeof(((struct proxy_conf *)0)->last) - \
                       offsetof(struct proxy_conf, first)
#define ONE .min_args = 1, .max_args = 1

static const struct directive directives[] = {
    { .name = "proxy_pass",
      .contexts = CONF_LOCATION | CONF_LOCATION_IF | CONF_LIMIT_EXCEPT,
      ONE,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .set = pass_directive,
      .usage = "proxy_pass http://NAME | ADDRESS[:PORT] | unix:PATH:[URI];",
      .doc = "Hands requests of the location to a group of servers (upstream), an address, a host name (resolved "
             "when the configuration is loaded) or a unix socket. With a URI, the part of the decoded path that the "
             "location matched is replaced by it; without, the target is sent as received (or in its normal form "
             "when it had dot segments or merged slashes). With variables the value is evaluated for each request "
             "and has to name a group or an address; when any of the host comes from the client, it may be a group "
             "or a public address only." },
    { .name = "proxy_set_header",
      .contexts = EVERYWHERE,
      .min_args = 2,
      .max_args = 2,
      .type = CONF_CUSTOM,
      SLOT(set_header, set_header),
      .repeat = true,
      .set = headers_set,
      .usage = "proxy_set_header FIELD VALUE;",
      .doc =
          "Sets a field of the request to the backend in place of the client's; an empty value removes it. A "
          "level that sets any replaces all of the outer level's. Host is $proxy_host unless set. Connection, "
          "Upgrade, TE, Transfer-Encoding, Content-Length, Keep-Alive, Expect and Trailer belong to the "
          "connection and are never written from here. \"Connection close\" has the connection closed after the "
          "request. Upgrade (such as $http_upgrade) together with a Connection that holds \"upgrade\" lets a client "
          "that asks for it switch protocols, for instance to WebSocket: when the backend answers 101, bytes are "
          "passed both ways, until both sides have closed or nothing moved for proxy_read_timeout. h2c is never asked "
          "for, nor is anything by a request with a body." },
    { .name = "proxy_hide_header",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_CUSTOM,
      SLOT(hide, hide),
      .repeat = true,
      .set = headers_hide,
      .usage = "proxy_hide_header FIELD;",
      .doc = "Does not pass a field of the answer to the client. Date, Server, X-Pad and X-Accel-* are hidden "
             "anyway." },
    { .name = "proxy_pass_header",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_CUSTOM,
      SLOT(pass_headers, pass_headers),
      .repeat = true,
      .set = headers_pass,
      .usage = "proxy_pass_header FIELD;",
      .doc = "Passes a field of the answer that would be hidden." },
    { .name = "proxy_x_forwarded",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_ENUM,
      AT(announce.x_forwarded),
      .values = announce_modes,
      .def = "off",
      .usage = "proxy_x_forwarded off | add | replace | remove;",
      .doc =
          "X-Forwarded-For, -Host, -Proto and -Port to the backend. add: X-Forwarded-For gets the address of who is "
          "connected; the others are set, unless a trusted proxy (trusted_proxies) has set them. replace: all are set "
          "to what this server knows, with $remote_addr, and other fields of that kind (X-Real-IP, ...) are removed. "
          "remove: all are. off: they pass. A field that proxy_set_header sets is left to it." },
    { .name = "proxy_forwarded",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      SLOT(announce.forwarded, announce.forwarded),
      .set = announce_set_forwarded,
      .def = "off",
      .usage = "proxy_forwarded off | add [by=NODE] | replace [by=NODE] | remove;",
      .doc =
          "Forwarded (RFC 7239) to the backend. add: an element with the address of who is connected, host and scheme "
          "is put behind those that are there. replace: an element with $remote_addr stands alone. remove: the field "
          "does not travel. off: it passes. by names this server in the element: _NAME or an address." },
    { .name = "proxy_via",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_CUSTOM,
      SLOT(announce.via, announce.via),
      .set = announce_set_via,
      .def = "off",
      .usage = "proxy_via off | on | NAME;",
      .doc =
          "Adds Via to requests and to answers, with NAME, or with a name of its own for each running server. A "
          "request whose Via has that name already, or more than 16 entries, is answered with 508. Servers that stand "
          "behind each other need different names." },
    { .name = "proxy_pass_request_headers",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(pass_fields),
      .def = "on",
      .usage = "proxy_pass_request_headers on | off;",
      .doc = "Off: of the request's fields only those of proxy_set_header go to the backend, and Host." },
    { .name = "proxy_pass_request_body",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(pass_body),
      .def = "on",
      .usage = "proxy_pass_request_body on | off;",
      .doc = "Off: the backend gets no body, and no Content-Length. The client's is read all the same." },
    { .name = "proxy_set_body",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_CUSTOM,
      SLOT(body, body), /* NOLINT(bugprone-sizeof-expression): the pointer is inherited */
      .set = set_body,
      .usage = "proxy_set_body VALUE;",
      .doc = "The body of requests to the backend, in place of the client's; it may hold variables." },
    { .name = "proxy_ignore_headers",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_BITS,
      AT(ignored),
      .values = ignore_values,
      .usage = "proxy_ignore_headers FIELD ...;",
      .doc = "Fields of an answer that are not acted upon: X-Accel-Redirect, X-Accel-Limit-Rate, X-Accel-Buffering. "
             "X-Accel-Expires, Expires, Cache-Control, Set-Cookie and Vary concern caching, X-Accel-Charset a "
             "conversion, and are not acted upon anyway. They are hidden or passed as without this directive." },
    { .name = "proxy_cookie_domain",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      SLOT(cookies.domain, cookies.domain),
      .repeat = true,
      .set = cookie_domain_directive,
      .usage = "proxy_cookie_domain off | DOMAIN REPLACEMENT | ~REGEX REPLACEMENT;",
      .doc = "Replaces the Domain attribute of cookies in answers. Letter case and a dot in front do not count. The "
             "first line that applies wins." },
    { .name = "proxy_cookie_path",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      SLOT(cookies.path, cookies.path),
      .repeat = true,
      .set = cookie_path_directive,
      .usage = "proxy_cookie_path off | PATH REPLACEMENT | ~REGEX REPLACEMENT | ~*REGEX REPLACEMENT;",
      .doc = "Replaces the beginning of the Path attribute of cookies in answers, or all of it when a regular "
             "expression matches. The first line that applies wins." },
    { .name = "proxy_cookie_flags",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      SLOT(cookies.flags, cookies.flags),
      .repeat = true,
      .set = cookie_flags_directive,
      .usage = "proxy_cookie_flags off | COOKIE FLAG ... | ~REGEX FLAG ...;",
      .doc = "Sets or removes attributes of cookies in answers: secure, nosecure, httponly, nohttponly, "
             "samesite=strict, samesite=lax, samesite=none, nosamesite. The first line whose COOKIE is the cookie's "
             "name, or matches it, wins." },
    { .name = "proxy_http_version",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_ENUM,
      AT(http_version),
      .values = versions,
      .def = "1.1",
      .usage = "proxy_http_version 1.0 | 1.1 | 2;",
      .doc =
          "The protocol version of requests to the backend. With 1.1, connections are kept; with 1.0 they are "
          "not. With 2, the requests of a worker share few connections. In the clear the backend must speak HTTP/2 "
          "without being asked (prior knowledge); with https:// it is offered HTTP/2 and HTTP/1.1 (ALPN) and chooses. "
          "A request that asks for an upgrade goes over a connection of its own, by HTTP/1.1, which alone has such "
          "a thing." },
    { .name = "proxy_http2_idle_ping",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_MSEC,
      AT(idle_ping),
      .def = "0",
      .usage = "proxy_http2_idle_ping TIME;",
      .doc =
          "An idle connection to a backend over HTTP/2 on which nothing has come for that long is sent a PING, and is "
          "closed when nothing comes for as long again. Until it has answered, requests take another connection: "
          "so a backend or a path that has silently gone is found before a request is put on it. While requests are "
          "under way no PING is sent; proxy_read_timeout looks after them. 0: no PING is sent." },
    { .name = "proxy_method",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_TEMPLATE,
      AT(method),
      .usage = "proxy_method METHOD;",
      .doc = "The method of requests to the backend, in place of the client's." },
    { .name = "proxy_connect_timeout",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_MSEC,
      AT(connect_timeout),
      .def = "60s",
      .usage = "proxy_connect_timeout TIME;",
      .doc = "How long connecting to a backend may take." },
    { .name = "proxy_send_timeout",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_MSEC,
      AT(send_timeout),
      .def = "60s",
      .usage = "proxy_send_timeout TIME;",
      .doc = "How long a backend may take nothing of a request between two writes." },
    { .name = "proxy_read_timeout",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_MSEC,
      AT(read_timeout),
      .def = "60s",
      .usage = "proxy_read_timeout TIME;",
      .doc = "How long a backend may send nothing between two reads. It does not run while the client is waited for." },
    { .name = "proxy_buffering",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(buffering),
      .def = "on",
      .usage = "proxy_buffering on | off;",
      .doc = "On: an answer is read ahead of the client as far as proxy_buffers hold. Off: only as much as one "
             "proxy_buffer_size." },
    { .name = "proxy_request_buffering",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(request_buffering),
      .def = "on",
      .usage = "proxy_request_buffering on | off;",
      .doc = "On: a request body is read before the backend is chosen, so that another can be tried. Off: it is "
             "passed on as it comes." },
    { .name = "proxy_buffer_size",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_SIZE,
      AT(buffer_size),
      .min = 256,
      .max = 64 << 20,
      .def = "4k",
      .usage = "proxy_buffer_size SIZE;",
      .doc = "The largest head of an answer." },
    { .name = "proxy_buffers",
      .contexts = EVERYWHERE,
      .min_args = 2,
      .max_args = 2,
      .type = CONF_CUSTOM,
      SLOT(buffers_n, buffers_size),
      .set = set_buffers,
      .def = "8 4k",
      .usage = "proxy_buffers NUMBER SIZE;",
      .doc = "How much of an answer may wait for a slow client: the product of both. Memory is taken only for what "
             "waits." },
    { .name = "proxy_busy_buffers_size",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_SIZE,
      AT(busy_size),
      .usage = "proxy_busy_buffers_size SIZE;",
      .doc = "How much of an answer stays in memory on its way to the client when the rest of the buffers goes to a "
             "temporary file (proxy_max_temp_file_size); checked against proxy_buffers as in nginx. Without temporary "
             "files all buffers are filled alike. By default twice the larger of proxy_buffer_size and one of "
             "proxy_buffers." },
    { .name = "proxy_max_temp_file_size",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_SIZE,
      AT(max_temp_file_size),
      .def = "0",
      .usage = "proxy_max_temp_file_size SIZE;",
      .doc = "How much of an answer that does not fit into proxy_buffers may wait in an unlinked file. The default "
             "is 0 and not nginx's 1024m: full buffers pause the backend." },
    { .name = "proxy_temp_path",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = 4,
      .type = CONF_CUSTOM,
      SLOT(temp_dir, temp_dir), /* NOLINT(bugprone-sizeof-expression): the pointer is inherited */
      .set = set_temp_path,
      .def = "/var/tmp",
      .usage = "proxy_temp_path PATH [LEVEL1 [LEVEL2 [LEVEL3]]];",
      .doc = "The directory of those files. Levels are checked and make no difference: the files have no names." },
    { .name = "proxy_pass_trailers",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(pass_trailers),
      .def = "off",
      .usage = "proxy_pass_trailers on | off;",
      .doc = "Passes trailer fields of an answer on to a client that says TE: trailers; fields that frame, route or "
             "authenticate are left out always." },
    { .name = "proxy_next_upstream",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_BITS,
      AT(next_upstream),
      .values = next_values,
      .def = "error timeout",
      .usage = "proxy_next_upstream error | timeout | invalid_header | http_500 | http_502 | http_503 | http_504 | "
               "http_403 | http_404 | http_429 | non_idempotent | off ...;",
      .doc = "When a request is handed to the next server. Once part of it was sent, a request whose method is not "
             "idempotent is repeated only with non_idempotent; nothing is repeated once the client got part of an "
             "answer." },
    { .name = "proxy_next_upstream_tries",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_NUM,
      AT(next_tries),
      .def = "0",
      .usage = "proxy_next_upstream_tries NUMBER;",
      .doc = "How many servers are tried for a request; 0: all of the group." },
    { .name = "proxy_next_upstream_timeout",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_MSEC,
      AT(next_timeout),
      .def = "0",
      .usage = "proxy_next_upstream_timeout TIME;",
      .doc = "How long a request may be handed to further servers; 0: no limit." },
    { .name = "proxy_redirect",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      SLOT(redirect, redirect),
      .repeat = true,
      .set = redirect_directive,
      .def = "default",
      .usage = "proxy_redirect default | off | FROM TO | ~REGEX TO | ~*REGEX TO;",
      .doc = "Replaces the beginning of URLs in the Location and Refresh fields of answers; the first rule that "
             "applies wins. default: what proxy_pass says becomes the location's prefix. A Location that is a path "
             "afterwards is completed as absolute_redirect says." },
    { .name = "proxy_intercept_errors",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(intercept_errors),
      .def = "off",
      .usage = "proxy_intercept_errors on | off;",
      .doc = "On: answers with a status of 300 and above are subject to error_page." },
    { .name = "proxy_socket_keepalive",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(socket_keepalive),
      .def = "off",
      .usage = "proxy_socket_keepalive on | off;",
      .doc = "On: TCP keepalive (SO_KEEPALIVE) for connections to backends." },
    { .name = "proxy_ignore_client_abort",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_FLAG,
      AT(ignore_client_abort),
      .def = "off",
      .usage = "proxy_ignore_client_abort on | off;",
      .doc = "On: a request that is whole goes on although its client has closed its side, until the answer's head is "
             "there and sent. Off: the client counts as gone (499), and the backend's connection is closed." },
    { .name = "proxy_bind",
      .contexts = EVERYWHERE,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      SLOT(bind, bind), /* NOLINT(bugprone-sizeof-expression): the pointer is inherited */
      .set = bind_directive,
      .usage = "proxy_bind ADDRESS[:PORT] | off;",
      .doc = "The address of ours that connections to backends come from; it may hold variables. transparent is not "
             "supported." },
    { .name = "proxy_limit_rate",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_TEMPLATE,
      AT(limit_rate),
      .def = "0",
      .set = check_rate,
      .usage = "proxy_limit_rate SIZE;",
      .doc = "How many bytes of an answer's body are read from the backend in a second, when proxy_buffering is on; 0: "
             "as fast as it goes. Such an answer is not kept in a temporary file." },
    { .name = "proxy_send_lowat",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_TUNING,
      .scope = SCOPE_LOCATION,
      .usage = "proxy_send_lowat SIZE;",
      .doc = "Linux has no low-water mark for sending." },
    { .name = "proxy_headers_hash_max_size",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_TUNING,
      .scope = SCOPE_LOCATION,
      .usage = "proxy_headers_hash_max_size SIZE;",
      .doc = "Field names are not kept in a hash of fixed size." },
    { .name = "proxy_headers_hash_bucket_size",
      .contexts = EVERYWHERE,
      ONE,
      .type = CONF_TUNING,
      .scope = SCOPE_LOCATION,
      .usage = "proxy_headers_hash_bucket_size SIZE;",
      .doc = "Field names are not kept in a hash of fixed size." },
};

struct feature proxy_feature = {
    .name = "proxy",
    .forward = true,
    .doc = "Handing requests to backend servers.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct proxy_conf) },
    .finish = finish,
    .finish_spoiled = true,
};
