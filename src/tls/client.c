#include "tls/client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "tls/context.h"
#include "tls/io.h"
#include "tls/kdf.h"

enum { SESSIONS_MAX = 1024, NAME_LONGEST = 255 };

struct kept_session {
    SSL_SESSION *session;
    size_t n;
    char key[]; /* digest, name, address */
};

struct tls_client {
    struct tls_io io;
    struct kept_session *mark; /* what a session of this connection is kept as; NULL: none is */
};

static struct tls_client *client_of(const struct transport *t)
{
    return (struct tls_client *)(void *)(char *)t;
}

/* ---- sessions ---- */

static void session_free(struct kept_session *k)
{
    SSL_SESSION_free(k->session);
    free(k);
}

void tls_sessions_clear(struct tls_worker *w)
{
    for (size_t i = 0; i < w->sessions.cap; i++) {
        if (w->sessions.slots[i].value)
            session_free(w->sessions.slots[i].value);
    }
    map_done(&w->sessions);
    map_init(&w->sessions, false);
}

/* OpenSSL gives us a reference when we say 1. The newest session of a key takes the place of the one before. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *c = container_of((struct tls_io *)SSL_get_app_data(ssl), struct tls_client, io);
    struct tls_worker *w = c->io.w;
    if (!c->mark)
        return 0;
    struct kept_session *k = map_get(&w->sessions, slice_of(c->mark->key, c->mark->n));
    if (!k) {
        if (w->sessions.count >= SESSIONS_MAX)
            tls_sessions_clear(w);
        k = c->mark;
        if (map_put(&w->sessions, slice_of(k->key, k->n), k) != OK)
            return 0;
        c->mark = NULL;
    }
    SSL_SESSION_free(k->session);
    k->session = session;
    return 1;
}

static bool resume(struct tls_client *c, const struct tls_origin *o, slice name, slice peer)
{
    size_t n = TLS_KEY + name.n + 1 + peer.n;
    struct kept_session *m = malloc(sizeof(*m) + n);
    if (!m)
        return false;
    *m = (struct kept_session){ .n = n };
    memcpy(m->key, o->key, TLS_KEY);
    memcpy(m->key + TLS_KEY, name.p, name.n);
    m->key[TLS_KEY + name.n] = '\0';
    memcpy(m->key + TLS_KEY + name.n + 1, peer.p, peer.n);
    c->mark = m;
    const struct kept_session *k = map_get(&c->io.w->sessions, slice_of(m->key, n));
    return !k || SSL_set_session(c->io.ssl, k->session) == 1;
}

/* ---- contexts ---- */

int tls_origin_make(const struct tls_origin *o, struct tls_context *out)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new_ex(NULL, tls_kdf_query(), TLS_client_method());
    if (!ctx)
        return ERR_NOMEM;
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    tls_set_protocols(ctx, o->protocols);
    int rc = OK;
    if (SSL_CTX_set_cipher_list(ctx, o->ciphers.p) != 1) {
        snprintf(out->why, sizeof(out->why), "proxy_ssl_ciphers: no such ciphers");
        rc = ERR_SYNTAX;
    }
    if (rc == OK && o->certs)
        rc = tls_use_pair(ctx, o->certs, o->keys ? o->keys : o->certs, o->passwords, out);
    if (rc == OK)
        rc = tls_trust(ctx, o->trusted, false, out);
    if (rc == OK)
        rc = tls_use_crl(ctx, o->crl, out);
    if (rc == OK)
        rc = tls_set_commands(ctx, o->commands, false, out);
    if (o->verify) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_verify_depth(ctx, (int)o->verify_depth);
    }
    if (rc == OK)
        out->ctx = ctx;
    else
        SSL_CTX_free(ctx);
    return rc;
}

static int make_origin(const void *what, struct tls_context *out)
{
    return tls_origin_make(what, out);
}

static void mix(EVP_MD_CTX *d, const void *p, size_t n)
{
    uint64_t len = n;
    EVP_DigestUpdate(d, &len, sizeof(len));
    if (n)
        EVP_DigestUpdate(d, p, n);
}

