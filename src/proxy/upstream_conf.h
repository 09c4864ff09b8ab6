/*
 * Upstreams out of a configuration.
 */
#ifndef PROXY_UPSTREAM_CONF_H
#define PROXY_UPSTREAM_CONF_H

#include "proxy/endpoint.h"
#include "proxy/upstream.h"

extern struct feature upstream_feature;

/*
 * The upstream that an endpoint in proxy_pass means: the block of that name, or one made of the endpoint's own
 * addresses and shared by everybody who names the same host and port. To be called when the whole configuration has
 * been read. OK, or an error after it was reported at `node`.
 */
int upstream_for(struct conf_ctx *cf, const struct conf_node *node, const struct endpoint *e,
                 const struct upstream **out);

/* Every group with `resolve` has a resolver: to be asked when all levels were merged. OK or ERR_SYNTAX (reported). */
int upstream_check_resolvers(struct conf_ctx *cf);

/* The first upstream block of the configuration being read, or NULL; `next` leads on. */
const struct upstream *upstream_blocks(struct conf_ctx *cf);
/* The same of a configuration that was read. */
const struct upstream *upstream_blocks_of(const struct generation *g);

/*
 * An upstream of addresses (n > 0) that were found at run time, in an exchange's arena: it lives as long as the
 * exchange, and so do its peers, which are tried in the order given. It is not in the registry; its failures are
 * forgotten with it. Its idle connections are kept for `idle` ms, 0: as always. NULL: no memory.
 */
const struct upstream *upstream_of_addresses(struct arena *a, slice name, const struct addr *v, uint32_t n,
                                             uint64_t idle);

#endif
