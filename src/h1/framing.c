/*
 * How long a message is and what of it belongs to this hop: RFC 9112 §6.3, RFC 9110 §7.6.1.
 *
 * There is exactly one accepted way to say each thing. A length that is said twice, even alike, or in two ways, is an
 * error, because whoever stands before or behind us may have picked the other one.
 */
#include "h1/framing.h"

#include "http/chars.h"

/* The next element of a comma-separated list without surrounding white space; false at the end. `rest` moves on. */
static bool next_element(slice *rest, bool *more, slice *element)
{
    slice tail;
    if (!*more)
        return false;
    *more = slice_cut(*rest, ',', element, &tail);
    if (*more)
        *rest = tail;
    else
        *element = *rest;
    *element = slice_trim(*element);
    return true;
}

/* Rows C10 to C13: digits only, at most 2^63-1; leading zeros are legal and never sent on. */
static int note_length(struct h1_parse *s, slice value)
{
    uint64_t n;
    if (s->h->has_length)
        return h1_fail(s, H1_E_LENGTH_TWICE);
    if (s->has_coding)
        return h1_fail(s, H1_E_LENGTH_AND_CODING);
    if (slice_to_u64(value, &n) != OK || n >> 63)
        return h1_fail(s, H1_E_LENGTH);
    s->h->has_length = true;
    s->h->body.length = n;
    return OK;
}

/*
 * `chunked` alone is what we speak. A clean list of codings that we do not speak is 501 (RFC 9112 §6.1); anything that
 * two readers might read differently is 400: an empty element, a parameter, `chunked` anywhere but at the end.
 */
static int note_coding(struct h1_parse *s, slice value)
{
    slice rest = value, coding;
    bool more = true, chunked = false;
    if (s->h->minor == 0)
        return h1_fail(s, H1_E_CODING_10);
    if (s->has_coding)
        return h1_fail(s, H1_E_CODING);
    if (s->h->has_length)
        return h1_fail(s, H1_E_LENGTH_AND_CODING);
    s->has_coding = true;
    if (slice_ieq(value, SLICE("chunked"))) {
        s->h->chunked = true;
        return OK;
    }
    while (next_element(&rest, &more, &coding)) {
        if (chunked || !http_is_token(coding))
            return h1_fail(s, H1_E_CODING);
        chunked = slice_ieq(coding, SLICE("chunked"));
    }
    return h1_fail(s, H1_E_CODING_UNKNOWN);
}

static int note_connection(struct h1_parse *s, slice value)
{
    slice rest = value, option;
    bool more = true;
    while (next_element(&rest, &more, &option)) {
        if (++s->noptions > H1_OPTIONS_MAX)
            return h1_fail(s, H1_E_CONNECTION);
        if (option.n == 0)
            continue; /* RFC 9110 §5.6.1.2: empty elements mean nothing, and must be borne */
        if (!http_is_token(option))
            return h1_fail(s, H1_E_CONNECTION);
        enum token t = token_find(option);
        if (t == TOK_KEEP_ALIVE) {
            s->keep_alive = true;
        } else if (t == TOK_UPGRADE) {
            s->upgrade = true;
        } else if (t != TOK_NONE) {
            token_set_add(&s->named, t);
            s->any_named = true;
        } else if (slice_ieq(option, SLICE("close"))) {
            s->close = true;
        } else {
            s->other[s->nother++] = option;
            s->any_named = true;
        }
    }
    return OK;
}

/* Rows E1 and E2. An expectation of HTTP/1.0 means nothing (RFC 9110 §10.1.1). */
static int note_expect(struct h1_parse *s, slice value)
{
    if (s->response || s->h->minor == 0)
        return OK;
    if (s->has_expect || !slice_ieq(value, SLICE("100-continue")))
        return h1_fail(s, H1_E_EXPECT);
    s->has_expect = s->h->expect_continue = true;
    return OK;
}

