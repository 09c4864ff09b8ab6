/*
 * The parser: from tokens to a tree, over a stack of open files and a stack of open blocks.
 *
 * Both stacks are arrays with a bound, so hostile nesting costs an error and no call stack. A directive that cannot be
 * read is reported and left out, reading goes on where it ends; a block that cannot be read still consumes up to its
 * `}`, so that one error does not unbalance the rest of the file.
 */
#include "conf/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/map.h"
#include "conf/bundle.h"
#include "conf/diag.h"
#include "conf/lex.h"

/* An open block: new directives are appended behind `tail`. */
struct level {
    struct conf_node *node;
    struct conf_node **tail;
};

/* An open file. `more`: paths of the same include that come after it; `at`: where that include stands. */
struct source {
    struct lexer lx;
    size_t base; /* level at which the file was included: its blocks must be closed down to it */
    slice more;
    struct conf_pos at;
};

struct parser {
    struct arena *arena;
    struct bundle *bundle;
    struct conf_diag *diag;
    struct level levels[CONF_MAX_DEPTH + 1];
    struct source sources[CONF_MAX_INCLUDE_DEPTH];
    size_t depth, nsources;
    size_t skip; /* blocks open beyond CONF_MAX_DEPTH: counted, not kept */
    struct conf_arg *words;
    size_t nwords, words_cap;
    bool bad;         /* the directive being read was reported */
    struct map known; /* path -> struct conf_file */
    struct conf_file *files, **files_tail;
    size_t nfiles, text; /* files and bytes read, each as often as it was included */
};

#define report(p, pos, hint, ...) conf_diag_add((p)->diag, CONF_EMERG, pos, hint, __VA_ARGS__)

static struct source *top(struct parser *p)
{
    return &p->sources[p->nsources - 1];
}

static int add_word(struct parser *p, const struct conf_arg *word)
{
    if (p->nwords > CONF_MAX_ARGS) {
        if (!p->bad)
            report(p, word->pos, SLICE_NONE, "too many arguments in \"%.*s\" directive", SLICE_FMT(p->words[0].text));
        p->bad = true;
        return OK;
    }
    if (p->nwords == p->words_cap) {
        size_t cap = p->words_cap ? p->words_cap * 2 : 16, n;
        struct conf_arg *w = checked_mul(cap, sizeof(*w), &n) ? realloc(p->words, n) : NULL;
        if (!w)
            return ERR_NOMEM;
        p->words = w;
        p->words_cap = cap;
    }
    p->words[p->nwords++] = *word;
    return OK;
}

/* Reads words up to what ends the directive, and says what that was. */
static enum lex_kind read_words(struct parser *p, struct lexer *lx)
{
    p->nwords = 0;
    p->bad = false;
    for (;;) {
        enum lex_kind k = lex_next(lx);
        if (k == LEX_BAD) {
            slice hint = SLICE_NONE;
            if (lx->opened.line)
                hint = arena_printf(p->arena, "the quote opened in line %u, column %u is never closed", lx->opened.line,
                                    lx->opened.column);
            if (!p->bad)
                report(p, lx->pos, hint, "%.*s", SLICE_FMT(lx->error));
            p->bad = true;
            return lex_resync(lx);
        }
        if (k != LEX_WORD)
            return k;
        if (add_word(p, &lx->word) < 0)
            return LEX_NOMEM;
    }
}

/* Appends the directive read last to the innermost block; *out is it. A reported one is made but left out of the tree.
 */
static int add_node(struct parser *p, bool block, struct conf_node **out)
{
    struct level *l = &p->levels[p->depth];
    struct conf_node *n = arena_new(p->arena, struct conf_node);
    if (!n)
        return ERR_NOMEM;
    n->parent = l->node;
    n->block = block;
    n->pos = top(p)->lx.pos;
    if (p->nwords) {
        n->name = p->words[0].text;
        n->pos = p->words[0].pos;
    }
    if (p->nwords > 1) {
        n->nargs = (uint32_t)(p->nwords - 1);
        n->args = arena_new_n(p->arena, struct conf_arg, n->nargs);
        if (!n->args)
            return ERR_NOMEM;
        memcpy(n->args, p->words + 1, n->nargs * sizeof(*n->args));
    }
    if (!p->bad) {
        *l->tail = n;
        l->tail = &n->next;
    }
    *out = n;
    return OK;
}

