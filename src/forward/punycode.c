/*
 * Punycode, the encoding direction (RFC 3492 §6.3).
 */
#include "forward/punycode.h"

#include "base/strb.h"

enum { LABEL_MAX = 63, BASE = 36, TMIN = 1, TMAX = 26, SKEW = 38, DAMP = 700, BIAS = 72, FIRST = 0x80 };

/* The next code point, lowered; UINT32_MAX: broken. Overlong forms and surrogates are broken. */
static uint32_t next_point(slice s, size_t *at)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint8_t c = (uint8_t)s.p[(*at)++];
    unsigned n = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
    if (n == 1)
        return (uint8_t)ascii_lower((char)c);
    uint32_t v = n ? c & (0x7fu >> n) : UINT32_MAX;
    for (unsigned i = 1; i < n; i++) {
        if (*at >= s.n || ((uint8_t)s.p[*at] & 0xc0) != 0x80)
            return UINT32_MAX;
        v = v << 6 | ((uint8_t)s.p[(*at)++] & 0x3f);
    }
    if (!n || v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return UINT32_MAX;
    if ((v >= 0xc0 && v <= 0xde && v != 0xd7) || (v >= 0x391 && v <= 0x3a9) || (v >= 0x410 && v <= 0x42f))
        return v + 32;
    return v >= 0x400 && v <= 0x40f ? v + 80 : v;
}

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    for (delta += delta / points; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
        delta /= BASE - TMIN;
    return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static void put_number(struct strb *b, uint32_t q, uint32_t bias)
{
    for (uint32_t k = BASE;; k += BASE) {
        uint32_t t = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
        uint32_t digit = q < t ? q : t + (q - t) % (BASE - t);
        strb_char(b, (char)(digit < 26 ? 'a' + digit : '0' + digit - 26));
        if (q < t)
            return;
        q = (q - t) / (BASE - t);
    }
}

/* At most 63 points below 0x110000: no number here leaves 32 bits. */
static void encode(struct strb *b, const uint32_t *v, uint32_t n)
{
    uint32_t basic = 0, done, delta = 0, bias = BIAS;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i] < FIRST) {
            strb_char(b, (char)v[i]);
            basic++;
        }
    }
    if (basic)
        strb_char(b, '-');
    done = basic;
    for (uint32_t at = FIRST; done < n; at++, delta++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t i = 0; i < n; i++)
            least = v[i] >= at && v[i] < least ? v[i] : least;
        delta += (least - at) * (done + 1);
        at = least;
        for (uint32_t i = 0; i < n; i++) {
            delta += v[i] < at;
            if (v[i] == at) {
                put_number(b, delta, bias);
                bias = adapt(delta, done + 1, done == basic);
                delta = 0;
                done++;
            }
        }
    }
}

static bool add_label(struct strb *b, slice label)
{
    uint32_t v[LABEL_MAX], n = 0;
    bool ascii = true;
    for (size_t at = 0; at < label.n;) {
        uint32_t c = next_point(label, &at);
        if (c == UINT32_MAX || n == LABEL_MAX)
            return false;
        ascii = ascii && c < FIRST;
        v[n++] = c;
    }
    if (!ascii) {
        strb_lit(b, "xn--");
        encode(b, v, n);
        return true;
    }
    for (uint32_t i = 0; i < n; i++)
        strb_char(b, (char)v[i]);
    return true;
}

size_t punycode_name(char *dst, size_t cap, slice name)
{
    struct strb b;
    slice label, rest = name;
    strb_init_fixed(&b, dst, cap);
    while (slice_cut(rest, '.', &label, &rest)) {
        if (!add_label(&b, label))
            return 0;
        strb_char(&b, '.');
    }
    return add_label(&b, rest) && !b.failed ? b.n : 0;
}
