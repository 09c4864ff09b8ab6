#include "h2/request.h"

#include "base/attr.h"
#include "base/checked.h"
#include "base/err.h"
#include "http/chars.h"
#include "http/target.h"
#include "http/uri.h"

enum { METHOD_MAX = 32, NAME_MAX_BYTES = 128, FIELDS_FIRST = 16 };

static void refuse(struct h2_request *r, unsigned status, const char *text)
{
    if (r->status)
        return;
    r->status = status;
    r->text = text;
    r->malformed = status == 400;
}

bool h2_name_ok(slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return false;
    }
    return http_is_token(name);
}

bool h2_value_ok(slice value)
{
    if (!http_is_value(value))
        return false;
    if (!value.n)
        return true;
    char a = value.p[0], b = value.p[value.n - 1];
    return a != ' ' && a != '\t' && b != ' ' && b != '\t';
}

static bool dup_into(struct h2_request *r, slice s, slice *out)
{
    if (!s.n) {
        *out = SLICE("");
        return true;
    }
    if (arena_dup(&r->x->arena, s, out))
        return true;
    r->nomem = true;
    return false;
}

/* Row D4: each once, before all others, and none that is not known. */
static bool take_pseudo(struct h2_request *r, slice name, slice value)
{
    slice *to = slice_eq(name, SLICE(":method"))      ? &r->method
                : slice_eq(name, SLICE(":path"))      ? &r->path
                : slice_eq(name, SLICE(":scheme"))    ? &r->scheme
                : slice_eq(name, SLICE(":authority")) ? &r->authority
                                                      : NULL;
    if (!to || to->p || r->regular) {
        refuse(r, 400,
               !to     ? "unknown pseudo-header"
               : to->p ? "duplicate pseudo-header"
                       : "pseudo-header behind a field");
        return true;
    }
    return dup_into(r, value, to);
}

/* Row D5: what concerns a connection has no place in a stream. */
static bool of_connection(enum token t)
{
    return t == TOK_CONNECTION || t == TOK_TRANSFER_ENCODING || t == TOK_KEEP_ALIVE || t == TOK_PROXY_CONNECTION ||
           t == TOK_UPGRADE || t == TOK_HTTP2_SETTINGS;
}

static void note_length(struct h2_request *r, slice value)
{
    uint64_t n;
    if (r->length.p)
        refuse(r, 400, "duplicate Content-Length");
    else if (slice_to_u64(value, &n) != OK || n >> 63)
        refuse(r, 400, "invalid Content-Length");
    r->length = value;
}

static void note_expect(struct h2_request *r, slice value)
{
    if (r->x->req.expect_continue || !slice_ieq(value, SLICE("100-continue")))
        refuse(r, 417, "unknown expectation");
    r->x->req.expect_continue = true;
}

static void note(struct h2_request *r, const struct field *f)
{
    enum token t = (enum token)f->token;
    if (of_connection(t))
        refuse(r, 400, "connection-specific field");
    else if (t == TOK_CONTENT_LENGTH)
        note_length(r, f->value);
    else if (t == TOK_EXPECT)
        note_expect(r, f->value);
    else if (t == TOK_TE && !slice_ieq(f->value, SLICE("trailers")))
        refuse(r, 400, "TE other than trailers");
    else if (t == TOK_TE)
        r->x->req.te_trailers = true;
    else if (token_flags(t) & T_ONE) {
        if (token_set_has(&r->once, t))
            refuse(r, 400, "duplicate header field that may come only once");
        token_set_add(&r->once, t);
        if (t == TOK_HOST)
            r->host = f->value;
    }
}

/* RFC 9113 §8.2.3: crumbs of a cookie are one field again. They were counted as they came (row A9). */
static bool join_cookies(struct h2_request *r)
{
    struct fields *f = &r->x->req.fields;
    struct field *first = NULL;
    uint32_t kept = 0;
    size_t n = 0;
    for (uint32_t i = 0; i < f->n; i++)
        n += f->v[i].token == TOK_COOKIE ? f->v[i].value.n + 2 : 0;
    char *p = arena_bytes(&r->x->arena, n), *at = p;
    if (!p)
        return false;
    for (uint32_t i = 0; i < f->n; i++) {
        struct field *one = &f->v[i];
        if (one->token == TOK_COOKIE) {
            if (first) {
                *at++ = ';';
                *at++ = ' ';
            }
            memcpy(at, one->value.p, one->value.n);
            at += one->value.n;
        }
        if (one->token != TOK_COOKIE || !first)
            f->v[kept++] = *one;
        if (one->token == TOK_COOKIE && !first)
            first = &f->v[kept - 1];
    }
    if (first)
        first->value = slice_of(p, (size_t)(at - p));
    f->n = kept;
    return true;
}

