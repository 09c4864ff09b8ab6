#include "conf/diag.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/strb.h"
#include "conf/secrets.h"

/* nginx cuts its messages at 1024 bytes too; a line of the source is shown in a window. */
enum { TEXT_MAX = 1024, WINDOW = 120, WINDOW_LEFT = 70 };

void conf_diag_init(struct conf_diag *d, struct arena *a)
{
    *d = (struct conf_diag){ .arena = a };
    d->last = &d->first;
}

const char *conf_severity_name(enum conf_severity s)
{
    switch (s) {
    case CONF_NOTICE:
        return "[notice]";
    case CONF_WARN:
        return "[warn]";
    default:
        return "[emerg]";
    }
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/*
 * Text and hint of a message speak of tokens from hostile files: no byte of them may move a terminal's cursor. Only a
 * hint has lines.
 */
static bool keep_text(struct conf_diag *d, slice raw, bool lines, slice *out)
{
    char mem[TEXT_MAX * 4 + 8];
    struct strb b, plain;
    size_t none = 0;
    strb_init(&plain, 0);
    secrets_mask(&plain, raw, &none);
    slice s = slice_upto(strb_slice(&plain), TEXT_MAX);
    strb_init_fixed(&b, mem, sizeof(mem));
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\t' || (s.p[i] == '\n' && lines) || !is_control(s.p[i]))
            strb_char(&b, s.p[i]);
        else
            strb_printf(&b, "\\x%02x", (unsigned)(unsigned char)s.p[i]);
    }
    if (plain.n > s.n)
        strb_lit(&b, "...");
    bool ok = !plain.failed && arena_dup(d->arena, strb_slice(&b), out);
    strb_done(&plain);
    return ok;
}

/* The whole line that `pos` names; lines are counted from the front because positions keep no offset. */
static slice source_line(const struct conf_pos *pos)
{
    slice rest = pos->file->text;
    for (uint32_t line = 1; line < pos->line && rest.n; line++) {
        ptrdiff_t nl = slice_find(rest, '\n');
        rest = nl < 0 ? SLICE_NONE : slice_from(rest, (size_t)nl + 1);
    }
    ptrdiff_t nl = rest.n ? slice_find(rest, '\n') : -1;
    rest = nl < 0 ? rest : slice_upto(rest, (size_t)nl);
    return rest.n && rest.p[rest.n - 1] == '\r' ? slice_upto(rest, rest.n - 1) : rest;
}

/* Cuts a window around the column, at borders of UTF-8 characters, and makes it printable. */
static bool keep_window(struct conf_diag *d, struct conf_message *m, slice line, size_t column)
{
    size_t from = 0, to;
    if (line.n > WINDOW && column > WINDOW_LEFT)
        from = column - WINDOW_LEFT;
    while (from < column && is_continuation(line.p[from]))
        from++;
    to = line.n - from > WINDOW ? from + WINDOW : line.n;
    while (to < line.n && to > from && is_continuation(line.p[to]))
        to--;
    char mem[WINDOW + 8];
    struct strb b;
    strb_init_fixed(&b, mem, sizeof(mem));
    strb_add(&b, from ? SLICE("...") : SLICE_NONE);
    m->caret = (uint32_t)(b.n + column - from);
    for (size_t i = from; i < to; i++)
        strb_char(&b, is_control(line.p[i]) && line.p[i] != '\t' ? '?' : line.p[i]);
    strb_add(&b, to < line.n ? SLICE("...") : SLICE_NONE);
    return arena_dup(d->arena, strb_slice(&b), &m->source);
}

static bool keep_source(struct conf_diag *d, struct conf_message *m, const struct conf_pos *pos)
{
    struct strb shown;
    slice line = source_line(pos);
    size_t column = pos->column ? pos->column - 1 : 0;
    column = column > line.n ? line.n : column;
    strb_init(&shown, 0);
    secrets_mask(&shown, line, &column);
    bool ok = !shown.failed && keep_window(d, m, strb_slice(&shown), column);
    strb_done(&shown);
    return ok;
}

/* A copy of the file's identity that lives as long as the messages; neighbours share one. */
static const struct conf_file *keep_file(struct conf_diag *d, const struct conf_file *file)
{
    for (const struct conf_message *m = d->first; m; m = m->next) {
        if (m->pos.file && slice_eq(m->pos.file->path, file->path))
            return m->pos.file;
    }
    struct conf_file *f = arena_new(d->arena, struct conf_file);
    if (!f || !arena_dup(d->arena, file->path, &f->path))
        return NULL;
    f->given = file->given;
    return f;
}

