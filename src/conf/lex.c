#include "conf/lex.h"

#include "base/checked.h"

void lex_init(struct lexer *lx, struct arena *a, const struct conf_file *file)
{
    *lx = (struct lexer){ .arena = a, .file = file, .line = 1 };
    lx->at = lx->line_start = file->text.n ? file->text.p : "";
    lx->end = lx->at + file->text.n;
}

static struct conf_pos here(const struct lexer *lx)
{
    size_t column = (size_t)(lx->at - lx->line_start) + 1;
    return (struct conf_pos){ lx->file, lx->line, column > UINT32_MAX ? UINT32_MAX : (uint32_t)column };
}

/* Consumes one byte and counts lines. */
static char take(struct lexer *lx)
{
    char c = *lx->at++;
    if (c == '\n') {
        lx->line++;
        lx->line_start = lx->at;
    }
    return c;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_comment(struct lexer *lx)
{
    const char *nl = memchr(lx->at, '\n', (size_t)(lx->end - lx->at));
    lx->at = nl ? nl : lx->end;
}

static void skip_blank(struct lexer *lx)
{
    while (lx->at < lx->end) {
        if (is_space(*lx->at)) {
            take(lx);
            lx->glued = false;
        } else if (*lx->at == '#' && !lx->glued) {
            skip_comment(lx);
        } else {
            return;
        }
    }
}

static enum lex_kind bad(struct lexer *lx, slice text)
{
    lx->error = text;
    lx->glued = false;
    return text.p ? LEX_BAD : LEX_NOMEM;
}

/* A file with NUL bytes is no configuration: the rest of it is not looked at. */
static enum lex_kind nul_byte(struct lexer *lx)
{
    lx->pos = here(lx);
    lx->at = lx->end;
    return bad(lx, SLICE("unexpected NUL byte"));
}

slice lex_unexpected_end(const struct conf_file *file)
{
    if (file->given)
        return SLICE("unexpected end of parameter, expecting \";\"");
    return SLICE("unexpected end of file, expecting \";\" or \"}\"");
}

/* The byte that a backslash and `c` stand for, or -1 when the backslash stays. */
static int escape_value(char c)
{
    switch (c) {
    case '"':
    case '\'':
    case '\\':
        return c;
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'n':
        return '\n';
    default:
        return -1;
    }
}

/* Resolves escapes into the arena. Resolving only shortens, so the raw length bounds the copy. */
static bool resolve(struct lexer *lx, slice raw, slice *out)
{
    size_t cap, n = 0;
    char *dst = checked_add(raw.n, 1, &cap) ? arena_bytes(lx->arena, cap) : NULL;
    if (!dst)
        return false;
    for (size_t i = 0; i < raw.n; i++) {
        int v = raw.p[i] == '\\' && i + 1 < raw.n ? escape_value(raw.p[i + 1]) : -1;
        if (v >= 0)
            i++;
        dst[n++] = v >= 0 ? (char)v : raw.p[i];
    }
    dst[n] = '\0';
    *out = slice_of(dst, n);
    return true;
}

static bool ends_word(char c, char quote)
{
    return quote ? c == quote : is_space(c) || c == ';' || c == '{';
}

/* Why the scan of a word stopped. */
enum scan { SCAN_DONE, SCAN_EOF, SCAN_NUL, SCAN_LONG };

/* Consumes up to the byte that ends the word, which stays. */
static enum scan scan_word(struct lexer *lx, char quote)
{
    const char *start = lx->at;
    bool dollar = false;
    while (lx->at < lx->end) {
        char c = *lx->at;
        if (c == '\0')
            return SCAN_NUL;
        /* behind a '$' any number of '{' belongs to the word */
        if (c != '{' || !dollar) {
            dollar = c == '$';
            if (ends_word(c, quote))
                return SCAN_DONE;
        }
        if (lx->at - start >= CONF_MAX_TOKEN)
            return SCAN_LONG;
        take(lx);
        if (c == '\\' && lx->at < lx->end && *lx->at != '\0')
            take(lx);
    }
    return SCAN_EOF;
}

static enum lex_kind scan_failed(struct lexer *lx, enum scan why, char quote, slice raw)
{
    switch (why) {
    case SCAN_EOF:
        if (quote)
            lx->opened = lx->pos;
        lx->pos = here(lx);
        return bad(lx, lex_unexpected_end(lx->file));
    case SCAN_NUL:
        return nul_byte(lx);
    default:
        if (quote)
            return bad(lx, arena_printf(lx->arena, "too long parameter, probably missing terminating \"%c\" character",
                                        quote));
        return bad(lx,
                   arena_printf(lx->arena, "too long parameter \"%.*s...\" started", SLICE_FMT(slice_upto(raw, 10))));
    }
}

static enum lex_kind lex_word(struct lexer *lx)
{
    char quote = *lx->at == '"' || *lx->at == '\'' ? take(lx) : '\0';
    const char *start = lx->at;
    enum scan r = scan_word(lx, quote);
    slice raw = slice_of(start, (size_t)(lx->at - start));
    if (r != SCAN_DONE)
        return scan_failed(lx, r, quote, raw);
    if (quote)
        take(lx);
    lx->word = (struct conf_arg){ .quoted = quote != '\0', .pos = lx->pos };
    if (!resolve(lx, raw, &lx->word.text))
        return LEX_NOMEM;
    lx->glued = quote != '\0';
    return LEX_WORD;
}

static enum lex_kind punctuation(struct lexer *lx, enum lex_kind kind)
{
    take(lx);
    lx->glued = false;
    return kind;
}

enum lex_kind lex_next(struct lexer *lx)
{
    skip_blank(lx);
    lx->pos = here(lx);
    lx->opened = (struct conf_pos){ 0 };
    if (lx->at >= lx->end)
        return LEX_END;
    char c = *lx->at;
    if (c == '\0')
        return nul_byte(lx);
    if (c == ';')
        return punctuation(lx, LEX_SEMICOLON);
    if (c == '{')
        return punctuation(lx, LEX_OPEN);
    if (lx->glued && c == '}')
        return bad(lx, SLICE("unexpected \"}\"")); /* stays: it still closes its block */
    if (lx->glued && c != ')')
        return bad(lx, arena_printf(lx->arena, "unexpected \"%c\"", take(lx)));
    if (c == '}')
        return punctuation(lx, LEX_CLOSE);
    return lex_word(lx);
}

enum lex_kind lex_resync(struct lexer *lx)
{
    bool word = false;
    lx->glued = false;
    while (lx->at < lx->end) {
        lx->pos = here(lx);
        char c = *lx->at;
        if (c == '#' && !word) {
            skip_comment(lx);
            continue;
        }
        take(lx);
        if (c == ';')
            return LEX_SEMICOLON;
        if (c == '{' && !(word && lx->at[-2] == '$'))
            return LEX_OPEN;
        if (c == '}' && !word)
            return LEX_CLOSE;
        word = !is_space(c);
    }
    lx->pos = here(lx);
    return LEX_END;
}
