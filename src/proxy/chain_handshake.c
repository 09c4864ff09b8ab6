/*
 * Getting through the hops of a chain, before a connection is ready for its exchange.
 *
 * One hop after the other: TLS with the proxy where its URL says so, then what its kind wants until it connects on to
 * the next hop, or to the target behind the last. A hop is asked only when the one before has answered, so no byte of
 * an answer is ever anybody else's: bytes that come unasked for end the connection, but those behind the last answer of
 * a tunnel, which are the target's first.
 *
 * What a proxy may answer is bounded: heads by proxy_buffer_size, interim heads by number, messages of SOCKS by their
 * format, all of it by proxy_connect_timeout. Failures tell the proxy's from the target's (h1_setup.why): the first
 * count against the server, the second are a client's choice and do not. A last hop that took the connection and has
 * said nothing since it was asked for the target may be waiting for that, or be dead: WHY_SILENCE, and whose failure it
 * is shows by whether the parent has answered anybody meanwhile (peer_heard). Credentials are ours; a client's never
 * come here.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "proxy/chain.h"
#include "proxy/forward_rules.h"
#include "proxy/headers.h"
#include "socks/socks.h"

enum { INTERIMS_MAX = 8, READ_SOME = 512, FIELDS_MAX = 100, FIELD_NAME_MAX = 256 };

enum talk {
    TALK_BEGIN,  /* at a hop that is connected */
    TALK_TLS,    /* its handshake */
    TALK_SPEAK,  /* what its kind wants first is due */
    TALK_HEAD,   /* the answer to CONNECT */
    TALK_CHOICE, /* of a method */
    TALK_LOGIN,
    TALK_ANSWER, /* to the request, of SOCKS 5 or 4 */
};

/* In the exchange's arena. */
struct handshake {
    struct h1_setup setup;
    struct exchange *x;
    const struct chain *chain;
    uint32_t at; /* the hop that is talked to */
    uint8_t talk, interims;
    bool spoke; /* the hop has said something: it is no dead one */
    struct h1_scan scan;
    struct socks_reader reader;
    uint8_t room[SOCKS_WRITE_MAX];
    slice out; /* not sent yet */
};

static const struct hop *hop_of(const struct handshake *h)
{
    return &h->chain->hops[h->at];
}

static bool is_last(const struct handshake *h)
{
    return h->at + 1 == h->chain->n;
}

/* ---- failing ---- */

/* The hop and what is wrong, as x->back_detail. */
static void describe(struct handshake *h, const char *text)
{
    slice s =
        arena_printf(&h->x->arena, "hop %u of %u, %.*s: %s", h->at + 1, h->chain->n, SLICE_FMT(hop_of(h)->text), text);
    h->setup.detail = s.p ? s.p : text;
}

ATTR_PRINTF(3, 4)
static int failed(struct handshake *h, enum x_why why, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    describe(h, text);
    h->setup.why = why;
    worker_count(h->x->w, why == WHY_TARGET ? COUNT_PARENT_REFUSED : COUNT_PARENT_FAILED);
    return ERR_REFUSED;
}

/* A hop says no: the last one speaks of the target, the others of the next hop. */
static enum x_why no_way(const struct handshake *h)
{
    return is_last(h) ? WHY_TARGET : WHY_HOP;
}

static int too_early(struct handshake *h)
{
    return failed(h, WHY_HOP, "it spoke before it was asked");
}

/* ---- bytes ---- */

