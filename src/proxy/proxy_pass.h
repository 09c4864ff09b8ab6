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

/*
 * The upstream that an evaluated endpoint names: a group, or an address that the client may choose. NULL after logging
 * and setting the answer's status.
 */
struct endpoint;
const struct upstream *proxy_upstream_of(struct exchange *x, bool client_chosen, const struct endpoint *e,
                                         unsigned *status);

#endif
