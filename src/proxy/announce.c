/*
 * Telling backends who came, and over which way.
 *
 * "add" continues what is there: the lists get an element for whoever is connected to us, and what a trusted proxy said
 * of scheme, host and port stays, for it was nearer to the client. A client that is not trusted has said nothing
 * (policy/realip.c has dropped it), or, while nobody was named, whatever it liked: then its lists go on as in nginx,
 * and scheme, host and port are ours. "replace" says what this server knows and nothing else.
 *
 * Via makes loops visible: a request that carries our own name has been here before (508).
 */
#include "proxy/announce.h"

#include <pthread.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "base/strb.h"
#include "http/chars.h"
#include "http/client.h"
#include "http/forwarded.h"
#include "http/vars.h"
#include "proxy/proxy.h"

enum { HOPS_MAX = 16, LIST_LIMIT = 64 << 10 };

/* ---- our name ---- */

static char own_name[] = "hinge-00000000";

static void make_name(void)
{
    unsigned char bytes[4];
    rand_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        own_name[6 + 2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        own_name[7 + 2 * i] = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* Of this process, so that two servers on one host differ; it lives as long as a loop could turn. */
static slice name_of(const struct announce *a)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (a->via.name.n)
        return a->via.name;
    pthread_once(&once, make_name);
    return slice_of(own_name, sizeof(own_name) - 1);
}

/* ---- lists ---- */

static slice take_text(struct exchange *x, struct strb *b)
{
    slice out = SLICE_NONE;
    if (b->failed || !arena_dup(&x->arena, strb_slice(b), &out))
        out = SLICE_NONE;
    strb_done(b);
    return out;
}

/* All fields of the token, joined, and `own` behind them. p NULL: out of memory, or too long. */
static slice continued(struct exchange *x, enum token t, slice own)
{
    const struct fields *f = &x->req.fields;
    struct strb b;
    if (!fields_find(f, t))
        return own;
    strb_init(&b, LIST_LIMIT);
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].token == t && f->v[i].value.n) {
            strb_add(&b, f->v[i].value);
            strb_lit(&b, ", ");
        }
    }
    strb_add(&b, own);
    return take_text(x, &b);
}

/* Who is connected (for lists), or who the client is. */
static slice address_text(struct exchange *x, bool connected)
{
    const struct client *c = connected && x->client->connected ? x->client->connected : x->client;
    char text[ADDR_TEXT_MAX];
    struct addr a;
    slice out;
    client_peer(c, &a);
    return arena_dup(&x->arena, slice_of(text, addr_text_ip(text, &a)), &out) ? out : SLICE_NONE;
}

/* ---- X-Forwarded-* ---- */

static bool of_x_forwarded(enum token t)
{
    return t == TOK_X_FORWARDED_FOR || t == TOK_X_FORWARDED_HOST || t == TOK_X_FORWARDED_PROTO ||
           t == TOK_X_FORWARDED_PORT;
}

/* What a trusted proxy said of it stays; lists are continued and never stay. */
static bool stays(const struct exchange *x, enum token t)
{
    return x->client->trusted && t != TOK_X_FORWARDED_FOR && fields_find(&x->req.fields, t);
}

static slice port_text(struct exchange *x)
{
    struct addr a;
    if (!client_local(x->client, &a) || addr_port(&a) == 0)
        return SLICE("");
    return arena_printf(&x->arena, "%u", (unsigned)addr_port(&a));
}

/* Empty: nothing is known; p NULL: out of memory. */
static slice x_forwarded_value(struct exchange *x, enum token t, enum announce_mode mode)
{
    bool add = mode == ANNOUNCE_ADD;
    switch (t) {
    case TOK_X_FORWARDED_FOR: {
        slice own = address_text(x, add);
        return own.p && add ? continued(x, TOK_X_FORWARDED_FOR, own) : own;
    }
    case TOK_X_FORWARDED_HOST:
        return x->req.authority.n ? x->req.authority : SLICE("");
    case TOK_X_FORWARDED_PROTO:
        return exchange_scheme(x);
    default:
        return port_text(x);
    }
}

/* ---- Forwarded ---- */

static void add_value(struct strb *b, slice value)
{
    bool token = http_is_token(value);
    if (!token)
        strb_char(b, '"');
    strb_add(b, value);
    if (!token)
        strb_char(b, '"');
}

