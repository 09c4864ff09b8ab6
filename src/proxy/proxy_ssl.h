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
/* Puts TLS on a connection that was just begun. false after posting why. */
bool proxy_ssl_begin(struct exchange *x, struct h1_client *cl, slice name, slice peer, const char **why);

#endif
