/*
 * TLS at the front of a client connection: the handshake before the first head, and what comes of it: HTTP/1 as usual,
 * another codec, or an error that is logged once and ends the connection.
 *
 * The virtual server whose certificate is shown is found by the name in the client's hello exactly as requests are
 * routed by their Host. A request in the clear on such an address is read like any other and answered 400 (497 for
 * error_page, as nginx's).
 */
#include <errno.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/server_priv.h"
#include "tls/server.h"

static void choose(void *ctx, slice name, struct tls_choice *out)
{
    const struct h1_server *s = ctx;
    const struct listener_conf *l = s->client.listener;
    const struct server *server = name.n ? route_server(l, NULL, name) : l->default_server;
    out->conf = server->tls;
    out->h2 = (l->http2 || server->http2) && s->c.w->take[CODEC_H2];
}

static void failed(struct h1_server *s, const char *why)
{
    const struct server *server = s->client.listener->default_server;
    char peer[ADDR_TEXT_MAX];
    struct addr a;
    client_peer(&s->client, &a);
    slice text = slice_of(peer, addr_text_ip(peer, &a));
    worker_count(s->c.w, COUNT_HANDSHAKES_FAILED);
    log_line(server->base->log, LEVEL_INFO, s->client.number,
             "SSL_do_handshake() failed (%s) while SSL handshaking, client: %.*s, server: %.*s", why, SLICE_FMT(text),
             SLICE_FMT(s->client.listener->key));
    h1_server_close(s);
}

/* What came in the clear becomes the input of a plain connection. */
static void serve_plain(struct h1_server *s)
{
    slice text = tls_server_plain(s->c.tr);
    struct transport *tr = s->c.tr;
    s->c.tr = s->client.tls = NULL;
    s->plain_on_tls = s->last = true;
    char *p = scratch_take(&s->c.w->scratch, &s->c.hold);
    memcpy(p, text.p, text.n);
    s->c.in = p;
    s->c.in_n = text.n;
    scratch_hold(&s->c.w->scratch, &s->c.hold);
    transport_free(tr);
    s->state = SERVER_HEAD;
    h1_server_read_head(s);
}

static void over(struct h1_server *s)
{
    struct worker *w = s->c.w;
    worker_count(w, COUNT_HANDSHAKES);
    if (SSL_session_reused(tls_server_ssl(s->c.tr)))
        worker_count(w, COUNT_HANDSHAKES_RESUMED);
    s->c.readable = true;
    if (w->take[CODEC_H2] && slice_eq(s->c.tr->ops->protocol(s->c.tr), SLICE("h2"))) {
        h1_server_hand_over(s, CODEC_H2);
        return;
    }
    h1_server_speak(s);
}

void h1_server_handshake(struct h1_server *s)
{
    s->c.readable = false;
    int rc = s->c.tr->ops->handshake(s->c.tr);
    if (rc == ERR_AGAIN && unlikely(s->c.hup)) /* the end lies behind what was read, and no event will tell again */
        rc = s->c.tr->ops->handshake(s->c.tr);
    switch (rc) {
    case OK:
        over(s);
        return;
    case ERR_AGAIN:
        h1_server_await(s);
        return;
    case ERR_CLOSED:
        failed(s, "the client closed the connection");
        return;
    case ERR_SYS:
        failed(s, strerror(errno));
        return;
    default:
        if (tls_server_plain(s->c.tr).n)
            serve_plain(s);
        else
            failed(s, s->c.tr->ops->why(s->c.tr));
        return;
    }
}

void h1_server_handshake_begin(struct h1_server *s)
{
    const char *why;
    s->state = SERVER_HANDSHAKE;
    s->c.tr = tls_server_new(s->c.w->tls, s->c.io.fd, s->client.listener->default_server->tls, choose, s,
                             slice_of(s->c.in, s->c.in_n), &why);
    if (!s->c.tr) {
        failed(s, why);
        return;
    }
    s->client.tls = s->c.tr;
    if (s->c.in_n)
        h1_conn_consume(&s->c, s->c.in_n);
    h1_server_handshake(s);
}
