#include "base/digest.h"

#include <assert.h>

static uint32_t rol(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

/* ---- MD5 ---- */

/* floor(2^32 * abs(sin(i + 1))), RFC 1321 §3.4 */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const unsigned char md5_turns[4][4] = {
    { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 }
};

static void md5_block(uint32_t *s, const unsigned char *p)
{
    uint32_t w[16], a = s[0], b = s[1], c = s[2], d = s[3];
    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 |
               (uint32_t)p[4 * i + 3] << 24;
    for (unsigned i = 0; i < 64; i++) {
        uint32_t f;
        unsigned at;
        switch (i / 16) {
        case 0:
            f = (b & c) | (~b & d);
            at = i;
            break;
        case 1:
            f = (d & b) | (~d & c);
            at = 5 * i + 1;
            break;
        case 2:
            f = b ^ c ^ d;
            at = 3 * i + 5;
            break;
        default:
            f = c ^ (b | ~d);
            at = 7 * i;
            break;
        }
        f += a + sines[i] + w[at & 15];
        a = d;
        d = c;
        c = b;
        b += rol(f, md5_turns[i / 16][i & 3]);
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
}

void md5_init(struct digest *d)
{
    *d = (struct digest){ .block = md5_block,
                          .state = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 },
                          .little = true };
}

/* ---- SHA-1 ---- */

static void sha1_block(uint32_t *s, const unsigned char *p)
{
    uint32_t w[80], a = s[0], b = s[1], c = s[2], d = s[3], e = s[4];
    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
               (uint32_t)p[4 * i + 3];
    for (unsigned i = 16; i < 80; i++)
        w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (unsigned i = 0; i < 80; i++) {
        static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
        uint32_t f = i < 20 ? ((b & c) | (~b & d)) : i >= 40 && i < 60 ? ((b & c) | (b & d) | (c & d)) : (b ^ c ^ d);
        uint32_t next = rol(a, 5) + f + e + k[i / 20] + w[i];
        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = next;
    }
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    s[4] += e;
}

void sha1_init(struct digest *d)
{
    *d =
        (struct digest){ .block = sha1_block, .state = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 } };
}

/* ---- both ---- */

void digest_add(struct digest *d, slice s)
{
    while (s.n) {
        size_t at = d->n % DIGEST_BLOCK, room = DIGEST_BLOCK - at, n = s.n < room ? s.n : room;
        memcpy(d->held + at, s.p, n);
        d->n += n;
        if (n == room)
            d->block(d->state, d->held);
        s = slice_from(s, n);
    }
}

void digest_done(struct digest *d, unsigned char *out)
{
    static const char pad[DIGEST_BLOCK] = { (char)0x80 };
    unsigned char length[8];
    uint64_t bits = d->n * 8;
    size_t at = d->n % DIGEST_BLOCK, words = d->little ? MD5_BYTES / 4 : SHA1_BYTES / 4;
    for (unsigned i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> 8 * (d->little ? i : 7 - i));
    digest_add(d, slice_of(pad, (at < 56 ? 56 : 120) - at));
    digest_add(d, slice_of((const char *)length, sizeof(length)));
    for (size_t i = 0; i < words * 4; i++)
        out[i] = (unsigned char)(d->state[i / 4] >> 8 * (d->little ? i % 4 : 3 - i % 4));
    explicit_bzero(d, sizeof(*d));
}

static void hmac_begin(struct digest *d, slice key, unsigned char with)
{
    char block[DIGEST_BLOCK];
    assert(key.n <= sizeof(block));
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)((i < key.n ? (unsigned char)key.p[i] : 0) ^ with);
    sha1_init(d);
    digest_add(d, slice_of(block, sizeof(block)));
    explicit_bzero(block, sizeof(block));
}

void hmac_sha1_init(struct digest *d, slice key)
{
    hmac_begin(d, key, 0x36);
}

void hmac_sha1_done(struct digest *d, slice key, unsigned char out[SHA1_BYTES])
{
    unsigned char inner[SHA1_BYTES];
    digest_done(d, inner);
    hmac_begin(d, key, 0x5c);
    digest_add(d, slice_of((const char *)inner, sizeof(inner)));
    digest_done(d, out);
}

bool bytes_equal(const void *a, const void *b, size_t n)
{
    const volatile unsigned char *p = a, *q = b;
    unsigned char differ = 0;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(p[i] ^ q[i]);
    return differ == 0;
}
