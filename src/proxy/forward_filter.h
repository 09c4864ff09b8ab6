/*
 * filter_list, filter_block, filter_allow: content filtering in a forward block.
 *
 * Lists and rules are src/forward/filter.h's; here they are read from directives and asked about an exchange, after
 * http_access and before anything is dialled, for every way in alike.
 */
#ifndef PROXY_FORWARD_FILTER_H
#define PROXY_FORWARD_FILTER_H

#include "forward/filter.h"
#include "http/exchange.h"

struct conf_ctx;
struct deny_page;

struct filter_lines {
    struct filter_rule *first, **last;
};

/* SCOPE_LOCATION */
struct filter_level {
    struct filter_lines *lines; /* NULL: nothing is filtered */
};

extern struct feature forward_filter_feature;

/* Does anything stand here that forward_filter_decide asks? */
static inline bool forward_filters(const struct exchange *x)
{
    const struct filter_level *l = exchange_conf(x, &forward_filter_feature);
    return l->lines;
}

/*
 * What the block's filter says, in x->proxy->forward->filter. OK: it lets the exchange pass; ERR_REFUSED: it does not
 * (no answer was prepared); ERR_AGAIN: a condition asks for the addresses of the host.
 */
int forward_filter_decide(struct exchange *x, const struct fwd_request *v);

/*
 * At load, for directives of a forward block: the conditions in args[from...] of a line, names of `acl`. OK, ERR_SYNTAX
 * (reported) or ERR_NOMEM.
 */
int forward_terms(struct conf_ctx *cf, const struct conf_node *node, uint32_t from, struct fwd_term **terms,
                  uint32_t *n);
/* A line as it was written, for log and explain. Empty: no memory. */
slice forward_line_text(struct conf_ctx *cf, const struct conf_node *node);

#endif
