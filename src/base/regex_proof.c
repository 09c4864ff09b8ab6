#include "base/regex_proof.h"

#include <string.h>

#include "base/attr.h"

enum { STEPS = 200000, NESTING = 32, CHARS = 8, PUMPS = 36 };

/* ---- what can be told at sight ---- */

bool regex_matches_paths(slice pattern)
{
    static const char *const all[] = { "",     "/",     "^/",    "^",    ".",     ".*",     "^.",     "^.*",
                                       "^/.*", "/.*",   "^/.*$", "^.*$", "^(.*)", "^(.*)$", "^/(.*)", "^/(.*)$",
                                       "(.*)", "/(.*)", "^.+$",  ".+",   "^.+",   "^(.+)$", "(.+)" };
    for (size_t i = 0; i < array_len(all); i++) {
        if (slice_eq(pattern, slice_str(all[i])))
            return true;
    }
    return false;
}

static bool is_meta(char c)
{
    return slice_find(SLICE("\\^$.|?*+()[]{}"), c) >= 0;
}

slice regex_literal_prefix(slice pattern)
{
    if (!slice_starts(pattern, SLICE("^")) || slice_find(pattern, '|') >= 0)
        return SLICE_NONE;
    slice s = slice_from(pattern, 1);
    size_t n = 0;
    while (n < s.n && !is_meta(s.p[n]))
        n++;
    if (n && n < s.n && slice_find(SLICE("?*{"), s.p[n]) >= 0)
        n--; /* the last character may be missing */
    return slice_upto(s, n);
}

/* ---- repeated groups that repeat ---- */

/* One reading of the pattern: does it repeat a group without bound that repeats or chooses inside? */
struct reading {
    slice s;
    size_t at;
    bool loose[NESTING]; /* the group that is open at this depth repeats or chooses */
    unsigned depth;
    bool found;
    char chars[CHARS]; /* what could be matched by something in the pattern */
    unsigned nchars;
};

static void offer(struct reading *r, char c)
{
    if (r->nchars < CHARS && !memchr(r->chars, c, r->nchars))
        r->chars[r->nchars++] = c;
}

static char of_class(char letter)
{
    switch (letter) {
    case 'd':
        return '1';
    case 's':
        return ' ';
    case 'w':
    case 'S':
    case 'D':
        return 'a';
    case 'W':
        return '-';
    default:
        return letter;
    }
}

/* Behind '[': past the class; its first members are offered. */
static void read_class(struct reading *r)
{
    bool negated = r->at < r->s.n && r->s.p[r->at] == '^';
    unsigned members = 0;
    if (negated) {
        r->at++;
        offer(r, 'a');
        offer(r, '1');
    }
    for (bool first = true; r->at < r->s.n; first = false) {
        char c = r->s.p[r->at++];
        if (c == ']' && !first)
            return;
        if (c == '\\' && r->at < r->s.n)
            c = of_class(r->s.p[r->at++]);
        if (!negated && members++ < 2)
            offer(r, c);
    }
}

/* Behind an atom: is it repeated without bound? Past the quantifier. */
static bool read_quantifier(struct reading *r)
{
    bool unbounded = false;
    if (r->at < r->s.n && (r->s.p[r->at] == '*' || r->s.p[r->at] == '+')) {
        unbounded = true;
        r->at++;
    } else if (r->at < r->s.n && r->s.p[r->at] == '{') {
        slice rest = slice_from(r->s, r->at);
        ptrdiff_t end = slice_find(rest, '}');
        unbounded = end > 1 && rest.p[end - 1] == ',';
        r->at += end > 0 ? (size_t)end + 1 : 1;
    }
    if (unbounded && r->at < r->s.n && r->s.p[r->at] == '+')
        return false; /* possessive: it never gives back */
    return unbounded;
}

static void open_group(struct reading *r)
{
    if (r->at < r->s.n && r->s.p[r->at] == '?') { /* (?:, (?<name>, (?=: none of it is matched itself */
        while (r->at < r->s.n && slice_find(SLICE(":>=!"), r->s.p[r->at]) < 0)
            r->at++;
        r->at++;
    }
    if (++r->depth < NESTING)
        r->loose[r->depth] = false;
}

static void close_group(struct reading *r)
{
    bool loose = r->depth < NESTING && r->loose[r->depth];
    if (r->depth)
        r->depth--;
    bool repeated = read_quantifier(r);
    r->found |= repeated && loose;
    if (r->depth < NESTING)
        r->loose[r->depth] |= repeated || loose;
}

static void read_atom(struct reading *r, char c)
{
    if (c == '[')
        read_class(r);
    else if (c == '.')
        offer(r, 'a');
    else if (c == '\\' && r->at < r->s.n)
        offer(r, of_class(r->s.p[r->at++]));
    else
        offer(r, c);
    if (read_quantifier(r) && r->depth < NESTING)
        r->loose[r->depth] = true;
}

static void read_pattern(struct reading *r)
{
    while (r->at < r->s.n) {
        char c = r->s.p[r->at++];
        if (c == '(')
            open_group(r);
        else if (c == ')')
            close_group(r);
        else if (c == '|' && r->depth < NESTING)
            r->loose[r->depth] = true;
        else if (c != '^' && c != '$' && c != '?')
            read_atom(r, c);
    }
}

/* ---- the attack ---- */

/* prefix, then x and y in turn, then something that nothing in a path matches. */
static size_t compose(char *to, slice prefix, char x, char y)
{
    size_t n = prefix.n < REGEX_ATTACK_MAX / 2 ? prefix.n : REGEX_ATTACK_MAX / 2;
    if (n)
        memcpy(to, prefix.p, n);
    for (unsigned i = 0; i < PUMPS; i++)
        to[n++] = i % 2 ? y : x;
    to[n++] = '\n'; /* which . does not match */
    to[n++] = '\x01';
    return n;
}

static bool try_pairs(const struct regex *r, const struct reading *p, slice prefix, char *attack, size_t *n)
{
    for (unsigned i = 0; i < p->nchars; i++) {
        for (unsigned k = 0; k < p->nchars; k++) {
            size_t len = compose(attack, prefix, p->chars[i], p->chars[k]);
            if (regex_exceeds(r, slice_of(attack, len), STEPS)) {
                *n = len;
                return true;
            }
        }
    }
    return false;
}

bool regex_explodes(const struct regex *r, slice pattern, char attack[REGEX_ATTACK_MAX], size_t *n)
{
    struct reading p = { .s = pattern };
    read_pattern(&p);
    if (!p.found)
        return false;
    return try_pairs(r, &p, SLICE("/"), attack, n) || try_pairs(r, &p, regex_literal_prefix(pattern), attack, n);
}
