#include "base/pack.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* The low half of a tag; the high half is an argument. */
enum kind {
    ZERO,  /* argument + 1 words of zero */
    SAME,  /* the word that is known under the argument */
    NEAR,  /* ... but for its two low bytes, which follow */
    SMALL, /* its argument + 1 low bytes follow, the others are zero */
    PLAIN, /* argument + 1 words follow as they are */
};

enum { WORD = 8, RUN = 16, NEAR_BITS = 16, SMALL_MAX = 6 };

static uint64_t load(const void *at)
{
    uint64_t v;
    memcpy(&v, at, WORD);
    return v;
}

static unsigned bytes_of(uint64_t v)
{
    return v ? (unsigned)(71 - __builtin_clzll(v)) / 8 : 0;
}

static uint8_t tag(enum kind k, size_t arg)
{
    return (uint8_t)(k | arg << 4);
}

static void remember(struct pack *p, uint64_t v)
{
    p->known[p->next] = v;
    p->next = (p->next + 1) % PACK_MEMORY;
}

static bool find(const struct pack *p, uint64_t v, unsigned shift, unsigned *at)
{
    for (unsigned i = 0; i < PACK_MEMORY; i++) {
        if (p->known[i] >> shift == v >> shift) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* How many words from here on are alike: all zero, or all too large for anything but themselves. */
static size_t run(const char *in, size_t n, bool zero)
{
    size_t k = 0;
    for (; k < RUN && (k + 1) * WORD <= n; k++) {
        uint64_t v = load(in + k * WORD);
        if (zero ? v != 0 : bytes_of(v) <= SMALL_MAX)
            break;
    }
    return k;
}

static uint8_t *add_small(uint8_t *out, uint64_t v, unsigned n)
{
    *out++ = tag(SMALL, n - 1);
    memcpy(out, &v, n);
    return out + n;
}

/* One word that is neither zero nor large. */
static uint8_t *add_word(struct pack *p, uint8_t *out, uint64_t v)
{
    unsigned n = bytes_of(v), at;
    if (n <= 2) /* what is known is longer: it shares no upper half with this */
        return add_small(out, v, n);
    if (find(p, v, 0, &at)) {
        *out++ = tag(SAME, at);
        return out;
    }
    if (find(p, v, NEAR_BITS, &at)) {
        *out++ = tag(NEAR, at);
        memcpy(out, &v, NEAR_BITS / 8);
        out += NEAR_BITS / 8;
    } else {
        out = add_small(out, v, n);
    }
    remember(p, v);
    return out;
}

size_t pack_add(struct pack *p, uint8_t *out, const void *from, size_t n)
{
    const char *in = from;
    uint8_t *begin = out;
    assert(n % WORD == 0);
    while (n) {
        uint64_t v = load(in);
        size_t k = 1;
        if (v == 0) {
            k = run(in, n, true);
            *out++ = tag(ZERO, k - 1);
        } else if (bytes_of(v) > SMALL_MAX) {
            k = run(in, n, false);
            *out++ = tag(PLAIN, k - 1);
            memcpy(out, in, k * WORD);
            out += k * WORD;
        } else {
            out = add_word(p, out, v);
        }
        in += k * WORD;
        n -= k * WORD;
    }
    return (size_t)(out - begin);
}

size_t pack_take(struct pack *p, void *to, size_t n, const uint8_t *in)
{
    const uint8_t *begin = in;
    char *out = to;
    assert(n % WORD == 0);
    while (n) {
        unsigned kind = *in & 15, arg = *in >> 4;
        size_t k = kind == ZERO || kind == PLAIN ? arg + 1 : 1;
        uint64_t v = 0;
        assert(kind <= PLAIN && k * WORD <= n);
        in++;
        if (kind == ZERO) {
            memset(out, 0, k * WORD);
        } else if (kind == PLAIN) {
            memcpy(out, in, k * WORD);
            in += k * WORD;
        } else {
            size_t more = kind == NEAR ? NEAR_BITS / 8 : kind == SMALL ? arg + 1 : 0;
            v = kind == SMALL ? 0 : p->known[arg];
            memcpy(&v, in, more);
            in += more;
            if (kind == NEAR || (kind == SMALL && more > 2))
                remember(p, v);
            memcpy(out, &v, WORD);
        }
        out += k * WORD;
        n -= k * WORD;
    }
    return (size_t)(in - begin);
}
