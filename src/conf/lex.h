/*
 * The lexer: nginx's tokens, one at a time.
 *
 * A text is words, `;`, `{` and `}`. A word is bare or in quotes; a quoted word must be followed by a space, `;`, `{`
 * or
 * `)`. The `{` behind a `$` belongs to the word, so that ${name} opens no block. `#` opens a comment only where a word
 * could start. Inside a word a backslash keeps the next byte from ending it; \" \' \\ \t \r \n are then resolved and
 * any other backslash stays, which is what regular expressions need. (nginx manual, "Beginner's guide"; the corner
 * cases were taken from nginx's observable behaviour.)
 *
 * The lexer never fails for good: after LEX_BAD the next call goes on behind the offence, or at the end of a text that
 * cannot be read on.
 */
#ifndef CONF_LEX_H
#define CONF_LEX_H

#include "base/arena.h"
#include "conf/tree.h"

enum lex_kind {
    LEX_WORD,
    LEX_SEMICOLON,
    LEX_OPEN,
    LEX_CLOSE,
    LEX_END,
    LEX_BAD, /* `error` says why */
    LEX_NOMEM,
};

struct lexer {
    struct arena *arena; /* words go here */
    const struct conf_file *file;
    const char *at, *end, *line_start;
    uint32_t line;
    bool glued; /* the last token was a quoted word: a space or an end must follow */

    struct conf_arg word;   /* of LEX_WORD */
    struct conf_pos pos;    /* where the last token stands */
    slice error;            /* of LEX_BAD, in the arena */
    struct conf_pos opened; /* of LEX_BAD at the end of the text: the quote that nobody closed (line 0: none) */
};

void lex_init(struct lexer *lx, struct arena *a, const struct conf_file *file);
enum lex_kind lex_next(struct lexer *lx);
/*
 * After an error: skips to where a directive ends, whatever quotes say (a quote too many is the usual error). Returns
 * LEX_SEMICOLON, LEX_OPEN, LEX_CLOSE (each consumed) or LEX_END.
 */
enum lex_kind lex_resync(struct lexer *lx);

/* nginx's text for a directive that the end of the text cuts off. */
slice lex_unexpected_end(const struct conf_file *file);

#endif
