/*
 * Lists of rules: `http_access allow|deny ACL...` and its kin.
 *
 * The first line whose conditions all hold decides. When none does, the answer is the opposite of the last line's
 * (squid.conf manual, "http_access"), and that of a list without lines is fixed by whoever owns the list.
 */
#ifndef FORWARD_RULES_H
#define FORWARD_RULES_H

#include "forward/acl.h"

struct fwd_rule {
    bool allow;
    struct fwd_term *terms;
    uint32_t nterms;
    slice value;                /* what the line gives besides yes and no (an address, a name); may be empty */
    const struct addr *address; /* the same of tcp_outgoing_address; else NULL */
    struct conf_pos pos;        /* of the line, for log and explain */
    slice text;                 /* the line in its own words */
    struct fwd_rule *next;
};

struct fwd_rules {
    struct fwd_rule *first, **last;
    uint32_t n;
    bool allows_empty; /* the answer of a list without lines */
};

/* What was decided, and by which line: NULL when none matched. */
struct fwd_decision {
    enum fwd_answer answer; /* FWD_YES: allowed; NEED_*: find out and ask again; FWD_STUCK counts as refused */
    const struct fwd_rule *rule;
    const struct fwd_acl *acl; /* the last one of that line: what deny_info goes by; may be NULL */
};

void fwd_rules_init(struct fwd_rules *l, bool allows_empty);
/* A line whose args[at] is allow or deny and whose conditions follow it. OK, ERR_SYNTAX (reported), ERR_NOMEM. */
int fwd_rules_line(struct fwd_rules *l, struct fwd_acls *acls, struct fwd_compile *c, const struct conf_node *node,
                   uint32_t at);
/* A line whose conditions begin at args[at] and which gives `value` (tcp_outgoing_address); it allows. */
int fwd_rules_value(struct fwd_rules *l, struct fwd_acls *acls, struct fwd_compile *c, const struct conf_node *node,
                    uint32_t at, slice value);

struct fwd_decision fwd_decide(const struct fwd_rules *l, const struct fwd_request *r);
/*
 * Would a stranger pass: a client of whom no line names the address or the user? What else a line asks for (a port, a
 * time) may be met by anybody.
 */
bool fwd_rules_open(const struct fwd_rules *l);
/* "FILE:LINE (text)" of a line; NULL pointer: no memory. */
slice fwd_line_words(struct arena *a, const struct conf_pos *pos, slice text);
/* The same of the line that decided, or what holds when no line matched; for log and explain. Returns the length, at
 * most cap. */
size_t fwd_decision_text(char *dst, size_t cap, const struct fwd_rules *l, const struct fwd_decision *d);

#endif
