/*
 * HPACK (RFC 7541), over libnghttp2's coder, with the limits that keep a peer from making much out of little.
 *
 * A header block is decoded when it is whole: each field is handed on as it is decoded, and points into memory that is
 * good until the next one. All of a block must be decoded, also of one that nobody wants, because both sides share a
 * table; so there is a limit behind which decoding stops and the connection with it (rows A7 to A9).
 */
#ifndef H2_HPACK_H
#define H2_HPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/msg.h"

struct nghttp2_hd_inflater;
struct nghttp2_hd_deflater;

enum { H2_TABLE = 4096 };

struct h2_hpack {
    struct nghttp2_hd_inflater *in;
    struct nghttp2_hd_deflater *out;
};

/* OK or ERR_NOMEM. */
int h2_hpack_init(struct h2_hpack *h);
void h2_hpack_done(struct h2_hpack *h);
/* The peer's decoder has a table of this size; ours is never larger than H2_TABLE. OK or ERR_NOMEM. */
int h2_hpack_table(struct h2_hpack *h, uint32_t size);

struct h2_limits {
    size_t bytes;    /* names, values and 32 a field (RFC 9113 §6.5.2), after which decoding stops */
    uint32_t fields; /* the same for their number */
};

/* Takes one field; false stops the decoding with ERR_NOMEM. */
typedef bool (*h2_field_fn)(void *arg, slice name, slice value);

/* Decodes a whole block. OK, ERR_SYNTAX (COMPRESSION_ERROR), ERR_LIMIT, ERR_NOMEM: after these three the connection is
 * over. *bytes: what it came to. */
int h2_hpack_decode(struct h2_hpack *h, slice block, const struct h2_limits *limits, h2_field_fn fn, void *arg,
                    size_t *bytes);

enum { H2_ENCODE_MAX = 1024 };

/*
 * Encodes n fields (names in lower case) into dst; the table changes. How many bytes, or ERR_NOMEM, also when dst is
 * smaller than h2_hpack_bound says: then the table is not in order any more, and the connection is over.
 */
ptrdiff_t h2_hpack_encode(struct h2_hpack *h, const struct field *fields, size_t n, char *dst, size_t cap);
size_t h2_hpack_bound(const struct h2_hpack *h, const struct field *fields, size_t n);

#endif