/* Sends what is due. OK: all of it is with the kernel. */
static int flush(struct handshake *h, struct h1_client *cl)
{
    struct transport *tr = cl->c.tr;
    while (h->out.n) {
        struct iovec v = { (char *)h->out.p, h->out.n };
        ssize_t n = tr ? tr->ops->write(tr, &v, 1, false) : send(cl->c.io.fd, v.iov_base, v.iov_len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return ERR_AGAIN;
        if (n < 0)
            return failed(h, WHY_HOP, "it closed the connection");
        h->out = slice_from(h->out, (size_t)n);
    }
    int rc = tr && h->talk > TALK_SPEAK ? tr->ops->flush(tr) : OK;
    return rc == ERR_SYS ? failed(h, WHY_HOP, "it closed the connection") : rc;
}

/* Reads some. OK: there is input. */
static int receive(struct handshake *h, struct h1_client *cl)
{
    while (cl->c.readable) {
        ssize_t n = h1_conn_read(&cl->c, READ_SOME);
        if (n > 0)
            return OK;
        if (n == ERR_NOMEM)
            return failed(h, WHY_NOMEM, "no memory");
        if (n != ERR_AGAIN)
            return failed(h, WHY_HOP, "it closed the connection");
    }
    return ERR_AGAIN;
}

/* ---- where a hop shall connect to ---- */

static void next_of(const struct handshake *h, slice *host, uint16_t *port, const struct addr **literal)
{
    const struct endpoint *e = is_last(h) ? &h->x->proxy->forward->at : &h->chain->hops[h->at + 1].at;
    *host = is_last(h) ? h->x->proxy->forward->host : h->chain->hops[h->at + 1].host;
    *port = e->port;
    *literal = e->literal ? &e->addr : NULL;
}

static bool destination(const struct handshake *h, struct socks_dest *d)
{
    const struct addr *literal;
    slice host;
    *d = (struct socks_dest){ .type = SOCKS_NAME };
    next_of(h, &host, &d->port, &literal);
    if (literal && literal->sa.sa_family == AF_INET) {
        d->type = SOCKS_IPV4;
        memcpy(d->ip, &literal->in.sin_addr, 4);
    } else if (literal) {
        d->type = SOCKS_IPV6;
        memcpy(d->ip, &literal->in6.sin6_addr, 16);
    } else {
        if (!host.n || host.n > SOCKS_TEXT_MAX)
            return false;
        memcpy(d->name.p, host.p, host.n);
        d->name.n = (uint8_t)host.n;
    }
    return true;
}

/* ---- answers ---- */

/* The hop answers for what is behind it. */
static void heard(const struct handshake *h)
{
    if (is_last(h))
        peer_heard(h->x->proxy->peer, loop_now(&h->x->w->loop));
}

/* It has connected us on. */
static void through(struct handshake *h)
{
    h->at++;
    h->talk = TALK_BEGIN;
    h->spoke = false;
}

/* ---- CONNECT ---- */

static void add_field(struct strb *b, const struct field *f)
{
    strb_printf(b, "%.*s: %.*s\r\n", SLICE_FMT(f->name), SLICE_FMT(f->value));
}

/* What requests to this target tell of the way they came: by Via, the client's and ours, loops through other proxies
 * are found. */
static int add_announced(struct handshake *h, struct strb *b)
{
    const struct header_rules *r = h->x->proxy->conf->headers;
    const struct fields *theirs = &h->x->req.fields;
    struct field v[ANNOUNCE_FIELDS];
    if (!is_last(h) || !r || !r->announce)
        return OK;
    int n = announce_fields(h->x, r->announce, &r->drop.tokens, v);
    for (uint32_t i = 0; i < theirs->n && r->announce->via.on; i++) {
        if (theirs->v[i].token == TOK_VIA)
            add_field(b, &theirs->v[i]);
    }
    for (int i = 0; i < n; i++)
        add_field(b, &v[i]);
    return n < 0 ? n : OK;
}

static int say_connect(struct handshake *h)
{
    const struct hop *hop = hop_of(h);
    const struct addr *literal;
    slice host, out;
    uint16_t port;
    struct strb b;
    next_of(h, &host, &port, &literal);
    bool six = slice_find(host, ':') >= 0;
    slice to = arena_printf(&h->x->arena, "%s%.*s%s:%u", six ? "[" : "", SLICE_FMT(host), six ? "]" : "", port);
    strb_init(&b, 0);
    strb_printf(&b, "CONNECT %.*s HTTP/1.1\r\nHost: %.*s\r\n", SLICE_FMT(to), SLICE_FMT(to));
    if (hop->basic.n)
        strb_printf(&b, "Proxy-Authorization: %.*s\r\n", SLICE_FMT(hop->basic));
    int rc = add_announced(h, &b);
    strb_lit(&b, "\r\n");
    bool ok = rc == OK && to.p && !b.failed && arena_dup(&h->x->arena, strb_slice(&b), &out);
    strb_done(&b);
    if (!ok)
        return failed(h, WHY_NOMEM, "no memory");
    h->out = out;
    h->scan = (struct h1_scan){ 0 };
    h->interims = 0;
    h->talk = TALK_HEAD;
    return OK;
}

/* 2xx and nothing else opens the way (RFC 9110 §9.3.6); what such an answer says of a body means nothing. */
static int connect_answered(struct handshake *h, struct h1_client *cl, const struct h1_head *head, size_t len)
{
    unsigned status = head->status;
    slice reason = slice_upto(head->reason, 64);
    heard(h);
    if (status / 100 == 2) {
        h1_conn_consume(&cl->c, len);
        through(h);
        return OK;
    }
    if (status == 407)
        return failed(h, WHY_HOP, "it wants other credentials (407)");
    return failed(h, no_way(h), "it answered CONNECT with %u %.*s", status, SLICE_FMT(reason));
}

static int hear_head(struct handshake *h, struct h1_client *cl)
{
    struct h1_head *head = &cl->c.w->h1->head;
    const struct h1_rules rules = {
        .underscores = true,
        .max_fields = FIELDS_MAX,
        .max_line = cl->limits.head_max,
        .max_name = FIELD_NAME_MAX,
        .max_head = cl->limits.head_max,
    };
    ptrdiff_t len = h1_parse_response(head, &h->scan, cl->c.in, cl->c.in_n, &rules);
    if (len == ERR_MORE)
        return receive(h, cl);
    if (len <= 0) {
        worker_count(h->x->w, COUNT_UPSTREAM_BAD);
        return failed(h, WHY_HOP, "its answer to CONNECT is broken: %s", h1_error_text(head->error));
    }
    if (head->status >= 200)
        return connect_answered(h, cl, head, (size_t)len);
    h->spoke = true;
    if (head->status == 101 || ++h->interims > INTERIMS_MAX)
        return failed(h, WHY_HOP, "it answered CONNECT with %u", head->status);
    h1_conn_consume(&cl->c, (size_t)len);
    h->scan = (struct h1_scan){ 0 };
    return OK;
}

/* ---- SOCKS ---- */

static int say(struct handshake *h, size_t n, enum socks_kind kind, enum talk talk)
{
    if (!n)
        return failed(h, no_way(h), "the next address has no form in its protocol");
    h->out = slice_of((const char *)h->room, n);
    socks_read(&h->reader, kind);
    h->talk = (uint8_t)talk;
    return OK;
}

static int say_request(struct handshake *h)
{
    struct socks_dest d;
    bool old = hop_of(h)->kind == HOP_SOCKS4A;
    size_t n = 0;
    if (destination(h, &d))
        n = old ? socks4_write_request(h->room, SOCKS_CONNECT, &d, hop_of(h)->user)
                : socks_write_request(h->room, SOCKS_CONNECT, &d);
    return say(h, n, old ? SOCKS4_ANSWER : SOCKS_ANSWER, TALK_ANSWER);
}

static int method_chosen(struct handshake *h)
{
    const struct hop *hop = hop_of(h);
    h->spoke = true;
    if (h->reader.command == SOCKS_NO_AUTH)
        return say_request(h);
    if (h->reader.command == SOCKS_PASSWORD && hop->user.n)
        return say(h, socks_write_login(h->room, hop->user, hop->password), SOCKS_LOGIN_ANSWER, TALK_LOGIN);
    return failed(h, WHY_HOP, hop->user.n ? "it takes no password" : "it wants credentials");
}

static const char *reply_text(unsigned code)
{
    static const char *const texts[] = {
        [SOCKS_FAILURE] = "general failure",         [SOCKS_NOT_ALLOWED] = "not allowed",
        [SOCKS_NET_UNREACHABLE] = "net unreachable", [SOCKS_HOST_UNREACHABLE] = "host unreachable",
        [SOCKS_REFUSED] = "connection refused",      [SOCKS_TTL_EXPIRED] = "TTL expired",
        [SOCKS_BAD_COMMAND] = "command unknown",     [SOCKS_BAD_ADDRESS] = "address type unknown",
    };
    return code < array_len(texts) && texts[code] ? texts[code] : "unknown code";
}

static int request_answered(struct handshake *h)
{
    unsigned code = h->reader.command;
    bool old = hop_of(h)->kind == HOP_SOCKS4A;
    heard(h);
    if (code == (old ? (unsigned)SOCKS4_GRANTED : (unsigned)SOCKS_DONE)) {
        through(h);
        return OK;
    }
    if (old && (code == SOCKS4_NO_IDENT || code == SOCKS4_OTHER_USER))
        return failed(h, WHY_HOP, "it does not take the user (%u)", code);
    return failed(h, no_way(h), "it answered with code %u (%s)", code, old ? "rejected" : reply_text(code));
}

static int hear_socks(struct handshake *h, struct h1_client *cl)
{
    size_t used;
    int rc = socks_feed(&h->reader, slice_of(cl->c.in, cl->c.in_n), &used);
    h1_conn_consume(&cl->c, used);
    if (rc == ERR_MORE)
        return receive(h, cl);
    if (rc != OK) {
        worker_count(h->x->w, COUNT_UPSTREAM_BAD);
        return failed(h, WHY_HOP, "it does not speak SOCKS %s", hop_of(h)->kind == HOP_SOCKS4A ? "4" : "5");
    }
    if (h->talk == TALK_CHOICE)
        return cl->c.in_n ? too_early(h) : method_chosen(h);
    if (h->talk == TALK_ANSWER)
        return request_answered(h);
    if (h->reader.command != 0)
        return failed(h, WHY_HOP, "it refused the credentials");
    return cl->c.in_n ? too_early(h) : say_request(h);
}

/* ---- the way ---- */

/* All hops are behind us. */
static int arrived(struct handshake *h, struct h1_client *cl)
{
    if (cl->c.in_n && !h->x->proxy->tunnel) {
        h->at = h->chain->n - 1;
        return too_early(h);
    }
    return OK;
}

static int begin_tls(struct handshake *h, struct h1_client *cl)
{
    const struct hop *hop = hop_of(h);
    const char *why;
    struct transport *t = cl->c.tr
                              ? tls_client_over(cl->c.tr, h->chain->tls, hop->host, hop->text, &why)
                              : tls_client_new(h->x->w->tls, cl->c.io.fd, h->chain->tls, hop->host, hop->text, &why);
    if (!t)
        return failed(h, WHY_HOP, "no TLS: %s", why);
    cl->c.tr = t;
    h->talk = TALK_TLS;
    return OK;
}

static int go_tls(struct handshake *h, struct h1_client *cl)
{
    int rc = cl->c.tr->ops->handshake(cl->c.tr);
    if (rc == ERR_AGAIN)
        return rc;
    if (rc != OK)
        return failed(h, WHY_HOP, "TLS failed: %s",
                      rc == ERR_CLOSED ? "it closed the connection"
                      : rc == ERR_SYS  ? "the connection broke"
                                       : cl->c.tr->ops->why(cl->c.tr));
    cl->c.readable = true; /* what came behind is with the transport */
    h->spoke = true;
    h->talk = TALK_SPEAK;
    return OK;
}

/* The last hop of a request that goes out in absolute form is asked nothing. */
static bool takes_requests(const struct handshake *h)
{
    return is_last(h) && h->chain->absolute && !h->x->proxy->tunnel;
}

static int speak(struct handshake *h)
{
    bool password = hop_of(h)->user.n;
    switch (hop_of(h)->kind) {
    case HOP_HTTP:
    case HOP_CONNECT:
        return say_connect(h);
    case HOP_SOCKS5:
        return say(h, socks_write_greeting(h->room, password), SOCKS_CHOICE, TALK_CHOICE);
    case HOP_SOCKS4A:
        break;
    }
    return say_request(h);
}

/* One thing at a time. OK: go on. */
static int advance(struct handshake *h, struct h1_client *cl)
{
    switch ((enum talk)h->talk) {
    case TALK_BEGIN:
        if (cl->c.in_n)
            return too_early(h);
        describe(h, "no answer in time");
        if (hop_of(h)->tls)
            return begin_tls(h, cl);
        h->talk = TALK_SPEAK;
        return OK;
    case TALK_TLS:
        return go_tls(h, cl);
    case TALK_SPEAK:
        return speak(h);
    case TALK_HEAD:
        return cl->c.in_n ? hear_head(h, cl) : receive(h, cl);
    case TALK_CHOICE:
    case TALK_LOGIN:
    case TALK_ANSWER:
        break;
    }
    return cl->c.in_n ? hear_socks(h, cl) : receive(h, cl);
}

/* A last hop that was asked for the target may be waiting for it. */
static enum x_why why_late(const struct handshake *h)
{
    if (!is_last(h) || (h->talk != TALK_HEAD && h->talk != TALK_ANSWER))
        return WHY_CONNECT_TIMEOUT;
    return h->spoke ? WHY_TARGET_TIMEOUT : WHY_SILENCE;
}

static int go(struct h1_setup *s, struct h1_client *cl)
{
    struct handshake *h = container_of(s, struct handshake, setup);
    for (;;) {
        if (h->at == h->chain->n || (h->talk == TALK_SPEAK && takes_requests(h)))
            return arrived(h, cl);
        int rc = h->talk > TALK_SPEAK ? flush(h, cl) : OK;
        if (rc == OK)
            rc = advance(h, cl);
        h->setup.why_timeout = why_late(h);
        if (rc != OK)
            return rc;
    }
}

int chain_begin(struct exchange *x, struct h1_client *cl, const struct chain *c)
{
    if (c->n == 1 && !c->hops->tls && c->absolute && !x->proxy->tunnel)
        return OK; /* connected is all that it takes */
    struct handshake *h = arena_new(&x->arena, struct handshake);
    if (!h)
        return ERR_NOMEM;
    *h = (struct handshake){ .x = x, .chain = c };
    h->setup = (struct h1_setup){ .go = go, .why = WHY_HOP, .why_timeout = WHY_CONNECT_TIMEOUT };
    cl->setup = &h->setup;
    return OK;
}
