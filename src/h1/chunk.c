/*
 * A state machine over the framing bytes; runs of data are skipped whole.
 *
 * Every byte of framing goes through exactly one transition, so a body gives the same result however it was cut into
 * reads. Nothing is tolerated that RFC 9112 §7.1 does not spell out (rows T1 to T9): a program that takes a bare LF, or
 * white space, or anything inside an extension for something else than its neighbour does, can be made to see a request
 * where the neighbour saw data.
 */
#include "h1/chunk.h"

#include "base/err.h"
#include "http/chars.h"

enum state {
    ST_SIZE,
    ST_EXT_NAME_FIRST,
    ST_EXT_NAME,
    ST_EXT_VALUE_FIRST,
    ST_EXT_VALUE,
    ST_EXT_QUOTED,
    ST_EXT_ESCAPED,
    ST_EXT_END,
    ST_SIZE_LF,
    ST_DATA,
    ST_DATA_CR,
    ST_DATA_LF,
    ST_FIELD,
    ST_FIELD_NAME,
    ST_FIELD_VALUE,
    ST_FIELD_LF,
    ST_LAST_LF,
    ST_DONE,
    ST_FAILED,
};

struct sink {
    uint32_t max;
    struct arena *a;
    struct fields *fields;
};

void h1_chunked_init(struct h1_chunked *c)
{
    *c = (struct h1_chunked){ .state = ST_SIZE };
}

static int fail(struct h1_chunked *c, enum h1_error e)
{
    c->state = ST_FAILED;
    c->error = e;
    return ERR_SYNTAX;
}

static int size_byte(struct h1_chunked *c, char ch)
{
    int digit = ascii_hex(ch);
    if (digit >= 0) {
        if (c->digits == 16 || c->left >> 59)
            return fail(c, H1_E_CHUNK_SIZE);
        c->digits++;
        c->left = c->left << 4 | (uint64_t)digit;
        return OK;
    }
    if (c->digits == 0 || (ch != '\r' && ch != ';'))
        return fail(c, H1_E_CHUNK_SIZE);
    c->state = ch == '\r' ? ST_SIZE_LF : ST_EXT_NAME_FIRST;
    return OK;
}

/* The states between ';' and the CR. Sets the next one, or fails. */
static int ext_byte(struct h1_chunked *c, char ch)
{
    bool token = ch_is(ch, CH_TOKEN);
    switch (c->state) {
    case ST_EXT_NAME_FIRST:
        if (token)
            c->state = ST_EXT_NAME;
        return token ? OK : fail(c, H1_E_CHUNK_EXT);
    case ST_EXT_VALUE_FIRST:
        if (token || ch == '"')
            c->state = token ? ST_EXT_VALUE : ST_EXT_QUOTED;
        return token || ch == '"' ? OK : fail(c, H1_E_CHUNK_EXT);
    case ST_EXT_QUOTED:
        if (ch == '"')
            c->state = ST_EXT_END;
        else if (ch == '\\')
            c->state = ST_EXT_ESCAPED;
        return ch_is(ch, CH_VALUE) ? OK : fail(c, H1_E_CHUNK_EXT);
    case ST_EXT_ESCAPED:
        c->state = ST_EXT_QUOTED;
        return ch_is(ch, CH_VALUE) ? OK : fail(c, H1_E_CHUNK_EXT);
    default:
        break;
    }
    if (token && c->state != ST_EXT_END)
        return OK;
    if (ch == '=' && c->state == ST_EXT_NAME)
        c->state = ST_EXT_VALUE_FIRST;
    else if (ch == ';')
        c->state = ST_EXT_NAME_FIRST;
    else if (ch == '\r')
        c->state = ST_SIZE_LF;
    else
        return fail(c, H1_E_CHUNK_EXT);
    return OK;
}

static int size_end(struct h1_chunked *c, char ch)
{
    if (ch != '\n')
        return fail(c, H1_E_CHUNK_SIZE);
    if (c->framing > H1_CHUNK_GRACE && (c->framing - H1_CHUNK_GRACE) / H1_CHUNK_WASTE > c->data)
        return fail(c, H1_E_CHUNK_WASTE);
    c->state = c->left ? ST_DATA : ST_FIELD;
    c->digits = 0;
    c->line = 0;
    return OK;
}

