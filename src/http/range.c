#include "http/range.h"

#include "base/checked.h"
#include "base/err.h"

static void skip_blanks(slice *s)
{
    while (s->n && s->p[0] == ' ')
        *s = slice_from(*s, 1);
}

/* 1*DIGIT from the front; false when there is none or it does not fit (nginx: a signed offset). */
static bool take_offset(slice *s, uint64_t *out)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < s->n && ascii_digit(s->p[i]); i++) {
        uint64_t digit = (uint64_t)(s->p[i] - '0');
        if (v > (INT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *s = slice_from(*s, i);
    *out = v;
    return i > 0;
}

/* One element of the list, up to its comma. `r` may come out empty: it lies behind the body then. */
static bool take_spec(slice *s, uint64_t length, struct range *r)
{
    uint64_t first = 0, last;
    skip_blanks(s);
    bool suffix = s->n && s->p[0] == '-';
    if (!suffix) {
        if (!take_offset(s, &first))
            return false;
        skip_blanks(s);
        if (!s->n || s->p[0] != '-')
            return false;
    }
    *s = slice_from(*s, 1);
    if (!suffix) {
        skip_blanks(s);
        if (!s->n || s->p[0] == ',') {
            *r = (struct range){ first, length };
            return true;
        }
    }
    if (!take_offset(s, &last))
        return false;
    skip_blanks(s);
    if (s->n && s->p[0] != ',')
        return false;
    if (suffix)
        *r = (struct range){ last < length ? length - last : 0, length };
    else
        *r = (struct range){ first, last >= length ? length : last + 1 };
    return true;
}

static size_t commas(slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == ',';
    return n;
}

int range_parse(struct arena *a, slice value, uint64_t length, uint64_t max, struct ranges *out)
{
    uint64_t sum = 0;
    struct ranges got = { 0 };
    if (value.n < 7 || !slice_istarts(value, SLICE("bytes=")) || max == 0)
        return ERR_UNSUPPORTED;
    slice s = slice_from(value, 6);
    size_t most = commas(s) + 1;
    most = most < max ? most : (size_t)max;
    got.v = arena_new_n(a, struct range, most);
    if (!got.v)
        return ERR_NOMEM;
    for (;;) {
        struct range r;
        if (!take_spec(&s, length, &r))
            return ERR_RANGE;
        if (r.start < r.end) {
            if (got.n == most || !checked_add_u64(sum, r.end - r.start, &sum))
                return ERR_UNSUPPORTED;
            got.v[got.n++] = r;
        } else if (r.start == 0) {
            return ERR_UNSUPPORTED; /* of an empty body: it is as good as whole */
        }
        if (!s.n)
            break;
        s = slice_from(s, 1);
    }
    if (got.n == 0)
        return ERR_RANGE;
    if (sum > length)
        return ERR_UNSUPPORTED;
    *out = got;
    return OK;
}
