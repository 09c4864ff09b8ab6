/*
 * A pattern is read as a row of elements: characters, groups of alternatives, and what is not understood. From its
 * front (behind '^') and from its back (before '$') texts are composed until something is not understood. They become
 * sets of characters by position, and those become rows of bits: row[position][character], one bit a pattern.
 */
#include "base/regex_filter.h"

#include <string.h>

/* ---- reading a pattern ---- */

enum { ELEMENTS = 128, TEXTS = 32, HEAD = 16, TAIL = 8 };

enum element_kind { ELEMENT_CHAR, ELEMENT_GROUP, ELEMENT_OTHER };

struct element {
    enum element_kind kind;
    char c;
    bool once;  /* not followed by a quantifier */
    bool least; /* there is at least one of it */
    slice body; /* of a group: its alternatives */
};

struct reader {
    slice p;
    size_t at;
};

static char peek(const struct reader *r, size_t ahead)
{
    return r->at + ahead < r->p.n ? r->p.p[r->at + ahead] : '\0';
}

static bool is_literal(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || (c && slice_find(SLICE("/-_,;:=&%@~!'\"<>#"), c) >= 0);
}

/* After a backslash these mean themselves; letters and digits do not. */
static bool is_punctuation(char c)
{
    return c > ' ' && c < 0x7f && !ascii_alpha(c) && !ascii_digit(c);
}

/* Moves behind the class that begins here; false when it does not end. */
static bool skip_class(struct reader *r)
{
    r->at++;
    if (peek(r, 0) == '^')
        r->at++;
    if (peek(r, 0) == ']')
        r->at++; /* the first one is a member */
    for (; r->at < r->p.n && peek(r, 0) != ']'; r->at++) {
        if (peek(r, 0) == '\\') {
            r->at++;
        } else if (peek(r, 0) == '[' && peek(r, 1) == ':') {
            size_t end = r->at + 2;
            while (end < r->p.n && (ascii_alpha(r->p.p[end]) || r->p.p[end] == '^'))
                end++;
            if (slice_starts(slice_from(r->p, end), SLICE(":]")))
                r->at = end + 1;
        }
    }
    return r->at++ < r->p.n;
}

/*
 * Moves behind the group that begins here; *body: what is between its parentheses, when it is a plain one. false: it
 * does not end, or changes what stands around it (a setting, a verb, a condition, a comment).
 */
static bool skip_group(struct reader *r, slice *body, bool *plain)
{
    size_t start = ++r->at, depth = 1;
    *plain = peek(r, 0) != '?';
    if (peek(r, 0) == '*' || (!*plain && (!peek(r, 1) || slice_find(SLICE(":=!<>P'|"), peek(r, 1)) < 0)))
        return false;
    if (peek(r, 0) == '?' && peek(r, 1) == ':') {
        start = r->at += 2;
        *plain = true;
    }
    while (r->at < r->p.n) {
        char c = peek(r, 0);
        if (c == '\\') {
            if (!peek(r, 1) || peek(r, 1) == 'Q' || peek(r, 1) == 'E')
                return false;
            r->at += 2;
        } else if (c == '[') {
            if (!skip_class(r))
                return false;
        } else {
            char kind = peek(r, 2);
            if (c == '(' &&
                (peek(r, 1) == '*' || (peek(r, 1) == '?' && (!kind || slice_find(SLICE(":=!<>P'|"), kind) < 0))))
                return false;
            depth += c == '(';
            depth -= c == ')';
            r->at++;
            if (depth == 0) {
                *body = slice_of(r->p.p + start, r->at - 1 - start);
                return true;
            }
        }
    }
    return false;
}

/* The quantifier behind an element, if there is one. A '{' counts as one whatever follows it. */
static void read_quantifier(struct reader *r, struct element *e)
{
    char c = peek(r, 0);
    e->once = c != '*' && c != '+' && c != '?' && c != '{';
    e->least = e->once || c == '+';
    if (e->once)
        return;
    r->at++;
    while (c == '{' && r->at < r->p.n && peek(r, 0) != '}' && (ascii_digit(peek(r, 0)) || peek(r, 0) == ','))
        r->at++;
    if (c == '{' && peek(r, 0) == '}')
        r->at++;
    if (peek(r, 0) == '?' || peek(r, 0) == '+')
        r->at++;
}

/* An escape: a character, or something that is not understood; its further parts ("\x41") then are not either. */
static bool read_escape(struct reader *r, struct element *e)
{
    char c = peek(r, 1);
    if (!c || c == 'Q' || c == 'E' || c == 'c')
        return false;
    e->kind = is_punctuation(c) ? ELEMENT_CHAR : ELEMENT_OTHER;
    e->c = c;
    r->at += 2;
    if (e->kind == ELEMENT_CHAR || slice_find(SLICE("dDwWsSbBhHvVRAzZGKN"), c) >= 0)
        return true;
    while (r->at < r->p.n && slice_find(SLICE("*+?({["), peek(r, 0)) < 0 && is_literal(peek(r, 0)))
        r->at++; /* digits of "\x41", the name of "\k'n'": more than enough of what follows is left out */
    return peek(r, 0) != '{';
}