/* Everything but trailers. */
static int framing_byte(struct h1_chunked *c, char ch)
{
    c->framing++;
    switch (c->state) {
    case ST_SIZE_LF:
        return size_end(c, ch);
    case ST_DATA_CR:
        c->state = ST_DATA_LF;
        return ch == '\r' ? OK : fail(c, H1_E_CHUNK_END);
    case ST_DATA_LF:
        c->state = ST_SIZE;
        return ch == '\n' ? OK : fail(c, H1_E_CHUNK_END);
    default:
        if (ch != '\r' && ++c->line > H1_CHUNK_LINE_MAX)
            return fail(c, H1_E_CHUNK_LINE);
        return c->state == ST_SIZE ? size_byte(c, ch) : ext_byte(c, ch);
    }
}

/* Keeps a byte of the trailer section; the memory for all of it is taken when the first one comes. */
static int keep(struct h1_chunked *c, char ch, const struct sink *sink)
{
    if (c->trailer >= sink->max)
        return fail(c, H1_E_TRAILER);
    if (sink->fields && !c->text) {
        c->text = arena_bytes(sink->a, sink->max);
        if (!c->text)
            return ERR_NOMEM;
        c->cap = sink->max;
    }
    if (c->text && c->trailer < c->cap)
        c->text[c->trailer] = ch;
    c->trailer++;
    return OK;
}

/* A complete field line, CRLF and all, is kept. */
static int store_field(struct h1_chunked *c, const struct sink *sink)
{
    if (++c->nfields > H1_TRAILER_FIELDS)
        return fail(c, H1_E_TRAILER);
    if (!c->text)
        return OK;
    slice name = slice_of(c->text + c->name, c->colon - c->name);
    slice value = slice_trim(slice_of(c->text + c->colon + 1, c->trailer - 2 - (c->colon + 1)));
    enum token t = token_find(name);
    if ((token_flags(t) & T_NOTRAIL) || scan_plain(name.p, name.p + name.n) != name.p + name.n)
        return OK;
    struct field f = { .name = name, .value = value, .token = (uint16_t)t };
    return fields_add(sink->a, sink->fields, f) ? OK : ERR_NOMEM;
}

/* A byte of a field line that keep() has taken already. */
static int field_byte(struct h1_chunked *c, char ch, const struct sink *sink)
{
    switch (c->state) {
    case ST_FIELD:
        c->name = c->trailer - 1;
        c->state = ST_FIELD_NAME;
        return ch_is(ch, CH_TOKEN) ? OK : fail(c, H1_E_TRAILER);
    case ST_FIELD_NAME:
        if (ch == ':') {
            c->colon = c->trailer - 1;
            c->state = ST_FIELD_VALUE;
            return OK;
        }
        return ch_is(ch, CH_TOKEN) ? OK : fail(c, H1_E_TRAILER);
    case ST_FIELD_VALUE:
        if (ch == '\r')
            c->state = ST_FIELD_LF;
        return ch == '\r' || ch_is(ch, CH_VALUE) ? OK : fail(c, H1_E_TRAILER);
    default:
        c->state = ST_FIELD;
        return ch == '\n' ? store_field(c, sink) : fail(c, H1_E_TRAILER);
    }
}

static int trailer_byte(struct h1_chunked *c, char ch, const struct sink *sink)
{
    if (c->state == ST_FIELD && ch == '\r') {
        c->state = ST_LAST_LF;
        return OK;
    }
    if (c->state == ST_LAST_LF) {
        c->state = ST_DONE;
        c->done = ch == '\n';
        return c->done ? OK : fail(c, H1_E_TRAILER);
    }
    int rc = keep(c, ch, sink);
    return rc == OK ? field_byte(c, ch, sink) : rc;
}

int h1_chunked_next(struct h1_chunked *c, const char *p, size_t n, size_t *used, slice *run, uint32_t max_trailer,
                    struct arena *a, struct fields *trailers)
{
    const struct sink sink = { .max = max_trailer, .a = a, .fields = trailers };
    const char *at = p, *end = p + n;
    slice data = { at, 0 };
    if (c->state == ST_FAILED)
        return ERR_SYNTAX;
    while (at < end && !c->done) {
        if (c->state == ST_DATA) {
            data = slice_of(at, (uint64_t)(end - at) < c->left ? (size_t)(end - at) : (size_t)c->left);
            at += data.n;
            c->data += data.n;
            c->left -= data.n;
            if (c->left == 0)
                c->state = ST_DATA_CR;
            break;
        }
        int rc = c->state < ST_FIELD ? framing_byte(c, *at) : trailer_byte(c, *at, &sink);
        if (rc != OK)
            return rc;
        at++;
    }
    *used = (size_t)(at - p);
    *run = data;
    return OK;
}
