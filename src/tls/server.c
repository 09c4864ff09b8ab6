#include "tls/server.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "tls/io.h"

enum { NAME_LONGEST = 255, HANDSHAKE_RECORD = 22, HELLO_LARGEST = 17 << 10 };

struct tls_server {
    struct tls_io io;
    const struct tls_conf *conf;
    tls_choose_fn choose;
    void *ctx;
    char *name;
    size_t name_n;
    bool h2, looked, plain;
};

static struct tls_server *server_of(const struct transport *t)
{
    return (struct tls_server *)(void *)(char *)t;
}

/* ---- the hello ---- */

/* RFC 6066 section 3: list length, type host_name, length, name. */
static slice hello_name(SSL *ssl)
{
    const unsigned char *p;
    size_t n;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) || n < 5)
        return SLICE_NONE;
    size_t list = (size_t)p[0] << 8 | p[1], len = (size_t)p[3] << 8 | p[4];
    if (list != n - 2 || p[2] != TLSEXT_NAMETYPE_host_name || len > n - 5 || len > NAME_LONGEST)
        return SLICE_NONE;
    return slice_of((const char *)p + 5, len);
}

static bool keep_name(struct tls_server *s, slice name)
{
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (!name.n || memchr(name.p, '\0', name.n))
        return true;
    s->name = malloc(name.n);
    if (!s->name)
        return false;
    for (size_t i = 0; i < name.n; i++)
        s->name[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
    s->name_n = name.n;
    return true;
}

/* What SSL_set_SSL_CTX does not bring along. */
static bool change_context(SSL *ssl, SSL_CTX *ctx, const struct tls_conf *c)
{
    if (!SSL_set_SSL_CTX(ssl, ctx))
        return false;
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), SSL_CTX_get_verify_callback(ctx));
    SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
    SSL_clear_options(ssl, SSL_get_options(ssl) & ~SSL_CTX_get_options(ctx));
    SSL_set_options(ssl, SSL_CTX_get_options(ctx));
    SSL_set_min_proto_version(ssl, (int)SSL_CTX_get_min_proto_version(ctx));
    SSL_set_max_proto_version(ssl, (int)SSL_CTX_get_max_proto_version(ctx));
    SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(ctx));
    SSL_set_session_id_context(ssl, (const unsigned char *)c->policy, SSL_MAX_SSL_SESSION_ID_LENGTH);
    return slice_eq(c->curves, SLICE("auto")) || SSL_set1_groups_list(ssl, c->curves.p) == 1;
}

