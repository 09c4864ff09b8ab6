/*
 * Ports that clients may ask tunnels to: proxy_connect_allow, connect_ports.
 */
#ifndef PROXY_PORT_LIST_H
#define PROXY_PORT_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/schema.h"

struct port_range {
    uint16_t first, last;
};

struct port_list {
    const struct port_range *v;
    uint32_t n;
    bool all;
};

/* The arguments of a line: all, PORT, PORT-PORT. OK, ERR_SYNTAX after reporting, ERR_NOMEM. */
int port_list_read(struct conf_ctx *cf, const struct conf_node *node, struct port_list *out);
bool port_list_has(const struct port_list *l, uint16_t port);

#endif
