#include "conf/units.h"

#include "base/err.h"

static int scaled(slice s, uint64_t scale, uint64_t *out)
{
    uint64_t v;
    int r = slice_to_u64(s, &v);
    if (r < 0)
        return r;
    if (__builtin_mul_overflow(v, scale, &v) || v > INT64_MAX)
        return ERR_RANGE;
    *out = v;
    return OK;
}

static int bytes(slice s, bool giga, uint64_t *out)
{
    if (s.n == 0)
        return ERR_SYNTAX;
    slice digits = slice_upto(s, s.n - 1);
    switch (ascii_lower(s.p[s.n - 1])) {
    case 'k':
        return scaled(digits, 1024, out);
    case 'm':
        return scaled(digits, 1024 * 1024, out);
    case 'g':
        return giga ? scaled(digits, 1024 * 1024 * 1024, out) : ERR_SYNTAX;
    default:
        return scaled(s, 1, out);
    }
}

int conf_size(slice s, uint64_t *out)
{
    return bytes(s, false, out);
}

int conf_offset(slice s, uint64_t *out)
{
    return bytes(s, true, out);
}

/* Units from large to small: each may stand once, and only behind larger ones. Letter case counts (M is not m). */
static const struct time_unit {
    const char *name;
    uint64_t ms;
} time_units[] = {
    { "y", 365ull * 86400 * 1000 },
    { "M", 30ull * 86400 * 1000 },
    { "w", 7ull * 86400 * 1000 },
    { "d", 86400ull * 1000 },
    { "h", 3600ull * 1000 },
    { "m", 60ull * 1000 },
    { "s", 1000 },
    { "ms", 1 },
};

enum { NUNITS = sizeof(time_units) / sizeof(time_units[0]), UNIT_S = 6, UNIT_MS = 7 };

/* The unit at the front of *s, which is consumed; a bare number is seconds. NUNITS when there is no such unit. */
static size_t take_unit(slice *s)
{
    if (s->n == 0 || s->p[0] == ' ')
        return UNIT_S;
    if (slice_starts(*s, SLICE("ms"))) {
        *s = slice_from(*s, 2);
        return UNIT_MS;
    }
    for (size_t i = 0; i < UNIT_MS; i++) {
        if (s->p[0] == time_units[i].name[0]) {
            *s = slice_from(*s, 1);
            return i;
        }
    }
    return NUNITS;
}

static int take_number(slice *s, uint64_t *v)
{
    size_t n = 0;
    while (n < s->n && ascii_digit(s->p[n]))
        n++;
    int r = slice_to_u64(slice_upto(*s, n), v);
    if (r == OK)
        *s = slice_from(*s, n);
    return r;
}

static int time_sum(slice s, bool whole_seconds, uint64_t *out)
{
    uint64_t total = 0, v;
    size_t next = 0; /* smallest unit that may still come */
    if (s.n == 0)
        return ERR_SYNTAX;
    while (s.n) {
        int r = take_number(&s, &v);
        if (r < 0)
            return r;
        bool bare = s.n == 0 || s.p[0] == ' ';
        size_t unit = take_unit(&s);
        if (unit < next || unit == NUNITS || (whole_seconds && unit == UNIT_MS))
            return ERR_SYNTAX;
        next = bare ? NUNITS : unit + 1;
        if (__builtin_mul_overflow(v, time_units[unit].ms, &v) || __builtin_add_overflow(total, v, &total) ||
            total > INT64_MAX)
            return ERR_RANGE;
        while (s.n && s.p[0] == ' ')
            s = slice_from(s, 1);
    }
    *out = total;
    return OK;
}

int conf_msec(slice s, uint64_t *ms)
{
    return time_sum(s, false, ms);
}

int conf_sec(slice s, uint64_t *sec)
{
    uint64_t ms;
    int r = time_sum(s, true, &ms);
    if (r == OK)
        *sec = ms / 1000;
    return r;
}
