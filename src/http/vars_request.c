/*
 * Variables of the request: its line, its target, its fields, and where routing has brought it.
 */
#include <stddef.h>

#include "base/attr.h"
#include "base/map.h"
#include "http/basic.h"
#include "http/vars.h"

/* ---- line and target ---- */

/* A plain member of the request: `data` is the offset of a slice in struct request. */
static int get_request(struct exchange *x, const struct var *v, slice *out)
{
    return var_some(*(const slice *)(const void *)((const char *)&x->req + v->def->data), out);
}

/* The target with its arguments, as received; of an absolute target the part behind the authority. */
static int get_request_uri(struct exchange *x, const struct var *v, slice *out)
{
    const struct request *r = &x->req;
    if (r->form != TARGET_ABSOLUTE)
        return var_some(r->target, out);
    if (!r->has_query)
        return var_some(r->raw_path, out);
    slice s = arena_printf(&x->arena, "%.*s?%.*s", SLICE_FMT(r->raw_path), SLICE_FMT(r->query));
    return s.p ? var_some(s, out) : ERR_NOMEM;
}

/* Of a child too the method that the client used, as in nginx; what it is asked for with is the pass's own. */
static int get_method(struct exchange *x, const struct var *v, slice *out)
{
    x = exchange_origin(x);
    return var_some(x->pass.method_text.n ? x->pass.method_text : x->req.method_text, out);
}

static int get_protocol(struct exchange *x, const struct var *v, slice *out)
{
    if (unlikely(x->req.socks))
        return var_some(x->req.socks == 4 ? SLICE("SOCKS4") : SLICE("SOCKS5"), out);
    *out = x->req.major == 2 ? SLICE("HTTP/2.0") : x->req.minor ? SLICE("HTTP/1.1") : SLICE("HTTP/1.0");
    return x->req.line.n ? OK : ERR_NOTFOUND;
}

static int get_host(struct exchange *x, const struct var *v, slice *out)
{
    if (x->req.host.n)
        return var_some(x->req.host, out);
    return x->server ? var_some(x->server->name, out) : ERR_NOTFOUND;
}

static int get_request_port(struct exchange *x, const struct var *v, slice *out)
{
    return x->req.port ? var_number(x, x->req.port, out) : ERR_NOTFOUND;
}

static int get_is_request_port(struct exchange *x, const struct var *v, slice *out)
{
    *out = x->req.port ? SLICE(":") : SLICE("");
    return OK;
}

/* ---- the pass ---- */

static int get_uri(struct exchange *x, const struct var *v, slice *out)
{
    return var_some(x->pass.uri, out);
}

static int get_args(struct exchange *x, const struct var *v, slice *out)
{
    return var_some(x->pass.args, out);
}

static int set_args(struct exchange *x, const struct var *v, slice value)
{
    x->pass.args = value;
    x->pass.has_args = value.n > 0;
    x->pass.rewritten = true;
    return OK;
}

static int get_is_args(struct exchange *x, const struct var *v, slice *out)
{
    *out = x->pass.args.n ? SLICE("?") : SLICE("");
    return OK;
}

/* The value as it stands, not decoded, of the first NAME=VALUE; letter case of the name does not count (as in nginx).
 */
static int get_arg(struct exchange *x, const struct var *v, slice *out)
{
    slice rest = x->pass.args, one, name, value;
    while (rest.n) {
        if (!slice_cut(rest, '&', &one, &rest)) {
            one = rest;
            rest = SLICE_NONE;
        }
        if (slice_cut(one, '=', &name, &value) && slice_ieq(name, v->arg)) {
            *out = value;
            return OK;
        }
    }
    return ERR_NOTFOUND;
}

static int get_capture(struct exchange *x, const struct var *v, slice *out)
{
    return v->def->data < x->pass.ncaptures ? var_some(x->pass.captures[v->def->data], out) : ERR_NOTFOUND;
}

static int get_server_name(struct exchange *x, const struct var *v, slice *out)
{
    if (!x->server)
        return ERR_NOTFOUND;
    *out = x->server->name;
    return OK;
}

/* ---- fields ---- */

static int get_field(struct exchange *x, const struct var *v, slice *out)
{
    slice joint = slice_ieq(v->arg, SLICE("cookie")) ? SLICE("; ") : SLICE(", ");
    if (slice_ieq(v->arg, SLICE("host")))
        return var_some(x->req.authority, out);
    if (x->server->forward && slice_ieq(v->arg, SLICE("proxy_authorization")))
        return ERR_NOTFOUND; /* a password for us: not for a log, nor for a field of what goes out */
    return var_fields(x, &x->req.fields, &x->req.hop, v->arg, joint, out);
}

