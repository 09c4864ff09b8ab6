#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "tls/io.h"

/* A server of this room's, and a client of OpenSSL's own, which says what no ordinary client says. */
struct pair {
    struct loop loop;
    struct tls_worker *w;
    struct tls_io io;
    SSL_CTX *client_ctx;
    SSL *client;
    int fd[2];
};

static const struct transport_ops ops = { .name = "test" };

static void certify(SSL_CTX *ctx)
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

static int make(const void *what, struct tls_context *out)
{
    out->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_options(out->ctx, SSL_OP_NO_RENEGOTIATION);
    certify(out->ctx);
    return OK;
}

static void meet(struct pair *p, int version)
{
    static const char key[TLS_KEY];
    assert_int_equal(loop_init(&p->loop), OK);
    p->w = tls_worker_new(&p->loop);
    struct tls_context *t = tls_context_for(p->w, key, make, NULL);
    assert_non_null(t);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fd), 0);
    p->io = (struct tls_io){ .fd = -1 };
    assert_int_equal(tls_io_init(&p->io, &ops, p->w, t->ctx, p->fd[0], SLICE_NONE), OK);
    SSL_set_accept_state(p->io.ssl);
    p->client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(p->client_ctx, version);
    p->client = SSL_new(p->client_ctx);
    SSL_set_fd(p->client, p->fd[1]);
    SSL_set_connect_state(p->client);
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

static void part(struct pair *p)
{
    tls_io_done(&p->io);
    SSL_free(p->client);
    SSL_CTX_free(p->client_ctx);
    tls_worker_free(p->w);
    loop_done(&p->loop);
    close(p->fd[0]);
    close(p->fd[1]);
}

/* Input that a call has left over moves out of the buffer that all connections share, wherever the heap put either. */
static void leftovers(void **state)
{
    struct tls_worker w = { .out_n = 0 };
    char *a = malloc(TLS_IN), *b = malloc(TLS_IN), *shared = a > b ? a : b;
    struct tls_io io = { .w = &w, .kept = a > b ? b : a };
    w.in = shared;
    memset(shared, 'x', TLS_IN);
    io.feed = shared + 100;
    io.feed_n = 10;
    assert_true(tls_io_keep(&io));
    memset(shared, 'y', TLS_IN); /* another connection's */
    assert_int_equal(io.feed_n, 10);
    assert_memory_equal(io.feed, "xxxxxxxxxx", 10);
    io.feed++;
    io.feed_n--;
    const char *at = io.feed;
    assert_true(tls_io_keep(&io)); /* it is out already */
    assert_ptr_equal(io.feed, at);
    free(io.kept);
    free(shared);
}

/* New keys once in a while are the client's right. */
static void some_keys(void **state)
{
    struct pair p;
    char got[16];
    meet(&p, TLS1_3_VERSION);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(p.client), 1);
    }
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 5);
    part(&p);
}

/* A client that sends nothing else has a worker derive keys for ever. */
static void flood(void **state)
{
    struct pair p;
    char got[16];
    meet(&p, TLS1_3_VERSION);
    for (int i = 0; i < 17; i++) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(p.client), 1);
    }
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
    part(&p);
}

/* What stands before a broken record is given; then it is an error, and no wait for more. */
static void broken_record(void **state)
{
    struct pair p;
    char got[16];
    meet(&p, TLS1_3_VERSION);
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    assert_int_equal(write(p.fd[1], "\x17\x03\x03\0\x20" "0123456789abcdef0123456789abcdef", 37), 37);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 5);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
    part(&p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(leftovers),
        cmocka_unit_test(some_keys),
        cmocka_unit_test(flood),
        cmocka_unit_test(broken_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
