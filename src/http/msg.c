/*
 * Lists of fields, and the two small vocabularies: methods and reason phrases. Lists are short and read in order, so
 * they are arrays that are walked; a field that is known is found by its token alone.
 */
#include "http/msg.h"

#include "base/attr.h"
#include "base/checked.h"

/* A full array is left behind in the arena: lists grow rarely, and never by more than double. */
static bool grow(struct arena *a, struct fields *f)
{
    uint32_t cap = f->cap ? f->cap : 8;
    size_t bytes;
    if (f->cap && __builtin_mul_overflow(cap, 2u, &cap))
        return false;
    if (!checked_mul(cap, sizeof(struct field), &bytes))
        return false;
    struct field *v = arena_alloc(a, bytes);
    if (!v)
        return false;
    if (f->n)
        memcpy(v, f->v, f->n * sizeof(struct field));
    f->v = v;
    f->cap = cap;
    return true;
}

void fields_expect(struct arena *a, struct fields *f, uint32_t n)
{
    f->v = arena_new_n(a, struct field, n);
    f->n = 0;
    f->cap = f->v ? n : 0;
}

bool fields_add(struct arena *a, struct fields *f, struct field field)
{
    if (f->n == f->cap && !grow(a, f))
        return false;
    f->v[f->n++] = field;
    return true;
}

const struct field *fields_find(const struct fields *f, enum token t)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].token == t)
            return &f->v[i];
    }
    return NULL;
}

const struct field *fields_named(const struct fields *f, slice name)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (slice_ieq(f->v[i].name, name))
            return &f->v[i];
    }
    return NULL;
}

void fields_remove(struct fields *f, enum token t)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].token != t)
            f->v[kept++] = f->v[i];
    }
    f->n = kept;
}

#define METHOD(m) [METHOD_##m] = { #m, sizeof(#m) - 1 }

static const slice methods[METHOD_COUNT] = {
    METHOD(GET),   METHOD(HEAD),  METHOD(POST),    METHOD(PUT),      METHOD(DELETE),    METHOD(OPTIONS),
    METHOD(PATCH), METHOD(TRACE), METHOD(CONNECT), METHOD(PROPFIND), METHOD(PROPPATCH), METHOD(MKCOL),
    METHOD(COPY),  METHOD(MOVE),  METHOD(LOCK),    METHOD(UNLOCK),   METHOD(PURGE),
};

/* A walk in order of likelihood: a GET is found at the first comparison. */
enum method method_find(slice name)
{
    for (unsigned m = METHOD_OTHER + 1; m < METHOD_COUNT; m++) {
        if (methods[m].n == name.n && memcmp(methods[m].p, name.p, name.n) == 0)
            return m;
    }
    return METHOD_OTHER;
}

slice method_name(enum method m)
{
    return methods[m];
}

/* As the IANA registry of methods has it; PURGE is in none, so it is not. */
bool method_idempotent(enum method m)
{
    switch (m) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_PUT:
    case METHOD_DELETE:
    case METHOD_OPTIONS:
    case METHOD_TRACE:
    case METHOD_PROPFIND:
    case METHOD_PROPPATCH:
    case METHOD_MKCOL:
    case METHOD_COPY:
    case METHOD_MOVE:
    case METHOD_UNLOCK:
        return true;
    default:
        return false;
    }
}

static const struct {
    uint16_t status;
    slice text;
} reasons[] = {
#define REASON(status, text)       \
    {                              \
        status,                    \
        {                          \
            text, sizeof(text) - 1 \
        }                          \
    }
    REASON(200, "OK"),
    REASON(304, "Not Modified"),
    REASON(404, "Not Found"),
    REASON(302, "Found"),
    REASON(301, "Moved Permanently"),
    REASON(206, "Partial Content"),
    REASON(204, "No Content"),
    REASON(100, "Continue"),
    REASON(101, "Switching Protocols"),
    REASON(102, "Processing"),
    REASON(103, "Early Hints"),
    REASON(201, "Created"),
    REASON(202, "Accepted"),
    REASON(203, "Non-Authoritative Information"),
    REASON(205, "Reset Content"),
    REASON(207, "Multi-Status"),
    REASON(208, "Already Reported"),
    REASON(226, "IM Used"),
    REASON(300, "Multiple Choices"),
    REASON(303, "See Other"),
    REASON(305, "Use Proxy"),
    REASON(307, "Temporary Redirect"),
    REASON(308, "Permanent Redirect"),
    REASON(400, "Bad Request"),
    REASON(401, "Unauthorized"),
    REASON(402, "Payment Required"),
    REASON(403, "Forbidden"),
    REASON(405, "Method Not Allowed"),
    REASON(406, "Not Acceptable"),
    REASON(407, "Proxy Authentication Required"),
    REASON(408, "Request Timeout"),
    REASON(409, "Conflict"),
    REASON(410, "Gone"),
    REASON(411, "Length Required"),
    REASON(412, "Precondition Failed"),
    REASON(413, "Content Too Large"),
    REASON(414, "URI Too Long"),
    REASON(415, "Unsupported Media Type"),
    REASON(416, "Range Not Satisfiable"),
    REASON(417, "Expectation Failed"),
    REASON(421, "Misdirected Request"),
    REASON(422, "Unprocessable Content"),
    REASON(423, "Locked"),
    REASON(424, "Failed Dependency"),
    REASON(425, "Too Early"),
    REASON(426, "Upgrade Required"),
    REASON(428, "Precondition Required"),
    REASON(429, "Too Many Requests"),
    REASON(431, "Request Header Fields Too Large"),
    REASON(451, "Unavailable For Legal Reasons"),
    REASON(500, "Internal Server Error"),
    REASON(501, "Not Implemented"),
    REASON(502, "Bad Gateway"),
    REASON(503, "Service Unavailable"),
    REASON(504, "Gateway Timeout"),
    REASON(505, "HTTP Version Not Supported"),
    REASON(506, "Variant Also Negotiates"),
    REASON(507, "Insufficient Storage"),
    REASON(508, "Loop Detected"),
    REASON(511, "Network Authentication Required"),
};

slice status_reason(unsigned status)
{
    for (size_t i = 0; i < array_len(reasons); i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return SLICE_NONE;
}
