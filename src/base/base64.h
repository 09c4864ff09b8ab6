/* Base64 (RFC 4648 §4) as HTTP credentials use it. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>

#include "base/slice.h"

/* How many bytes text of n characters can decode to at most. */
static inline size_t base64_decoded_max(size_t n)
{
    return n / 4 * 3 + 3;
}

/* Decodes into dst (base64_decoded_max bytes). Padding may be missing, stray bits and other characters are ERR_SYNTAX.
 * Returns the length. */
ptrdiff_t base64_decode(char *dst, slice text);

/* How many characters n bytes are encoded to. */
static inline size_t base64_encoded(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* Encodes into dst (base64_encoded bytes), with padding. Returns the length. */
size_t base64_encode(char *dst, slice bytes);

#endif
