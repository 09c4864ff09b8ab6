/*
 * What is known of a client's connection beyond what accepting it told.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "http/exchange.h"

/* The local address of the connection, asked from the kernel on first use. false: not known (no socket). */
bool client_local(struct client *c, struct addr *out);
/* The peer's address. */
void client_peer(const struct client *c, struct addr *out);

#endif
