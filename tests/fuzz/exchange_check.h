/*
 * What fuzz_exchange.c holds against the bytes that hinge wrote: a reader of its own, strict and simple, that knows
 * nothing of the code under test.
 *
 * Messages that the script generated, and files, carry a number (X-Id in requests, X-Ans in answers), and their bodies
 * follow from it, so that a byte that is lost, doubled or somebody else's is seen. What is compressed is expanded
 * first, and of an answer to a range the bytes are those that it claims to be.
 */
#ifndef TESTS_FUZZ_EXCHANGE_CHECK_H
#define TESTS_FUZZ_EXCHANGE_CHECK_H

#include <strings.h>
#include <zlib.h>

#include "sim.h"

/* What is looked for is in the code under test: this reader's own branches tell the fuzzer nothing. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage", "address"))), apply_to = function)

enum wire_framing { WIRE_NONE, WIRE_LENGTH, WIRE_CHUNKED, WIRE_CLOSE };

/* One message as read off the wire. */
struct wire_msg {
    bool head_done, complete;
    unsigned status; /* of an answer */
    char method[16]; /* of a request */
    unsigned minor;
    enum wire_framing framing;
    uint64_t length;
    bool close;                /* "Connection: close" */
    int number;                /* X-Id or X-Ans; -1: none */
    size_t body;               /* bytes of it that are there; expanded */
    size_t used;               /* bytes of the whole message, when complete */
    bool zipped, unzipped;     /* compressed; and expanded to its end */
    bool ranged, parts;        /* Content-Range; multipart/byteranges */
    size_t start, stop, total; /* of Content-Range */
    slice boundary;
};

static char body_byte(int number, size_t i)
{
    return (char)(33 + ((size_t)number * 31 + i * 7 + (i >> 8) * 13 + (i >> 16) * 5) % 90);
}

static void add_body(struct strb *b, int number, size_t n, bool chunked, bool trailers)
{
    size_t step = chunked ? 1 + (size_t)number * 1237 % 6000 + (n > 2000 ? 300 : 0) : n ? n : 1;
    for (size_t at = 0; at < n; at += step) {
        size_t part = n - at < step ? n - at : step;
        if (chunked)
            strb_printf(b, "%zx%s\r\n", part, number & 1 ? "" : ";x=y");
        if (!strb_room(b, part))
            abort();
        for (size_t i = at; i < at + part; i++)
            b->p[b->n++] = body_byte(number, i);
        if (chunked)
            strb_lit(b, "\r\n");
    }
    if (chunked && trailers)
        strb_lit(b, "0\r\nX-Trailer: t\r\n\r\n");
    else if (chunked)
        strb_lit(b, "0\r\n\r\n");
}