static void note_te(struct h1_parse *s, slice value)
{
    slice rest = value, coding, name, parameters;
    bool more = true;
    while (next_element(&rest, &more, &coding)) {
        if (slice_cut(coding, ';', &name, &parameters))
            coding = slice_trim(name);
        if (slice_ieq(coding, SLICE("trailers")))
            s->h->te_trailers = true;
    }
}

static int note_once(struct h1_parse *s, const struct field *f)
{
    if (token_set_has(&s->once, f->token))
        return h1_fail(s, f->token == TOK_HOST ? H1_E_HOST_TWICE : H1_E_FIELD_TWICE);
    token_set_add(&s->once, f->token);
    if (f->token == TOK_HOST)
        s->h->host = f->value;
    return OK;
}

int h1_note_field(struct h1_parse *s, const struct field *f)
{
    switch (f->token) {
    case TOK_CONTENT_LENGTH:
        return note_length(s, f->value);
    case TOK_TRANSFER_ENCODING:
        return note_coding(s, f->value);
    case TOK_CONNECTION:
        return note_connection(s, f->value);
    case TOK_EXPECT:
        return note_expect(s, f->value);
    case TOK_TE:
        note_te(s, f->value);
        return OK;
    case TOK_UPGRADE:
        s->has_upgrade = true;
        return OK;
    default:
        return (token_flags(f->token) & T_ONE) && !s->response ? note_once(s, f) : OK;
    }
}

static bool is_named(const struct h1_parse *s, const struct field *f)
{
    if (f->token != TOK_NONE)
        return token_set_has(&s->named, f->token) && !(token_flags(f->token) & (T_PROT | T_HOP));
    for (uint32_t i = 0; i < s->nother; i++) {
        if (slice_ieq(s->other[i], f->name))
            return true;
    }
    return false;
}

/* Row H12: what Connection names does not travel, unless a peer has no business removing it (CVE-2022-31813). */
static void move_named(struct h1_parse *s)
{
    struct h1_head *h = s->h;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->nfields; i++) {
        if (is_named(s, &h->fields[i]))
            h->hop[h->nhop++] = h->fields[i];
        else
            h->fields[kept++] = h->fields[i];
    }
    h->nfields = kept;
}

/* What the head announces, by the fields and the status alone. */
static enum body_kind announced(const struct h1_parse *s)
{
    const struct h1_head *h = s->h;
    if (s->response && (h->status < 200 || h->status == 204))
        return BODY_NONE;
    if (h->has_length)
        return BODY_LENGTH;
    if (s->response && h->status == 304)
        return BODY_NONE;
    return h->chunked || s->response ? BODY_UNKNOWN : BODY_NONE;
}

int h1_finish(struct h1_parse *s)
{
    struct h1_head *h = s->h;
    if (!s->response && !h->host.p && h->minor > 0)
        return h1_fail(s, H1_E_HOST_NONE);
    if (!s->response && h->method == METHOD_CONNECT && (h->has_length || h->chunked))
        return h1_fail(s, H1_E_CONNECT_BODY);
    h->keep_alive = !s->close && (h->minor > 0 || s->keep_alive);
    h->has_upgrade = s->has_upgrade && s->upgrade && h->minor > 0;
    enum body_kind kind = announced(s);
    /* a body where none may be: its bytes would be taken for the next answer (row Q2) */
    if (kind == BODY_NONE && s->response && h->status != 304 && (h->chunked || h->body.length > 0))
        h->keep_alive = false;
    h->body = (struct body_fact){ .kind = kind, .length = kind == BODY_LENGTH ? h->body.length : 0 };
    if (s->any_named)
        move_named(s);
    return OK;
}

struct body_fact h1_response_body(const struct h1_head *h, enum method method)
{
    static const struct body_fact none = { .kind = BODY_NONE };
    if (method == METHOD_HEAD || h->status < 200 || h->status == 204 || h->status == 304)
        return none;
    if (method == METHOD_CONNECT && h->status < 300)
        return none;
    return h->body;
}
