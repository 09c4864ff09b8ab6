/*
 * Serving CONNECT: tunnel_pass and its family (nginx's manual, "Module ngx_http_tunnel_module"), and the directives of
 * the well-known CONNECT module (proxy_connect), which mean the same.
 */
#ifndef PROXY_TUNNEL_PASS_H
#define PROXY_TUNNEL_PASS_H

#include "proxy/proxy.h"

extern struct feature tunnel_feature;

/* A tunnel may stand for hours, so its exchange grows in small steps (arena.chunk). */
enum { TUNNEL_CHUNK = 256 };

/* How long a tunnel may stand, in ms; 0: as long as something moves in it. */
uint64_t tunnel_lifetime(struct exchange *x);

#endif