static bool wire_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool wire_is(slice s, const char *text)
{
    return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

/* A line without its CRLF. false: it is not whole yet. */
static bool wire_line(slice in, size_t *at, slice *line)
{
    const char *end = *at < in.n ? memchr(in.p + *at, '\n', in.n - *at) : NULL;
    if (!end)
        return false;
    size_t n = (size_t)(end - (in.p + *at));
    CHECK(n > 0 && end[-1] == '\r', "a line ends with a bare LF");
    *line = slice_of(in.p + *at, n - 1);
    for (size_t i = 0; i < line->n; i++)
        CHECK((unsigned char)line->p[i] >= 32 || line->p[i] == '\t', "a control character in a line");
    *at += n + 1;
    return true;
}

static uint64_t wire_decimal(slice s)
{
    uint64_t v = 0;
    CHECK(s.n > 0 && s.n < 20, "a number of %zu digits", s.n);
    for (size_t i = 0; i < s.n; i++) {
        CHECK(s.p[i] >= '0' && s.p[i] <= '9', "not a number: [%.*s]", (int)s.n, s.p);
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    return v;
}

struct wire_seen {
    bool host, length, coding, connection;
};

/* "bytes 5-9/100" */
static void wire_range(slice value, size_t *start, size_t *stop, size_t *total)
{
    slice unit, rest, first, last, all;
    CHECK(slice_cut(value, ' ', &unit, &rest) && wire_is(unit, "bytes") && slice_cut(rest, '/', &first, &all) &&
              slice_cut(first, '-', &first, &last),
          "Content-Range [%.*s]", (int)value.n, value.p);
    *start = wire_decimal(first);
    *stop = wire_decimal(last) + 1;
    *total = wire_decimal(all);
    CHECK(*start < *stop && *stop <= *total, "Content-Range [%.*s]", (int)value.n, value.p);
}

static void wire_content(slice name, slice value, struct wire_msg *m)
{
    const slice multipart = SLICE("multipart/byteranges; boundary=");
    if (wire_is(name, "content-encoding"))
        m->zipped = wire_is(value, "gzip");
    else if (wire_is(name, "content-range") && m->status == 206) {
        wire_range(value, &m->start, &m->stop, &m->total);
        m->ranged = true;
    } else if (wire_is(name, "content-type") && m->status == 206 && slice_starts(value, multipart)) {
        m->boundary = slice_from(value, multipart.n);
        m->parts = true;
    }
}

static void wire_field(slice line, bool answer, struct wire_msg *m, struct wire_seen *seen)
{
    const char *colon = memchr(line.p, ':', line.n);
    CHECK(colon && colon > line.p, "a field without a name: [%.*s]", (int)line.n, line.p);
    slice name = slice_of(line.p, (size_t)(colon - line.p)), value = slice_from(line, name.n + 1);
    for (size_t i = 0; i < name.n; i++)
        CHECK(wire_token_char(name.p[i]), "a bad field name: [%.*s]", (int)line.n, line.p);
    CHECK(value.n && value.p[0] == ' ', "not our way to write a field: [%.*s]", (int)line.n, line.p);
    value = slice_from(value, 1);
    if (wire_is(name, "content-length")) {
        CHECK(!seen->length && !seen->coding, "framing is told twice");
        seen->length = true;
        m->length = wire_decimal(value);
        m->framing = WIRE_LENGTH;
    } else if (wire_is(name, "transfer-encoding")) {
        CHECK(!seen->length && !seen->coding && slice_eq(value, SLICE("chunked")), "framing is told twice");
        seen->coding = true;
        m->framing = WIRE_CHUNKED;
    } else if (wire_is(name, "connection")) {
        CHECK(!seen->connection && (wire_is(value, "close") || wire_is(value, "keep-alive")), "[%.*s]", (int)line.n,
              line.p);
        seen->connection = true;
        m->close = wire_is(value, "close");
    } else if (wire_is(name, "host") && !answer) {
        CHECK(!seen->host, "two Host fields");
        seen->host = true;
    } else if (wire_is(name, answer ? "x-ans" : "x-id")) {
        m->number = value.n && value.n < 5 && value.p[0] >= '0' && value.p[0] <= '9' ? (int)wire_decimal(value) : -1;
    } else {
        CHECK(!wire_is(name, "proxy-connection") && !wire_is(name, "te") && !wire_is(name, "upgrade") &&
                  !wire_is(name, "trailer") && (answer || (!wire_is(name, "keep-alive") && !wire_is(name, "expect"))),
              "a hop-by-hop field travels: [%.*s]", (int)line.n, line.p);
        if (answer)
            wire_content(name, value, m);
    }
}

static void wire_start(slice line, bool answer, struct wire_msg *m)
{
    size_t n = line.n;
    if (answer) {
        CHECK(n >= 13 && memcmp(line.p, "HTTP/1.1 ", 9) == 0 && line.p[12] == ' ', "[%.*s]", (int)n, line.p);
        m->status = (unsigned)wire_decimal(slice_of(line.p + 9, 3));
        m->minor = 1;
        CHECK(m->status >= 100 && m->status != 101, "status %u", m->status);
        return;
    }
    CHECK(n > 12 && memcmp(line.p + n - 9, " HTTP/1.", 8) == 0, "[%.*s]", (int)n, line.p);
    m->minor = (unsigned)(line.p[n - 1] - '0');
    CHECK(m->minor <= 1, "[%.*s]", (int)n, line.p);
    const char *space = memchr(line.p, ' ', n);
    size_t len = (size_t)(space - line.p);
    for (size_t i = 0; i < len; i++)
        CHECK(wire_token_char(line.p[i]), "[%.*s]", (int)n, line.p);
    CHECK(len && len + 1 < n - 9, "[%.*s]", (int)n, line.p);
    for (size_t i = len + 1; i < n - 9; i++)
        CHECK((unsigned char)line.p[i] > 32 && (unsigned char)line.p[i] < 127, "[%.*s]", (int)n, line.p);
    len = len < sizeof(m->method) - 1 ? len : sizeof(m->method) - 1;
    memcpy(m->method, line.p, len);
    m->method[len] = 0;
}

static z_stream wire_zip; /* of the message that is read */

static void wire_plain(struct wire_msg *m, const char *p, size_t n, bool verify)
{
    for (size_t i = 0; verify && m->number >= 0 && !m->parts && i < n; i++)
        CHECK(p[i] == body_byte(m->number, m->start + m->body + i), "byte %zu of body %d is wrong",
              m->start + m->body + i, m->number);
    m->body += n;
}

/* `verify`: the number can be believed, and what is said of the coding. */
static void wire_body(struct wire_msg *m, const char *p, size_t n, bool verify)
{
    char text[4096];
    if (!m->zipped || !verify) {
        wire_plain(m, p, n, verify);
        return;
    }
    wire_zip.next_in = (Bytef *)(uintptr_t)p;
    wire_zip.avail_in = (uInt)n;
    do {
        CHECK(!m->unzipped || !wire_zip.avail_in, "bytes behind the end of a gzip stream");
        wire_zip.next_out = (Bytef *)text;
        wire_zip.avail_out = sizeof(text);
        int rc = m->unzipped ? Z_BUF_ERROR : inflate(&wire_zip, Z_NO_FLUSH);
        CHECK(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR, "a broken gzip stream (%d)", rc);
        m->unzipped |= rc == Z_STREAM_END;
        wire_plain(m, text, sizeof(text) - wire_zip.avail_out, verify);
    } while (wire_zip.avail_in || !wire_zip.avail_out);
}

/* The parts of a whole multipart/byteranges: each is what its Content-Range says. */
static void wire_parts(slice body, const struct wire_msg *m)
{
    size_t at = 0, n = m->boundary.n;
    slice line;
    for (;;) {
        CHECK(wire_line(body, &at, &line) && line.n == 0, "no empty line before a boundary");
        CHECK(wire_line(body, &at, &line) && line.n >= n + 2 && memcmp(line.p, "--", 2) == 0 &&
                  memcmp(line.p + 2, m->boundary.p, n) == 0,
              "no boundary");
        if (line.n == n + 4) {
            CHECK(at == body.n, "bytes behind the last boundary");
            return;
        }
        struct wire_msg part = { .number = m->number };
        for (;;) {
            CHECK(wire_line(body, &at, &line), "a part without an end of its head");
            slice name, value;
            if (!line.n)
                break;
            if (slice_cut(line, ':', &name, &value) && wire_is(name, "content-range"))
                wire_range(slice_from(value, 1), &part.start, &part.stop, &part.total);
        }
        size_t length = part.stop - part.start;
        CHECK(length && body.n - at >= length, "a part that is cut");
        wire_plain(&part, body.p + at, length, true);
        at += length;
    }
}

static bool wire_chunked(slice in, size_t *at, struct wire_msg *m, bool verify)
{
    slice line;
    for (;;) {
        if (!wire_line(in, at, &line))
            return false;
        uint64_t n = 0;
        CHECK(line.n > 0 && line.n <= 16, "a chunk size: [%.*s]", (int)line.n, line.p);
        for (size_t i = 0; i < line.n; i++) {
            const char *digits = "0123456789abcdef", *d = strchr(digits, line.p[i] | 32);
            CHECK(d && line.p[i], "a chunk size: [%.*s]", (int)line.n, line.p);
            n = n * 16 + (uint64_t)(d - digits);
        }
        if (n == 0)
            break;
        size_t there = in.n - *at < n ? in.n - *at : (size_t)n;
        wire_body(m, in.p + *at, there, verify);
        *at += there;
        if (there < n || in.n - *at < 2)
            return false;
        CHECK(memcmp(in.p + *at, "\r\n", 2) == 0, "no CRLF behind a chunk");
        *at += 2;
    }
    do {
        if (!wire_line(in, at, &line))
            return false;
    } while (line.n);
    return true;
}

/* Reads what is there of a message. `bodiless`: the answer to HEAD. */
static void wire_read(slice in, bool answer, bool bodiless, bool verify, struct wire_msg *m)
{
    struct wire_seen seen = { 0 };
    size_t at = 0;
    slice line;
    *m = (struct wire_msg){ .number = -1, .framing = answer ? WIRE_CLOSE : WIRE_NONE };
    inflateReset(&wire_zip);
    if (!wire_line(in, &at, &line))
        return;
    wire_start(line, answer, m);
    for (;;) {
        if (!wire_line(in, &at, &line))
            return;
        if (!line.n)
            break;
        wire_field(line, answer, m, &seen);
    }
    m->head_done = true;
    CHECK(answer || seen.host || !m->minor, "a request without Host");
    CHECK(m->minor || !seen.coding, "a coding in HTTP/1.0");
    if (answer && (m->status < 200 || m->status == 204)) {
        CHECK(!seen.length && !seen.coding, "framing where there is no body");
        m->framing = WIRE_NONE;
    } else if (answer && (bodiless || m->status == 304)) {
        m->framing = WIRE_NONE;
    }
    CHECK(m->status != 206 || !verify || m->ranged + m->parts == 1, "an answer to a range that does not say which");
    size_t left = in.n - at, n, begin = at;
    switch (m->framing) {
    case WIRE_NONE:
        m->complete = true;
        break;
    case WIRE_LENGTH:
        n = left < m->length ? left : (size_t)m->length;
        wire_body(m, in.p + at, n, verify);
        at += n;
        m->complete = n == m->length;
        break;
    case WIRE_CHUNKED:
        m->complete = wire_chunked(in, &at, m, verify);
        break;
    case WIRE_CLOSE:
        CHECK(m->close, "a body until close on a connection that stays");
        wire_body(m, in.p + at, left, verify);
        at = in.n;
        m->complete = true;
        break;
    }
    if (m->complete && verify && m->framing != WIRE_NONE && m->framing != WIRE_CLOSE) {
        CHECK(!m->zipped || m->unzipped, "a gzip stream without an end");
        if (m->parts && m->framing == WIRE_LENGTH)
            wire_parts(slice_of(in.p + begin, at - begin), m);
    }
    m->used = at;
}

#pragma clang attribute pop

#endif
