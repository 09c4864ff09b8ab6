/*
 * A regular expression of the configuration: compiled with it, freed with it, and its captures on the exchange.
 *
 * After a match `$1`..`$9` are the pass's captures and every named group is a variable of its own. Both count as the
 * client's choice (design section 6).
 */
#ifndef HTTP_MATCH_H
#define HTTP_MATCH_H

#include <stdbool.h>

#include "base/regex.h"
#include "conf/schema.h"
#include "http/exchange.h"

struct match_name {
    const struct var *var;
    unsigned group;
};

struct match {
    struct regex *regex;
    struct match_name *names;
    unsigned nnames;
};

/*
 * Compiles `pattern`, which stands in argument `arg` of the node, and declares its named groups as variables. The
 * generation frees it. OK, or ERR_SYNTAX after reporting in nginx's words, or ERR_NOMEM.
 */
int match_compile(struct conf_ctx *cf, const struct conf_node *node, int arg, slice pattern, bool icase,
                  struct match *out);

/* Matches and, on success, sets the captures and named variables of x. OK, ERR_NOTFOUND, ERR_LIMIT or ERR_NOMEM. */
int match_exec(const struct match *m, struct exchange *x, slice subject);

#endif