static bool same_place(const struct conf_message *m, const struct conf_pos *pos)
{
    if (!m->pos.file || !pos->file)
        return !m->pos.file && !pos->file;
    return m->pos.line == pos->line && m->pos.column == pos->column && slice_eq(m->pos.file->path, pos->file->path);
}

/* A file that is included twice says everything twice; once is enough. */
static bool is_known(const struct conf_diag *d, const struct conf_pos *pos, slice text)
{
    for (const struct conf_message *m = d->first; m; m = m->next) {
        if (same_place(m, pos) && slice_eq(m->text, text))
            return true;
    }
    return false;
}

static bool keep_message(struct conf_diag *d, enum conf_severity sev, const struct conf_pos *pos, slice hint,
                         slice text)
{
    struct conf_message *m = d->kept < CONF_MAX_MESSAGES ? arena_new(d->arena, struct conf_message) : NULL;
    if (!m)
        return false;
    m->severity = sev;
    m->text = text;
    if (hint.n && !keep_text(d, hint, true, &m->hint))
        return false;
    if (pos->file) {
        m->pos = *pos;
        m->pos.file = keep_file(d, pos->file);
        if (!m->pos.file || !keep_source(d, m, pos))
            return false;
        /* nginx gives a parameter of the command line no line number; a longer text of ours needs one */
        m->numbered = !pos->file->given || slice_find(pos->file->text, '\n') >= 0;
    }
    d->kept++;
    *d->last = m;
    d->last = &m->next;
    return true;
}

void conf_diag_add(struct conf_diag *d, enum conf_severity sev, struct conf_pos pos, slice hint, const char *fmt, ...)
{
    char raw[TEXT_MAX + 2]; /* room to see that it is too long */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n;
    slice text = SLICE_NONE;
    bool ok = keep_text(d, slice_upto(slice_of(raw, sizeof(raw) - 1), len), false, &text);
    if (ok && is_known(d, &pos, text))
        return;
    ok = ok && keep_message(d, sev, &pos, hint, text);
    d->dropped += !ok;
    d->errors += sev == CONF_EMERG || (sev == CONF_WARN && d->strict);
    d->warnings += sev == CONF_WARN && !d->strict;
}

static void add_place(struct strb *b, const struct conf_message *m)
{
    if (!m->pos.file)
        return;
    strb_printf(b, " in %.*s", SLICE_FMT(m->pos.file->path));
    if (m->numbered)
        strb_printf(b, ":%u", m->pos.line);
}

/* The source line behind its line and column, and a caret below; tabs stay tabs so that both lines agree. */
static void add_source(struct strb *b, const struct conf_message *m)
{
    if (!m->pos.file || !m->source.n)
        return;
    char gutter[32];
    int n = snprintf(gutter, sizeof(gutter), "%u:%u", m->pos.line, m->pos.column);
    strb_printf(b, "\n%8s | %.*s\n%*s | ", gutter, SLICE_FMT(m->source), n < 8 ? 8 : n, "");
    for (size_t i = 0; i < m->caret && i < m->source.n; i++) {
        if (m->source.p[i] == '\t')
            strb_char(b, '\t');
        else if (!is_continuation(m->source.p[i]))
            strb_char(b, ' ');
    }
    strb_char(b, '^');
}

static void add_hint(struct strb *b, slice hint)
{
    slice line = hint, rest = SLICE_NONE;
    for (; hint.n; hint = rest) {
        line = hint;
        rest = SLICE_NONE;
        slice_cut(hint, '\n', &line, &rest);
        strb_printf(b, "\n%8s   %.*s", "", SLICE_FMT(line));
    }
}

slice conf_message_text(struct arena *a, const struct conf_message *m)
{
    struct strb b;
    slice out = SLICE_NONE;
    strb_init(&b, 0);
    strb_printf(&b, "%s %.*s", conf_severity_name(m->severity), SLICE_FMT(m->text));
    add_place(&b, m);
    add_source(&b, m);
    add_hint(&b, m->hint);
    if (!b.failed)
        arena_dup(a, strb_slice(&b), &out);
    strb_done(&b);
    return out;
}
