/*
 * proxy_bind: the address that connections to backends come from.
 */
#ifndef PROXY_BIND_H
#define PROXY_BIND_H

#include "proxy/proxy.h"

/* The directive. */
int bind_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf);

/*
 * The address for an attempt at `peer`: in *out, or *has false when the kernel chooses (a unix socket, a value that is
 * empty or no address; the log says so). OK or ERR_NOMEM.
 */
int bind_address(struct exchange *x, const struct proxy_bind *b, const struct peer *peer, struct addr *out, bool *has);

#endif