/* A node (RFC 7239 §6): an address, IPv6 in brackets; a peer on a unix socket has none. */
static void add_node(struct strb *b, slice address)
{
    if (slice_starts(address, SLICE("unix:")))
        strb_lit(b, "unknown");
    else if (slice_find(address, ':') >= 0)
        strb_printf(b, "\"[%.*s]\"", SLICE_FMT(address));
    else
        add_value(b, address);
}

static slice forwarded_value(struct exchange *x, const struct announce *a)
{
    bool add = a->forwarded.mode == ANNOUNCE_ADD;
    slice address = address_text(x, add);
    struct strb b;
    if (!address.p)
        return SLICE_NONE;
    strb_init(&b, LIST_LIMIT);
    strb_lit(&b, "for=");
    add_node(&b, address);
    if (x->req.authority.n) { /* holds no quote and no backslash: uri_authority */
        strb_lit(&b, ";host=");
        add_value(&b, x->req.authority);
    }
    strb_lit(&b, ";proto=");
    strb_add(&b, exchange_scheme(x));
    if (a->forwarded.by.n) {
        strb_lit(&b, ";by=");
        if (slice_starts(a->forwarded.by, SLICE("_")))
            strb_add(&b, a->forwarded.by);
        else
            add_node(&b, a->forwarded.by);
    }
    slice own = take_text(x, &b);
    return own.p && add ? continued(x, TOK_FORWARDED, own) : own;
}

/* ---- Via ---- */

static slice via_value(struct exchange *x, const struct announce *a, unsigned minor)
{
    return arena_printf(&x->arena, "1.%u %.*s", minor, SLICE_FMT(name_of(a)));
}

/* The end of the element at the front: a comma outside of comments. */
static size_t element_end(slice s)
{
    unsigned depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && depth)
            i++;
        else if (s.p[i] == '(')
            depth++;
        else if (s.p[i] == ')' && depth)
            depth--;
        else if (s.p[i] == ',' && !depth)
            return i;
    }
    return s.n;
}

/* "1.1 NAME", perhaps with a comment. */
static bool received_by(slice element, slice name)
{
    slice protocol, by, comment;
    element = slice_trim(element);
    if (!slice_cut(element, ' ', &protocol, &by))
        return false;
    by = slice_trim(by);
    if (slice_cut(by, ' ', &by, &comment))
        by = slice_trim(by);
    return slice_ieq(by, name);
}

