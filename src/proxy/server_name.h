/*
 * Virtual servers by name: exact names, wildcards at either end, regular expressions; the order of precedence is
 * nginx's
 * ("Server names" of its manual): exact, longest wildcard starting with an asterisk, longest one ending with an
 * asterisk, first matching regular expression in order of appearance.
 *
 * One table a listening address. Thousands of names cost what one costs: a hash look-up, and one more for each label of
 * the host where wildcards exist, but never more than the longest wildcard has labels.
 */
#ifndef PROXY_SERVER_NAME_H
#define PROXY_SERVER_NAME_H

#include "conf/generation.h"
#include "http/masks.h"
#include "http/match.h"
#include "http/route.h"

/* A name of a server, as its server_name directive gave it. */
struct server_name {
    bool regex;
    enum mask_kind kind;          /* of others */
    slice text;                   /* lower case: "a.b", "*.a.b", "a.*", ".a.b", or the expression with its '~' */
    slice key;                    /* of the text, what is looked up: "a.b", "a.b", "a", "a.b" */
    struct match match;           /* of a regex */
    const struct conf_node *node; /* where it was written; NULL: the empty name of a server without names */
    int arg;
    struct server_name *next;
};

struct name_regex {
    const struct match *match;
    const struct server *server;
    struct name_regex *next;
};

struct name_table {
    struct masks masks; /* -> struct server */
    struct name_regex *regexes, **regexes_end;
    struct gen_cleanup cleanup;
};

/* Reads argument `arg` of a server_name directive; `out` is the caller's. OK, ERR_SYNTAX after reporting, ERR_NOMEM. */
int server_name_parse(struct conf_ctx *cf, const struct conf_node *node, int arg, struct server_name *out);
/* What $server_name and logs call a server whose first name this is. */
slice server_name_shown(const struct server_name *n);

/* A table in the generation's arena, freed with it; NULL when out of memory. */
struct name_table *name_table_new(struct conf_ctx *cf);
/* Adds a name; one that is there already is reported (a warning, as in nginx) and ignored. OK or ERR_NOMEM. */
int name_table_add(struct conf_ctx *cf, struct name_table *t, const struct server_name *n, const struct server *s,
                   slice address);

/* The server whose name matches host (lower case, no port, no final dot; may be empty), or NULL. Sets captures in x,
 * which may be NULL when the table holds no regular expressions. */
const struct server *name_table_find(const struct name_table *t, struct exchange *x, slice host);

#endif