/* Names that nearly every log line asks for: by token, without comparing text. `data`: the token. */
static int get_known_field(struct exchange *x, const struct var *v, slice *out)
{
    const struct field *f = fields_find(&x->req.fields, (enum token)v->def->data);
    if (!f)
        return ERR_NOTFOUND;
    *out = f->value;
    return OK;
}

/* As the client wrote it; of a body in chunks its length, once it is there (nginx 1.21). */
static int get_content_length(struct exchange *x, const struct var *v, slice *out)
{
    const struct field *f = fields_find(&x->req.hop, TOK_CONTENT_LENGTH);
    if (f)
        return var_some(f->value, out);
    if (x->req.body.kind == BODY_LENGTH)
        return var_number(x, x->req.body.length, out);
    bool whole = x->req.body.kind == BODY_UNKNOWN && x->req_pipe.state == PIPE_EOF;
    return whole ? var_number(x, x->req_pipe.put, out) : ERR_NOTFOUND;
}

static slice skip_spaces(slice s)
{
    while (s.n && s.p[0] == ' ')
        s = slice_from(s, 1);
    return s;
}

/* Behind the next ';' or ',' and spaces. */
static slice next_pair(slice s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] != ';' && s.p[n] != ',')
        n++;
    return skip_spaces(slice_from(s, n + 1));
}

/*
 * The value of a cookie in a Cookie field, by nginx's reading: pairs part at ';' and ',', a value ends at ';' alone and
 * keeps the spaces at its end. The byte behind a name that has no '=' is passed over, whatever it is.
 */
static bool cookie_in(slice field, slice name, slice *out)
{
    slice s = field, value, rest;
    while (s.n) {
        if (!slice_istarts(s, name)) {
            s = next_pair(s);
            continue;
        }
        s = skip_spaces(slice_from(s, name.n));
        if (s.n && s.p[0] == '=') {
            value = skip_spaces(slice_from(s, 1));
            slice_cut(value, ';', &value, &rest);
            *out = value;
            return true;
        }
        s = next_pair(slice_from(s, 1));
    }
    return false;
}

static int get_cookie(struct exchange *x, const struct var *v, slice *out)
{
    for (uint32_t i = 0; i < x->req.fields.n; i++) {
        const struct field *f = &x->req.fields.v[i];
        if (f->token == TOK_COOKIE && cookie_in(f->value, v->arg, out))
            return OK;
    }
    return ERR_NOTFOUND;
}

/* The name in Basic credentials, whether or not anybody checked them. */
static int get_remote_user(struct exchange *x, const struct var *v, slice *out)
{
    bool proxy = x->server && x->server->forward;
    const struct field *f =
        proxy ? fields_find(&x->req.hop, TOK_PROXY_AUTHORIZATION) : fields_find(&x->req.fields, TOK_AUTHORIZATION);
    struct basic b;
    int rc = f ? basic_parse(&x->arena, f->value, &b) : ERR_NOTFOUND;
    return rc == OK ? var_some(b.user, out) : rc;
}

/* ---- the body ---- */

/* Its value is assigned when the body is gathered (proxy/step_body.c); before that, and elsewhere, there is none. */
static int get_body(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND;
}

/* ---- sizes, identity ---- */

static int get_request_length(struct exchange *x, const struct var *v, slice *out)
{
    return var_number(x, x->received, out);
}

/* Random, and the same for the whole exchange: kept as an assigned value, which a new pass does not forget. */
static int get_request_id(struct exchange *x, const struct var *v, slice *out)
{
    if (x->parent)
        return exchange_var(x->parent, v, out);
    unsigned char bytes[16];
    char *text = arena_bytes(&x->arena, 2 * sizeof(bytes));
    if (!text)
        return ERR_NOMEM;
    rand_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    slice id = slice_of(text, 2 * sizeof(bytes));
    if (!exchange_var_set(x, v, id))
        return ERR_NOMEM;
    *out = id;
    return OK;
}

slice exchange_scheme(const struct exchange *x)
{
    const struct client *c = x->client;
    /* without a connection (explain) it is what the address speaks */
    return c->tls || (c->fd < 0 && c->listener->ssl) ? SLICE("https") : SLICE("http");
}

static int get_pipe(struct exchange *x, const struct var *v, slice *out)
{
    *out = x->req.pipelined ? SLICE("p") : SLICE(".");
    return OK;
}

static int get_scheme(struct exchange *x, const struct var *v, slice *out)
{
    *out = exchange_scheme(x);
    return OK;
}

/* As nginx has it: how the client and we came to speak HTTP/2. */
static int get_http2(struct exchange *x, const struct var *v, slice *out)
{
    *out = x->req.major != 2 ? SLICE("") : slice_eq(exchange_scheme(x), SLICE("https")) ? SLICE("h2") : SLICE("h2c");
    return OK;
}

static int get_https(struct exchange *x, const struct var *v, slice *out)
{
    *out = exchange_scheme(x).n == 5 ? SLICE("on") : SLICE("");
    return OK;
}

