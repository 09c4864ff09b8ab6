#include "policy/password.h"

#include <crypt.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/digest.h"

static const slice plain_mark = SLICE("{PLAIN}"), sha_mark = SLICE("{SHA}"), ssha_mark = SLICE("{SSHA}"),
                   apr1_mark = SLICE("$apr1$");

enum { DES_TEXT = 13, APR1_ROUNDS = 1000, APR1_SALT = 8, APR1_TEXT = 22 };

/* What crypt_checksalt says, and no word that merely looks like a salt of DES passes for a hash. */
static int salt_verdict(slice stored)
{
    char text[PASSWORD_STORED_MAX + 1];
    bool marked = slice_starts(stored, SLICE("$")) || slice_starts(stored, SLICE("_"));
    if ((!marked && stored.n != DES_TEXT) || stored.n > PASSWORD_STORED_MAX || memchr(stored.p, 0, stored.n))
        return CRYPT_SALT_INVALID;
    memcpy(text, stored.p, stored.n);
    text[stored.n] = '\0';
    return crypt_checksalt(text);
}

/* {SHA} is {SSHA} without a salt. The digest with the salt behind it; how many bytes, or 0. */
static size_t sha_decode(slice stored, slice mark, char raw[PASSWORD_STORED_MAX])
{
    slice text = slice_from(stored, mark.n);
    if (base64_decoded_max(text.n) > PASSWORD_STORED_MAX)
        return 0;
    ptrdiff_t n = base64_decode(raw, text);
    return n < SHA1_BYTES || (mark.n == sha_mark.n && n != SHA1_BYTES) ? 0 : (size_t)n;
}

static bool apr1_cut(slice stored, slice *salt, slice *sum)
{
    if (!slice_cut(slice_from(stored, apr1_mark.n), '$', salt, sum))
        return false;
    *salt = slice_upto(*salt, APR1_SALT);
    return sum->n == APR1_TEXT;
}

enum password_kind password_kind(slice stored)
{
    char raw[PASSWORD_STORED_MAX];
    slice salt, sum;
    if (stored.n > PASSWORD_STORED_MAX)
        return PASSWORD_UNKNOWN;
    if (slice_starts(stored, plain_mark))
        return PASSWORD_PLAIN;
    if (slice_starts(stored, sha_mark))
        return sha_decode(stored, sha_mark, raw) ? PASSWORD_SHA : PASSWORD_UNKNOWN;
    if (slice_starts(stored, ssha_mark))
        return sha_decode(stored, ssha_mark, raw) ? PASSWORD_SSHA : PASSWORD_UNKNOWN;
    if (slice_starts(stored, apr1_mark))
        return apr1_cut(stored, &salt, &sum) ? PASSWORD_APR1 : PASSWORD_UNKNOWN;
    int verdict = salt_verdict(stored);
    return verdict == CRYPT_SALT_INVALID || verdict == CRYPT_SALT_METHOD_DISABLED ? PASSWORD_UNKNOWN : PASSWORD_CRYPT;
}

const char *password_weakness(slice stored)
{
    switch (password_kind(stored)) {
    case PASSWORD_UNKNOWN:
        return NULL;
    case PASSWORD_PLAIN:
        return "in plain text";
    case PASSWORD_SHA:
        return "as SHA-1 without a salt";
    case PASSWORD_SSHA:
        return "as SHA-1, which is quickly guessed";
    case PASSWORD_APR1:
        return "as MD5, which is quickly guessed";
    case PASSWORD_CRYPT:
        break;
    }
    if (slice_starts(stored, SLICE("$1$")))
        return "as MD5, which is quickly guessed";
    return salt_verdict(stored) == CRYPT_SALT_METHOD_LEGACY ? "by an outdated method" : NULL;
}

/* ---- quick ones ---- */

static void sha1(slice a, slice b, unsigned char out[SHA1_BYTES])
{
    struct digest d;
    sha1_init(&d);
    digest_add(&d, a);
    digest_add(&d, b);
    digest_done(&d, out);
}

static bool plain_matches(slice stored, slice password)
{
    unsigned char a[SHA1_BYTES], b[SHA1_BYTES];
    sha1(slice_from(stored, plain_mark.n), SLICE_NONE, a);
    sha1(password, SLICE_NONE, b);
    return bytes_equal(a, b, sizeof(a));
}

