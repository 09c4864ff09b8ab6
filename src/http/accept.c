#include "http/accept.h"

/* A weight: 0 or 1, then at most three digits, 1.000 at most. False also for one of 0. */
static bool weight_above_zero(slice s)
{
    if (s.n == 0 || (s.p[0] != '0' && s.p[0] != '1'))
        return false;
    bool one = s.p[0] == '1', any = one;
    if (s.n > 1 && s.p[1] != '.')
        return false;
    if (s.n > 5)
        return false;
    for (size_t i = 2; i < s.n; i++) {
        if (!ascii_digit(s.p[i]) || (one && s.p[i] != '0'))
            return false;
        any = any || s.p[i] != '0';
    }
    return any;
}

/* What stands behind the name: nothing, or ";q=WEIGHT". */
static bool parameters_accept(slice rest)
{
    rest = slice_trim(rest);
    if (rest.n == 0)
        return true;
    if (rest.p[0] != ';')
        return false;
    rest = slice_trim(slice_from(rest, 1));
    if (rest.n == 0)
        return true;
    return slice_istarts(rest, SLICE("q=")) && weight_above_zero(slice_from(rest, 2));
}

static bool is_end_of_name(slice s, size_t at)
{
    return at == s.n || s.p[at] == ';' || s.p[at] == ' ' || s.p[at] == '\t';
}

bool accept_coding(slice value, slice coding)
{
    slice rest = value, one;
    bool more = true;
    while (more) {
        one = rest;
        more = slice_cut(rest, ',', &one, &rest);
        one = slice_trim(one);
        if (slice_istarts(one, coding) && is_end_of_name(one, coding.n))
            return parameters_accept(slice_from(one, coding.n));
    }
    return false;
}

bool accepts_coding(const struct fields *request, slice coding)
{
    for (uint32_t i = 0; i < request->n; i++) {
        if (request->v[i].token == TOK_ACCEPT_ENCODING && accept_coding(request->v[i].value, coding))
            return true;
    }
    return false;
}
