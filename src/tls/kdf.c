/*
 * The key schedule of TLS 1.3 (RFC 8446 section 7.1) as a provider inside the process.
 *
 * A handshake derives about two dozen secrets, each four compressions of a hash. OpenSSL 3.0 fetches, allocates and
 * copies its way to them: 1.15 us for 0.3 us of hashing, a tenth of a resumed handshake altogether. libssl asks for
 * this derivation by name, so an implementation of it that works on the stack takes its place where the property query
 * of a context prefers it; everything else is OpenSSL's as before. A default query of the system's (fips=yes) goes on
 * to rule it out, and so does the build option tls13_kdf. Before the first use it has to agree with OpenSSL's own.
 *
 * Hashes are computed by the functions that need no allocation, which 3.0 calls deprecated.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tls/kdf.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/attr.h"
#include "base/slice.h"

enum {
    HASH_MOST = SHA384_DIGEST_LENGTH,
    BLOCK_MOST = SHA512_CBLOCK,
    LABEL_MOST = 255, /* of prefix and label together, and of the context: RFC 8446 section 7.1 */
    INFO_MOST = 4 + 2 * LABEL_MOST,
    ROUNDS_MOST = 255, /* RFC 5869 section 2.3 */
};

/* ---- HMAC with one of the two hashes of TLS 1.3 ---- */

enum hash { HASH_NONE, HASH_256, HASH_384 };

struct hasher {
    union {
        SHA256_CTX small;
        SHA512_CTX large;
    };
    enum hash hash;
};

static size_t hash_size(enum hash h)
{
    return h == HASH_256 ? SHA256_DIGEST_LENGTH : SHA384_DIGEST_LENGTH;
}

static size_t block_size(enum hash h)
{
    return h == HASH_256 ? SHA256_CBLOCK : SHA512_CBLOCK;
}

static void hash_begin(struct hasher *s, enum hash h)
{
    s->hash = h;
    if (h == HASH_256)
        SHA256_Init(&s->small);
    else
        SHA384_Init(&s->large);
}

static void hash_add(struct hasher *s, const void *p, size_t n)
{
    if (s->hash == HASH_256)
        SHA256_Update(&s->small, p, n);
    else
        SHA384_Update(&s->large, p, n);
}

static void hash_end(struct hasher *s, unsigned char *out)
{
    if (s->hash == HASH_256)
        SHA256_Final(out, &s->small);
    else
        SHA384_Final(out, &s->large);
}

/* The states behind the padded key (RFC 2104), from which any number of messages can be authenticated. */
struct keyed {
    struct hasher inner, outer;
};