/* false: the pattern as a whole is not understood. */
static bool read_element(struct reader *r, struct element *e)
{
    char c = peek(r, 0);
    bool plain = false;
    *e = (struct element){ .kind = ELEMENT_OTHER, .c = c };
    if (c == '\\') {
        if (!read_escape(r, e))
            return false;
    } else if (c == '[') {
        if (!skip_class(r))
            return false;
    } else if (c == '(') {
        if (!skip_group(r, &e->body, &plain))
            return false;
        e->kind = plain ? ELEMENT_GROUP : ELEMENT_OTHER;
    } else if (c == '|' || c == ')') {
        return false;
    } else {
        e->kind = is_literal(c) ? ELEMENT_CHAR : ELEMENT_OTHER;
        r->at++;
    }
    if (c != '^' && c != '$')
        read_quantifier(r, e);
    return true;
}

struct elements {
    struct element v[ELEMENTS];
    unsigned n;
};

static bool read_elements(slice text, struct elements *out)
{
    struct reader r = { .p = text };
    out->n = 0;
    while (r.at < text.n) {
        if (out->n == ELEMENTS || !read_element(&r, &out->v[out->n++]))
            return false;
    }
    return true;
}

/* ---- composing texts ---- */

/* Texts of which every subject begins (or, read backwards, ends) with one. */
struct text {
    char c[HEAD];
    uint8_t n;
    bool closed; /* nothing is known of what follows */
};

struct texts {
    struct text v[TEXTS];
    unsigned n;
};

static void close_all(struct texts *t)
{
    for (unsigned i = 0; i < t->n; i++)
        t->v[i].closed = true;
}

static void append(struct text *t, char c)
{
    if (t->closed)
        return;
    if (t->n < HEAD)
        t->c[t->n++] = c;
    t->closed = t->n == HEAD;
}

/* The next alternative of a group's body; nested groups were stepped over by whoever cut the body out. */
static bool next_alternative(slice *body, slice *one)
{
    struct reader r = { .p = *body };
    slice inner;
    bool plain;
    while (r.at < body->n && peek(&r, 0) != '|') {
        if (peek(&r, 0) == '\\')
            r.at += 2;
        else if (peek(&r, 0) == '[' ? !skip_class(&r) : peek(&r, 0) == '(' ? !skip_group(&r, &inner, &plain) : !++r.at)
            return false;
    }
    size_t end = r.at < body->n ? r.at : body->n;
    *one = slice_upto(*body, end);
    *body = end < body->n ? slice_from(*body, end + 1) : SLICE_NONE;
    return true;
}

/* What an alternative adds: its characters in walking direction until one is not understood. */
static void extend(struct text *t, slice alternative, bool back)
{
    struct elements inner;
    if (!read_elements(alternative, &inner)) {
        t->closed = true;
        return;
    }
    for (unsigned i = 0; i < inner.n && !t->closed; i++) {
        const struct element *e = &inner.v[back ? inner.n - 1 - i : i];
        if (e->kind == ELEMENT_CHAR && e->least)
            append(t, e->c);
        t->closed = t->closed || e->kind != ELEMENT_CHAR || !e->once;
    }
}

/* Each text so far with each alternative. false: too many, and nothing was changed. */
static bool multiply(struct texts *t, slice body, bool back)
{
    struct texts out;
    slice one;
    bool more = true;
    out.n = 0;
    while (more) {
        const char *before = body.p;
        if (!next_alternative(&body, &one))
            return false;
        more = body.p && body.p != before;
        for (unsigned i = 0; i < t->n; i++) {
            if (out.n == TEXTS)
                return false;
            out.v[out.n] = t->v[i];
            if (!t->v[i].closed)
                extend(&out.v[out.n], one, back);
            out.n++;
        }
    }
    *t = out;
    return true;
}

static void compose(const struct elements *all, bool back, struct texts *t)
{
    *t = (struct texts){ .n = 1 };
    for (unsigned i = 1; i < all->n; i++) { /* the first one is the anchor */
        const struct element *e = &all->v[back ? all->n - 1 - i : i];
        if (e->kind == ELEMENT_CHAR && e->least) {
            for (unsigned k = 0; k < t->n; k++)
                append(&t->v[k], e->c);
        } else if (e->kind != ELEMENT_GROUP || !e->once || !multiply(t, e->body, back)) {
            break;
        }
        if (!e->once)
            break;
    }
    close_all(t);
}

/* ---- the table ---- */

struct regex_filter {
    unsigned words, nclasses;
    uint8_t class[256]; /* 0: a character that no pattern names */
    uint64_t *rows;     /* [position][class, or nclasses for "there is none"][word] */
    uint64_t *anyhow;   /* bit per pattern: nothing is known of it */
};

