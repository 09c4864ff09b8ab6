/*
 * A client's first bytes, whatever they are, against the server's transport: a handshake ends or fails with a reason,
 * is never over by bytes alone, and what is not TLS is handed back as it came. The input is delivered in two pieces,
 * split where its first byte says.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "h1/test_feed.h"
#include "tls/server.h"

static struct tls_worker *worker;
static struct loop loop;
static struct tls_file cert, key;
static struct tls_conf conf;

static BIO *bc, *bk; /* of the texts in `cert` and `key` */

static slice text_of(BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    return slice_of(p, (size_t)n);
}

/* A certificate of our own; its memory stays. */
static void setup(void)
{
    EVP_PKEY *k = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    bc = BIO_new(BIO_s_mem());
    bk = BIO_new(BIO_s_mem());
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 1000000);
    X509_set_pubkey(x, k);
    X509_sign(x, k, EVP_sha256());
    PEM_write_bio_X509(bc, x);
    PEM_write_bio_PrivateKey(bk, k, NULL, NULL, 0, NULL, NULL);
    X509_free(x);
    EVP_PKEY_free(k);
    cert.text = text_of(bc);
    key.text = text_of(bk);
    conf = (struct tls_conf){ .certs = &cert,
                              .keys = &key,
                              .protocols = TLS_V1_2 | TLS_V1_3,
                              .tickets = true,
                              .ciphers = SLICE("ECDHE+AESGCM"),
                              .curves = SLICE("auto"),
                              .session_timeout = 300000,
                              .buffer_size = TLS_RECORD };
    loop_init(&loop);
    worker = tls_worker_new(&loop);
}

static void choose(void *ctx, slice name, struct tls_choice *out)
{
    for (size_t i = 0; i < name.n; i++)
        TEST_CHECK(name.p[i] != '\0' && !(name.p[i] >= 'A' && name.p[i] <= 'Z'));
    out->h2 = name.n & 1;
}

/* false: it is over. */
static bool feed(struct transport *t, int peer, slice part)
{
    if (part.n && send(peer, part.p, part.n, MSG_NOSIGNAL) < 0)
        return false;
    int rc = t->ops->handshake(t);
    TEST_CHECK(rc != OK); /* nobody has the keys for a Finished */
    if (rc == ERR_SYNTAX)
        TEST_CHECK(t->ops->why(t) != NULL);
    return rc == ERR_AGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd[2];
    const char *why;
    if (size < 2 || size > 60000)
        return 0;
    if (!worker)
        setup();
    size_t cut = (size_t)data[0] * 8;
    slice in = slice_of((const char *)data + 1, size - 1);
    if (cut > in.n)
        cut = in.n;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) < 0)
        return 0;
    struct transport *t = tls_server_new(worker, fd[0], &conf, choose, NULL, SLICE_NONE, &why);
    TEST_CHECK(t != NULL);
    if (feed(t, fd[1], slice_upto(in, cut)))
        feed(t, fd[1], slice_from(in, cut));
    slice plain = tls_server_plain(t);
    if (plain.n)
        TEST_CHECK(memcmp(plain.p, in.p, plain.n) == 0);
    transport_free(t);
    close(fd[0]);
    close(fd[1]);
    return 0;
}
