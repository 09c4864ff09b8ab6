/*
 * Writing HTTP/1 heads: the only place where message syntax of ours is made.
 *
 * Framing comes from the body fact and from nothing else. Names and values are checked once more on the way out (no CR,
 * LF, NUL, no bad name), so that a value that a rule composed cannot split a message.
 */
#ifndef H1_WRITE_H
#define H1_WRITE_H

#include <stdbool.h>

#include "base/strb.h"
#include "http/msg.h"

/* H1_CONN_UPGRADE goes with an Upgrade field in `fields`. */
enum h1_connection { H1_CONN_NONE, H1_CONN_CLOSE, H1_CONN_KEEP_ALIVE, H1_CONN_UPGRADE };

/*
 * Appends a request head for HTTP/1.minor. `host` is written first (not at all if host.p is NULL); `target` is in its
 * final form. BODY_UNKNOWN is sent chunked and needs minor 1. `fields` must not hold Host, Connection, Content-Length
 * or Transfer-Encoding. OK, ERR_SYNTAX (something may not be written), ERR_NOMEM; on an error nothing was appended.
 */
int h1_write_request(struct strb *out, slice method, slice target, uint8_t minor, slice host,
                     const struct fields *fields, const struct body_fact *body, enum h1_connection conn);

/*
 * Appends a status line and head. `framing` says how the body is delimited for this peer. An empty reason is replaced
 * by the standard one. Results and `fields` as above (a Host field is allowed).
 */
enum h1_framing {
    H1_FRAME_NONE,    /* no framing fields at all: 1xx, 204, and 304 without length */
    H1_FRAME_LENGTH,  /* Content-Length: length (also for HEAD and 304 when the length is known) */
    H1_FRAME_CHUNKED, /* Transfer-Encoding: chunked */
    H1_FRAME_CLOSE,   /* until close */
};
int h1_write_response(struct strb *out, unsigned status, slice reason, const struct fields *fields,
                      enum h1_framing framing, uint64_t length, enum h1_connection conn);

/*
 * Appends the last chunk, the trailer fields (may be NULL) and the end of a chunked body. Fields that may not be
 * trailers (T_NOTRAIL) are left out. Results as above.
 */
int h1_write_last_chunk(struct strb *out, const struct fields *trailers);

/* Sixteen digits and CRLF. */
enum { H1_CHUNK_LINE = 18 };

/* The chunk-size line of a chunk of n bytes into dst; returns its length. Behind the data goes CRLF. */
size_t h1_write_chunk(char dst[H1_CHUNK_LINE], uint64_t n);

#endif
