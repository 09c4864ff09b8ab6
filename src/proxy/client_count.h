/*
 * How many exchanges each client address has under way, for conditions of maxconn and client_ip_max_connections.
 *
 * One table for all workers. An exchange that a block counts stands in it from its first decision until it is freed, so
 * tunnels and answers on their way count, and connections that are merely kept open do not.
 */
#ifndef PROXY_CLIENT_COUNT_H
#define PROXY_CLIENT_COUNT_H

#include "http/exchange.h"

/* Counts x for its client, once. OK or ERR_NOMEM. */
int client_count_enter(struct exchange *x);
/* Of the address, over all workers; what a fwd_request is given. ctx: not used. */
uint32_t client_count_of(void *ctx, const struct sockaddr *client);

#endif
