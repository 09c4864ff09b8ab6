/*
 * A connection changes its codec.
 *
 * Every accepted connection begins in HTTP/1's hands (h1/server.c), which reads the PROXY header and lets the transport
 * shake hands. What turns out to be meant for another codec (ALPN says h2, the preface of HTTP/2, the first byte of
 * SOCKS) is handed over once, with everything that belongs to it, before any exchange began.
 */
#ifndef HTTP_HANDOVER_H
#define HTTP_HANDOVER_H

#include "http/exchange.h"

struct transport;

struct handover {
    int fd;               /* not watched by any loop; the taker's from now on */
    struct transport *tr; /* NULL: plain; the taker's */
    struct client client; /* fd, addresses, number, listener, PROXY header: taken over as they are.
                           * client.proxied is the taker's, to be freed by free() */
    struct gen_ref *gen;  /* that client.listener belongs to; the reference is the taker's */
    slice early;          /* bytes that were read already; valid during the call */
    bool readable;        /* the kernel may have more */
};

/* For a taker that has no memory for the connection: it ends here, with all that came with it. */
void handover_refuse(struct worker *w, const struct handover *h);

/* Index of worker.take, which a codec's room sets in its init. Whoever takes closes what it cannot serve. */
enum codec { CODEC_H2, CODEC_SOCKS, CODECS };

#endif
