/*
 * An OpenSSL context from a configuration: certificates, keys, protocols, what is asked of clients.
 */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "tls/context.h"
#include "tls/kdf.h"
#include "tls/pem.h"
#include "tls/server.h"
#include "tls/session.h"
#include "tls/ticket.h"
#include "tls/worker.h"

/* "what "file" failed (reason of OpenSSL)" */
static int fail(struct tls_context *out, const char *what, slice name)
{
    char why[120];
    tls_error_text(why, sizeof(why));
    snprintf(out->why, sizeof(out->why), "%s \"%.*s\" failed (%s)", what, (int)(name.n < 60 ? name.n : 60), name.p,
             why);
    return ERR_SYNTAX;
}

static const struct {
    uint32_t bit;
    int version;
    uint64_t off;
} versions[] = {
    { TLS_V1_0, TLS1_VERSION, SSL_OP_NO_TLSv1 },
    { TLS_V1_1, TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
    { TLS_V1_2, TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 },
    { TLS_V1_3, TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 },
};

void tls_set_protocols(SSL_CTX *ctx, uint32_t protocols)
{
    int low = 0, high = 0;
    for (size_t i = 0; i < 4; i++) {
        if (!(protocols & versions[i].bit)) {
            SSL_CTX_set_options(ctx, versions[i].off);
            continue;
        }
        SSL_CTX_clear_options(ctx, versions[i].off);
        low = low ? low : versions[i].version;
        high = versions[i].version;
    }
    SSL_CTX_set_min_proto_version(ctx, low);
    SSL_CTX_set_max_proto_version(ctx, high);
}

int tls_set_commands(SSL_CTX *ctx, const struct tls_word *w, bool server, struct tls_context *out)
{
    int rc = OK;
    SSL_CONF_CTX *c = w ? SSL_CONF_CTX_new() : NULL;
    if (w && !c)
        return ERR_NOMEM;
    if (c) {
        SSL_CONF_CTX_set_flags(c, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_CERTIFICATE | SSL_CONF_FLAG_SHOW_ERRORS |
                                      (server ? SSL_CONF_FLAG_SERVER : SSL_CONF_FLAG_CLIENT));
        SSL_CONF_CTX_set_ssl_ctx(c, ctx);
    }
    for (; w && rc == OK; w = w->next) {
        if (SSL_CONF_cmd(c, w->a.p, w->b.p) <= 0)
            rc = fail(out, "SSL_CONF_cmd", w->a);
    }
    if (c && rc == OK)
        SSL_CONF_CTX_finish(c);
    SSL_CONF_CTX_free(c);
    return rc;
}

int tls_use_pair(SSL_CTX *ctx, const struct tls_file *cert, const struct tls_file *key,
                 const struct tls_file *passwords, struct tls_context *out)
{
    STACK_OF(X509) *chain = NULL;
    X509 *leaf = pem_chain(cert->text, &chain);
    if (!leaf)
        return fail(out, "cannot load certificate", cert->path);
    int rc = OK;
    EVP_PKEY *k = pem_key(NULL, key->text, passwords ? passwords->text : SLICE_NONE);
    if (!k)
        rc = fail(out, "cannot load certificate key", key->path);
    else if (SSL_CTX_use_certificate(ctx, leaf) != 1)
        rc = fail(out, "cannot use certificate", cert->path);
    else if (SSL_CTX_use_PrivateKey(ctx, k) != 1)
        rc = fail(out, "cannot use certificate key", key->path);
    else if (chain && SSL_CTX_set1_chain(ctx, chain) != 1)
        rc = fail(out, "cannot use the chain of certificate", cert->path);
    EVP_PKEY_free(k);
    X509_free(leaf);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}

static int use_pairs(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out)
{
    const struct tls_file *key = c->keys;
    for (const struct tls_file *cert = c->certs; cert; cert = cert->next) {
        if (!key)
            return fail(out, "no key for certificate", cert->path);
        int rc = tls_use_pair(ctx, cert, key, c->passwords, out);
        if (rc != OK)
            return rc;
        key = key->next;
    }
    return OK;
}

int tls_trust(SSL_CTX *ctx, const struct tls_file *f, bool ask, struct tls_context *out)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    STACK_OF(X509) *all = NULL;
    if (!f)
        return OK;
    X509 *first = pem_chain(f->text, &all);
    if (!first)
        return fail(out, "cannot load certificates of", f->path);
    X509_STORE_add_cert(store, first);
    if (ask)
        SSL_CTX_add_client_CA(ctx, first);
    for (int i = 0; i < sk_X509_num(all); i++) {
        X509_STORE_add_cert(store, sk_X509_value(all, i));
        if (ask)
            SSL_CTX_add_client_CA(ctx, sk_X509_value(all, i));
    }
    ERR_clear_error(); /* one that is there already is no fault */
    X509_free(first);
    sk_X509_pop_free(all, X509_free);
    return OK;
}

