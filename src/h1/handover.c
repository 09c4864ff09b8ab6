/*
 * A connection that turns out to be meant for another codec: HTTP/2, by ALPN or by its preface; SOCKS, by its first
 * byte.
 */
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/server_priv.h"

static bool spoken(const struct listener_conf *l)
{
    return l->http2 || l->default_server->http2;
}

/* To HTTP/1's parser the preface is a request of an unknown major version, which no other request begins like. */
bool h1_server_is_h2(const struct h1_server *s)
{
    static const slice begin = { "PRI * HTTP/2", 12 };
    return s->c.w->h1->head.error == H1_E_VERSION_MAJOR && spoken(s->client.listener) && !s->client.requests &&
           s->c.w->take[CODEC_H2] && slice_starts(slice_of(s->c.in, s->c.in_n), begin);
}

/* The version comes first in SOCKS, and no request line begins with a byte like these. */
bool h1_server_is_socks(const struct h1_server *s)
{
    return s->client.listener->socks && !s->client.requests && !s->plain_on_tls && s->c.w->take[CODEC_SOCKS] &&
           (s->c.in[0] == 4 || s->c.in[0] == 5);
}

void h1_server_speak(struct h1_server *s)
{
    s->state = SERVER_HEAD;
    if (unlikely(s->client.listener->only_socks) && s->c.w->take[CODEC_SOCKS] && !s->plain_on_tls)
        h1_server_hand_over(s, CODEC_SOCKS);
    else
        h1_server_read_head(s);
}

void h1_server_hand_over(struct h1_server *s, enum codec codec)
{
    struct worker *w = s->c.w;
    char *mine = s->c.stash;
    struct handover h = {
        .fd = s->c.io.fd,
        .tr = s->c.tr,
        .client = s->client,
        .gen = gen_use(s->gen),
        .early = slice_of(s->c.in, s->c.in_n),
        .readable = s->c.readable,
    };
    s->client.proxied = NULL; /* the taker's */
    s->c.stash = NULL;
    s->c.tr = NULL;
    io_unwatch(&w->loop, &s->c.io);
    s->c.io.fd = -1;
    h1_server_release(s);
    w->take[codec](w, &h);
    free(mine);
}
