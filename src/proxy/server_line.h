/*
 * What a `server` line may say of its server behind the address: the same words for the servers of an `upstream` block
 * and for the ways of a `parent` block, because both become peers.
 */
#ifndef PROXY_SERVER_LINE_H
#define PROXY_SERVER_LINE_H

#include "proxy/upstream.h"

/* A peer of which nothing is said but its name: nginx's defaults. It has no address and no state yet. */
static inline struct peer server_line_peer(slice server)
{
    return (struct peer){ .server = server, .weight = 1, .max_fails = 1, .fail_timeout = 10000 };
}

/* Is the argument "max_conns=..."? Parents do not take it. */
static inline bool server_line_is_max_conns(slice arg)
{
    return slice_starts(arg, SLICE("max_conns="));
}

/* Reads one parameter into *p. OK, or ERR_SYNTAX: there is none of that name, or not with that value. */
int server_line_parameter(slice arg, struct peer *p);

#endif
