/*
 * Classes of bytes in HTTP messages, and the scanners that look for the end of a run of one class.
 *
 * Readers and writers of every protocol use this one table, so that what is refused on the way in cannot be made on the
 * way out. The scanners take 16 bytes at a time where the machine has SSE2 (every x86-64 has) and never read at or
 * behind `end`; elsewhere, and for the last bytes, they are a table lookup a byte.
 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/slice.h"

enum http_char {
    CH_TOKEN = 1,      /* tchar, RFC 9110 §5.6.2 */
    CH_PLAIN = 2,      /* letters, digits, '-': what a usual field name is made of */
    CH_VALUE = 4,      /* field content: HTAB, SP, visible ASCII, obs-text (RFC 9110 §5.5) */
    CH_TARGET = 8,     /* visible ASCII without '#' and '\' */
    CH_PCHAR = 16,     /* pchar but '%', and '/' (RFC 3986 §3.3) */
    CH_UNRESERVED = 32 /* RFC 3986 §2.3 */
};

extern const uint8_t http_chars[256];

static inline bool ch_is(char c, unsigned classes)
{
    return (http_chars[(uint8_t)c] & classes) != 0;
}

/* The first byte in [p, end) outside the class, or end; the slow and general form of the scanners below. */
static inline const char *scan_class(const char *p, const char *end, unsigned cls)
{
    while (p < end && ch_is(*p, cls))
        p++;
    return p;
}

/* The first byte in [p, end) that is not CH_VALUE: a control character other than HTAB. */
static inline const char *scan_value(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i last_ctl = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i ctl = _mm_cmpeq_epi8(_mm_min_epu8(x, last_ctl), x);
        __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), ctl), _mm_cmpeq_epi8(x, del));
        unsigned m = (unsigned)_mm_movemask_epi8(bad);
        if (m)
            return p + __builtin_ctz(m);
    }
#endif
    return scan_class(p, end, CH_VALUE);
}

/* The first byte in [p, end) that is not CH_TARGET. */
static inline const char *scan_target(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i first = _mm_set1_epi8(0x21), del = _mm_set1_epi8(0x7f);
    const __m128i hash = _mm_set1_epi8('#'), back = _mm_set1_epi8('\\');
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* as signed bytes, everything from 0x80 on is below '!' too */
        __m128i bad = _mm_or_si128(_mm_cmplt_epi8(x, first), _mm_cmpeq_epi8(x, del));
        bad = _mm_or_si128(bad, _mm_or_si128(_mm_cmpeq_epi8(x, hash), _mm_cmpeq_epi8(x, back)));
        unsigned m = (unsigned)_mm_movemask_epi8(bad);
        if (m)
            return p + __builtin_ctz(m);
    }
#endif
    return scan_class(p, end, CH_TARGET);
}

/* The first byte in [p, end) that is not CH_PLAIN. */
static inline const char *scan_plain(const char *p, const char *end)
{
#if defined(__SSE2__)
    /* a range check on signed bytes: move the range's first value to -128 and compare with its length */
    const __m128i alpha = _mm_set1_epi8((char)(128 - 'a')), alpha_n = _mm_set1_epi8(-128 + 26);
    const __m128i digit = _mm_set1_epi8((char)(128 - '0')), digit_n = _mm_set1_epi8(-128 + 10);
    const __m128i dash = _mm_set1_epi8('-'), fold = _mm_set1_epi8(0x20);
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i is_alpha = _mm_cmplt_epi8(_mm_add_epi8(_mm_or_si128(x, fold), alpha), alpha_n);
        __m128i is_digit = _mm_cmplt_epi8(_mm_add_epi8(x, digit), digit_n);
        __m128i good = _mm_or_si128(_mm_or_si128(is_alpha, is_digit), _mm_cmpeq_epi8(x, dash));
        unsigned m = (unsigned)_mm_movemask_epi8(good) ^ 0xffff;
        if (m)
            return p + __builtin_ctz(m);
    }
#endif
    return scan_class(p, end, CH_PLAIN);
}

/* 1*tchar: a field name or a method that may be written. */
static inline bool http_is_token(slice s)
{
    if (!s.n)
        return false;
    const char *end = s.p + s.n, *p = scan_plain(s.p, end);
    return p == end || scan_class(p, end, CH_TOKEN) == end;
}

/* *field-content: a value that cannot end its line. */
static inline bool http_is_value(slice s)
{
    return !s.n || scan_value(s.p, s.p + s.n) == s.p + s.n;
}

#endif
