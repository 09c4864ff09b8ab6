/*
 * Addresses in Squid's forms, as spans of 16-byte numbers.
 */
#include "forward/addr_set.h"

#include <stdlib.h>

#include "base/err.h"
#include "net/addr.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

void addr_set_done(struct addr_set *s)
{
    free(s->v);
    *s = (struct addr_set){ 0 };
}

static bool number_of(const struct sockaddr *sa, uint8_t ip[16])
{
    if (sa->sa_family == AF_INET) {
        memcpy(ip, mapped, sizeof(mapped));
        memcpy(ip + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    memcpy(ip, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    return true;
}

static int put(struct addr_set *s, const struct addr_span *span)
{
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 8;
        struct addr_span *v = cap > s->cap ? reallocarray(s->v, cap, sizeof(*v)) : NULL;
        if (!v)
            return ERR_NOMEM;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = *span;
    s->sorted = false;
    return OK;
}

static int put_all(struct addr_set *s)
{
    struct addr_span span;
    memset(span.first, 0, 16);
    memset(span.last, 0xff, 16);
    return put(s, &span);
}

static int put_ipv4(struct addr_set *s)
{
    struct addr_span span;
    memcpy(span.first, mapped, 12);
    memcpy(span.last, mapped, 12);
    memset(span.first + 12, 0, 4);
    memset(span.last + 12, 0xff, 4);
    return put(s, &span);
}

/* What lies before and behind the mapped addresses. */
static int put_ipv6(struct addr_set *s)
{
    struct addr_span low, high;
    memset(&low, 0, sizeof(low));
    memset(&high, 0xff, sizeof(high));
    memset(low.last + 10, 0xff, 6);
    low.last[11] = 0xfe;
    memset(high.first, 0, 16);
    high.first[9] = 1;
    int rc = put(s, &low);
    return rc ? rc : put(s, &high);
}

/* "8", "255.0.0.0" or "ffff::" as 16 bytes; ERR_RANGE when it is none that fits. */
static int mask_of(slice text, bool v6, uint8_t mask[16])
{
    struct addr a;
    uint64_t bits, most = v6 ? 128 : 32;
    memset(mask, 0xff, 16);
    if (slice_to_u64(text, &bits) == OK) {
        if (bits > most)
            return ERR_RANGE;
        bits += 128 - most;
        for (unsigned i = 0; i < 16; i++) {
            unsigned left = bits > i * 8 ? (unsigned)bits - i * 8 : 0;
            mask[i] = (uint8_t)(left >= 8 ? 0xff : 0xff00 >> left);
        }
        return OK;
    }
    if (addr_parse_ip(text, 0, &a) || (a.sa.sa_family == AF_INET6) != v6)
        return ERR_RANGE;
    number_of(&a.sa, mask);
    if (!v6)
        memset(mask, 0xff, 12);
    bool ended = false; /* ones, then zeros */
    for (unsigned i = 0; i < 128; i++) {
        bool one = mask[i / 8] & (0x80 >> i % 8);
        if (one && ended)
            return ERR_RANGE;
        ended = !one;
    }
    return OK;
}

static bool is_all(slice t)
{
    return slice_eq(t, SLICE("0/0")) || slice_eq(t, SLICE("0.0.0.0/0")) || slice_eq(t, SLICE("0.0.0.0/0.0.0.0")) ||
           slice_eq(t, SLICE("0.0.0.0-255.255.255.255")) || slice_eq(t, SLICE("0.0.0.0-0.0.0.0/0"));
}

int addr_set_add(struct addr_set *s, slice text, bool *loose)
{
    struct addr a, b;
    uint8_t mask[16];
    slice ends = text, bits = SLICE_NONE, last;
    *loose = is_all(text);
    if (*loose || slice_ieq(text, SLICE("all")))
        return put_all(s);
    if (slice_ieq(text, SLICE("ipv4")))
        return put_ipv4(s);
    if (slice_ieq(text, SLICE("ipv6")))
        return put_ipv6(s);
    slice_cut(text, '/', &ends, &bits);
    slice first = ends;
    last = ends;
    slice_cut(ends, '-', &first, &last);
    if (addr_parse_ip(first, 0, &a) || addr_parse_ip(last, 0, &b))
        return ERR_SYNTAX;
    bool v6 = a.sa.sa_family == AF_INET6;
    if ((b.sa.sa_family == AF_INET6) != v6)
        return ERR_RANGE;
    memset(mask, 0xff, 16);
    if (bits.p && mask_of(bits, v6, mask))
        return ERR_RANGE;
    struct addr_span span;
    if (!number_of(&a.sa, span.first) || !number_of(&b.sa, span.last))
        return ERR_SYNTAX;
    for (unsigned i = 0; i < 16; i++) {
        *loose = *loose || (span.first[i] & (uint8_t)~mask[i]);
        span.first[i] &= mask[i];
        span.last[i] |= (uint8_t)~mask[i];
    }
    return memcmp(span.first, span.last, 16) > 0 ? ERR_RANGE : put(s, &span);
}

static int by_first(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* Is there nothing between the two? */
static bool touch(const uint8_t last[16], const uint8_t first[16])
{
    uint8_t next[16];
    memcpy(next, last, 16);
    for (unsigned i = 16; i-- && ++next[i] == 0;) {
    }
    return memcmp(first, next, 16) <= 0;
}

void addr_set_finish(struct addr_set *s)
{
    if (s->n > 1)
        qsort(s->v, s->n, sizeof(*s->v), by_first);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        struct addr_span *to = kept ? &s->v[kept - 1] : NULL;
        if (!to || (memcmp(s->v[i].first, to->last, 16) > 0 && !touch(to->last, s->v[i].first)))
            s->v[kept++] = s->v[i];
        else if (memcmp(s->v[i].last, to->last, 16) > 0)
            memcpy(to->last, s->v[i].last, 16);
    }
    s->n = kept;
    s->sorted = true;
}

bool addr_set_is_all(const struct addr_set *s)
{
    static const uint8_t zeros[16];
    if (s->n != 1 || memcmp(s->v[0].first, zeros, 16) != 0)
        return false;
    for (int i = 0; i < 16; i++) {
        if (s->v[0].last[i] != 0xff)
            return false;
    }
    return true;
}

bool addr_set_is_world(const struct addr_set *s)
{
    static const struct addr_span worlds[] = {
        { { [10] = 0xff, [11] = 0xff }, { [10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
        { { 0x20 },
          { 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
    };
    for (uint32_t i = 0; i < s->n; i++) {
        for (unsigned k = 0; k < 2; k++) {
            if (memcmp(s->v[i].first, worlds[k].first, 16) <= 0 && memcmp(s->v[i].last, worlds[k].last, 16) >= 0)
                return true;
        }
    }
    return false;
}

bool addr_set_has(const struct addr_set *s, const struct sockaddr *sa)
{
    uint8_t ip[16];
    uint32_t from = 0, to = s->n;
    if (!number_of(sa, ip))
        return addr_set_is_all(s);
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (memcmp(ip, s->v[mid].first, 16) < 0)
            to = mid;
        else if (memcmp(ip, s->v[mid].last, 16) > 0)
            from = mid + 1;
        else
            return true;
    }
    return false;
}
