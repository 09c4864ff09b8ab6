/*
 * Networks: an address with a number of leading bits, and sets of them.
 *
 * An IPv4 address that travels inside an IPv6 one (::ffff:a.b.c.d, what a socket for both families reports) is looked
 * for under both forms.
 */
#ifndef NET_CIDR_H
#define NET_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "net/addr.h"

struct cidr {
    uint8_t v6;
    uint8_t bits;
    uint8_t ip[16]; /* network order; bits behind the mask are 0 */
};

/*
 * "10.0.0.0/8", "2001:db8::/32", "127.0.0.1" (all bits). *loose is set when bits behind the mask were given, which mean
 * nothing (nginx warns). OK or ERR_SYNTAX.
 */
int cidr_parse(slice text, struct cidr *out, bool *loose);
/* The network of that one address. ERR_SYNTAX for anything but IPv4 and IPv6. */
int cidr_of(const struct sockaddr *sa, struct cidr *out);

struct cidr_set {
    const struct cidr *v;
    uint32_t n;
    bool unix_domain; /* peers on unix sockets belong to it */
};

bool cidr_set_has(const struct cidr_set *s, const struct sockaddr *sa);

#endif
