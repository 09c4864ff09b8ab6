/*
 * What an address belongs to, among many networks.
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

struct net_table {
    const struct net_step *steps;
    size_t n;
};

enum { NET_NONE = UINT32_MAX };

/* Addresses in a row, a network, and what they stand for. */
struct net_entry {
    net_number first, last;
    uint32_t value;
};

struct net_entry net_entry_of(const struct cidr *c, uint32_t value);

/*
 * Where networks overlap, the smaller value counts: with the number of its line as value, the first line that matches.
 * Entries lie inside each other or apart, as networks do. `v` is sorted in place. OK or ERR_NOMEM.
 */
int net_table_build(struct arena *a, struct net_entry *v, size_t n, struct net_table *out);
/* The value, or NET_NONE. */
uint32_t net_table_find(const struct net_table *t, net_number address);

#endif
