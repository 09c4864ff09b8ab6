/*
 * Destinations of SOCKS as addresses and as text.
 */
#ifndef SOCKS_DEST_H
#define SOCKS_DEST_H

#include "net/addr.h"
#include "socks/socks.h"

enum { SOCKS_DEST_TEXT = SOCKS_TEXT_MAX + 16 };

/* As the authority of a CONNECT has it: names as they came, whatever they hold; addresses, those written as names too,
 * in their canonical form. In `dst`, SOCKS_DEST_TEXT bytes. */
slice socks_dest_text(const struct socks_dest *d, char *dst);
/* An IPv4 address inside an IPv6 one is told as what it is. */
void socks_dest_of(const struct addr *a, struct socks_dest *out);

#endif
