/*
 * A table that finds which of many networks an address belongs to, by the number of the line that names the network.
 *
 * Addresses are 128-bit numbers; those of IPv4 use the low 32 bits, and the two families never share a table. A table
 * is a sorted list of where values begin, so that a look-up is a binary search however many networks there are.
 */
#ifndef NET_NET_TABLE_H
#define NET_NET_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "net/cidr.h"

typedef unsigned __int128 net_number;

net_number net_number_of4(const void *in_addr);  /* 4 bytes in network order */
net_number net_number_of6(const void *in6_addr); /* 16 bytes */

/* The first and the last address of a network. */
struct net_span {
    net_number first, last;
};
struct net_span net_span_of(const struct cidr *c);

struct net_table {
    const struct net_step *steps;
    size_t n;
};

enum { NET_NONE = UINT32_MAX };

/* A network and what it stands for. */
struct net_entry {
    struct net_span net;
    uint32_t value;
};

/*
 * Where networks overlap, the smaller value counts: with the number of its line as value, the first line that matches.
 * `v` is sorted in place. OK or ERR_NOMEM.
 */
int net_table_build(struct arena *a, struct net_entry *v, size_t n, struct net_table *out);
/* The value, or NET_NONE. */
uint32_t net_table_find(const struct net_table *t, net_number address);

#endif
