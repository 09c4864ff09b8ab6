/*
 * Range requests: the Range field, read against a body of known length (RFC 9110 §14).
 *
 * The rules are nginx's, which are those of the RFC where it says "must" and careful where it says "may": ranges that
 * ask for more bytes together than the body has are not answered as ranges (CVE-2011-3192), nor are more ranges than
 * allowed. Sums cannot overflow: every range lies within the body, and they are added with a check (CVE-2017-7529).
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct range {
    uint64_t start, end; /* [start, end), within the body, not empty */
};

struct ranges {
    struct range *v;
    uint32_t n;
};

/*
 * Reads the value of a Range field for a body of `length` bytes; the ranges are the arena's, in the order asked for, at
 * most `max`.
 *   OK               answer these ranges (206); at least one
 *   ERR_UNSUPPORTED  answer the whole body: not in bytes, more than `max`, or more bytes than there are
 *   ERR_RANGE        416: broken, or nothing of it lies within the body
 *   ERR_NOMEM
 */
int range_parse(struct arena *a, slice value, uint64_t length, uint64_t max, struct ranges *out);

#endif