static bool sha_matches(slice stored, slice mark, slice password)
{
    char raw[PASSWORD_STORED_MAX];
    unsigned char sum[SHA1_BYTES];
    size_t n = sha_decode(stored, mark, raw);
    if (!n)
        return false;
    sha1(password, slice_of(raw + SHA1_BYTES, n - SHA1_BYTES), sum);
    return bytes_equal(sum, raw, sizeof(sum));
}

/* ---- $apr1$ ---- */

static slice bytes(const unsigned char *p, size_t n)
{
    return slice_of((const char *)p, n);
}

static char *digits(char *at, uint32_t v, unsigned n)
{
    static const char alphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (; n; n--, v >>= 6)
        *at++ = alphabet[v & 63];
    return at;
}

static void apr1_first(slice password, slice salt, unsigned char sum[MD5_BYTES])
{
    struct digest d;
    md5_init(&d);
    digest_add(&d, password);
    digest_add(&d, salt);
    digest_add(&d, password);
    digest_done(&d, sum);
    md5_init(&d);
    digest_add(&d, password);
    digest_add(&d, apr1_mark);
    digest_add(&d, salt);
    for (size_t left = password.n; left;) {
        size_t n = left < MD5_BYTES ? left : MD5_BYTES;
        digest_add(&d, bytes(sum, n));
        left -= n;
    }
    for (size_t i = password.n; i; i >>= 1)
        digest_add(&d, i & 1 ? slice_of("", 1) : slice_upto(password, 1));
    digest_done(&d, sum);
}

static void apr1_round(unsigned i, slice password, slice salt, unsigned char sum[MD5_BYTES])
{
    struct digest d;
    md5_init(&d);
    digest_add(&d, i & 1 ? password : bytes(sum, MD5_BYTES));
    if (i % 3)
        digest_add(&d, salt);
    if (i % 7)
        digest_add(&d, password);
    digest_add(&d, i & 1 ? bytes(sum, MD5_BYTES) : password);
    digest_done(&d, sum);
}

/* Poul-Henning Kamp's MD5 crypt, as Apache marks it. */
static bool apr1_matches(slice stored, slice password)
{
    slice salt, want;
    unsigned char s[MD5_BYTES];
    char text[APR1_TEXT], *at = text;
    if (!apr1_cut(stored, &salt, &want))
        return false;
    apr1_first(password, salt, s);
    for (unsigned i = 0; i < APR1_ROUNDS; i++)
        apr1_round(i, password, salt, s);
    for (unsigned i = 0; i < 5; i++)
        at = digits(at, (uint32_t)s[i] << 16 | (uint32_t)s[i + 6] << 8 | s[i == 4 ? 5 : i + 12], 4);
    digits(at, s[11], 2);
    return bytes_equal(text, want.p, APR1_TEXT);
}

/* ---- crypt(3) ---- */

static bool crypt_matches(slice stored, slice password)
{
    struct text {
        struct crypt_data data;
        char stored[PASSWORD_STORED_MAX + 1], password[PASSWORD_MAX + 1];
    } *t = calloc(1, sizeof(*t));
    if (!t)
        return false;
    memcpy(t->stored, stored.p, stored.n);
    if (password.n)
        memcpy(t->password, password.p, password.n);
    const char *got = crypt_r(t->password, t->stored, &t->data);
    bool same = got && got[0] != '*' && strlen(got) == stored.n && bytes_equal(got, stored.p, stored.n);
    explicit_bzero(t, sizeof(*t));
    free(t);
    return same;
}

bool password_matches(slice stored, slice password)
{
    if (password.n > PASSWORD_MAX || (password.n && memchr(password.p, 0, password.n)))
        return false;
    switch (password_kind(stored)) {
    case PASSWORD_UNKNOWN:
        return false;
    case PASSWORD_PLAIN:
        return plain_matches(stored, password);
    case PASSWORD_SHA:
        return sha_matches(stored, sha_mark, password);
    case PASSWORD_SSHA:
        return sha_matches(stored, ssha_mark, password);
    case PASSWORD_APR1:
        return apr1_matches(stored, password);
    case PASSWORD_CRYPT:
        return crypt_matches(stored, password);
    }
    return false;
}
