/*
 * The part of a TLS transport that servers and clients share: records between a socket and OpenSSL.
 *
 * OpenSSL reads from and writes to memory of ours (a BIO method over the worker's buffers): one recv brings all records
 * that wait, one send takes all that one call has sealed. What cannot be opened or sent yet moves to memory of the
 * connection's own; both are bounded, an idle connection has neither.
 */
#ifndef TLS_IO_H
#define TLS_IO_H

#include "net/transport.h"
#include "tls/worker.h"

struct tls_io {
    struct transport t;
    SSL *ssl;
    struct tls_worker *w;
    int fd;
    struct transport *below; /* its bytes go over that, which it owns; NULL: over the socket */
    const char *feed; /* what OpenSSL reads next: in the worker's buffer during a call, in `kept` between calls */
    size_t feed_n;
    char *kept;
    char *out; /* sealed and not with the kernel */
    size_t out_at, out_n, out_cap;
    char *why;
    uint64_t wrote; /* mono ms of the last write */
    uint64_t events_at;
    uint32_t events; /* of OpenSSL since events_at, after the handshake */
    uint32_t small;  /* bytes that still go in small records */
    uint32_t record; /* largest record */
    uint32_t hello;  /* bytes of a hello that may still come; HELLO_READ: nothing counts them */
    uint64_t asked_at;
    uint32_t asked; /* new keys and renegotiations since asked_at */
    bool blocked;   /* the kernel had no room for all of `out` */
    bool done, broken, shut, ended;
    bool drained;      /* the last receive got less than it asked for, */
    uint64_t received; /* in this turn of the loop */
};

enum { HELLO_READ = UINT32_MAX };

/* Embeds; `ops` decides the rest. OK or ERR_NOMEM. */
int tls_io_init(struct tls_io *io, const struct transport_ops *ops, struct tls_worker *w, SSL_CTX *ctx, int fd,
                slice early);
void tls_io_done(struct tls_io *io);

int tls_io_handshake(struct transport *t);
ssize_t tls_io_read(struct transport *t, char *dst, size_t cap);
ssize_t tls_io_write(struct transport *t, const struct iovec *iov, int n, bool last);
int tls_io_flush(struct transport *t);
void tls_io_end_write(struct transport *t);
slice tls_io_protocol(const struct transport *t);
const char *tls_io_why(const struct transport *t);

static inline struct tls_io *tls_io_of(const struct transport *t)
{
    return (struct tls_io *)(void *)(char *)t; /* its first member */
}

/* One recv into the worker's buffer behind nothing; feed is empty. > 0, ERR_AGAIN, ERR_CLOSED, ERR_SYS. */
ssize_t tls_io_receive(struct tls_io *io, size_t want);
/* Keeps what is left of the feed beyond this call. false: no memory. */
bool tls_io_keep(struct tls_io *io);
void tls_io_fail(struct tls_io *io, const char *text);

#endif
