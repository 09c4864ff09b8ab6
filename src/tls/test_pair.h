/*
 * For tests: a server of this room's on one end of a socket pair, and a client of OpenSSL's own on the other, which
 * says what no ordinary client says.
 */
#ifndef TLS_TEST_PAIR_H
#define TLS_TEST_PAIR_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "tls/io.h"

struct pair {
    struct loop loop;
    struct tls_worker *w;
    struct tls_io io;
    struct transport below; /* for what goes over another one */
    SSL_CTX *client_ctx;
    SSL *client;
    int fd[2];
};

static const struct transport_ops ops = { .name = "test" };

static inline void certify(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    assert_non_null(key);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline int make(const void *what, struct tls_context *out)
{
    out->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_options(out->ctx, SSL_OP_NO_RENEGOTIATION);
    certify(out->ctx);
    return OK;
}

/* Both ends, before a word is said. */
static inline void introduce(struct pair *p, int version)
{
    static const char key[TLS_KEY];
    assert_int_equal(loop_init(&p->loop), OK);
    p->w = tls_worker_new(&p->loop);
    struct tls_context *t = tls_context_for(p->w, key, make, NULL);
    assert_non_null(t);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fd), 0);
    p->io = (struct tls_io){ .fd = -1 };
    p->below = (struct transport){ .ops = NULL };
    assert_int_equal(tls_io_init(&p->io, &ops, p->w, t->ctx, p->fd[0], SLICE_NONE), OK);
    SSL_set_accept_state(p->io.ssl);
    p->client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(p->client_ctx, version);
    p->client = SSL_new(p->client_ctx);
    SSL_set_fd(p->client, p->fd[1]);
    SSL_set_connect_state(p->client);
}

static inline void meet(struct pair *p, int version)
{
    introduce(p, version);
    char none[1];
    for (int i = 0; i < 20 && !(p->io.done && SSL_is_init_finished(p->client)); i++) {
        SSL_do_handshake(p->client);
        if (p->io.done)
            assert_int_equal(tls_io_read(&p->io.t, none, 1), ERR_AGAIN); /* its last words go out */
        else
            tls_io_handshake(&p->io.t);
    }
    assert_true(p->io.done && SSL_is_init_finished(p->client));
}

static inline void part(struct pair *p)
{
    tls_io_done(&p->io);
    SSL_free(p->client);
    SSL_CTX_free(p->client_ctx);
    tls_worker_free(p->w);
    loop_done(&p->loop);
    close(p->fd[0]);
    close(p->fd[1]);
}

#endif