static int open_block(struct parser *p)
{
    struct conf_node *n;
    if (p->skip || p->depth == CONF_MAX_DEPTH) {
        if (!p->skip++)
            report(p, top(p)->lx.pos, SLICE_NONE, "blocks are nested deeper than %d", CONF_MAX_DEPTH);
        return OK;
    }
    if (!p->nwords && !p->bad) {
        report(p, top(p)->lx.pos, SLICE_NONE, "unexpected \"{\"");
        p->bad = true;
    }
    if (!p->bad && slice_eq(p->words[0].text, SLICE("include"))) {
        report(p, p->words[0].pos, SLICE_NONE, "directive \"include\" is not terminated by \";\"");
        p->bad = true;
    }
    if (add_node(p, true, &n) < 0)
        return ERR_NOMEM;
    p->depth++;
    p->levels[p->depth] = (struct level){ n, &n->children };
    return OK;
}

static void close_block(struct parser *p)
{
    struct source *s = top(p);
    if (p->nwords && !p->bad) {
        slice name = p->words[0].text;
        report(p, s->lx.pos, arena_printf(p->arena, "directive \"%.*s\" is not terminated by \";\"", SLICE_FMT(name)),
               "unexpected \"}\"");
        p->bad = true;
    }
    if (p->skip) {
        p->skip--;
    } else if (p->depth > s->base) {
        p->depth--;
    } else if (!p->bad) {
        report(p, s->lx.pos, SLICE_NONE, "unexpected \"}\"");
    }
}

/* The text of `path` as a file of this parse: one struct for each path, however often it is included. */
static struct conf_file *know_file(struct parser *p, slice path, slice text, bool given)
{
    struct conf_file *f = map_get(&p->known, path);
    if (f)
        return f;
    f = arena_new(p->arena, struct conf_file);
    if (!f || !arena_dup(p->arena, path, &f->path) || map_put(&p->known, f->path, f) < 0)
        return NULL;
    f->text = text;
    f->given = given;
    *p->files_tail = f;
    p->files_tail = &f->next;
    return f;
}

static int push_file(struct parser *p, const struct conf_file *f, slice more, struct conf_pos at)
{
    p->nfiles++;
    p->text += f->text.n;
    if (p->nfiles > CONF_MAX_FILES || p->text > CONF_MAX_TEXT) {
        report(p, at, SLICE_NONE, "too many files or too much text are included, with \"%.*s\"", SLICE_FMT(f->path));
        return ERR_LIMIT;
    }
    struct source *s = &p->sources[p->nsources++];
    *s = (struct source){ .base = p->depth, .more = more, .at = at };
    lex_init(&s->lx, p->arena, f);
    if (slice_starts(f->text, SLICE("\xef\xbb\xbf"))) {
        s->lx.at += 3;
        report(p, (struct conf_pos){ f, 1, 1 }, SLICE("save the file as UTF-8 without one"),
               "unexpected byte order mark");
    }
    return OK;
}

/* Reports why a file could not be had, in the words of the system call that nginx would have made. */
static void report_file(struct parser *p, struct conf_pos at, slice path, int code, int err)
{
    if (code == ERR_LIMIT)
        report(p, at, SLICE_NONE, "file \"%.*s\" is larger than %d bytes", SLICE_FMT(path), CONF_MAX_FILE);
    else if (code == ERR_NOTFOUND)
        report(p, at, SLICE_NONE, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(path), ENOENT, strerror(ENOENT));
    else
        report(p, at, SLICE_NONE, "%s() \"%.*s\" failed (%d: %s)", err == EISDIR ? "pread" : "open", SLICE_FMT(path),
               err, strerror(err));
}