int tls_use_crl(SSL_CTX *ctx, const struct tls_file *f, struct tls_context *out)
{
    if (!f)
        return OK;
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    if (!pem_crls(f->text, store))
        return fail(out, "cannot load CRL", f->path);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return OK;
}

/* Where a context keeps its OCSP response: length and bytes. */
static void staple_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    free(ptr);
}

static int staple_slot(void)
{
    static int index = -1;
    int i = __atomic_load_n(&index, __ATOMIC_ACQUIRE), none = -1;
    if (i >= 0)
        return i;
    i = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, staple_free);
    if (!__atomic_compare_exchange_n(&index, &none, i, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        i = none;
    return i;
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
    return 1; /* the result is looked at when a request comes: it is answered 400, not cut (as nginx) */
}

static int set_verify(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out)
{
    int rc = tls_trust(ctx, c->client_ca, true, out);
    if (rc == OK)
        rc = tls_trust(ctx, c->trusted, false, out);
    if (rc == OK)
        rc = tls_use_crl(ctx, c->crl, out);
    if (rc == OK && c->verify != TLS_VERIFY_OFF) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
        SSL_CTX_set_verify_depth(ctx, (int)c->verify_depth);
    }
    return rc;
}

static int set_dh(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out)
{
    if (!c->dhparam)
        return OK;
    EVP_PKEY *dh = pem_dh(c->dhparam->text);
    if (!dh)
        return fail(out, "cannot load DH parameters", c->dhparam->path);
    if (SSL_CTX_set0_tmp_dh_pkey(ctx, dh) == 1)
        return OK;
    EVP_PKEY_free(dh);
    return fail(out, "cannot use DH parameters", c->dhparam->path);
}

static int on_status(SSL *ssl, void *arg)
{
    size_t n = 0;
    const unsigned char *p = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), staple_slot());
    if (!p)
        return SSL_TLSEXT_ERR_NOACK;
    memcpy(&n, p, sizeof(n));
    unsigned char *copy = OPENSSL_memdup(p + sizeof(n), n); /* OpenSSL frees it */
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)n);
    return SSL_TLSEXT_ERR_OK;
}

static int set_staple(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out)
{
    if (!c->stapling || !c->staple_file)
        return OK;
    size_t n = c->staple_file->text.n;
    const unsigned char *der = (const unsigned char *)c->staple_file->text.p;
    OCSP_RESPONSE *answer = n <= INT32_MAX ? d2i_OCSP_RESPONSE(NULL, &der, (long)n) : NULL;
    if (!answer)
        return fail(out, "ssl_stapling_file holds no OCSP response:", c->staple_file->path);
    OCSP_RESPONSE_free(answer);
    char *kept = malloc(sizeof(n) + n);
    if (!kept)
        return ERR_NOMEM;
    memcpy(kept, &n, sizeof(n));
    memcpy(kept + sizeof(n), c->staple_file->text.p, n);
    if (!SSL_CTX_set_ex_data(ctx, staple_slot(), kept)) {
        free(kept);
        return ERR_NOMEM;
    }
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
    return OK;
}

static int set_lists(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out)
{
    if (SSL_CTX_set_cipher_list(ctx, c->ciphers.p) != 1)
        return fail(out, "ssl_ciphers", c->ciphers);
    if (!slice_eq(c->curves, SLICE("auto")) && SSL_CTX_set1_groups_list(ctx, c->curves.p) != 1)
        return fail(out, "ssl_ecdh_curve", c->curves);
    if (c->prefer_server)
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    return OK;
}

static int fill(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    tls_set_protocols(ctx, c->protocols);
    tls_server_hooks(ctx);
    int rc = set_lists(ctx, c, out);
    if (rc == OK)
        rc = use_pairs(ctx, c, out);
    if (rc == OK)
        rc = set_verify(ctx, c, out);
    if (rc == OK)
        rc = set_dh(ctx, c, out);
    if (rc == OK)
        rc = set_staple(ctx, c, out);
    if (rc == OK)
        rc = session_install(ctx, c, out);
    if (rc == OK)
        rc = tls_set_commands(ctx, c->commands, true, out);
    return rc;
}

int tls_context_make(const struct tls_conf *c, struct tls_context *out)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new_ex(NULL, tls_kdf_query(), TLS_server_method());
    if (!ctx)
        return ERR_NOMEM;
    int rc = fill(ctx, c, out);
    if (rc != OK) {
        SSL_CTX_free(ctx);
        return rc;
    }
    out->ctx = ctx;
    return OK;
}
