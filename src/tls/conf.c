/*
 * What the ssl_* directives of a level come to: pairs checked, digests made, certificates looked at.
 *
 * Whoever gathers a bundle (start, -t, reload) decodes what it has not decoded before, for a short time; what is left
 * over then is decoded when it is first used. Its frame is checked in any case, so a file that is no PEM stops the
 * start.
 */
#include "tls/conf.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "tls/check.h"
#include "tls/decode.h"
#include "tls/pem.h"
#include "tls/ticket.h"

/* ---- digests ---- */

static void mix(EVP_MD_CTX *d, const void *p, size_t n)
{
    uint64_t len = n;
    EVP_DigestUpdate(d, &len, sizeof(len));
    if (n)
        EVP_DigestUpdate(d, p, n);
}

static void mix_number(EVP_MD_CTX *d, uint64_t v)
{
    mix(d, &v, sizeof(v));
}

static void mix_files(EVP_MD_CTX *d, const struct tls_file *f)
{
    for (; f; f = f->next)
        mix(d, f->text.p, f->text.n);
    mix_number(d, 0);
}

/* Whom a session was made with: resumed nowhere else. */
static void mix_policy(EVP_MD_CTX *d, const struct tls_conf *c)
{
    mix_files(d, c->certs);
    mix_number(d, c->verify);
    if (c->verify == TLS_VERIFY_OFF)
        return;
    mix_number(d, c->verify_depth);
    mix_files(d, c->client_ca);
    mix_files(d, c->trusted);
    mix_files(d, c->crl);
}

static void mix_all(EVP_MD_CTX *d, const struct tls_conf *c)
{
    mix_policy(d, c);
    mix_files(d, c->keys);
    mix_files(d, c->passwords);
    mix_files(d, c->client_ca);
    mix_files(d, c->trusted);
    mix_files(d, c->crl);
    mix_files(d, c->dhparam);
    mix_files(d, c->staple_file);
    mix_files(d, c->ticket_keys);
    for (const struct tls_word *w = c->commands; w; w = w->next) {
        mix(d, w->a.p, w->a.n);
        mix(d, w->b.p, w->b.n);
    }
    mix_number(d, c->protocols);
    mix(d, c->ciphers.p, c->ciphers.n);
    mix(d, c->curves.p, c->curves.n);
    mix_number(d, (uint64_t)c->prefer_server | (uint64_t)c->tickets << 1 | (uint64_t)c->stapling << 2);
    mix_number(d, c->cache.mode);
    mix(d, c->cache.name.p, c->cache.name.n);
    mix_number(d, c->cache.size);
    mix_number(d, c->session_timeout);
    mix(d, c->ticket_secret, sizeof(c->ticket_secret));
}

static int digest(const struct tls_conf *c, void (*what)(EVP_MD_CTX *, const struct tls_conf *), char out[TLS_KEY])
{
    EVP_MD_CTX *d = EVP_MD_CTX_new();
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (!d || EVP_DigestInit_ex(d, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(d);
        return ERR_NOMEM;
    }
    what(d, c);
    EVP_DigestFinal_ex(d, sum, &n);
    EVP_MD_CTX_free(d);
    memcpy(out, sum, TLS_KEY);
    return OK;
}

/* ---- the secret of tickets ---- */

/* Drawn once by whoever gathers first, and kept in the bundle; as hexadecimal, for options are text. */
static int secret(struct conf_ctx *cf, unsigned char out[TICKET_SECRET])
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * TICKET_SECRET];
    slice name = SLICE("tls-ticket-secret"), have = bundle_option(cf->bundle, name);
    if (have.n == sizeof(hex)) {
        for (size_t i = 0; i < TICKET_SECRET; i++) {
            int a = ascii_hex(have.p[2 * i]), b = ascii_hex(have.p[2 * i + 1]);
            out[i] = (unsigned char)((a > 0 ? a : 0) << 4 | (b > 0 ? b : 0));
        }
        return OK;
    }
    /* One thread of a master gathers: reloads go on with what its first configuration drew. */
    static unsigned char drawn[TICKET_SECRET];
    static bool has;
    if (!has)
        rand_bytes(drawn, TICKET_SECRET);
    has = true;
    memcpy(out, drawn, TICKET_SECRET);
    for (size_t i = 0; i < TICKET_SECRET; i++) {
        hex[2 * i] = digits[out[i] >> 4];
        hex[2 * i + 1] = digits[out[i] & 15];
    }
    return bundle_closed(cf->bundle) ? OK : bundle_option_set(cf->bundle, name, slice_of(hex, sizeof(hex)));
}