static enum verdict refuse_loop(struct exchange *x, const char *why)
{
    exchange_log(x, LEVEL_ERROR, "loop: %s", why);
    exchange_trace(x, NULL, "answered with 508: %s", why);
    return reply_set(x, 508, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static enum verdict via_request(struct exchange *x, const void *conf)
{
    slice own = name_of(&((const struct proxy_conf *)conf)->announce);
    unsigned hops = 0;
    for (uint32_t i = 0; i < x->req.fields.n; i++) {
        slice rest = x->req.fields.v[i].value;
        if (x->req.fields.v[i].token != TOK_VIA)
            continue;
        while (rest.n) {
            size_t n = element_end(rest);
            if (received_by(slice_upto(rest, n), own))
                return refuse_loop(x, "by its Via the request has been here before");
            if (++hops > HOPS_MAX)
                return refuse_loop(x, "by its Via the request came through too many proxies");
            rest = slice_from(rest, n + 1);
        }
    }
    return VERDICT_NEXT;
}

static bool via_active(const void *conf)
{
    return ((const struct proxy_conf *)conf)->announce.via.on;
}

const struct policy via_policy = {
    .name = "via", .feature = &proxy_feature, .active = via_active, .on_request = via_request
};

int announce_answer(struct exchange *x, const struct announce *a)
{
    if (!a->via.on)
        return OK;
    slice value = via_value(x, a, x->resp.minor);
    struct field f = { .name = SLICE("Via"), .value = value, .token = TOK_VIA };
    return value.p && fields_add(&x->arena, &x->resp.fields, f) ? OK : ERR_NOMEM;
}

/* ---- all of them ---- */

bool announce_drops(const struct exchange *x, const struct announce *a, const struct field *f)
{
    if (f->token == TOK_FORWARDED)
        return a->forwarded.mode;
    switch ((enum announce_mode)a->x_forwarded) {
    case ANNOUNCE_OFF:
        return false;
    case ANNOUNCE_ADD:
        return of_x_forwarded(f->token) && !stays(x, f->token);
    case ANNOUNCE_REPLACE:
    case ANNOUNCE_REMOVE:
        break;
    }
    return forwarded_is_field(f);
}

int announce_fields(struct exchange *x, const struct announce *a, const struct token_set *set, struct field *v)
{
    static const struct {
        enum token token;
        slice name;
    } of_x[] = {
        { TOK_X_FORWARDED_FOR, SLICE("X-Forwarded-For") },
        { TOK_X_FORWARDED_HOST, SLICE("X-Forwarded-Host") },
        { TOK_X_FORWARDED_PROTO, SLICE("X-Forwarded-Proto") },
        { TOK_X_FORWARDED_PORT, SLICE("X-Forwarded-Port") },
    };
    bool writes_x = a->x_forwarded == ANNOUNCE_ADD || a->x_forwarded == ANNOUNCE_REPLACE, failed = false;
    int n = 0;
    for (size_t i = 0; writes_x && i < array_len(of_x); i++) {
        enum token t = of_x[i].token;
        if (token_set_has(set, t) || (a->x_forwarded == ANNOUNCE_ADD && stays(x, t)))
            continue;
        slice value = x_forwarded_value(x, t, (enum announce_mode)a->x_forwarded);
        failed = failed || !value.p;
        if (value.n)
            v[n++] = (struct field){ .name = of_x[i].name, .value = value, .token = (uint16_t)t };
    }
    if ((a->forwarded.mode == ANNOUNCE_ADD || a->forwarded.mode == ANNOUNCE_REPLACE) &&
        !token_set_has(set, TOK_FORWARDED)) {
        slice value = forwarded_value(x, a);
        failed = failed || !value.p;
        v[n++] = (struct field){ .name = SLICE("Forwarded"), .value = value, .token = TOK_FORWARDED };
    }
    if (a->via.on) {
        slice value = via_value(x, a, x->req.minor);
        failed = failed || !value.p;
        v[n++] = (struct field){ .name = SLICE("Via"), .value = value, .token = TOK_VIA };
    }
    for (int i = 0; i < n && !failed; i++)
        exchange_trace(x, NULL, "the backend is told %.*s: %.*s", SLICE_FMT(v[i].name), SLICE_FMT(v[i].value));
    return failed ? ERR_NOMEM : n;
}

/* ---- directives ---- */

const struct conf_value announce_modes[] = {
    { "off", ANNOUNCE_OFF },
    { "add", ANNOUNCE_ADD },
    { "replace", ANNOUNCE_REPLACE },
    { "remove", ANNOUNCE_REMOVE },
    { NULL, 0 },
};

/* An obfuscated identifier (RFC 7239 §6.3) or an address. */
static bool is_node(slice s)
{
    struct addr a;
    if (!slice_starts(s, SLICE("_")))
        return addr_parse_ip(s, 0, &a) == OK && !slice_starts(s, SLICE("["));
    for (size_t i = 1; i < s.n; i++) {
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '.' && s.p[i] != '_' && s.p[i] != '-')
            return false;
    }
    return s.n > 1;
}

int announce_set_forwarded(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct announce *a = &((struct proxy_conf *)conf)->announce;
    const struct conf_value *m = announce_modes;
    while (m->name && !slice_eq(node->args[0].text, slice_str(m->name)))
        m++;
    if (!m->name)
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(node->args[0].text));
    a->forwarded.mode = m->value;
    if (node->nargs == 1)
        return OK;
    slice by = node->args[1].text;
    if (!slice_starts(by, SLICE("by=")) || !is_node(slice_from(by, 3)))
        return conf_error(cf, node, 1, "invalid parameter \"%.*s\": it must be by=_NAME or by=ADDRESS", SLICE_FMT(by));
    if (m->value != ANNOUNCE_ADD && m->value != ANNOUNCE_REPLACE)
        return conf_error(cf, node, 1, "\"by\" needs \"add\" or \"replace\"");
    a->forwarded.by = slice_from(by, 3);
    return OK;
}

int announce_set_via(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct announce *a = &((struct proxy_conf *)conf)->announce;
    slice v = node->args[0].text;
    a->via.on = !slice_eq(v, SLICE("off"));
    a->via.name = SLICE_NONE;
    if (!a->via.on || slice_eq(v, SLICE("on")))
        return OK;
    if (!http_is_token(v))
        return conf_error(cf, node, 0, "invalid name \"%.*s\"", SLICE_FMT(v));
    a->via.name = v;
    return OK;
}
