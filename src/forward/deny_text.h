/*
 * Texts that tell a client why it was refused: pages and addresses with a few variables in them.
 *
 * Only names that begin with `forward_` are variables here, so that a page may hold scripts and prices as they are.
 * What is put in is text of clients and of lists: in a page every byte that could mean something to HTML, in whatever
 * place of it, becomes a character reference; in an address every byte that is no unreserved one (RFC 3986 §2.3) is
 * percent-encoded. So nothing that a client sends comes back as more than text.
 */
#ifndef FORWARD_DENY_TEXT_H
#define FORWARD_DENY_TEXT_H

#include "base/arena.h"
#include "base/strb.h"

enum deny_value {
    DENY_DECISION,
    DENY_REASON,
    DENY_HOST,
    DENY_URL,
    DENY_RULE,
    DENY_LIST,
    DENY_ENTRY,
    DENY_USER,
    DENY_CLIENT,
    DENY_VALUES,
    DENY_LITERAL = DENY_VALUES,
};

struct deny_part {
    slice literal;
    enum deny_value value; /* DENY_LITERAL: the literal */
    struct deny_part *next;
};

struct deny_text {
    struct deny_part *first;
};

/* "forward_host" and so on; no such value: NULL. */
const char *deny_value_name(enum deny_value v);
/*
 * Compiles a text, which must live as long as what comes of it. OK, ERR_NOMEM, or ERR_SYNTAX: *bad is a name that
 * begins with forward_ and is none.
 */
int deny_text_compile(struct arena *a, slice text, struct deny_text *out, slice *bad);

enum deny_escape { DENY_HTML, DENY_ADDRESS };

void deny_text_write(struct strb *b, const struct deny_text *t, const slice values[DENY_VALUES], enum deny_escape how);

#endif
