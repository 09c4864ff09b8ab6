/*
 * The key schedule of our provider against OpenSSL's own, and against the traces of RFC 8448.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "tls/kdf.h"

enum { OUT_MOST = 16000 };

struct question {
    int mode;
    const char *mode_name; /* instead of mode */
    const char *digest;
    slice key, salt, prefix, label, data;
    size_t n;
};

static size_t add(OSSL_PARAM *p, const char *name, slice s)
{
    if (!s.p)
        return 0;
    *p = OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)s.p, s.n);
    return 1;
}

static size_t params_of(const struct question *q, OSSL_PARAM p[12])
{
    size_t n = 0;
    if (q->mode_name)
        p[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, (char *)(uintptr_t)q->mode_name, 0);
    else
        p[n++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, (int *)(uintptr_t)&q->mode);
    p[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)q->digest, 0);
    n += add(p + n, OSSL_KDF_PARAM_KEY, q->key);
    n += add(p + n, OSSL_KDF_PARAM_SALT, q->salt);
    n += add(p + n, OSSL_KDF_PARAM_PREFIX, q->prefix);
    n += add(p + n, OSSL_KDF_PARAM_LABEL, q->label);
    n += add(p + n, OSSL_KDF_PARAM_DATA, q->data);
    p[n] = OSSL_PARAM_construct_end();
    return n;
}

/* Everything in one call, as libssl does; or set before, in two calls. */
static int answer(const char *query, const struct question *q, bool before, unsigned char *out)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", query);
    assert_non_null(kdf);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    assert_non_null(ctx);
    OSSL_PARAM p[12], first[2] = { OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end() };
    params_of(q, p);
    first[0] = p[0];
    int r = 1;
    if (before)
        r = EVP_KDF_CTX_set_params(ctx, first) > 0 && EVP_KDF_CTX_set_params(ctx, p + 1) > 0;
    if (r)
        r = EVP_KDF_derive(ctx, out, q->n, before ? NULL : p) > 0;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return r;
}

static void same(const struct question *q)
{
    static unsigned char theirs[OUT_MOST], ours[OUT_MOST];
    int expected = answer("provider=default", q, false, theirs);
    for (int before = 0; before < 2; before++) {
        memset(ours, 0, q->n);
        assert_int_equal(answer("provider=hinge", q, before, ours), expected);
        if (expected)
            assert_memory_equal(ours, theirs, q->n);
    }
}

static char noise[70000];

static void every_size(void **state)
{
    static const char *const digests[] = { "SHA256", "SHA384", "SHA2-256" };
    static const size_t keys[] = { 1, 32, 48, 64, 65, 66, 128, 129, 1024 };
    static const size_t wanted[] = { 1, 12, 16, 32, 33, 48, 64, 100, 255 * 32, 255 * 32 + 1, 255 * 48, 255 * 48 + 1 };
    for (size_t d = 0; d < 3; d++) {
        for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
            for (size_t w = 0; w < sizeof(wanted) / sizeof(*wanted); w++) {
                struct question q = { .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .digest = digests[d] };
                q.key = slice_of(noise, keys[k]);
                q.prefix = SLICE("tls13 ");
                q.label = slice_of("finished", w % 9);
                q.data = slice_of(noise + 5000, w % 3 ? 16 * (w % 4) : 48);
                q.n = wanted[w];
                same(&q);
            }
            struct question q = { .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, .digest = digests[d] };
            q.n = d == 1 ? 48 : 32;
            q.prefix = SLICE("tls13 ");
            q.label = SLICE("derived");
            same(&q);
            q.key = slice_of(noise + 100, keys[k]);
            same(&q);
            q.salt = slice_of(noise + 7000, q.n);
            same(&q);
            q.key = SLICE_NONE;
            same(&q);
            q.mode_name = "EXTRACT_ONLY";
            same(&q);
            q.n--;
            same(&q); /* refused */
        }
    }
}

/* What the wire format has no room for. */
static void too_long(void **state)
{
    unsigned char out[32];
    struct question q = { .mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, .digest = "SHA256", .n = 32 };
    q.key = slice_of(noise, 32);
    q.prefix = SLICE("tls13 ");
    q.label = slice_of(noise, 249);
    q.data = slice_of(noise, 255);
    assert_true(answer("provider=hinge", &q, false, out));
    q.label.n++;
    assert_false(answer("provider=hinge", &q, false, out));
    q.label.n--;
    q.data.n++;
    assert_false(answer("provider=hinge", &q, false, out));
    q.data.n--;
    q.digest = "SHA512";
    assert_false(answer("provider=hinge", &q, false, out));
    q.digest = "SHA256";
    q.key = SLICE_NONE;
    assert_false(answer("provider=hinge", &q, false, out));
    q.key = slice_of(noise, 32);
    q.mode_name = "EXTRACT_AND_EXPAND";
    assert_false(answer("provider=hinge", &q, false, out));
}

/* RFC 8448 section 3: the early secret, and the handshake secret's salt. */
static void traces(void **state)
{
    static const unsigned char early[] = {
        0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b, 0x09, 0xe6, 0xcd, 0x98, 0x93, 0x68, 0x0c, 0xe2,
        0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f, 0x26, 0x60, 0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a,
    };
    static const unsigned char derived[] = {
        0x6f, 0x26, 0x15, 0xa1, 0x08, 0xc7, 0x02, 0xc5, 0x67, 0x8f, 0x54, 0xfc, 0x9d, 0xba, 0xb6, 0x97,
        0x16, 0xc0, 0x76, 0x18, 0x9c, 0x48, 0x25, 0x0c, 0xeb, 0xea, 0xc3, 0x57, 0x6c, 0x36, 0x11, 0xba,
    };
    unsigned char out[32], empty[32];
    unsigned int n;
    struct question q = { .mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY, .digest = "SHA256", .n = 32 };
    q.prefix = SLICE("tls13 ");
    q.label = SLICE("derived");
    assert_true(answer("provider=hinge", &q, false, out));
    assert_memory_equal(out, early, 32);
    assert_true(EVP_Digest("", 0, empty, &n, EVP_sha256(), NULL));
    q.mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    q.key = slice_of((const char *)early, 32);
    q.data = slice_of((char *)empty, 32);
    assert_true(answer("provider=hinge", &q, false, out));
    assert_memory_equal(out, derived, 32);
}

/* The query prefers ours for what we have, and hinders nothing else. */
static void preferred(void **state)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", tls_kdf_query());
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "hinge");
    EVP_KDF_free(kdf);
    kdf = EVP_KDF_fetch(NULL, "HKDF", tls_kdf_query());
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "default");
    EVP_KDF_free(kdf);
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    assert_non_null(md);
    EVP_MD_free(md);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(too_long),
        cmocka_unit_test(traces),
        cmocka_unit_test(preferred),
    };
    uint32_t x = 4711;
    for (size_t i = 0; i < sizeof(noise); i++) {
        x = x * 1664525 + 1013904223;
        noise[i] = (char)(x >> 24);
    }
    if (!tls_kdf_query())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
