/*
 * Content filtering by name: block and allow lists in the formats people have.
 *
 * A list is a text of lines, each in whichever form it has: a domain ("ads.example": it and what is below it;
 * "*.ads.example": what is below it), a line of a hosts file ("0.0.0.0 ads.example": that host alone), or a rule of ad
 * blockers ("||ads.example^", with "@@" before it an exception). Names may be in UTF-8; they are kept in the form that
 * travels (RFC 3492). Rules that look at more than a name cannot be decided here; they are counted, not guessed at.
 * An exception of a list outweighs what the same list blocks.
 *
 * `filter_block LIST ACL...` says when a list counts: conditions of acl.h, so by time, user or address.
 */
#ifndef FORWARD_FILTER_H
#define FORWARD_FILTER_H

#include "forward/rules.h"

struct filter_list {
    slice name;
    struct domain_set block, allow;
    uint32_t skipped, first_skipped; /* lines that are no rule for a name; the number of the first, 0: none */
};

/* An all-zero list with a name is an empty one. OK, ERR_NOMEM, ERR_LIMIT; lines add to what is there. */
int filter_list_read(struct filter_list *l, slice text);
void filter_list_done(struct filter_list *l);
/* Is the host blocked? *entry (may be NULL) is the name in the list that says so. */
bool filter_list_blocks(const struct filter_list *l, slice host, slice *entry);

struct filter_rule {
    const struct filter_list *list;
    struct fwd_term *terms; /* all must hold; none: always */
    uint32_t nterms;
    struct conf_pos pos;
};

/* What was decided and why: the record for the log and for the deny page. */
struct filter_decision {
    enum fwd_answer answer; /* FWD_YES: blocked; FWD_NEED_*: find out and ask again; FWD_STUCK: blocked */
    const struct filter_rule *rule;
    slice entry;
};

/* The first rule that blocks. */
struct filter_decision filter_decide(const struct filter_rule *rules, uint32_t n, const struct fwd_request *r);
/* "user=U client=A host=H list=L entry=E rule=FILE:LINE"; what a client chose is escaped. Length, at most cap. */
size_t filter_decision_text(char *dst, size_t cap, const struct filter_decision *d, const struct fwd_request *r);

#endif
