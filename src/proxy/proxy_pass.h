/*
 * proxy_pass.
 */
#ifndef PROXY_PASS_H
#define PROXY_PASS_H

#include "proxy/proxy.h"

/* The directive. */
int pass_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf);

/* When everything has been read: finds the upstream. OK, ERR_SYNTAX after reporting, ERR_NOMEM. */
int pass_compile(struct conf_ctx *cf, struct proxy_conf *c);

#endif
