/*
 * Squid's logs: its format codes as a text of variables, and the variables that it needs for that.
 *
 * A format becomes a log_format of ours whose name begins with "squid:", and every access_log line one of ours, so that
 * files, syslog, buffers and reopening are those of all logs.
 */
#ifndef PROXY_SQUID_LOG_H
#define PROXY_SQUID_LOG_H

#include "base/strb.h"
#include "conf/schema.h"
#include "forward/squid_policy.h"

/* $squid_CODE and $squid_WIDTH_CODE: a family of variables. */
extern const struct var_def squid_vars[1];

/* A logformat as a template's text into b. OK, or ERR_SYNTAX with *bad the code that cannot be had. */
int squid_format(struct strb *b, slice codes, slice *bad);
/*
 * Applies the policy's logformat and access_log lines at the level being read. OK, ERR_SYNTAX (reported) or ERR_NOMEM.
 */
int squid_logs(struct conf_ctx *cf, const struct conf_node *block, const struct fwd_policy *p);

#endif
