/*
 * deny_info: what a refusal looks like, by the acl that was asked last on the line that refused.
 *
 * A URL redirects there, a number chooses the status, a name is a page: a file of Squid's pages, read at load. In
 * both, %-codes stand for what is known of the request; in a page they are made harmless for HTML, in a URL for URLs.
 */
#ifndef PROXY_SQUID_DENY_H
#define PROXY_SQUID_DENY_H

#include "conf/schema.h"
#include "forward/squid_policy.h"
#include "http/exchange.h"

/* reply_set as deny_info says for that decision. OK, ERR_NOTFOUND: it says nothing, or ERR_NOMEM. */
int squid_deny(struct exchange *x, const struct fwd_policy *p, const struct fwd_decision *d);
/* At load: reads the pages. OK or ERR_NOMEM; a page that is not there is told. */
int squid_deny_pages(struct conf_ctx *cf, struct fwd_policy *p);

#endif
