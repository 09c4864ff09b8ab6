#include "base/slice.h"

#include "base/err.h"

bool slice_ieq(slice a, slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    }
    return true;
}

bool slice_starts(slice s, slice prefix)
{
    return s.n >= prefix.n && slice_eq(slice_upto(s, prefix.n), prefix);
}

bool slice_istarts(slice s, slice prefix)
{
    return s.n >= prefix.n && slice_ieq(slice_upto(s, prefix.n), prefix);
}

bool slice_ends(slice s, slice suffix)
{
    return s.n >= suffix.n && slice_eq(slice_from(s, s.n - suffix.n), suffix);
}

ptrdiff_t slice_find(slice s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}

ptrdiff_t slice_rfind(slice s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;
    return at ? at - s.p : -1;
}

bool slice_cut(slice s, char c, slice *head, slice *tail)
{
    ptrdiff_t at = slice_find(s, c);
    if (at < 0)
        return false;
    *head = slice_upto(s, (size_t)at);
    *tail = slice_from(s, (size_t)at + 1);
    return true;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

slice slice_trim(slice s)
{
    while (s.n && is_ows(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_ows(s.p[s.n - 1]))
        s.n--;
    return s;
}

int slice_to_u64(slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_digit(s.p[i]))
            return ERR_SYNTAX;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return ERR_RANGE;
    }
    *out = v;
    return OK;
}

int slice_hex_to_u64(slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        int d = ascii_hex(s.p[i]);
        if (d < 0)
            return ERR_SYNTAX;
        if (v >> 60)
            return ERR_RANGE;
        v = v << 4 | (uint64_t)d;
    }
    *out = v;
    return OK;
}

size_t u64_to_dec(char *dst, uint64_t v)
{
    char tmp[20];
    size_t n = 0;
    do {
        tmp[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (size_t i = 0; i < n; i++)
        dst[i] = tmp[n - 1 - i];
    return n;
}

size_t u64_to_hex(char *dst, uint64_t v)
{
    size_t n = 1;
    while (n < 16 && v >> (4 * n))
        n++;
    for (size_t i = 0; i < n; i++)
        dst[i] = "0123456789abcdef"[v >> (4 * (n - 1 - i)) & 15];
    return n;
}
