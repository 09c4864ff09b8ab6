#include "base/murmur.h"

enum { SHIFT = 24 };

static const uint32_t multiplier = 0x5bd1e995;

/* Four bytes, the lowest first on every machine. */
static uint32_t word(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint32_t murmur_hash2(slice s)
{
    uint32_t h = (uint32_t)s.n;
    size_t i = 0;
    for (; s.n - i >= 4; i += 4) {
        uint32_t k = word(s.p + i) * multiplier;
        k ^= k >> SHIFT;
        h = (h * multiplier) ^ (k * multiplier);
    }
    if (i < s.n) {
        for (size_t j = s.n; j-- > i;)
            h ^= (uint32_t)(uint8_t)s.p[j] << (8 * (j - i));
        h *= multiplier;
    }
    h ^= h >> 13;
    h *= multiplier;
    return h ^ (h >> 15);
}
