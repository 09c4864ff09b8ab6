/*
 * Request lines, status lines and field lines.
 *
 * One pass from left to right; every function takes the position where it starts and gives the one behind what it took,
 * or ERR_MORE when the bytes end first, or ERR_SYNTAX. A length limit is part of the grammar: a line is looked at
 * through a window of the allowed size, so that an over-long line is refused at its first byte too many, complete or
 * not.
 */
#include "h1/parse.h"

#include "base/attr.h"
#include "h1/framing.h"
#include "http/chars.h"

/* p + n, but not behind `end`. */
static inline const char *window(const char *p, uint32_t n, const char *end)
{
    return (size_t)(end - p) > n ? p + n : end;
}

/* The end of a line at p (a CR or LF; p < end). */
static int take_eol(struct h1_parse *s, const char *p, const char **next)
{
    if (likely(*p == '\r')) {
        if (p + 1 == s->end)
            return ERR_MORE;
        if (p[1] != '\n')
            return h1_fail(s, H1_E_EOL);
        *next = p + 2;
        return OK;
    }
    if (!s->rules->bare_lf)
        return h1_fail(s, H1_E_EOL);
    s->h->bare_lf = true;
    *next = p + 1;
    return OK;
}

/* HTTP/1.DIGIT; what comes behind it is the caller's. Refuses at the first byte that differs. */
static int take_version(struct h1_parse *s, const char *p, const char *win, const char **next)
{
    static const char pattern[8] = { 'H', 'T', 'T', 'P', '/', 0, '.', 0 };
    for (size_t i = 0; i < sizeof(pattern); i++) {
        if (p + i == win)
            return ERR_MORE;
        if (pattern[i] ? p[i] != pattern[i] : !ascii_digit(p[i]))
            return h1_fail(s, H1_E_VERSION);
    }
    if (p[5] != '1')
        return h1_fail(s, p[5] == '0' ? H1_E_VERSION : H1_E_VERSION_MAJOR);
    s->h->minor = p[7] != '0'; /* RFC 9110 §2.5: a higher minor version is answered as the highest we know */
    *next = p + 8;
    return OK;
}

static int take_method(struct h1_parse *s, const char *p, const char *win, const char **next)
{
    const char *at = scan_class(p, window(p, H1_METHOD_MAX + 1, win), CH_TOKEN);
    size_t n = (size_t)(at - p);
    if (n > H1_METHOD_MAX)
        return h1_fail(s, H1_E_METHOD);
    if (at == win)
        return ERR_MORE;
    if (n == 0 || *at != ' ')
        return h1_fail(s, H1_E_METHOD);
    s->h->method_text = slice_of(p, n);
    s->h->method = method_find(s->h->method_text);
    *next = at + 1;
    return OK;
}

static int take_target(struct h1_parse *s, const char *p, const char *win, const char **next)
{
    const char *at = scan_target(p, win);
    while (unlikely(at < win && *at == '#' && s->rules->fragment))
        at = scan_target(at + 1, win);
    if (at == win)
        return ERR_MORE;
    if (*at != ' ')
        return h1_fail(s, *at == '\r' || *at == '\n' ? H1_E_LINE : H1_E_TARGET);
    if (at == p)
        return h1_fail(s, H1_E_LINE);
    s->h->target = slice_of(p, (size_t)(at - p));
    *next = at + 1;
    return OK;
}

static int take_request_line(struct h1_parse *s, const char *p, const char **next)
{
    const char *win = window(p, s->rules->max_line, s->end), *at = p;
    s->line = p;
    /* the line's end may stand right behind the window */
    if (win < s->end)
        win++;
    int rc = take_method(s, at, win, &at);
    if (rc == OK)
        rc = take_target(s, at, win, &at);
    if (rc == OK)
        rc = take_version(s, at, win, &at);
    if (rc == OK && at == win)
        rc = ERR_MORE;
    if (rc != OK)
        return rc == ERR_MORE && win < s->end ? h1_fail(s, H1_E_LINE_LONG) : rc;
    s->h->line = slice_of(p, (size_t)(at - p));
    if (*at != '\r' && *at != '\n')
        return h1_fail(s, H1_E_VERSION);
    return take_eol(s, at, next);
}

