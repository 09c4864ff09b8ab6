/*
 * Where requests may lead when the client chose the target: one decision for every kind of outbound socket.
 *
 * An address is looked for among the networks of egress_allow and egress_deny; the most specific one that holds it
 * decides, and of two equal ones the refusal. Where none does, the special-purpose registries decide (net/guard.h). An
 * IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, ...) is judged as what it leads to.
 *
 * The order is always the same: resolve once, judge each address, connect to one of those that passed, and ask the
 * kernel whom it has connected to (egress_verify). Nothing is resolved a second time in between, so an answer that
 * changes (DNS rebinding) changes nothing.
 */
#ifndef NET_EGRESS_H
#define NET_EGRESS_H

#include "base/arena.h"
#include "net/addr.h"
#include "net/cidr.h"
#include "net/net_table.h"

struct egress_line {
    struct cidr net;
    bool deny;
    struct egress_line *next;
};

/* Compiled lines; immutable. */
struct egress {
    struct net_table v4, v6;
};

/* OK or ERR_NOMEM. */
int egress_build(struct arena *a, const struct egress_line *first, struct egress *out);

/* NULL: it may be reached; else why not, a fixed text ("loopback", "egress_deny"). `e` may be NULL: no lines. */
const char *egress_refuses(const struct egress *e, const struct addr *to);

/* Does the connected socket lead to `to`? Never when the kernel does not say. */
bool egress_verify(int fd, const struct addr *to);

/* Where we listen ourselves. */
struct egress_own {
    const struct addr *v;
    uint32_t n;
};

/* Would a connection to `to` come back to one of our own listeners? For a listener on all addresses the kernel is
 * asked whether `to` is one of this machine's: one short-lived socket, and only when the port is the same. */
bool egress_is_own(const struct egress_own *own, const struct addr *to);

#endif
