/*
 * What each line of Squid's language becomes: one function for each directive, or for several that differ by `which`,
 * called by the table in squid_policy.c. Each gives OK, ERR_SYNTAX (reported) or ERR_NOMEM.
 */
#ifndef FORWARD_SQUID_LINE_H
#define FORWARD_SQUID_LINE_H

#include "forward/squid_policy.h"

static inline slice squid_first_arg(const struct conf_node *n)
{
    return n->nargs ? n->args[0].text : SLICE_NONE;
}

int squid_line_acl(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_rules(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_outgoing(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_port(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_header(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_header_add(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_deny_info(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_via(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_nonhierarchical(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_strip_query(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_prefer_direct(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_forwarded(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_time(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_size(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_hostname(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_nameservers(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_format(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_log(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_auth(struct fwd_policy *p, const struct conf_node *n, uint32_t which);

/* squid_peer.c */
int squid_line_peer(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
int squid_line_peer_access(struct fwd_policy *p, const struct conf_node *n, uint32_t which);

#endif