static void hmac_key(struct keyed *k, enum hash h, slice key)
{
    unsigned char pad[BLOCK_MOST] = { 0 };
    size_t block = block_size(h);
    if (key.n > block) {
        hash_begin(&k->inner, h);
        hash_add(&k->inner, key.p, key.n);
        hash_end(&k->inner, pad);
    } else if (key.n) {
        memcpy(pad, key.p, key.n);
    }
    for (size_t i = 0; i < block; i++)
        pad[i] ^= 0x36;
    hash_begin(&k->inner, h);
    hash_add(&k->inner, pad, block);
    for (size_t i = 0; i < block; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    hash_begin(&k->outer, h);
    hash_add(&k->outer, pad, block);
    OPENSSL_cleanse(pad, sizeof(pad));
}

/* Ends the message that was added to `inner`. */
static void hmac_end(struct hasher *inner, const struct keyed *k, unsigned char *out)
{
    unsigned char digest[HASH_MOST];
    struct hasher outer = k->outer;
    hash_end(inner, digest);
    hash_add(&outer, digest, hash_size(k->outer.hash));
    hash_end(&outer, out);
    OPENSSL_cleanse(digest, sizeof(digest));
    OPENSSL_cleanse(&outer, sizeof(outer));
}

/* ---- HKDF (RFC 5869) ---- */

static void hkdf_extract(enum hash h, slice salt, slice secret, unsigned char *out)
{
    struct keyed k;
    hmac_key(&k, h, salt);
    hash_add(&k.inner, secret.p, secret.n);
    hmac_end(&k.inner, &k, out);
    OPENSSL_cleanse(&k, sizeof(k));
}

static void hkdf_expand(enum hash h, slice secret, slice info, unsigned char *out, size_t n)
{
    struct keyed k;
    unsigned char t[HASH_MOST];
    size_t size = hash_size(h), before = 0;
    hmac_key(&k, h, secret);
    for (unsigned char round = 1; n; round++) {
        struct hasher inner = k.inner;
        hash_add(&inner, t, before);
        hash_add(&inner, info.p, info.n);
        hash_add(&inner, &round, 1);
        hmac_end(&inner, &k, t);
        OPENSSL_cleanse(&inner, sizeof(inner));
        before = n < size ? n : size;
        memcpy(out, t, before);
        out += before;
        n -= before;
        before = size;
    }
    OPENSSL_cleanse(&k, sizeof(k));
    OPENSSL_cleanse(t, sizeof(t));
}

/* ---- the schedule ---- */

/* What a derivation is asked for. */
struct asked {
    int mode;
    enum hash hash;
    slice key, salt, prefix, label, data;
};

static unsigned char *put(unsigned char *at, slice s)
{
    if (s.n)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

/* HKDF-Expand-Label. */
static bool expand_label(const struct asked *a, slice secret, slice context, unsigned char *out, size_t n)
{
    unsigned char info[INFO_MOST], *at = info;
    if (n > ROUNDS_MOST * hash_size(a->hash) || n > UINT16_MAX || a->prefix.n > LABEL_MOST ||
        a->label.n > LABEL_MOST - a->prefix.n || context.n > LABEL_MOST)
        return false;
    *at++ = (unsigned char)(n >> 8);
    *at++ = (unsigned char)(n & 0xff);
    *at++ = (unsigned char)(a->prefix.n + a->label.n);
    at = put(put(at, a->prefix), a->label);
    *at++ = (unsigned char)context.n;
    at = put(at, context);
    hkdf_expand(a->hash, secret, slice_of((char *)info, (size_t)(at - info)), out, n);
    return true;
}

/* From one of the schedule's three secrets to the next: `salt` is the one before, none for the first. */
static bool next_secret(const struct asked *a, unsigned char *out, size_t n)
{
    static const char zeros[HASH_MOST];
    unsigned char empty[HASH_MOST], derived[HASH_MOST];
    size_t size = hash_size(a->hash);
    const slice nothing = slice_of(zeros, size);
    slice salt = nothing;
    struct hasher h;
    if (n != size)
        return false;
    if (a->salt.p) {
        hash_begin(&h, a->hash);
        hash_end(&h, empty);
        if (!expand_label(a, a->salt, slice_of((char *)empty, size), derived, size))
            return false;
        salt = slice_of((char *)derived, size);
    }
    hkdf_extract(a->hash, salt, a->key.p ? a->key : nothing, out);
    OPENSSL_cleanse(derived, sizeof(derived));
    return true;
}

/* ---- parameters ---- */

static bool ask_mode(const OSSL_PARAM *p, int *mode)
{
    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(p, mode);
    const char *name = p->data ? p->data : "";
    *mode = strcasecmp(name, "EXTRACT_ONLY") == 0  ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY
            : strcasecmp(name, "EXPAND_ONLY") == 0 ? EVP_KDF_HKDF_MODE_EXPAND_ONLY
                                                   : -1;
    return *mode >= 0;
}

static bool ask_hash(const OSSL_PARAM *p, enum hash *hash)
{
    const char *name = p->data_type == OSSL_PARAM_UTF8_STRING && p->data ? p->data : "";
    *hash = strcasecmp(name, "SHA256") == 0 || strcasecmp(name, "SHA2-256") == 0   ? HASH_256
            : strcasecmp(name, "SHA384") == 0 || strcasecmp(name, "SHA2-384") == 0 ? HASH_384
                                                                                   : HASH_NONE;
    return *hash != HASH_NONE;
}

static slice *place_of(struct asked *a, const char *name)
{
    return strcmp(name, OSSL_KDF_PARAM_KEY) == 0      ? &a->key
           : strcmp(name, OSSL_KDF_PARAM_SALT) == 0   ? &a->salt
           : strcmp(name, OSSL_KDF_PARAM_PREFIX) == 0 ? &a->prefix
           : strcmp(name, OSSL_KDF_PARAM_LABEL) == 0  ? &a->label
           : strcmp(name, OSSL_KDF_PARAM_DATA) == 0   ? &a->data
                                                      : NULL;
}

/* Strings are only pointed at. What is not known is left alone, as OpenSSL's own do. */
static bool ask(struct asked *a, const OSSL_PARAM *p)
{
    for (; p && p->key; p++) {
        slice *s = place_of(a, p->key);
        if (s && (p->data_type != OSSL_PARAM_OCTET_STRING || (!p->data && p->data_size)))
            return false;
        if (s)
            *s = slice_of(p->data, p->data_size);
        else if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0 && !ask_mode(p, &a->mode))
            return false;
        else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0 && !ask_hash(p, &a->hash))
            return false;
    }
    return true;
}

/* ---- what OpenSSL calls ---- */

enum { STRINGS = 5 };

struct derivation {
    struct asked asked; /* its strings are copies of ours */
    slice owned[STRINGS];
};

static slice *strings(struct asked *a, int i)
{
    slice *all[STRINGS] = { &a->key, &a->salt, &a->prefix, &a->label, &a->data };
    return all[i];
}

static void *kdf_new(void *provider)
{
    return calloc(1, sizeof(struct derivation));
}

static void forget(slice s)
{
    char *p = (char *)(uintptr_t)s.p;
    if (p)
        OPENSSL_cleanse(p, s.n);
    free(p);
}

static void kdf_reset(void *ctx)
{
    struct derivation *d = ctx;
    for (int i = 0; i < STRINGS; i++)
        forget(d->owned[i]);
    *d = (struct derivation){ .asked.mode = 0 };
}

static void kdf_free(void *ctx)
{
    if (ctx)
        kdf_reset(ctx);
    free(ctx);
}