static int refuse(struct tls_server *s, int *alert, int code, const char *why)
{
    tls_io_fail(&s->io, why);
    *alert = code;
    return SSL_CLIENT_HELLO_ERROR;
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    struct tls_server *s = container_of((struct tls_io *)SSL_get_app_data(ssl), struct tls_server, io);
    const struct tls_conf *before = s->conf;
    if (s->looked) /* the second hello, after a HelloRetryRequest */
        return SSL_CLIENT_HELLO_SUCCESS;
    s->looked = true;
    s->io.hello = HELLO_READ;
    if (!keep_name(s, hello_name(ssl)))
        return refuse(s, alert, SSL_AD_INTERNAL_ERROR, "no memory");
    struct tls_choice c = { .conf = s->conf };
    if (s->choose)
        s->choose(s->ctx, slice_of(s->name, s->name_n), &c);
    s->conf = c.conf;
    s->h2 = c.h2;
    s->io.record = (uint32_t)s->conf->buffer_size;
    if (s->conf->reject)
        return refuse(s, alert, SSL_AD_UNRECOGNIZED_NAME, "the handshake is rejected by ssl_reject_handshake");
    if (!s->conf->certs)
        return refuse(s, alert, SSL_AD_UNRECOGNIZED_NAME, "no \"ssl_certificate\" is defined in the server");
    if (s->conf == before)
        return SSL_CLIENT_HELLO_SUCCESS;
    struct tls_context *ctx = tls_context_of(s->io.w, s->conf);
    if (!ctx || !ctx->ctx)
        return refuse(s, alert, SSL_AD_INTERNAL_ERROR, ctx ? ctx->why : "no memory");
    if (!change_context(ssl, ctx->ctx, s->conf))
        return refuse(s, alert, SSL_AD_INTERNAL_ERROR, "the context could not be changed");
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in, unsigned int in_n,
                   void *arg)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    const struct tls_server *s = container_of((struct tls_io *)SSL_get_app_data(ssl), struct tls_server, io);
    const unsigned char *offer = s->h2 ? both : both + 3;
    unsigned int offer_n = s->h2 ? sizeof(both) - 1 : sizeof(both) - 4;
    if (SSL_select_next_proto((unsigned char **)out, n, offer, offer_n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

void tls_server_hooks(SSL_CTX *ctx)
{
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
}

/* ---- the transport ---- */

/* The first bytes tell TLS from a request in the clear. */
static int begin(struct tls_server *s)
{
    struct tls_io *io = &s->io;
    if (!io->feed_n) {
        ssize_t n = tls_io_receive(io, TLS_IN);
        if (n < 0)
            return (int)n;
    }
    if (io->feed[0] == HANDSHAKE_RECORD || (io->feed[0] & 0x80))
        return OK;
    s->plain = true;
    tls_io_fail(io, "the client sent a request in the clear");
    return tls_io_keep(io) ? ERR_SYNTAX : ERR_NOMEM;
}

static int server_handshake(struct transport *t)
{
    struct tls_server *s = server_of(t);
    if (!s->looked && SSL_in_before(s->io.ssl)) {
        int rc = begin(s);
        if (rc != OK)
            return rc;
        SSL_set_accept_state(s->io.ssl);
        s->io.hello = s->io.feed_n < HELLO_LARGEST ? (uint32_t)(HELLO_LARGEST - s->io.feed_n) : 0;
    }
    return tls_io_handshake(t);
}

static void server_free(struct transport *t)
{
    struct tls_server *s = server_of(t);
    free(s->name);
    tls_io_done(&s->io);
    free(s);
}

static const struct transport_ops server_ops = {
    .name = "tls server",
    .handshake = server_handshake,
    .read = tls_io_read,
    .write = tls_io_write,
    .flush = tls_io_flush,
    .end_write = tls_io_end_write,
    .protocol = tls_io_protocol,
    .why = tls_io_why,
    .free = server_free,
};

struct transport *tls_server_new(struct tls_worker *w, int fd, const struct tls_conf *first, tls_choose_fn choose,
                                 void *ctx, slice early, const char **why)
{
    struct tls_context *base = tls_context_of(w, first);
    *why = base && !base->ctx ? base->why : "no memory";
    if (!base || !base->ctx)
        return NULL;
    struct tls_server *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->conf = first;
    s->choose = choose;
    s->ctx = ctx;
    if (tls_io_init(&s->io, &server_ops, w, base->ctx, fd, early) != OK) {
        server_free(&s->io.t);
        return NULL;
    }
    return &s->io.t;
}

slice tls_server_plain(const struct transport *t)
{
    const struct tls_server *s = server_of(t);
    return s->plain ? slice_of(s->io.feed, s->io.feed_n) : SLICE_NONE;
}

const struct tls_conf *tls_server_conf(const struct transport *t)
{
    return server_of(t)->conf;
}

slice tls_server_name(const struct transport *t)
{
    const struct tls_server *s = server_of(t);
    return slice_of(s->name, s->name_n);
}

struct ssl_st *tls_server_ssl(const struct transport *t)
{
    return server_of(t)->io.ssl;
}

/* nginx's class of results that optional_no_ca lets through: nobody we know has signed it. */
static bool only_unknown(long r)
{
    return r == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || r == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
           r == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || r == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

unsigned tls_client_refused(const struct transport *t, const char **why)
{
    const struct tls_server *s = server_of(t);
    uint32_t verify = s->conf->verify;
    long r = SSL_get_verify_result(s->io.ssl);
    if (verify == TLS_VERIFY_OFF)
        return 0;
    if (!SSL_get0_peer_certificate(s->io.ssl)) {
        *why = "client sent no required SSL certificate";
        return verify == TLS_VERIFY_ON ? 496 : 0;
    }
    if (r == X509_V_OK || (verify == TLS_VERIFY_NO_CA && only_unknown(r)))
        return 0;
    *why = X509_verify_cert_error_string(r);
    return 495;
}
