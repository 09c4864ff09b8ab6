/*
 * A tree of networks: finds the longest one that holds an address, whatever their number.
 *
 * Each node is a prefix; its children are longer ones that part at the next bit (a radix tree without chains), so n
 * networks make fewer than 2n nodes and a look-up passes at most as many nodes as an address has bits. IPv4 and IPv6
 * are two trees. It lives in an arena; once built it is only read, by any thread.
 */
#ifndef NET_NET_TREE_H
#define NET_NET_TREE_H

#include "base/arena.h"
#include "net/cidr.h"

struct net_node;

struct net_tree {
    struct arena *arena;
    struct net_node *roots[2]; /* IPv4, IPv6 */
    size_t count;              /* networks that are there */
};

void net_tree_init(struct net_tree *t, struct arena *a);
/* Puts a network (value must not be NULL) in place of an equal one, whose value goes to *old. OK or ERR_NOMEM. */
int net_tree_put(struct net_tree *t, const struct cidr *net, const void *value, const void **old);
/* Takes a network out. false: it was not there. */
bool net_tree_remove(struct net_tree *t, const struct cidr *net);
/* The value of the longest network that holds the address, or NULL. `address` has all bits (cidr_of). */
const void *net_tree_find(const struct net_tree *t, const struct cidr *address);

#endif
