#include "net/net_tree.h"

#include <string.h>

#include "base/err.h"

struct net_node {
    const void *value; /* NULL: only parts its children */
    struct net_node *child[2];
    uint8_t ip[16]; /* bits behind the prefix are 0 */
    uint8_t bits;
};

void net_tree_init(struct net_tree *t, struct arena *a)
{
    *t = (struct net_tree){ .arena = a };
}

static unsigned bit_at(const uint8_t *ip, unsigned at)
{
    return ip[at / 8] >> (7 - at % 8) & 1;
}

/* How many leading bits agree, `max` at most. */
static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned max)
{
    unsigned at = 0;
    while (at + 8 <= max && a[at / 8] == b[at / 8])
        at += 8;
    while (at < max && bit_at(a, at) == bit_at(b, at))
        at++;
    return at;
}

/* A node for the first `bits` of an address. */
static struct net_node *new_node(struct net_tree *t, const uint8_t *ip, unsigned bits, const void *value)
{
    struct net_node *n = arena_new(t->arena, struct net_node);
    if (!n)
        return NULL;
    memcpy(n->ip, ip, bits / 8);
    if (bits % 8)
        n->ip[bits / 8] = (uint8_t)(ip[bits / 8] & 0xff << (8 - bits % 8));
    n->bits = (uint8_t)bits;
    n->value = value;
    return n;
}

/* The node below `at` that begins to differ, or ends, where the network does: it goes down only into whole prefixes. */
static struct net_node **descend(struct net_node **at, const struct cidr *net, unsigned *common)
{
    *common = 0;
    while (*at) {
        unsigned max = (*at)->bits < net->bits ? (*at)->bits : net->bits;
        *common = common_bits((*at)->ip, net->ip, max);
        if (*common < (*at)->bits || (*at)->bits == net->bits)
            break;
        at = &(*at)->child[bit_at(net->ip, (*at)->bits)];
    }
    return at;
}

int net_tree_put(struct net_tree *t, const struct cidr *net, const void *value, const void **old)
{
    unsigned common;
    struct net_node **at = descend(&t->roots[net->v6], net, &common), *there = *at;
    *old = NULL;
    if (there && common == there->bits && there->bits == net->bits) {
        *old = there->value;
        t->count += !there->value;
        there->value = value;
        return OK;
    }
    struct net_node *mine = new_node(t, net->ip, net->bits, value);
    struct net_node *fork = there && common < net->bits ? new_node(t, net->ip, common, NULL) : mine;
    if (!mine || !fork)
        return ERR_NOMEM;
    if (fork != mine)
        fork->child[bit_at(net->ip, common)] = mine;
    if (there)
        fork->child[bit_at(there->ip, common)] = there;
    *at = fork;
    t->count++;
    return OK;
}

bool net_tree_remove(struct net_tree *t, const struct cidr *net)
{
    unsigned common;
    struct net_node *n = *descend(&t->roots[net->v6], net, &common);
    if (!n || common != n->bits || n->bits != net->bits || !n->value)
        return false;
    n->value = NULL;
    t->count--;
    return true;
}

const void *net_tree_find(const struct net_tree *t, const struct cidr *address)
{
    const void *best = NULL;
    const struct net_node *n = t->roots[address->v6];
    while (n && common_bits(n->ip, address->ip, n->bits) == n->bits) {
        best = n->value ? n->value : best;
        n = n->bits < address->bits ? n->child[bit_at(address->ip, n->bits)] : NULL;
    }
    return best;
}
