/*
 * Names as DNS may be asked for them (RFC 1123 §2.1, RFC 1035 §2.3.4): labels of letters, digits, '-' and '_', at most
 * 63 bytes each and 253 together. Names come from requests, so what is anything else is never put on the wire.
 */
#ifndef NET_DNS_NAME_H
#define NET_DNS_NAME_H

#include <stddef.h>

#include "base/slice.h"

enum { DNS_NAME_MAX = 253, DNS_LABEL_MAX = 63 };

/*
 * The name in lower case, without the dot that may end it; `out` holds DNS_NAME_MAX bytes and is not terminated. OK, or
 * ERR_SYNTAX for what is no name: an empty label, another byte, a name or label too long, or a last label that makes it
 * an address in whatever spelling (digits alone; 0x and hexadecimal digits).
 */
int dns_name_normal(slice name, char *out, size_t *n);

#endif
