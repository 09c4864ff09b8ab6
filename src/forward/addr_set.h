/*
 * A set of addresses as Squid writes them: an address, a network, a range, a range of networks, `all`, `ipv4`, `ipv6`.
 *
 * IPv4 and IPv6 share one space of 16 bytes (::ffff:a.b.c.d), so an address that a socket for both families reports is
 * found too. Ranges are sorted and joined once, then found by binary search.
 */
#ifndef FORWARD_ADDR_SET_H
#define FORWARD_ADDR_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"

struct addr_span {
    uint8_t first[16], last[16];
};

struct addr_set {
    struct addr_span *v; /* heap */
    uint32_t n, cap;
    bool sorted;
};

void addr_set_done(struct addr_set *s);
/*
 * "10.0.0.1", "10.0.0.0/8", "10.0.0.0/255.0.0.0", "10.1.0.0-10.9.0.0/16", "fe80::/10", "all", "ipv4", "ipv6". *loose is
 * set for a text that Squid takes for more than it says (0.0.0.0/0 is `all`) or with bits behind the mask. OK,
 * ERR_NOMEM, ERR_SYNTAX (no address: perhaps a name), ERR_RANGE (the mask or the order of the ends is wrong).
 */
int addr_set_add(struct addr_set *s, slice text, bool *loose);
/* Sorts and joins; before the first look-up. */
void addr_set_finish(struct addr_set *s);
/* Every address; after addr_set_finish. */
bool addr_set_is_all(const struct addr_set *s);
/* All of IPv4, or all of what is given out of IPv6: whoever is in it by that is no acquaintance; after addr_set_finish.
 */
bool addr_set_is_world(const struct addr_set *s);
/* Peers on unix sockets are in the set of all addresses alone. */
bool addr_set_has(const struct addr_set *s, const struct sockaddr *sa);

#endif
