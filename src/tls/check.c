#include "tls/check.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "tls/client.h"
#include "tls/pem.h"
#include "tls/worker.h"

enum { BUDGET_MS = 200, SOON_DAYS = 14 };

/* ---- what was looked at before ---- */

/* Digests of configurations that were found good: a reload looks at what has changed. One thread compiles with an open
 * bundle, so there is no lock. */
struct seen {
    char key[TLS_KEY];
};
static struct map good;

static bool seen(const char key[TLS_KEY])
{
    return map_get(&good, slice_of(key, TLS_KEY)) != NULL;
}

static void note(const char key[TLS_KEY])
{
    struct seen *s = malloc(sizeof(*s));
    if (!s)
        return;
    memcpy(s->key, key, TLS_KEY);
    if (map_put(&good, slice_of(s->key, TLS_KEY), s) != OK)
        free(s);
}

/* ---- warnings ---- */

static bool plain_path(slice path)
{
    return !slice_starts(path, SLICE("data:"));
}

static void warn_mode(struct conf_ctx *cf, const struct tls_file *key)
{
    struct stat st;
    slice path = bundle_conf_path(cf->bundle, key->path);
    if (!plain_path(key->path) || !path.p || stat(path.p, &st) != 0 || !(st.st_mode & S_IROTH))
        return;
    conf_diag_add(cf->diag, CONF_WARN, key->node->pos, SLICE("chmod o-r keeps other users of this machine from it"),
                  "the private key \"%.*s\" can be read by everybody", SLICE_FMT(key->path));
}

static void warn_time(struct conf_ctx *cf, const struct tls_file *f, const X509 *x)
{
    int days = 0, seconds = 0;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)))
        return;
    if (days < 0 || seconds < 0)
        conf_warn(cf, f->node, 0, "the certificate \"%.*s\" has expired", SLICE_FMT(f->path));
    else if (days < SOON_DAYS)
        conf_warn(cf, f->node, 0, "the certificate \"%.*s\" expires in %d days", SLICE_FMT(f->path), days);
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notBefore(x)) && (days > 0 || seconds > 0))
        conf_warn(cf, f->node, 0, "the certificate \"%.*s\" does not hold yet", SLICE_FMT(f->path));
}

static void warn_weak(struct conf_ctx *cf, const struct tls_conf *c)
{
    if (c->protocols & (TLS_V1_0 | TLS_V1_1))
        conf_warn(cf, c->certs->node, -1, "TLSv1 and TLSv1.1 are broken protocols: \"ssl_protocols TLSv1.2 TLSv1.3\"");
    static const char *const weak[] = { "RC4", "3DES", "DES-CBC", "MD5", "NULL", "EXP", "LOW", "MEDIUM" };
    for (size_t i = 0; i < sizeof(weak) / sizeof(*weak); i++) {
        const char *at = strstr(c->ciphers.p, weak[i]);
        if (at && (at == c->ciphers.p || (at[-1] != '!' && at[-1] != '-' && at[-1] != 'a' && at[-1] != 'e'))) {
            conf_warn(cf, c->certs->node, -1, "\"ssl_ciphers\" names weak ciphers (%s)", weak[i]);
            return;
        }
    }
}

/* ---- pairs ---- */

static int report(struct conf_ctx *cf, const struct tls_file *f, const char *what)
{
    char why[160];
    tls_error_text(why, sizeof(why));
    return conf_error(cf, f->node, 0, "%s \"%.*s\": %s", what, SLICE_FMT(f->path), why);
}

static int check_pair(struct conf_ctx *cf, const struct tls_conf *c, const struct tls_file *cert,
                      const struct tls_file *key)
{
    STACK_OF(X509) *rest = NULL;
    ERR_clear_error();
    X509 *leaf = pem_chain(cert->text, &rest);
    if (!leaf)
        return report(cf, cert, "cannot load certificate");
    int rc = OK;
    EVP_PKEY *k = pem_key(key->text, c->passwords ? c->passwords->text : SLICE_NONE);
    if (!k)
        rc = report(cf, key, "cannot load certificate key");
    else if (X509_check_private_key(leaf, k) != 1)
        rc = report(cf, key, "the certificate's public key does not match: SSL_CTX_use_PrivateKey() failed for");
    else
        warn_time(cf, cert, leaf);
    EVP_PKEY_free(k);
    X509_free(leaf);
    sk_X509_pop_free(rest, X509_free);
    return rc;
}

/* Everything else that a context needs: lists, commands, authorities. */
static int check_context(struct conf_ctx *cf, const struct tls_conf *c)
{
    struct tls_context t = { 0 };
    int rc = tls_context_make(c, &t);
    SSL_CTX_free(t.ctx);
    return rc == ERR_SYNTAX ? conf_error(cf, c->certs->node, -1, "%s", t.why) : rc;
}

/* What decoding may still cost while this bundle is gathered. */
static bool time_left(struct conf_ctx *cf)
{
    static const struct bundle *bundle;
    static struct timespec began;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (bundle != cf->bundle) {
        bundle = cf->bundle;
        began = now;
    }
    int64_t ms = (now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1000000;
    return ms < BUDGET_MS || bundle_option(cf->bundle, SLICE("test")).n;
}

int tls_check(struct conf_ctx *cf, const struct tls_conf *c)
{
    if (bundle_closed(cf->bundle))
        return OK;
    warn_weak(cf, c);
    for (const struct tls_file *k = c->keys; k; k = k->next)
        warn_mode(cf, k);
    if (seen(c->key) || !time_left(cf))
        return OK;
    const struct tls_file *cert = c->certs, *key = c->keys; /* as many of either, and some */
    int rc;
    do {
        rc = check_pair(cf, c, cert, key);
        cert = cert->next;
        key = key->next;
    } while (cert && rc == OK);
    if (rc == OK)
        rc = check_context(cf, c);
    if (rc == OK)
        note(c->key);
    return rc;
}

/* Whose line a failure is: the file that it names (cut short there). */
static const struct conf_node *node_of(const struct tls_origin *o, const char *why, const struct conf_node *otherwise)
{
    const struct tls_file *files[] = { o->certs, o->keys, o->trusted, o->crl };
    for (size_t i = 0; i < array_len(files); i++) {
        slice path = files[i] ? slice_upto(files[i]->path, files[i]->path.n < 60 ? files[i]->path.n : 60) : SLICE_NONE;
        if (path.n && memmem(why, strlen(why), path.p, path.n))
            return files[i]->node;
    }
    return otherwise;
}

int tls_check_origin(struct conf_ctx *cf, const struct conf_node *node, const struct tls_origin *o)
{
    struct tls_context t = { 0 };
    bool plain = !o->certs && !o->trusted && !o->crl && !o->commands && slice_eq(o->ciphers, SLICE("DEFAULT"));
    if (plain || bundle_closed(cf->bundle) || seen(o->key) || !time_left(cf))
        return OK;
    int rc = tls_origin_make(o, &t);
    SSL_CTX_free(t.ctx);
    if (rc == OK)
        note(o->key);
    return rc == ERR_SYNTAX ? conf_error(cf, node_of(o, t.why, node), -1, "%s", t.why) : rc;
}
