/*
 * The proxy_ssl_* directives of a location: what a backend reached by https must prove.
 */
#ifndef PROXY_PROXY_SSL_H
#define PROXY_PROXY_SSL_H

#include "conf/var.h"
#include "h1/client.h"
#include "tls/client.h"

struct proxy_ssl_conf {
    struct tls_origin origin;
    struct template name; /* proxy_ssl_name; empty: the host of proxy_pass */
};

extern struct feature proxy_ssl_feature;

/* The name that holds for this attempt, without a port, in the exchange's arena. OK or ERR_NOMEM. */
int proxy_ssl_name(struct exchange *x, slice *name);
/* What connections must have in common to be shared, besides their address. */
uint64_t proxy_ssl_key(const struct exchange *x, slice name);
/*
 * TLS for a connection that was just begun. `protocols`: what is offered by ALPN, as the wire has it; empty: nothing.
 * NULL: none could be made, and the log says why.
 */
struct transport *proxy_ssl_begin(struct exchange *x, int fd, slice name, slice peer, slice protocols);

#endif
