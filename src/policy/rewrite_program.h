/*
 * The inside of the rewrite files: the program of a level, its lines in the order in which they were written.
 *
 * The lines of an `if` stand in the program of the level around it; the `if` itself knows the line behind its block.
 * All of it lives in the generation's arena.
 */
#ifndef POLICY_REWRITE_PROGRAM_H
#define POLICY_REWRITE_PROGRAM_H

#include "http/match.h"
#include "policy/file_test.h"
#include "proxy/policy.h"

enum op_kind { OP_SET, OP_RETURN, OP_BREAK, OP_REWRITE, OP_IF };

/* What a `rewrite` puts in place of the URI. */
struct replacement {
    slice source; /* the regular expression as written, for the log */
    struct match match;
    struct template value; /* the path; of a redirect the whole */
    struct template args;  /* behind the first '?' */
    bool has_args;         /* there is a '?' */
    bool keep_args;        /* the request's arguments are appended */
    bool last, stop;       /* the program ends behind it; `break`: and the location stays */
    uint16_t redirect;     /* status, or 0 */
};

enum test_kind { TEST_VALUE, TEST_EQUAL, TEST_REGEX, TEST_FILE };

/* The condition of an `if`. */
struct test {
    enum test_kind kind;
    bool negated;
    const struct var *var; /* TEST_FILE: none */
    struct template value; /* TEST_EQUAL: to what; TEST_FILE: path */
    slice source;          /* TEST_REGEX: as written */
    struct match match;
    enum file_kind file;
};

struct op {
    enum op_kind kind;
    uint16_t status;       /* OP_RETURN */
    bool text;             /* OP_RETURN: with a text or URL */
    struct var *var;       /* OP_SET */
    struct template value; /* of `set`; text or URL of `return` */
    struct replacement *replacement;
    struct test *test;
    struct op **otherwise;         /* OP_IF: where the line behind the block is linked */
    const struct location *inside; /* OP_IF of a location: the configuration of its block */
    struct conf_pos pos;
    struct op *next;
};

struct program {
    struct op *first, **end;
};

/* SCOPE_LOCATION. The program is of this level alone; the flag is inherited. */
struct rewrite {
    struct program *program;
    bool log;
};

/* SCOPE_MAIN: the program of the level around the `if` that is being read. */
struct rewrite_main {
    struct program *around;
};

/* rewrite_if.c: reads the condition between the parentheses. OK, ERR_SYNTAX (reported), ERR_NOMEM. */
int test_parse(struct conf_ctx *cf, const struct conf_node *node, struct test *t);

/* rewrite_value.c */

/* Do values of captures have to be escaped where they go into text that counts as encoded? nginx's rule: if the path
 * that was received had an escape or a '+'. */
bool value_encoded(const struct exchange *x);
/*
 * Evaluates; with `quote` the values of $1..$9 are escaped as arguments when value_encoded says so. (As in nginx; named
 * captures and other variables never are.) OK or ERR_NOMEM.
 */
int value_eval(struct exchange *x, const struct template *t, bool quote, slice *out);
/* a, or, when b is not empty, a, the separator, and b. OK or ERR_NOMEM. */
int value_join(struct exchange *x, slice a, char separator, slice b, slice *out);
/* Does the path, of which `t` is the text, hold a ".." that a variable brought in? */
bool value_climbs(const struct template *t, slice path);
/*
 * What nginx does to the text of a redirect up to the first '?': escapes of characters that need none are undone,
 * others stay, and what is no escape loses its '%'. OK or ERR_NOMEM.
 */
int value_redirect(struct exchange *x, slice text, slice *out);

#endif