/* Keeps what only the caller holds. */
static int kdf_set(void *ctx, const OSSL_PARAM params[])
{
    struct derivation *d = ctx;
    struct asked a = d->asked;
    if (!ask(&a, params))
        return 0;
    for (int i = 0; i < STRINGS; i++) {
        slice *s = strings(&a, i);
        if (!s->p || s->p == d->owned[i].p)
            continue;
        char *copy = malloc(s->n + 1);
        if (!copy)
            return 0;
        memcpy(copy, s->p, s->n);
        forget(d->owned[i]);
        *strings(&d->asked, i) = d->owned[i] = slice_of(copy, s->n);
    }
    d->asked.mode = a.mode;
    d->asked.hash = a.hash;
    return 1;
}

static int kdf_derive(void *ctx, unsigned char *out, size_t n, const OSSL_PARAM params[])
{
    const struct derivation *d = ctx;
    struct asked a = d->asked;
    if (!ask(&a, params) || a.hash == HASH_NONE)
        return 0;
    if (a.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY)
        return next_secret(&a, out, n);
    return a.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && a.key.p && n && expand_label(&a, a.key, a.data, out, n);
}

static const OSSL_PARAM *kdf_settable(void *ctx, void *provider)
{
    static const OSSL_PARAM all[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MODE, NULL, 0),
        OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_DATA, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_END,
    };
    return all;
}

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_store)
{
    static const OSSL_DISPATCH functions[] = {
        { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))kdf_new },
        { OSSL_FUNC_KDF_FREECTX, (void (*)(void))kdf_free },
        { OSSL_FUNC_KDF_RESET, (void (*)(void))kdf_reset },
        { OSSL_FUNC_KDF_DERIVE, (void (*)(void))kdf_derive },
        { OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))kdf_set },
        { OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))kdf_settable },
        { 0, NULL },
    };
    static const OSSL_ALGORITHM all[] = { { "TLS13-KDF", "provider=hinge", functions, NULL },
                                          { NULL, NULL, NULL, NULL } };
    *no_store = 0;
    return operation == OSSL_OP_KDF ? all : NULL;
}

static int begin(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provider)
{
    static const OSSL_DISPATCH functions[] = {
        { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query },
        { 0, NULL },
    };
    *out = functions;
    *provider = (void *)(uintptr_t)handle;
    return 1;
}

/* ---- registration ---- */

static bool derive(const char *whose, int mode, const char *digest, unsigned char *out, size_t n)
{
    static const char bytes[HASH_MOST] = "a secret, or the hash of what was said so far";
    void *some = (void *)(uintptr_t)bytes;
    size_t size = digest[3] == '2' ? SHA256_DIGEST_LENGTH : SHA384_DIGEST_LENGTH;
    const char *of_data = mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY ? OSSL_KDF_PARAM_DATA : OSSL_KDF_PARAM_SALT;
    const OSSL_PARAM p[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, some, size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char[]){ "tls13 " }, 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char[]){ "derived" }, 7),
        OSSL_PARAM_construct_octet_string(of_data, some, size),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", whose);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = ctx && EVP_KDF_derive(ctx, out, n, p) > 0;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* Whatever libcrypto this process was given at run time: the two kinds of derivation, by both hashes, come out alike.
 */
static bool agrees(void)
{
    static const struct {
        const char *digest;
        int mode;
        size_t n;
    } asked[] = {
        { SN_sha256, EVP_KDF_HKDF_MODE_EXTRACT_ONLY, SHA256_DIGEST_LENGTH },
        { SN_sha256, EVP_KDF_HKDF_MODE_EXPAND_ONLY, SHA256_DIGEST_LENGTH },
        { SN_sha384, EVP_KDF_HKDF_MODE_EXTRACT_ONLY, SHA384_DIGEST_LENGTH },
        { SN_sha384, EVP_KDF_HKDF_MODE_EXPAND_ONLY, SHA384_DIGEST_LENGTH },
    };
    for (size_t i = 0; i < array_len(asked); i++) {
        unsigned char ours[HASH_MOST], theirs[HASH_MOST];
        if (!derive("provider=hinge", asked[i].mode, asked[i].digest, ours, asked[i].n) ||
            !derive("provider!=hinge", asked[i].mode, asked[i].digest, theirs, asked[i].n) ||
            memcmp(ours, theirs, asked[i].n) != 0)
            return false;
    }
    return true;
}

static OSSL_PROVIDER *serving; /* from the first query on, for as long as the process lives */

static void enrol(void)
{
    OSSL_PROVIDER *p = NULL;
    ERR_set_mark(); /* what is not to be had is no error of whoever comes next */
    if (OSSL_PROVIDER_add_builtin(NULL, "hinge", begin))
        p = OSSL_PROVIDER_try_load(NULL, "hinge", 1);
    if (p && agrees())
        serving = p;
    else if (p)
        OSSL_PROVIDER_unload(p);
    ERR_pop_to_mark();
}

const char *tls_kdf_query(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, enrol);
    return serving ? "?provider=hinge" : NULL;
}