/* 3DIGIT of 100 to 599, and the SP that is there even without a reason (RFC 9112 §4). */
static int take_status(struct h1_parse *s, const char *p, const char *win, const char **next)
{
    unsigned status = 0;
    if (p == win)
        return ERR_MORE;
    if (*p != ' ')
        return h1_fail(s, H1_E_STATUS);
    for (p++; status < 100; p++) {
        if (p == win)
            return ERR_MORE;
        if (!ascii_digit(*p) || (status == 0 && (*p < '1' || *p > '5')))
            return h1_fail(s, H1_E_STATUS);
        status = status * 10 + (unsigned)(*p - '0');
    }
    if (p == win)
        return ERR_MORE;
    if (*p != ' ')
        return h1_fail(s, H1_E_STATUS);
    s->h->status = (uint16_t)status;
    *next = p + 1;
    return OK;
}

static int take_status_line(struct h1_parse *s, const char *p, const char **next)
{
    const char *win = window(p, s->rules->max_line, s->end), *at = p;
    s->line = p;
    if (win < s->end)
        win++;
    int rc = take_version(s, at, win, &at);
    if (rc == OK)
        rc = take_status(s, at, win, &at);
    if (rc == OK) {
        const char *reason = at;
        at = scan_value(at, win);
        s->h->reason = slice_of(reason, (size_t)(at - reason));
        rc = at == win ? ERR_MORE : OK;
    }
    if (rc != OK)
        return rc == ERR_MORE && win < s->end ? h1_fail(s, H1_E_LINE_LONG) : rc;
    s->h->line = slice_of(p, (size_t)(at - p));
    if (*at != '\r' && *at != '\n')
        return h1_fail(s, H1_E_STATUS);
    return take_eol(s, at, next);
}

/* A name that is not of letters, digits and '-' alone; `at` is the first other byte. */
static int take_unusual_name(struct h1_parse *s, const char *p, const char *at, const char *win, const char **colon,
                             bool *usual)
{
    for (; at < win && ch_is(*at, CH_TOKEN); at++) {
        if (!ch_is(*at, CH_PLAIN) && !(*at == '_' && s->rules->underscores))
            *usual = false;
    }
    if (at == win)
        return ERR_MORE;
    if (*at == '\r' || *at == '\n')
        return h1_fail(s, H1_E_COLON);
    if (*at != ':' || at == p)
        return h1_fail(s, H1_E_NAME);
    *colon = at;
    return OK;
}

/* `win`: end of the window on this line. */
static int take_name(struct h1_parse *s, const char *p, const char *win, const char **colon, bool *usual)
{
    const char *limit = window(p, s->rules->max_name, win);
    if (limit < win)
        limit++;
    const char *at = scan_plain(p, limit);
    int rc = OK;
    *usual = true;
    if (likely(at < limit && *at == ':' && at > p))
        *colon = at;
    else
        rc = take_unusual_name(s, p, at, limit, colon, usual);
    return rc == ERR_MORE && limit < win ? h1_fail(s, H1_E_NAME_LONG) : rc;
}

/* Gives a field its place: in what travels, in what does not, or nowhere. */
static int place_field(struct h1_parse *s, slice name, slice value, bool usual)
{
    struct h1_head *h = s->h;
    if (unlikely(!usual) && s->rules->ignore_invalid) {
        h->ndropped++;
        return OK;
    }
    enum token t = token_find(name);
    unsigned flags = token_flags(t);
    struct field *f = flags & T_HOP ? &h->hop[h->nhop] : &h->fields[h->nfields];
    f->name = name;
    f->value = value;
    f->token = (uint16_t)t;
    if (flags & (T_HOP | T_ONE)) {
        int rc = h1_note_field(s, f);
        if (rc != OK)
            return rc;
    }
    if (flags & T_HOP)
        h->nhop++;
    else if (t != TOK_HOST || s->response)
        h->nfields++;
    return OK;
}

static int take_field(struct h1_parse *s, const char *p, const char **next)
{
    const char *win = window(p, s->rules->max_line, s->end), *colon, *value, *at;
    bool usual;
    if (win < s->end)
        win++;
    int rc = take_name(s, p, win, &colon, &usual);
    if (rc == OK) {
        value = colon + 1;
        while (value < win && (*value == ' ' || *value == '\t'))
            value++;
        at = scan_value(value, win);
        rc = at == win ? ERR_MORE : OK;
    }
    if (rc != OK)
        return rc == ERR_MORE && win < s->end ? h1_fail(s, H1_E_FIELD_LONG) : rc;
    if (*at != '\r' && *at != '\n')
        return h1_fail(s, H1_E_VALUE);
    const char *end = at;
    rc = take_eol(s, at, next);
    if (rc != OK)
        return rc;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return place_field(s, slice_of(p, (size_t)(colon - p)), slice_of(value, (size_t)(end - value)), usual);
}

