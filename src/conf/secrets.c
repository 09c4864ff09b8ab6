#include "conf/secrets.h"

#include "base/attr.h"

static const char *const assigned[] = { "login=", "password=", "passwd=", "secret=" };
static const char *const fields[] = { "authorization", "proxy-authorization" };
static const char *const schemes[] = { "basic ", "bearer ", "digest " };

static bool is_one_of(slice word, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_ieq(word, slice_str(list[i])))
            return true;
    }
    return false;
}

/* How many bytes of the word stand before the secret that one of the list begins; 0: none does. */
static size_t begins_with(slice word, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        slice s = slice_str(list[i]);
        if (slice_istarts(word, s))
            return s.n;
    }
    return 0;
}

/* "anything:SECRET@host", where what looks like the colon of a scheme is not meant. Where it begins; 0: nowhere. */
static size_t password_of(slice word, size_t *end)
{
    ptrdiff_t at = slice_rfind(word, '@');
    for (size_t i = 0; at > 0 && i < (size_t)at; i++) {
        if (word.p[i] != ':' || word.p[i + 1] == '/')
            continue;
        *end = (size_t)at;
        return i + 1;
    }
    return 0;
}

/* The secret of a word without its quotes: from `from` to `to`; false: it has none. */
static bool secret_of(slice word, size_t *from, size_t *to)
{
    *to = word.n;
    *from = begins_with(word, assigned, array_len(assigned));
    if (!*from)
        *from = begins_with(word, schemes, array_len(schemes));
    if (!*from)
        *from = password_of(word, to);
    return *from && *from < *to;
}

/* The length of the word that begins at p; quoted ones with their quotes. */
static size_t word_length(slice s)
{
    size_t n = 1;
    if (s.p[0] != '"' && s.p[0] != '\'') {
        while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t' && s.p[n] != ';')
            n++;
        return n;
    }
    while (n < s.n && s.p[n] != s.p[0])
        n += s.p[n] == '\\' && n + 1 < s.n ? 2 : 1;
    return n < s.n ? n + 1 : n;
}

static slice unquoted(slice word)
{
    if (word.p[0] != '"' && word.p[0] != '\'')
        return word;
    bool closed = word.n > 1 && word.p[word.n - 1] == word.p[0];
    return slice_of(word.p + 1, word.n - 1 - closed);
}

/* What has been read, and what of it has been written. */
struct masking {
    struct strb *out;
    slice line;
    size_t done;   /* bytes of the line that were written */
    size_t wanted; /* the caller's offset */
    size_t start;  /* of what is appended */
    size_t *at;
};

static void write_upto(struct masking *m, size_t to)
{
    if (m->wanted >= m->done && m->wanted <= to)
        *m->at = m->out->n - m->start + (m->wanted - m->done);
    strb_add(m->out, slice_of(m->line.p + m->done, to - m->done));
    m->done = to;
}

static void hide(struct masking *m, size_t from, size_t to)
{
    write_upto(m, from);
    if (m->wanted > from && m->wanted < to)
        *m->at = m->out->n - m->start;
    strb_lit(m->out, "***");
    m->done = to;
}

void secrets_mask(struct strb *out, slice line, size_t *at)
{
    struct masking m = { .out = out, .line = line, .wanted = *at, .start = out->n, .at = at };
    bool field = false; /* a name before this word says that a secret follows */
    for (size_t i = 0, n; i < line.n; i += n) {
        size_t from, to;
        n = 1;
        if (line.p[i] == ';')
            field = false;
        if (line.p[i] == ';' || line.p[i] == ' ' || line.p[i] == '\t')
            continue;
        n = word_length(slice_from(line, i));
        slice word = unquoted(slice_of(line.p + i, n));
        size_t offset = (size_t)(word.p - line.p);
        if (field && word.n && word.p[0] != '$')
            hide(&m, offset, offset + word.n);
        else if (secret_of(word, &from, &to))
            hide(&m, offset + from, offset + to);
        field = field || is_one_of(word, fields, array_len(fields));
    }
    write_upto(&m, line.n);
}
