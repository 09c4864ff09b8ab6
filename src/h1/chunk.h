/*
 * The chunked transfer coding, decoded (RFC 9112 §7.1), strictly: CRLF only, no white space around the size, extensions
 * checked and bounded, trailers checked against the rules of a head and collected.
 *
 * An extension is `;name`, `;name=token` or `;name="..."`, without white space outside the quotes; it is dropped. A
 * trailer field that may not be one (T_NOTRAIL), or whose name is not of letters, digits and '-', is dropped too.
 */
#ifndef H1_CHUNK_H
#define H1_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "h1/parse.h"
#include "http/msg.h"

enum {
    H1_CHUNK_LINE_MAX = 256, /* size line with extensions */
    H1_CHUNK_WASTE = 16,     /* framing bytes may be this many times the data, after a grace */
    H1_CHUNK_GRACE = 4096,   /* of so many bytes */
    H1_TRAILER_FIELDS = 64,  /* fields of a trailer section */
};

struct h1_chunked {
    uint8_t state;
    uint8_t digits;
    uint16_t line;          /* bytes of the current size line */
    uint32_t trailer;       /* bytes of the trailer section, without the last empty line */
    uint64_t left;          /* of the current chunk */
    uint64_t data, framing; /* totals */
    bool done;
    enum h1_error error;
    char *text;           /* the trailer section, in the arena: a field may come in pieces */
    uint32_t cap;         /* of text */
    uint32_t name, colon; /* where the current trailer field begins, and its ':' */
    uint32_t nfields;
};

void h1_chunked_init(struct h1_chunked *c);

/*
 * Takes input from p[0..n) up to the next run of body bytes. *used: bytes taken, including the run; *run: the body
 * bytes, inside p, perhaps empty. OK: call again with the rest (if nothing is left and !done, with more input); c->done
 * is set when the message is complete, and then bytes behind *used belong to the next message. ERR_SYNTAX: c->error
 * says why. Trailer fields go to `trailers` in `a` (both may be NULL: checked and forgotten), at most `max_trailer`
 * bytes of them. The last three arguments are the same in every call for one body. ERR_NOMEM: no memory for trailers.
 */
int h1_chunked_next(struct h1_chunked *c, const char *p, size_t n, size_t *used, slice *run, uint32_t max_trailer,
                    struct arena *a, struct fields *trailers);

#endif
