/*
 * A slice: bytes with a length, owned by somebody else.
 *
 * Wire data is only ever touched through slices; nothing here expects or writes a terminating NUL. The empty slice may
 * have a NULL pointer. "Letter case" always means ASCII.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct slice {
    const char *p;
    size_t n;
} slice;

#define SLICE(literal) ((slice){ "" literal, sizeof(literal) - 1 })
#define SLICE_NONE     ((slice){ NULL, 0 })
/* For printf("%.*s", SLICE_FMT(s)); a slice too long for the format is cut, never misread. */
#define SLICE_FMT(s) ((s).n > 0x7fffffff ? 0x7fffffff : (int)(s).n), ((s).p ? (s).p : "")

static inline slice slice_of(const char *p, size_t n)
{
    return (slice){ p, n };
}

/* The bytes of a NUL-terminated string of our own (never of wire data). */
static inline slice slice_str(const char *s)
{
    return (slice){ s, s ? strlen(s) : 0 };
}

static inline bool slice_eq(slice a, slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c | 0x20) : c;
}

static inline bool ascii_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_alpha(char c)
{
    char l = (char)(c | 0x20);
    return l >= 'a' && l <= 'z';
}

/* The value of a hexadecimal digit, or -1. */
static inline int ascii_hex(char c)
{
    if (ascii_digit(c))
        return c - '0';
    char l = (char)(c | 0x20);
    return (l >= 'a' && l <= 'f') ? l - 'a' + 10 : -1;
}

/* Equal but for letter case. */
bool slice_ieq(slice a, slice b);
bool slice_starts(slice s, slice prefix);
bool slice_istarts(slice s, slice prefix);
bool slice_ends(slice s, slice suffix);

/* Index of the first `c`, or -1. */
ptrdiff_t slice_find(slice s, char c);
ptrdiff_t slice_rfind(slice s, char c);

/* Cut at the first `c`: head before it, tail after it; false (and outputs untouched) when there is none. */
bool slice_cut(slice s, char c, slice *head, slice *tail);

/* Without leading and trailing spaces and tabs (the OWS of RFC 9110 §5.6.3). */
slice slice_trim(slice s);

static inline slice slice_from(slice s, size_t at)
{
    return at >= s.n ? (slice){ s.p + s.n, 0 } : (slice){ s.p + at, s.n - at };
}

static inline slice slice_upto(slice s, size_t n)
{
    return (slice){ s.p, n < s.n ? n : s.n };
}

/* 1*DIGIT and nothing else, as 64 bits. OK, ERR_SYNTAX or ERR_RANGE. Leading zeros are legal. */
int slice_to_u64(slice s, uint64_t *out);
/* 1*HEXDIG and nothing else. OK, ERR_SYNTAX or ERR_RANGE. */
int slice_hex_to_u64(slice s, uint64_t *out);

/* Decimal digits of v into dst (at least 20 bytes); returns how many were written. */
size_t u64_to_dec(char *dst, uint64_t v);
/* Lower-case hexadecimal digits of v into dst (at least 16 bytes); returns how many were written. */
size_t u64_to_hex(char *dst, uint64_t v);

#endif
