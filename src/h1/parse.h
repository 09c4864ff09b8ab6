/*
 * HTTP/1 heads: bytes in, a checked description out. No I/O, no clock, no allocation.
 *
 * A head is parsed where it lies in the read buffer. The result points into that buffer; h1_head_request and
 * h1_head_response copy it into an exchange's arena. Everything that RFC 9112 lets a recipient be lax about is an error
 * here, because two programs that are lax in different ways are a smuggling hole. The only leniency is in struct
 * h1_rules.
 *
 * A head that is not complete yet is simply parsed again when more has come; h1_scan keeps that linear.
 */
#ifndef H1_PARSE_H
#define H1_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "http/msg.h"

enum {
    H1_FIELDS_MAX = 1000, /* what a table holds at most; the configured limit is lower */
    H1_METHOD_MAX = 32,   /* bytes of a method */
    H1_OPTIONS_MAX = 64,  /* elements of all Connection fields of a head */
};

struct h1_rules {
    bool bare_lf;        /* http1_compat bare_lf: LF alone ends a line of a head */
    bool fragment;       /* http1_compat fragment: '#...' in a target is cut */
    bool underscores;    /* underscores_in_headers */
    bool ignore_invalid; /* ignore_invalid_headers: unusual names are dropped instead of passed */
    uint32_t max_fields; /* more is 431 */
    uint32_t max_line;   /* request line longer than this (without its end): 414; field line longer: 431 */
    uint32_t max_name;   /* field name longer: 431 */
    uint32_t max_head;   /* whole head longer: 431 */
};

/* Why a head was refused; each has a fixed text for the log and a status for the answer. */
enum h1_error {
    H1_OK,
#define H1_ERROR(id, status, text) H1_E_##id,
#include "h1/errors.def"
#undef H1_ERROR
    H1_ERRORS
};

unsigned h1_error_status(enum h1_error e);  /* 400, 414, 417, 431, 501, 505 (502 is the caller's for responses) */
const char *h1_error_text(enum h1_error e); /* "duplicate Content-Length" */

/*
 * A parsed head; slices point into the parsed buffer. One per worker is enough: it is only valid until the next parse.
 */
struct h1_head {
    enum h1_error error;
    uint8_t minor;
    /* request */
    enum method method;
    slice line, method_text, target;
    /* response */
    uint16_t status;
    slice reason;
    /* both */
    struct body_fact body; /* requests: final. responses: see h1_response_body */
    bool keep_alive;       /* by version and Connection */
    bool chunked;          /* Transfer-Encoding: chunked */
    bool has_length;       /* a valid Content-Length */
    bool expect_continue, te_trailers;
    bool bare_lf;     /* some line ended in LF alone (http1_compat) */
    bool has_upgrade; /* HTTP/1.1 with Upgrade and with Connection: upgrade */
    slice host;       /* Host's value (of a request); p NULL when there is none */
    uint32_t nfields, nhop, ndropped;
    struct field fields[H1_FIELDS_MAX]; /* what travels (Host of a request excluded) */
    struct field hop[H1_FIELDS_MAX];    /* framing and hop-by-hop, and fields listed in Connection */
};

/* Progress over an incomplete head, which is no longer than max_head; zero it for each new head. */
struct h1_scan {
    uint32_t seen;   /* bytes known to hold no end of head */
    uint32_t parsed; /* bytes at the last full parse */
    uint32_t line;   /* where the line begins that is not complete yet */
};

/*
 * Which error a head gets is decided by its first offending byte, so it is the same however the bytes were cut into
 * reads. While a head is incomplete an error may be found late, when the head's size has doubled; a line or a head that
 * is too long is found at once.
 *
 * Parses a request head at p[0..n). Returns its length (> 0, up to and with the empty line, and with one leading empty
 * line if there was one), ERR_MORE (incomplete and acceptable so far; `scan` advanced), or ERR_SYNTAX with
 * h->error set.
 */
ptrdiff_t h1_parse_request(struct h1_head *h, struct h1_scan *scan, const char *p, size_t n,
                           const struct h1_rules *rules);

/* The same for a status line and its fields; interim (1xx) heads too. */
ptrdiff_t h1_parse_response(struct h1_head *h, struct h1_scan *scan, const char *p, size_t n,
                            const struct h1_rules *rules);

/*
 * RFC 9112 §6.3: the body that follows this head when it answers `method`. BODY_UNKNOWN && !h->chunked: until close.
 * What the head *announces* (a length in the answer to a HEAD, or in a 304) is h->body, and response.declared.
 */
struct body_fact h1_response_body(const struct h1_head *h, enum method method);

/*
 * Copies the head into the arena and completes the neutral request: target form, authority, host, path, query, with the
 * checks of RFC 9112 §3.2 (H1_E_* in *error on ERR_SYNTAX: then the request holds what is known, for the log).
 * `head` are the bytes that h1_parse_request consumed. OK, ERR_SYNTAX or ERR_NOMEM.
 */
int h1_head_request(const struct h1_head *h, slice head, struct arena *a, bool merge_slashes, bool fragment,
                    struct request *out, enum h1_error *error);
/*
 * The same for a response. out->declared and, until the caller knows the method and asks h1_response_body, out->body
 * are what the head announces. OK or ERR_NOMEM.
 */
int h1_head_response(const struct h1_head *h, slice head, struct arena *a, struct response *out);

#endif
