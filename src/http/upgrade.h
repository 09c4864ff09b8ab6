/*
 * Protocols that a connection may switch to, as Upgrade lists them (RFC 9110 §7.8).
 */
#ifndef HTTP_UPGRADE_H
#define HTTP_UPGRADE_H

#include "base/arena.h"
#include "http/msg.h"

/*
 * What of `wanted` may be asked for: protocols that `asked` (the Upgrade fields of the client) has too, without HTTP's
 * own: a tunnel that carries HTTP would pass by every rule (h2c smuggling). Empty when nothing is left or `wanted`
 * breaks the grammar; p NULL: out of memory.
 */
slice upgrade_allowed(struct arena *a, slice wanted, const struct fields *asked);
/* Is every protocol that these fields' Upgrade names in `wanted`, and is there one? */
bool upgrade_within(const struct field *fields, uint32_t n, slice wanted);

/* Is that option in a Connection list? Letter case does not count. */
bool list_has(slice list, slice option);

#endif