static bool usual(slice name, const struct client_server_conf *k)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!ch_is(name.p[i], CH_PLAIN) && !(name.p[i] == '_' && k->underscores))
            return false;
    }
    return true;
}

static bool keep_field(struct h2_request *r, slice name, slice value)
{
    enum token t = token_find(name);
    struct field f = { .name = token_name(t), .token = (uint16_t)t };
    struct request *q = &r->x->req;
    r->cookies += t == TOK_COOKIE;
    if ((t == TOK_NONE && !dup_into(r, name, &f.name)) || !dup_into(r, value, &f.value))
        return false;
    if (token_flags(t) & (T_HOP | T_ONE))
        note(r, &f);
    if (t == TOK_PRIORITY)
        r->priority = f.value;
    if (t == TOK_HOST)
        return true;
    if (fields_add(&r->x->arena, token_flags(t) & T_HOP ? &q->hop : &q->fields, f))
        return true;
    r->nomem = true;
    return false;
}

bool h2_request_field(void *arg, slice name, slice value)
{
    struct h2_request *r = arg;
    const struct client_server_conf *k = r->conf;
    uint64_t line = k->header_buffer_size > k->large_buffer_size ? k->header_buffer_size : k->large_buffer_size;
    uint64_t most = k->large_buffers * k->large_buffer_size;
    r->bytes += name.n + value.n + 4;
    r->fields++;
    if (r->status && r->status != 417)
        return true; /* decoded for the sake of the table alone */
    if (r->bytes > (most > line ? most : line))
        refuse(r, 431, "header section is too large");
    else if (name.n + value.n > line)
        refuse(r, slice_eq(name, SLICE(":path")) ? 414 : 431, "header field is too long");
    if (!h2_value_ok(value))
        refuse(r, 400, "invalid header field value");
    if (r->status && r->status != 417)
        return true;
    if (name.n && name.p[0] == ':')
        return take_pseudo(r, name, value);
    r->regular = true;
    if (r->fields > k->max_fields + 4)
        refuse(r, 431, "too many header fields");
    else if (!h2_name_ok(name))
        refuse(r, 400, "invalid header field name");
    else if (name.n > NAME_MAX_BYTES)
        refuse(r, 431, "header field name is too long");
    if (r->status && r->status != 417)
        return true;
    if (k->ignore_invalid && !usual(name, k)) {
        r->dropped++;
        return true;
    }
    return keep_field(r, name, value);
}

/* ---- the whole ---- */

static bool check_method(struct h2_request *r)
{
    struct request *q = &r->x->req;
    if (!r->method.p || !http_is_token(r->method) || r->method.n > METHOD_MAX) {
        refuse(r, 400, r->method.p ? "invalid method" : "no :method");
        return false;
    }
    q->method = method_find(r->method);
    q->method_text = r->method;
    return true;
}

/* Row D6. A CONNECT names its target by :authority alone (RFC 9113 §8.5). */
static bool check_target(struct h2_request *r)
{
    struct request *q = &r->x->req;
    if (q->method == METHOD_CONNECT) {
        q->form = TARGET_AUTHORITY;
        q->target = r->authority;
        if (r->scheme.p || r->path.p || !r->authority.n)
            refuse(r, 400, "malformed CONNECT");
        return !r->status;
    }
    if (!r->scheme.p || !r->path.p)
        refuse(r, 400, r->path.p ? "no :scheme" : "no :path");
    else if (!slice_eq(r->scheme, SLICE("http")) && !slice_eq(r->scheme, SLICE("https")))
        refuse(r, 400, "unknown :scheme");
    else if (!r->path.n || scan_target(r->path.p, r->path.p + r->path.n) != r->path.p + r->path.n)
        refuse(r, 400, "invalid request target");
    else if (r->path.p[0] != '/' && !(slice_eq(r->path, SLICE("*")) && q->method == METHOD_OPTIONS))
        refuse(r, 400, "request target does not fit the method");
    q->form = slice_starts(r->path, SLICE("*")) ? TARGET_ASTERISK : TARGET_ORIGIN;
    q->target = r->path;
    return !r->status;
}

/* A forward proxy is told where to by :scheme and :authority (RFC 9113 §8.3.1). That is HTTP/1's absolute form, and
 * looks like it from here on. A request for https is one for the proxy itself: others come by CONNECT. */
static bool make_absolute(struct h2_request *r)
{
    struct request *q = &r->x->req;
    q->form = TARGET_ABSOLUTE;
    q->scheme = r->scheme;
    q->target = arena_printf(&r->x->arena, "%.*s://%.*s%.*s", SLICE_FMT(r->scheme), SLICE_FMT(r->authority),
                             SLICE_FMT(r->path));
    return q->target.p;
}

