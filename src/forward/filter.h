/*
 * Content filtering by name: block and allow lists, and the rules that say when they count.
 *
 * A list is what files say (filter_read.h), compiled to a table (domain_table.h) by whoever gathers the configuration
 * (filter_store.h). An exception of a list outweighs what the same list blocks.
 *
 * `filter_block LIST... ACL...` and `filter_allow` say when lists count: conditions of acl.h, so by time, user or
 * address. The first line decides that names the host and whose conditions hold.
 */
#ifndef FORWARD_FILTER_H
#define FORWARD_FILTER_H

#include "forward/domain_table.h"
#include "forward/rules.h"

/* What files say; of no name, so that equal files can share one. */
struct filter_list {
    struct domain_table names;
    uint32_t skipped;                   /* lines that are no rule for a name */
    uint32_t first_skipped, first_file; /* number of the first one, 0: none; which file, from 0 */
};

/* From the sealed file that filter_store_get has made, in any process. OK, ERR_SYNTAX (it is none), ERR_SYS. */
int filter_list_open(struct filter_list *l, int fd);
void filter_list_close(struct filter_list *l);
/* Is the host blocked? *entry (may be NULL) is the end of `host` that the list names. */
bool filter_list_blocks(const struct filter_list *l, slice host, slice *entry);

/* A list as a configuration names it. */
struct filter_named {
    slice name;
    struct filter_list list;
    struct filter_named *next;
};

/* A filter_block or filter_allow line. */
struct filter_rule {
    bool allow;
    const struct filter_named **lists; /* the host must be in one of them; none: any host */
    uint32_t nlists;
    struct fwd_term *terms; /* all must hold; none: always */
    uint32_t nterms;
    struct conf_pos pos;
    slice text; /* the line in its own words */
    struct filter_rule *next;
};

/* What was decided and why: the record for the log and for the deny page. */
struct filter_decision {
    enum fwd_answer answer;          /* FWD_YES: blocked; FWD_NEED_*: find out and ask again; FWD_STUCK: blocked */
    const struct filter_rule *rule;  /* NULL: none decided */
    const struct filter_named *list; /* NULL: the rule names none */
    slice entry;
};

/* By the first rule that holds. A filter_allow line whose conditions cannot be told lets nobody through. */
struct filter_decision filter_decide(const struct filter_rule *first, const struct fwd_request *r);
/* "user=U client=A host=H list=L entry=E rule=FILE:LINE"; what a client chose is escaped. Length, at most cap. */
size_t filter_decision_text(char *dst, size_t cap, const struct filter_decision *d, const struct fwd_request *r);

#endif
