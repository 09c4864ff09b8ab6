#include "http/date.h"

#include <string.h>

#include "base/err.h"

struct civil {
    unsigned year, month, day, hour, minute, second; /* month: from 1 */
};

/* Exactly n digits from the front; a leading blank counts as 0 when allowed. */
static bool take_number(slice *s, size_t n, bool blank, unsigned *out)
{
    unsigned v = 0;
    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = s->p[i];
        if (c == ' ' && blank && i == 0)
            c = '0';
        if (!ascii_digit(c))
            return false;
        v = v * 10 + (unsigned)(c - '0');
    }
    *s = slice_from(*s, n);
    *out = v;
    return true;
}

static bool take_text(slice *s, slice text)
{
    if (!slice_starts(*s, text))
        return false;
    *s = slice_from(*s, text.n);
    return true;
}

static bool take_month(slice *s, unsigned *out)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (unsigned m = 0; m < 12; m++) {
        if (take_text(s, slice_of(names + (size_t)m * 3, 3))) {
            *out = m + 1;
            return true;
        }
    }
    return false;
}

static bool take_time(slice *s, struct civil *c)
{
    return take_number(s, 2, false, &c->hour) && take_text(s, SLICE(":")) && take_number(s, 2, false, &c->minute) &&
           take_text(s, SLICE(":")) && take_number(s, 2, false, &c->second);
}

/* Days since 1970 of a date of the Gregorian calendar (years from March, so that the leap day is the last one). */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* Behind the comma: " 06 Nov 1994 08:49:37 GMT" or " 06-Nov-94 08:49:37 GMT". */
static bool parse_comma(slice s, struct civil *c)
{
    if (!take_text(&s, SLICE(" ")) || !take_number(&s, 2, false, &c->day) || s.n == 0)
        return false;
    bool old = s.p[0] == '-';
    slice between = old ? SLICE("-") : SLICE(" ");
    if (!take_text(&s, between) || !take_month(&s, &c->month) || !take_text(&s, between) ||
        !take_number(&s, old ? 2 : 4, false, &c->year))
        return false;
    if (old)
        c->year += c->year < 70 ? 2000 : 1900;
    return take_text(&s, SLICE(" ")) && take_time(&s, c) && slice_eq(s, SLICE(" GMT"));
}

/* "Sun Nov  6 08:49:37 1994" */
static bool parse_asctime(slice s, struct civil *c)
{
    s = slice_from(s, 3);
    return take_text(&s, SLICE(" ")) && take_month(&s, &c->month) && take_text(&s, SLICE(" ")) &&
           take_number(&s, 2, true, &c->day) && take_text(&s, SLICE(" ")) && take_time(&s, c) &&
           take_text(&s, SLICE(" ")) && take_number(&s, 4, false, &c->year) && s.n == 0;
}

int date_parse(slice s, int64_t *out)
{
    struct civil c = { 0 };
    slice day, rest;
    bool good = slice_cut(s, ',', &day, &rest) ? parse_comma(rest, &c) : s.n > 3 && parse_asctime(s, &c);
    if (!good || c.year < 1970 || c.day < 1 || c.hour > 23 || c.minute > 59 || c.second > 60 ||
        c.day > days_in(c.year, c.month))
        return ERR_SYNTAX;
    *out = days_of(c.year, c.month, c.day) * 86400 + (int64_t)c.hour * 3600 + (int64_t)c.minute * 60 + c.second;
    return OK;
}