int tls_origin_finish(struct conf_ctx *cf, struct tls_origin *o)
{
    const struct tls_file *files[] = { o->certs, o->keys, o->passwords, o->trusted, o->crl };
    uint64_t facts[] = { o->protocols, o->verify, o->server_name, o->session_reuse, o->verify_depth };
    EVP_MD_CTX *d = EVP_MD_CTX_new();
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (!arena_dup(cf->arena, o->ciphers, &o->ciphers) || !d || EVP_DigestInit_ex(d, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(d);
        return ERR_NOMEM;
    }
    mix(d, "origin", 6);
    for (size_t i = 0; i < array_len(files); i++) {
        for (const struct tls_file *f = files[i]; f; f = f->next)
            mix(d, f->text.p, f->text.n);
        mix(d, "|", 1);
    }
    for (const struct tls_word *w = o->commands; w; w = w->next) {
        mix(d, w->a.p, w->a.n);
        mix(d, w->b.p, w->b.n);
    }
    mix(d, facts, sizeof(facts));
    mix(d, o->ciphers.p, o->ciphers.n);
    EVP_DigestFinal_ex(d, sum, &n);
    EVP_MD_CTX_free(d);
    memcpy(o->key, sum, TLS_KEY);
    return tls_remember(cf, o->key);
}

/* ---- the transport ---- */

static void client_free(struct transport *t)
{
    struct tls_client *c = client_of(t);
    tls_io_done(&c->io);
    if (c->mark)
        session_free(c->mark);
    free(c);
}

static int client_handshake(struct transport *t)
{
    struct tls_client *c = client_of(t);
    int rc = tls_io_handshake(t);
    bool checked = SSL_get_verify_mode(c->io.ssl) != SSL_VERIFY_NONE;
    if (rc == ERR_SYNTAX && checked && SSL_get_verify_result(c->io.ssl) != X509_V_OK) {
        char text[160];
        snprintf(text, sizeof(text), "upstream SSL certificate verify error: (%ld:%s)",
                 SSL_get_verify_result(c->io.ssl), X509_verify_cert_error_string(SSL_get_verify_result(c->io.ssl)));
        free(c->io.why);
        c->io.why = NULL;
        tls_io_fail(&c->io, text);
    }
    return rc;
}

static const struct transport_ops client_ops = {
    .name = "tls client",
    .handshake = client_handshake,
    .read = tls_io_read,
    .write = tls_io_write,
    .flush = tls_io_flush,
    .end_write = tls_io_end_write,
    .protocol = tls_io_protocol,
    .why = tls_io_why,
    .free = client_free,
};

static bool set_name(SSL *ssl, const struct tls_origin *o, slice name)
{
    char text[NAME_LONGEST + 1];
    unsigned char ip[16];
    if (name.n > NAME_LONGEST || memchr(name.p, '\0', name.n))
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    bool literal = inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
    if (o->server_name && !literal && name.n && !SSL_set_tlsext_host_name(ssl, text))
        return false; /* an address is no name (RFC 6066 section 3) */
    if (!o->verify)
        return true;
    X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
    return literal ? X509_VERIFY_PARAM_set1_ip_asc(p, text) == 1 : X509_VERIFY_PARAM_set1_host(p, text, name.n) == 1;
}

struct transport *tls_client_new(struct tls_worker *w, int fd, const struct tls_origin *o, slice name, slice peer,
                                 const char **why)
{
    struct tls_context *ctx = tls_context_for(w, o->key, make_origin, o);
    bool nameless = o->verify && (!name.n || name.p[0] == '.'); /* to OpenSSL: any name, any name below */
    struct tls_client *c = ctx && ctx->ctx && !nameless ? calloc(1, sizeof(*c)) : NULL;
    *why = ctx && !ctx->ctx ? ctx->why : nameless ? "proxy_ssl_verify has no name to check" : "no memory";
    if (!c)
        return NULL;
    if (tls_io_init(&c->io, &client_ops, w, ctx->ctx, fd, SLICE_NONE) != OK || !set_name(c->io.ssl, o, name) ||
        (o->session_reuse && !resume(c, o, name, peer))) {
        *why = "the connection's object could not be made";
        client_free(&c->io.t);
        return NULL;
    }
    SSL_set_connect_state(c->io.ssl);
    return &c->io.t;
}

int tls_client_offer(struct transport *t, slice protocols)
{
    const unsigned char *p = (const unsigned char *)protocols.p;
    return SSL_set_alpn_protos(client_of(t)->io.ssl, p, (unsigned)protocols.n) == 0 ? OK : ERR_NOMEM;
}

struct transport *tls_client_over(struct transport *below, const struct tls_origin *o, slice name, slice peer,
                                  const char **why)
{
    const struct tls_io *io = tls_io_of(below);
    struct tls_worker *w = tls_worker_inner(io->w);
    *why = "no memory";
    struct transport *t = w ? tls_client_new(w, io->fd, o, name, peer, why) : NULL;
    if (t)
        tls_io_of(t)->below = below;
    return t;
}