static bool is_forward(const struct h2_request *r)
{
    const struct listener_conf *l = r->x->client->listener;
    return unlikely(l && l->default_server && l->default_server->forward) && r->x->req.form == TARGET_ORIGIN &&
           r->authority.n && slice_eq(r->scheme, SLICE("http"));
}

/* Do Host and :authority name one server? A port that one leaves out is the scheme's, or that of CONNECT's target. */
static bool agrees(const struct h2_request *r, slice host, uint16_t port)
{
    slice other;
    uint16_t other_port, own = slice_eq(r->scheme, SLICE("https")) ? 443 : 80;
    if (uri_authority(r->host, &other, &other_port) != OK)
        return false;
    if (r->x->req.form == TARGET_AUTHORITY)
        own = port;
    return slice_ieq(host, other) && (port ? port : own) == (other_port ? other_port : own);
}

/* Perhaps for a password in it, which is not for the log. */
static void refuse_host(struct h2_request *r)
{
    struct request *q = &r->x->req;
    uri_hide_password((char *)q->line.p, q->line.n);
    uri_hide_password((char *)q->authority.p, q->authority.n);
    refuse(r, 400, "invalid host");
}

static int check_authority(struct h2_request *r)
{
    struct request *q = &r->x->req;
    slice host = SLICE_NONE;
    q->authority = r->authority.p ? r->authority : r->host;
    if (!q->authority.p)
        refuse(r, 400, "neither :authority nor Host");
    else if (uri_authority(q->authority, &host, &q->port) != OK || (q->form == TARGET_AUTHORITY && !q->port))
        refuse_host(r);
    else if (r->authority.p && r->host.p && !slice_eq(r->authority, r->host) && !agrees(r, host, q->port))
        refuse(r, 400, "Host and :authority differ");
    if (r->status)
        return OK;
    return uri_host_normal(&r->x->arena, host, &q->host) ? OK : ERR_NOMEM;
}

/* Rows D1 and D2: DATA is the only framing; Content-Length must agree with it, which is checked where it ends. */
static void check_body(struct h2_request *r, bool ends)
{
    struct body_fact *b = &r->x->req.body;
    uint64_t n = 0;
    if (r->length.p && slice_to_u64(r->length, &n) != OK)
        return;
    if (ends && n)
        refuse(r, 400, "Content-Length without a body");
    if (r->x->req.method == METHOD_CONNECT) {
        if (r->length.p)
            refuse(r, 400, "body framing in a CONNECT request");
        *b = (struct body_fact){ .kind = BODY_NONE };
        return;
    }
    *b = (struct body_fact){ .kind = ends ? BODY_NONE : r->length.p ? BODY_LENGTH : BODY_UNKNOWN, .length = n };
    if (ends && r->length.p)
        *b = (struct body_fact){ .kind = BODY_LENGTH, .length = 0 };
}

/* What $request shows, as nginx composes it. */
static bool compose_line(struct h2_request *r)
{
    struct request *q = &r->x->req;
    q->line = arena_printf(&r->x->arena, "%.*s %.*s HTTP/2.0", SLICE_FMT(q->method_text), SLICE_FMT(q->target));
    return q->line.p;
}

int h2_request_finish(struct h2_request *r, bool ends)
{
    struct request *q = &r->x->req;
    q->minor = 1;
    q->major = 2;
    q->keep_alive = true;
    q->head_size = r->bytes;
    if (r->nomem || (r->cookies > 1 && !r->status && !join_cookies(r)))
        return ERR_NOMEM;
    if (check_method(r) && check_target(r) && is_forward(r) && !make_absolute(r))
        return ERR_NOMEM;
    if (q->method_text.p && q->target.p && !compose_line(r))
        return ERR_NOMEM;
    int rc = r->status ? OK : check_authority(r);
    if (rc == OK && !r->status)
        check_body(r, ends);
    if (rc != OK || r->status)
        return rc;
    rc = target_path(q, q->form == TARGET_AUTHORITY ? SLICE_NONE : r->path, &r->x->arena, r->conf->merge_slashes);
    if (rc == ERR_SYNTAX)
        refuse(r, 400, "invalid path");
    return rc == ERR_NOMEM ? rc : OK;
}

bool h2_trailer_field(void *arg, slice name, slice value)
{
    struct h2_trailers *t = arg;
    enum token k = token_find(name);
    if (!h2_name_ok(name) || !h2_value_ok(value) || of_connection(k))
        t->bad = true;
    t->fields++;
    if (t->bad || !t->arena || (token_flags(k) & T_NOTRAIL))
        return true;
    struct field f = { .token = (uint16_t)k };
    return arena_dup(t->arena, name, &f.name) && arena_dup(t->arena, value, &f.value) &&
           fields_add(t->arena, t->out, f);
}
