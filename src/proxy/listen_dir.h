/*
 * The `listen` directive: its addresses and parameters, requested from the bundle.
 */
#ifndef PROXY_LISTEN_DIR_H
#define PROXY_LISTEN_DIR_H

#include <stdbool.h>

#include "conf/schema.h"
#include "net/addr.h"

/* What a connection may begin with, in a forward block. */
enum listen_protocol { LISTEN_ANY, LISTEN_HTTP, LISTEN_SOCKS };

/* One address that a server listens on. */
struct listen_line {
    slice key; /* of the bundle's entry: canonical address text */
    struct addr addr;
    bool default_server, proxy_protocol, ssl, http2;
    uint8_t protocol;             /* enum listen_protocol */
    const struct conf_node *node; /* NULL: the default of a server without `listen` */
    struct listen_line *next;
};

/* Reads one directive; appends its addresses (several for a range of ports or a name) to *list. OK, or ERR_SYNTAX after
 * reporting, or ERR_NOMEM. */
int listen_parse(struct conf_ctx *cf, const struct conf_node *node, struct listen_line **list);
/* What a server without `listen` does: *:80, or *:8000 when the master is not root. */
int listen_default(struct conf_ctx *cf, struct listen_line **list);

#endif
