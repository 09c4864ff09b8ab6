/*
 * A head is composed into the builder run by run: each line asks for its own room and is then copied, so there is no
 * length that was computed somewhere else. When anything may not be written, nothing is.
 */
#include "h1/write.h"

#include "base/attr.h"
#include "base/checked.h"
#include "base/err.h"
#include "http/chars.h"

/* Names and most values are short: copies of a fixed size that overlap in the middle are cheaper than a call. */
static inline char *put(char *at, slice s)
{
    if (s.n > 32) {
        memcpy(at, s.p, s.n);
    } else if (s.n >= 16) {
        memcpy(at, s.p, 16);
        memcpy(at + s.n - 16, s.p + s.n - 16, 16);
    } else if (s.n >= 8) {
        memcpy(at, s.p, 8);
        memcpy(at + s.n - 8, s.p + s.n - 8, 8);
    } else {
        for (size_t i = 0; i < s.n; i++)
            at[i] = s.p[i];
    }
    return at + s.n;
}

#define put_lit(at, literal) put(at, SLICE(literal))

/* Room for two pieces and `extra` bytes, or NULL. */
static inline char *room(struct strb *out, slice one, slice two, size_t extra)
{
    size_t need;
    if (!checked_add(one.n, two.n, &need) || !checked_add(need, extra, &need) || !strb_room(out, need))
        return NULL;
    return out->p + out->n;
}

static inline void took(struct strb *out, const char *at)
{
    out->n = (size_t)(at - out->p);
}

/*
 * Framing, connection and host are written from facts; a field that would state them a second time is refused, also
 * when it came without its token.
 */
static bool may_write(const struct field *f, bool response)
{
    enum token t = f->token != TOK_NONE ? f->token : token_find(f->name);
    return t != TOK_CONTENT_LENGTH && t != TOK_TRANSFER_ENCODING && t != TOK_CONNECTION && (response || t != TOK_HOST);
}

static int write_field(struct strb *out, slice name, slice value)
{
    if (!http_is_token(name) || !http_is_value(value))
        return ERR_SYNTAX;
    char *at = room(out, name, value, 4);
    if (!at)
        return ERR_NOMEM;
    at = put(at, name);
    at = put_lit(at, ": ");
    at = put(at, value);
    took(out, put_lit(at, "\r\n"));
    return OK;
}

static int write_fields(struct strb *out, const struct fields *fields, bool response)
{
    for (uint32_t i = 0; i < fields->n; i++) {
        const struct field *f = &fields->v[i];
        int rc = may_write(f, response) ? write_field(out, f->name, f->value) : ERR_SYNTAX;
        if (rc != OK)
            return rc;
    }
    return OK;
}

/* The framing, the connection field and the empty line. */
static int write_end(struct strb *out, enum h1_framing framing, uint64_t length, enum h1_connection conn)
{
    static const slice conns[] = {
        [H1_CONN_NONE] = SLICE(""),
        [H1_CONN_CLOSE] = SLICE("Connection: close\r\n"),
        [H1_CONN_KEEP_ALIVE] = SLICE("Connection: keep-alive\r\n"),
        [H1_CONN_UPGRADE] = SLICE("Connection: upgrade\r\n"),
    };
    char *at = room(out, conns[conn], SLICE_NONE, 64);
    if (!at)
        return ERR_NOMEM;
    if (framing == H1_FRAME_LENGTH) {
        at = put_lit(at, "Content-Length: ");
        at += u64_to_dec(at, length);
        at = put_lit(at, "\r\n");
    } else if (framing == H1_FRAME_CHUNKED) {
        at = put_lit(at, "Transfer-Encoding: chunked\r\n");
    }
    at = put(at, conns[conn]);
    took(out, put_lit(at, "\r\n"));
    return OK;
}

/* Takes back what was written when rc is an error. */
static int settle(struct strb *out, size_t start, int rc)
{
    if (rc != OK)
        out->n = start;
    return rc;
}

static int write_request_line(struct strb *out, slice method, slice target, uint8_t minor)
{
    if (!http_is_token(method) || !target.n || scan_target(target.p, target.p + target.n) != target.p + target.n)
        return ERR_SYNTAX;
    char *at = room(out, method, target, 12);
    if (!at)
        return ERR_NOMEM;
    at = put(at, method);
    *at++ = ' ';
    at = put(at, target);
    took(out, minor ? put_lit(at, " HTTP/1.1\r\n") : put_lit(at, " HTTP/1.0\r\n"));
    return OK;
}

int h1_write_request(struct strb *out, slice method, slice target, uint8_t minor, slice host,
                     const struct fields *fields, const struct body_fact *body, enum h1_connection conn)
{
    static const enum h1_framing framings[] = {
        [BODY_NONE] = H1_FRAME_NONE,
        [BODY_LENGTH] = H1_FRAME_LENGTH,
        [BODY_UNKNOWN] = H1_FRAME_CHUNKED,
    };
    size_t start = out->n;
    if (body->kind == BODY_UNKNOWN && minor == 0)
        return ERR_SYNTAX;
    int rc = write_request_line(out, method, target, minor);
    if (rc == OK && host.p)
        rc = write_field(out, SLICE("Host"), host);
    if (rc == OK)
        rc = write_fields(out, fields, false);
    if (rc == OK)
        rc = write_end(out, framings[body->kind], body->length, conn);
    return settle(out, start, rc);
}

static int write_status_line(struct strb *out, unsigned status, slice reason)
{
    if (status < 100 || status > 999 || !http_is_value(reason))
        return ERR_SYNTAX;
    if (reason.n == 0)
        reason = status_reason(status);
    char *at = room(out, reason, SLICE_NONE, 16);
    if (!at)
        return ERR_NOMEM;
    at = put_lit(at, "HTTP/1.1 ");
    *at++ = (char)('0' + status / 100);
    *at++ = (char)('0' + status / 10 % 10);
    *at++ = (char)('0' + status % 10);
    *at++ = ' ';
    at = put(at, reason);
    took(out, put_lit(at, "\r\n"));
    return OK;
}

int h1_write_response(struct strb *out, unsigned status, slice reason, const struct fields *fields,
                      enum h1_framing framing, uint64_t length, enum h1_connection conn)
{
    size_t start = out->n;
    int rc = write_status_line(out, status, reason);
    if (rc == OK)
        rc = write_fields(out, fields, true);
    if (rc == OK)
        rc = write_end(out, framing, length, conn);
    return settle(out, start, rc);
}

int h1_write_last_chunk(struct strb *out, const struct fields *trailers)
{
    size_t start = out->n;
    int rc = OK;
    strb_lit(out, "0\r\n");
    for (uint32_t i = 0; rc == OK && trailers && i < trailers->n; i++) {
        const struct field *f = &trailers->v[i];
        enum token t = f->token != TOK_NONE ? f->token : token_find(f->name);
        if (!(token_flags(t) & T_NOTRAIL))
            rc = write_field(out, f->name, f->value);
    }
    strb_lit(out, "\r\n");
    return settle(out, start, rc == OK && out->failed ? ERR_NOMEM : rc);
}

size_t h1_write_chunk(char dst[H1_CHUNK_LINE], uint64_t n)
{
    size_t digits = u64_to_hex(dst, n);
    dst[digits] = '\r';
    dst[digits + 1] = '\n';
    return digits + 2;
}