enum { POSITIONS = HEAD + TAIL };

/* The texts of both ends of one pattern; n 0: nothing is known. */
struct ends {
    struct texts head, tail;
};

static void find_ends(const struct regex_pattern *p, struct ends *out)
{
    struct elements all;
    out->head.n = out->tail.n = 0;
    if (!read_elements(p->text, &all) || all.n < 2)
        return;
    if (all.v[0].kind == ELEMENT_OTHER && all.v[0].c == '^')
        compose(&all, false, &out->head);
    if (all.v[all.n - 1].kind == ELEMENT_OTHER && all.v[all.n - 1].c == '$')
        compose(&all, true, &out->tail);
}

static char other_case(char c)
{
    return ascii_alpha(c) ? (char)(c ^ 0x20) : c;
}

static void name_class(struct regex_filter *f, char c)
{
    uint8_t *class = &f->class[(uint8_t)c];
    if (!*class)
        *class = (uint8_t)f->nclasses++;
}

static void name_classes(struct regex_filter *f, const struct texts *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        for (unsigned k = 0; k < t->v[i].n; k++) {
            name_class(f, t->v[i].c[k]);
            name_class(f, other_case(t->v[i].c[k]));
        }
    }
}

static uint64_t *row_of(const struct regex_filter *f, unsigned position, unsigned class)
{
    return f->rows + ((size_t)position * (f->nclasses + 1) + class) * f->words;
}

static void set(uint64_t *bits, unsigned i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

/* At a position that some text does not reach, everything is possible; else what the texts have there. */
static void fill_position(struct regex_filter *f, unsigned position, unsigned at, const struct texts *t, unsigned i,
                          bool icase)
{
    bool open = t->n == 0;
    for (unsigned k = 0; k < t->n; k++)
        open = open || t->v[k].n <= at;
    for (unsigned class = 0; open && class <= f->nclasses; class ++)
        set(row_of(f, position, class), i);
    for (unsigned k = 0; !open && k < t->n; k++) {
        char c = t->v[k].c[at];
        set(row_of(f, position, f->class[(uint8_t)c]), i);
        if (icase)
            set(row_of(f, position, f->class[(uint8_t)other_case(c)]), i);
    }
}

static bool says_nothing(const struct texts *t)
{
    bool nothing = t->n == 0;
    for (unsigned i = 0; i < t->n; i++)
        nothing = nothing || t->v[i].n == 0;
    return nothing;
}

static void fill(struct regex_filter *f, const struct ends *e, unsigned i, bool icase)
{
    for (unsigned at = 0; at < HEAD; at++)
        fill_position(f, at, at, &e->head, i, icase);
    for (unsigned at = 0; at < TAIL; at++)
        fill_position(f, HEAD + at, at, &e->tail, i, icase);
    if (says_nothing(&e->head) && says_nothing(&e->tail))
        set(f->anyhow, i);
}

struct regex_filter *regex_filter_new(struct arena *a, const struct regex_pattern *patterns, unsigned n)
{
    struct ends ends;
    struct regex_filter *f = arena_new(a, struct regex_filter);
    if (!f)
        return NULL;
    f->words = (n + 63) / 64;
    f->nclasses = 1;
    for (unsigned i = 0; i < n; i++) {
        find_ends(&patterns[i], &ends);
        name_classes(f, &ends.head);
        name_classes(f, &ends.tail);
    }
    f->rows = arena_new_n(a, uint64_t, (size_t)POSITIONS * (f->nclasses + 1) * f->words);
    f->anyhow = arena_new_n(a, uint64_t, f->words);
    if (!f->rows || !f->anyhow)
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        find_ends(&patterns[i], &ends);
        fill(f, &ends, i, patterns[i].icase);
    }
    return f;
}

/* And-s a row in; true while a pattern of which something is known is left. */
static bool narrow(const struct regex_filter *f, const uint64_t *row, uint64_t *possible)
{
    uint64_t left = 0;
    for (unsigned w = 0; w < f->words; w++) {
        possible[w] &= row[w];
        left |= possible[w] & ~f->anyhow[w];
    }
    return left;
}

unsigned regex_filter_run(const struct regex_filter *f, slice subject, uint64_t *possible)
{
    bool left = true;
    memset(possible, 0xff, f->words * sizeof(*possible));
    for (unsigned at = 0; left && at < HEAD && at <= subject.n; at++) {
        unsigned class = at < subject.n ? f->class[(uint8_t)subject.p[at]] : f->nclasses;
        left = narrow(f, row_of(f, at, class), possible);
    }
    if (subject.n && subject.p[subject.n - 1] == '\n')
        return f->words; /* '$' matches before it, too */
    for (unsigned at = 0; left && at < TAIL && at <= subject.n; at++) {
        unsigned class = at < subject.n ? f->class[(uint8_t)subject.p[subject.n - 1 - at]] : f->nclasses;
        left = narrow(f, row_of(f, HEAD + at, class), possible);
    }
    return f->words;
}