/* ---- checks ---- */

static int check_pairs(struct conf_ctx *cf, const struct tls_conf *c)
{
    const struct tls_file *key = c->keys;
    for (const struct tls_file *f = c->certs; f; f = f->next) {
        if (!key)
            return conf_error(cf, f->node, 0, "no \"ssl_certificate_key\" is defined for certificate \"%.*s\"",
                              SLICE_FMT(f->path));
        if (!pem_framed(f->text, SLICE("CERTIFICATE")))
            return conf_error(cf, f->node, 0, "cannot load certificate \"%.*s\": it holds no PEM certificate",
                              SLICE_FMT(f->path));
        if (!pem_framed(key->text, SLICE("PRIVATE KEY")))
            return conf_error(cf, key->node, 0, "cannot load certificate key \"%.*s\": it holds no PEM private key",
                              SLICE_FMT(key->path));
        key = key->next;
    }
    if (key && c->certs)
        conf_warn(cf, key->node, 0, "this key has no \"ssl_certificate\", ignored");
    return OK;
}

static int check_clients(struct conf_ctx *cf, const struct conf_node *node, const struct tls_conf *c)
{
    if ((c->verify == TLS_VERIFY_ON || c->verify == TLS_VERIFY_OPTIONAL) && !c->client_ca && !c->trusted)
        return conf_error(cf, node, -1, "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client");
    return OK;
}

static int check_tickets(struct conf_ctx *cf, const struct tls_conf *c)
{
    struct ticket_key k;
    for (const struct tls_file *f = c->ticket_keys; f; f = f->next) {
        if (!ticket_key_read(f->text, &k))
            return conf_error(cf, f->node, 0, "\"%.*s\" must be 48 or 80 bytes", SLICE_FMT(f->path));
    }
    return OK;
}

static void map_cleanup(struct gen_cleanup *c)
{
    map_done(&container_of(c, struct tls_main, cleanup)->by_key);
}

int tls_remember(struct conf_ctx *cf, char key[TLS_KEY])
{
    struct tls_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &ssl_feature);
    if (!m)
        return ERR_NOMEM;
    if (!m->ready) {
        map_init(&m->by_key, false);
        generation_cleanup(cf->gen, &m->cleanup, map_cleanup);
        m->ready = true;
    }
    int rc = map_put(&m->by_key, slice_of(key, TLS_KEY), key);
    return rc == ERR_REFUSED ? OK : rc;
}

int tls_conf_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                    const void *parent)
{
    struct tls_conf *c = conf;
    if (kind == SCOPE_MAIN)
        return tls_decode_queue(cf, conf);
    if (kind != SCOPE_SERVER)
        return OK;
    if (!arena_dup(cf->arena, c->ciphers, &c->ciphers) || !arena_dup(cf->arena, c->curves, &c->curves))
        return ERR_NOMEM;
    c->asks_clients = c->verify != TLS_VERIFY_OFF;
    int rc = secret(cf, c->ticket_secret);
    if (rc == OK)
        rc = check_pairs(cf, c);
    if (rc == OK)
        rc = check_clients(cf, node, c);
    if (rc == OK)
        rc = check_tickets(cf, c);
    if (rc == OK)
        rc = digest(c, mix_policy, c->policy);
    if (rc == OK)
        rc = digest(c, mix_all, c->key);
    if (rc == OK && c->certs)
        rc = tls_check(cf, c);
    return rc == OK ? tls_remember(cf, c->key) : rc;
}