/* Known, and empty: what this version does not speak. */
static int get_empty(struct exchange *x, const struct var *v, slice *out)
{
    *out = SLICE("");
    return OK;
}

#define CAPTURE(n)                                                                                                  \
    {                                                                                                               \
#n, false, VAR_REQUEST, false, n, get_capture, "Group " #n " of the last regular expression that matched.", \
            true                                                                                                    \
    }
#define MEMBER(field) offsetof(struct request, field)

static const struct var_def vars[] = {
    { "request", false, VAR_REQUEST, false, MEMBER(line), get_request, "The request line as received.", true },
    { "request_uri", false, VAR_REQUEST, true, 0, get_request_uri, "The target with its arguments, as received.",
      true },
    { "request_method", false, VAR_REQUEST, false, 0, get_method,
      "The method; after error_page, that of the new pass." },
    { "server_protocol", false, VAR_REQUEST, false, 0, get_protocol,
      "HTTP/1.0, HTTP/1.1, HTTP/2.0, SOCKS4 or SOCKS5." },
    { "scheme", false, VAR_REQUEST, false, 0, get_scheme, "\"http\", or \"https\" on a TLS connection." },
    { "https", false, VAR_REQUEST, false, 0, get_https, "\"on\" on a TLS connection, else empty." },
    { "http2", false, VAR_REQUEST, false, 0, get_http2,
      "\"h2\" on an HTTP/2 connection over TLS, \"h2c\" on one without, else empty." },
    { "http3", false, VAR_REQUEST, false, 0, get_empty, "The protocol on an HTTP/3 connection, else empty." },
    { "host", false, VAR_REQUEST, false, 0, get_host,
      "The host of the request in lower case, without its port; else the server's name.", true },
    { "request_port", false, VAR_REQUEST, true, 0, get_request_port, "The port that the request's host names.", true },
    { "is_request_port", false, VAR_REQUEST, false, 0, get_is_request_port, "\":\" if $request_port is not empty." },
    { "uri", false, VAR_REQUEST, false, 0, get_uri, "The decoded, normal path of the current pass.", true },
    { "document_uri", false, VAR_REQUEST, false, 0, get_uri, "The same as $uri.", true },
    { .name = "args",
      .get = get_args,
      .doc = "The arguments; `set` may assign them.",
      .client = true,
      .set = set_args },
    { "query_string", false, VAR_REQUEST, false, 0, get_args, "The same as $args.", true },
    { "is_args", false, VAR_REQUEST, false, 0, get_is_args, "\"?\" if there are arguments, else empty." },
    { "arg_", true, VAR_REQUEST, false, 0, get_arg, "The argument of that name, as it stands.", true },
    { "cookie_", true, VAR_REQUEST, false, 0, get_cookie, "The cookie of that name.", true },
    { "http_", true, VAR_REQUEST, false, 0, get_field,
      "The request's field of that name ('_' for '-'); several are joined.", true },
    { "http_user_agent", false, VAR_REQUEST, false, TOK_USER_AGENT, get_known_field, "The User-Agent field.", true },
    { "http_referer", false, VAR_REQUEST, false, TOK_REFERER, get_known_field, "The Referer field.", true },
    { "content_type", false, VAR_REQUEST, false, TOK_CONTENT_TYPE, get_known_field, "The request's Content-Type.",
      true },
    { "content_length", false, VAR_REQUEST, false, 0, get_content_length,
      "The request's Content-Length; of a body in chunks its length once it is there." },
    { "remote_user", false, VAR_REQUEST, true, 0, get_remote_user, "The name in Basic credentials, checked or not.",
      true },
    { "server_name", false, VAR_REQUEST, false, 0, get_server_name, "The first name of the server." },
    { "request_length", false, VAR_REQUEST, false, 0, get_request_length,
      "Bytes of the request so far: line, head and body." },
    { "pipe", false, VAR_REQUEST, false, 0, get_pipe, "\"p\" if the request was pipelined, else \".\"." },
    { "request_body", false, VAR_ROUTE, false, 0, get_body,
      "The request's body, once it was gathered in memory for proxy_pass; empty when it went to a file.", true },
    { "request_body_file", false, VAR_ROUTE, false, 0, get_body,
      "Empty: the temporary files of bodies have no names." },
    { "request_id", false, VAR_REQUEST, false, 0, get_request_id, "16 random bytes in hexadecimal." },
    CAPTURE(1),
    CAPTURE(2),
    CAPTURE(3),
    CAPTURE(4),
    CAPTURE(5),
    CAPTURE(6),
    CAPTURE(7),
    CAPTURE(8),
    CAPTURE(9),
};

struct feature request_vars_feature = {
    .name = "request_vars",
    .doc = "Variables of the request.",
    .vars = vars,
    .nvars = array_len(vars),
};
