/*
 * The PROXY header at the front of a connection (`listen ... proxy_protocol`): it must be there, and comes before
 * everything else. What it says is kept with the connection; who believes it is for others to decide. A connection
 * without one, or with a broken one, is closed without a word: its peer does not speak HTTP to us.
 */
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/server_priv.h"
#include "net/proxy_protocol.h"

/* What is kept of a header, values included. */
struct kept {
    struct proxy_header header;
    char tlvs[];
};

static bool keep(struct h1_server *s, const struct proxy_header *h)
{
    struct kept *k = malloc(sizeof(*k) + h->tlvs.n);
    if (!k)
        return false;
    k->header = *h;
    if (h->tlvs.n)
        memcpy(k->tlvs, h->tlvs.p, h->tlvs.n);
    k->header.tlvs = slice_of(k->tlvs, h->tlvs.n);
    s->client.proxied = &k->header;
    return true;
}

void h1_server_proxied_free(struct h1_server *s)
{
    if (s->client.proxied)
        free(container_of(s->client.proxied, struct kept, header));
    s->client.proxied = NULL;
}

static void refuse(struct h1_server *s, const char *why)
{
    const struct server *server = s->client.listener->default_server;
    char peer[ADDR_TEXT_MAX];
    struct addr a;
    client_peer(&s->client, &a);
    slice text = slice_of(peer, addr_text_ip(peer, &a));
    worker_count(s->c.w, COUNT_PROXY_HEADER_BAD);
    log_line(server->base->log, LEVEL_ERROR, s->client.number, "broken PROXY header: %s, client: %.*s, server: %.*s",
             why, SLICE_FMT(text), SLICE_FMT(s->client.listener->key));
    h1_server_close(s);
}

/* What is there of the header is asked for in full, and no more is read than a header may hold, and a bit of a request.
 */
void h1_server_proxied_read(struct h1_server *s)
{
    const char *why;
    for (;;) {
        struct proxy_header h;
        ptrdiff_t len = proxy_header_parse(slice_of(s->c.in, s->c.in_n), &h, &why);
        if (len == ERR_SYNTAX) {
            refuse(s, why);
            return;
        }
        if (len > 0) {
            if (!keep(s, &h)) {
                worker_count(s->c.w, COUNT_MEMORY_REFUSED);
                h1_server_close(s);
                return;
            }
            h1_conn_consume(&s->c, (size_t)len);
            if (s->client.listener->ssl) {
                h1_server_handshake_begin(s);
                return;
            }
            h1_server_speak(s);
            return;
        }
        if (!s->c.readable) {
            h1_server_await(s);
            return;
        }
        ssize_t n = h1_conn_read(&s->c, H1_HEAD_READ);
        if (n < 0 && n != ERR_AGAIN) {
            if (n == ERR_CLOSED && s->c.in_n)
                refuse(s, "the connection was closed in the middle of it");
            else
                h1_server_close(s);
            return;
        }
    }
}