static bool is_open(const struct parser *p, slice path)
{
    for (size_t i = 0; i < p->nsources; i++) {
        if (slice_eq(p->sources[i].lx.file->path, path))
            return true;
    }
    return false;
}

/* Opens one file. OK also when it was reported and passed over; ERR_LIMIT when the rest of its include is hopeless. */
static int open_file(struct parser *p, slice path, slice more, struct conf_pos at)
{
    slice text;
    if (is_open(p, path)) {
        report(p, at, SLICE_NONE, "\"%.*s\" includes itself", SLICE_FMT(path));
        return OK;
    }
    if (p->nsources == CONF_MAX_INCLUDE_DEPTH) {
        report(p, at, SLICE_NONE, "includes are nested deeper than %d", CONF_MAX_INCLUDE_DEPTH);
        return ERR_LIMIT;
    }
    int r = bundle_file(p->bundle, path, &text);
    if (r == ERR_NOMEM)
        return r;
    if (r < 0) {
        report_file(p, at, path, r, errno);
        return OK;
    }
    const struct conf_file *f = know_file(p, path, text, false);
    return f ? push_file(p, f, more, at) : ERR_NOMEM;
}

/* Opens the first file of the NUL-separated list that can be opened; the others wait in its `more`. */
static int open_files(struct parser *p, slice paths, struct conf_pos at)
{
    size_t before = p->nsources;
    slice path, rest;
    while (p->nsources == before && slice_cut(paths, '\0', &path, &rest)) {
        paths = rest;
        int r = open_file(p, path, rest, at);
        if (r < 0)
            return r == ERR_LIMIT ? OK : r;
    }
    return OK;
}

static bool has_wildcard(slice s)
{
    return slice_find(s, '*') >= 0 || slice_find(s, '?') >= 0 || slice_find(s, '[') >= 0;
}

static int include(struct parser *p)
{
    if (p->nwords != 2) {
        report(p, p->words[0].pos, SLICE("usage: include FILE | PATTERN;"),
               "invalid number of arguments in \"include\" directive");
        return OK;
    }
    struct conf_arg arg = p->words[1];
    slice path = bundle_conf_path(p->bundle, arg.text), paths;
    if (!path.p)
        return ERR_NOMEM;
    if (!has_wildcard(path)) {
        int r = open_file(p, path, SLICE_NONE, arg.pos);
        return r == ERR_LIMIT ? OK : r;
    }
    int r = bundle_glob(p->bundle, path, &paths);
    if (r == OK)
        return open_files(p, paths, arg.pos);
    if (r == ERR_NOMEM)
        return r;
    report(p, arg.pos, SLICE_NONE, "glob() \"%.*s\" failed", SLICE_FMT(path));
    return OK;
}

static int end_directive(struct parser *p)
{
    struct conf_node *n;
    if (p->bad || p->skip)
        return OK;
    if (!p->nwords) {
        report(p, top(p)->lx.pos, SLICE_NONE, "unexpected \";\"");
        return OK;
    }
    if (slice_eq(p->words[0].text, SLICE("include")))
        return include(p);
    return add_node(p, false, &n);
}

static int end_file(struct parser *p)
{
    struct source *s = top(p);
    const struct conf_node *open = p->levels[p->depth].node;
    if (p->nwords && !p->bad) {
        slice hint = arena_printf(p->arena, "directive \"%.*s\" in line %u is not terminated by \";\"",
                                  SLICE_FMT(p->words[0].text), p->words[0].pos.line);
        slice text = lex_unexpected_end(s->lx.file);
        report(p, s->lx.pos, hint, "%.*s", SLICE_FMT(text));
    } else if (p->depth > s->base && !p->bad) {
        slice hint = arena_printf(p->arena, "the block \"%.*s\" opened in line %u is not closed", SLICE_FMT(open->name),
                                  open->pos.line);
        report(p, s->lx.pos, hint, "unexpected end of file, expecting \"}\"");
    }
    p->skip = 0;
    p->depth = s->base;
    slice more = s->more;
    struct conf_pos at = s->at;
    p->nsources--;
    return open_files(p, more, at);
}

