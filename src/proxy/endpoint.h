/*
 * Where a backend is, as configurations write it: "host", "host:port", "127.0.0.1:8080", "[::1]:80", "unix:/path".
 */
#ifndef PROXY_ENDPOINT_H
#define PROXY_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "conf/schema.h"
#include "net/addr.h"

struct endpoint {
    slice text;      /* all of it */
    slice host;      /* without the port; brackets of an IPv6 address kept; the path of a unix socket */
    slice port_text; /* empty when there is none */
    uint16_t port;   /* or the default */
    bool is_unix;
    bool literal; /* an address: `addr` is set */
    struct addr addr;
};

/*
 * Takes the text apart; `port` is the default. OK, or ERR_SYNTAX with nginx's words for what is wrong in *why ("no
 * host", "invalid port in upstream", ...). A host that is no address must be a name that DNS could hold.
 */
int endpoint_parse(slice text, uint16_t port, struct endpoint *out, const char **why);

/* "HOST:PORT", in the arena. A NULL pointer when out of memory. */
slice endpoint_text(struct arena *a, slice host, uint16_t port);

/*
 * What follows "http://": the endpoint, and the URI part behind it (from '/' or '?'; for unix sockets behind the second
 * ':'). Empty `uri`: none.
 */
void endpoint_cut(slice text, slice *endpoint, slice *uri);

/*
 * The addresses behind an endpoint, in cf's arena: its own, or those of its name as the bundle knows them (looked up at
 * load). OK, ERR_NOTFOUND (no such host) or ERR_NOMEM.
 */
int endpoint_resolve(struct conf_ctx *cf, const struct endpoint *e, struct addr **out, uint32_t *n);

#endif
