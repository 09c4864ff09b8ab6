/*
 * The configuration as text with structure: files, tokens, and a tree of directives.
 *
 * Parsing is separate from meaning. conf_parse reads the main file and everything it includes out of a bundle and
 * yields a tree in which every directive and every argument knows where it stands; it knows nginx's grammar (quoting,
 * escapes, comments, blocks, include with globs) and no directive but `include`. The schema (schema.h) gives the tree
 * its meaning. All of it lives in the arena of the generation that is being built.
 */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct bundle;
struct conf_diag;

/* One source file as it was read. */
struct conf_file {
    slice path; /* full path, NUL-terminated */
    slice text;
    bool given; /* a text of the command line or our own, no file; path is what errors call it */
    struct conf_file *next;
};

/* Where something stands; column and line count from 1. */
struct conf_pos {
    const struct conf_file *file;
    uint32_t line, column;
};

struct conf_arg {
    slice text;  /* quotes and escapes resolved, NUL-terminated */
    bool quoted; /* written in quotes: never a flag word, but variables still count */
    struct conf_pos pos;
};

/* A directive: name, arguments, and the directives of its block when it has one. */
struct conf_node {
    slice name;
    struct conf_pos pos;
    struct conf_arg *args; /* without the name */
    uint32_t nargs;
    bool block; /* written with { } */
    struct conf_node *children, *next;
    struct conf_node *parent;
};

/*
 * Limits on hostile or broken files; each is an error that names file and line.
 * Includes are bounded in depth (which also catches loops) and in number of files.
 */
enum {
    CONF_MAX_DEPTH = 64, /* nested blocks */
    CONF_MAX_INCLUDE_DEPTH = 16,
    CONF_MAX_FILES = 4096,
    CONF_MAX_TOKEN = 65536,    /* bytes of one token */
    CONF_MAX_ARGS = 2048,      /* arguments of one directive */
    CONF_MAX_FILE = 64 << 20,  /* bytes of one file */
    CONF_MAX_TEXT = 256 << 20, /* bytes of all files read, each as often as it is included */
};

/*
 * Parses `path` (relative paths: against the bundle's prefix) and everything it includes (relative paths: against the
 * directory of the main file, as nginx does). Errors go to diag, as many as can be found in one go; *root is a
 * pseudo-node whose children are the main context. `files` (may be NULL) receives the chain of files read, in the order
 * that -T prints, each once. Returns OK, or ERR_SYNTAX when diag holds an error, or ERR_NOMEM. With ERR_SYNTAX both
 * outputs are set as well: the tree lacks the directives that could not be read, and a tester may look at the others.
 */
int conf_parse(struct arena *a, struct bundle *b, struct conf_diag *diag, slice path, struct conf_node **root,
               struct conf_file **files);

/*
 * Parses one text that did not come from a file (-g, the embedded default); `name` is what errors call it ("command
 * line", as nginx says). The text must live as long as the arena.
 */
int conf_parse_text(struct arena *a, struct bundle *b, struct conf_diag *diag, slice name, slice text,
                    struct conf_node **root);

/*
 * A directive that nobody wrote, as if it stood at `pos`: `nargs` words in quotes, whose texts are the caller's to set.
 * NULL: no memory.
 */
struct conf_node *conf_node_new(struct arena *a, slice name, struct conf_pos pos, uint32_t nargs);

#endif