static int parse_directive(struct parser *p)
{
    switch (read_words(p, &top(p)->lx)) {
    case LEX_SEMICOLON:
        return end_directive(p);
    case LEX_OPEN:
        return open_block(p);
    case LEX_CLOSE:
        close_block(p);
        return OK;
    case LEX_END:
        return end_file(p);
    default:
        return ERR_NOMEM;
    }
}

/* Everything but the first file, which the caller has pushed (or reported). */
static int parse_all(struct parser *p)
{
    int r = OK;
    while (r == OK && p->nsources)
        r = parse_directive(p);
    return r;
}

static int parser_init(struct parser *p, struct arena *a, struct bundle *b, struct conf_diag *diag)
{
    memset(p, 0, sizeof(*p));
    p->arena = a;
    p->bundle = b;
    p->diag = diag;
    p->files_tail = &p->files;
    map_init(&p->known, false);
    struct conf_node *root = arena_new(a, struct conf_node);
    if (!root)
        return ERR_NOMEM;
    root->block = true;
    p->levels[0] = (struct level){ root, &root->children };
    return OK;
}

static int parser_done(struct parser *p, int r, size_t errors, struct conf_node **root, struct conf_file **files)
{
    map_done(&p->known);
    free(p->words);
    if (r < 0)
        return r;
    *root = p->levels[0].node;
    if (files)
        *files = p->files;
    return p->diag->errors > errors ? ERR_SYNTAX : OK;
}

/* The directory of the main file: what includes and certificates are relative to. */
static int set_conf_dir(struct bundle *b, slice path)
{
    ptrdiff_t at = slice_rfind(path, '/');
    return bundle_option_set(b, SLICE("conf_dir"), slice_upto(path, at < 0 ? 0 : (size_t)at + 1));
}

int conf_parse(struct arena *a, struct bundle *b, struct conf_diag *diag, slice path, struct conf_node **root,
               struct conf_file **files)
{
    struct parser p;
    size_t errors = diag->errors;
    int r = parser_init(&p, a, b, diag);
    slice full = r == OK ? bundle_path(b, path) : SLICE_NONE;
    if (!full.p)
        r = ERR_NOMEM;
    if (r == OK)
        r = set_conf_dir(b, full);
    if (r == OK)
        r = open_file(&p, full, SLICE_NONE, (struct conf_pos){ 0 });
    if (r == OK)
        r = parse_all(&p);
    return parser_done(&p, r == ERR_LIMIT ? OK : r, errors, root, files);
}

int conf_parse_text(struct arena *a, struct bundle *b, struct conf_diag *diag, slice name, slice text,
                    struct conf_node **root)
{
    struct parser p;
    size_t errors = diag->errors;
    int r = parser_init(&p, a, b, diag);
    struct conf_file *f = r == OK ? know_file(&p, name, text, true) : NULL;
    if (!f)
        r = ERR_NOMEM;
    if (r == OK)
        r = push_file(&p, f, SLICE_NONE, (struct conf_pos){ 0 });
    if (r == OK)
        r = parse_all(&p);
    return parser_done(&p, r == ERR_LIMIT ? OK : r, errors, root, NULL);
}

struct conf_node *conf_node_new(struct arena *a, slice name, struct conf_pos pos, uint32_t nargs)
{
    struct conf_node *n = arena_new(a, struct conf_node);
    struct conf_arg *args = arena_new_n(a, struct conf_arg, nargs + 1);
    if (!n || !args)
        return NULL;
    for (uint32_t i = 0; i < nargs; i++)
        args[i] = (struct conf_arg){ .quoted = true, .pos = pos };
    *n = (struct conf_node){ .name = name, .pos = pos, .args = args, .nargs = nargs };
    return n;
}
