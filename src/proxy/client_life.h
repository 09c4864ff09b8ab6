/*
 * client_lifetime: how long a client may stay connected, whatever goes on.
 */
#ifndef PROXY_CLIENT_LIFE_H
#define PROXY_CLIENT_LIFE_H

#include "http/exchange.h"

/* Ends x once its connection is `ms` old: its tunnel or its answer is cut off. OK or ERR_NOMEM. */
int client_life_watch(struct exchange *x, uint64_t ms);

#endif