/* Field lines up to and with the empty line. */
static int take_fields(struct h1_parse *s, const char *p, const char **next)
{
    uint32_t max = s->rules->max_fields < H1_FIELDS_MAX ? s->rules->max_fields : H1_FIELDS_MAX;
    for (;;) {
        s->line = p;
        if (p == s->end)
            return ERR_MORE;
        if (*p == '\r' || *p == '\n') {
            int rc = take_eol(s, p, next);
            return rc == OK ? h1_finish(s) : rc;
        }
        if (*p == ' ' || *p == '\t')
            return h1_fail(s, H1_E_FOLD);
        if (s->lines++ == max)
            return h1_fail(s, H1_E_FIELDS_MANY);
        int rc = take_field(s, p, &p);
        if (rc != OK)
            return rc;
    }
}

static int take_head(struct h1_parse *s, const char *p, const char **next)
{
    int rc = OK;
    s->line = p;
    if (p == s->end)
        return ERR_MORE;
    if (!s->response && (*p == '\r' || *p == '\n')) { /* RFC 9112 §2.2: one, and no more (row L4) */
        rc = take_eol(s, p, &p);
        s->line = p;
        if (rc == OK && p == s->end)
            rc = ERR_MORE;
        else if (rc == OK && (*p == '\r' || *p == '\n'))
            rc = h1_fail(s, H1_E_LINE);
    }
    if (rc == OK)
        rc = s->response ? take_status_line(s, p, &p) : take_request_line(s, p, &p);
    return rc == OK ? take_fields(s, p, next) : rc;
}

/* Whether bytes that came since the last parse make another one worth it. */
static bool worth_parsing(struct h1_scan *scan, const char *p, size_t n, const struct h1_rules *rules)
{
    size_t from = scan->seen < 2 ? 0 : scan->seen - 2;
    const char *end = p + n, *at = p + from;
    if (n > rules->max_head || n / 2 >= scan->parsed)
        return true;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        if (at < end && (*at == '\n' || (*at == '\r' && end - at > 1 && at[1] == '\n')))
            return true;
        if ((size_t)(at - p) > scan->line)
            scan->line = (uint32_t)(at - p);
    }
    scan->seen = (uint32_t)n;
    return n - scan->line > (size_t)rules->max_line + 1;
}

static void reset(struct h1_head *h)
{
    h->error = H1_OK;
    h->minor = 0;
    h->method = METHOD_OTHER;
    h->line = h->method_text = h->target = h->reason = h->host = SLICE_NONE;
    h->status = 0;
    h->body = (struct body_fact){ .kind = BODY_NONE };
    h->keep_alive = h->chunked = h->has_length = h->expect_continue = h->te_trailers = h->has_upgrade = false;
    h->nfields = h->nhop = h->ndropped = 0;
    h->bare_lf = false;
}

static ptrdiff_t parse(struct h1_head *h, struct h1_scan *scan, const char *p, size_t n, const struct h1_rules *rules,
                       bool response)
{
    struct h1_parse s;
    const char *next = NULL;
    if (scan->seen && !worth_parsing(scan, p, n, rules))
        return ERR_MORE;
    reset(h);
    memset(&s, 0, offsetof(struct h1_parse, other));
    s.h = h;
    s.rules = rules;
    s.end = p + (n > rules->max_head ? rules->max_head : n);
    s.response = response;
    int rc = take_head(&s, p, &next);
    if (rc == OK)
        return next - p;
    if (rc == ERR_MORE && n > rules->max_head)
        rc = h1_fail(&s, H1_E_HEAD_LONG);
    if (rc == ERR_MORE) {
        scan->seen = scan->parsed = (uint32_t)n;
        scan->line = (uint32_t)(s.line - p);
    }
    return rc;
}

ptrdiff_t h1_parse_request(struct h1_head *h, struct h1_scan *scan, const char *p, size_t n,
                           const struct h1_rules *rules)
{
    return parse(h, scan, p, n, rules, false);
}

ptrdiff_t h1_parse_response(struct h1_head *h, struct h1_scan *scan, const char *p, size_t n,
                            const struct h1_rules *rules)
{
    return parse(h, scan, p, n, rules, true);
}
