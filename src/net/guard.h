/*
 * The egress guard: which addresses a client's choice may not reach.
 *
 * A target that a client chose (design: "trust is explicit") must not lead to this machine, to the private networks
 * behind it, or to the metadata services of a cloud. The list is IANA's special-purpose registries for IPv4 and IPv6
 * (RFC 6890 and its successors) plus multicast; forms that carry an IPv4 address inside an IPv6 one are taken apart
 * first.
 */
#ifndef NET_GUARD_H
#define NET_GUARD_H

#include "net/addr.h"

/*
 * NULL when the address is a public one; else the name of the range it is in ("loopback", "private", "link-local",
 * ...), a fixed text for logs. Unix sockets are "unix".
 */
const char *guard_special(const struct addr *a);

/* The IPv4 address that an IPv6 one carries (mapped, translated, NAT64, 6to4, ISATAP, compatible), with its port.
 * false: it carries none. */
bool guard_embedded(const struct addr *a, struct addr *out);

#endif
