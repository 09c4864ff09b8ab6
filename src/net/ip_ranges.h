/*
 * Ranges of IPv4 addresses, each with a value: read one after the other, then found by binary search.
 *
 * What is added later is cut out of what it lies in. The rules are nginx's (geo's `ranges`), with its unit: a range
 * counts in pieces of 65536 addresses, so that within one such block the new piece may be apart from the others, equal
 * to one, or inside one; across two of them it overlaps, which is an error.
 */
#ifndef NET_IP_RANGES_H
#define NET_IP_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct ip_range {
    uint32_t first, last;
    const void *value;
};

/* Under construction; on the heap. */
struct ip_ranges_build;

struct ip_ranges_build *ip_ranges_begin(void); /* NULL: out of memory */
void ip_ranges_free(struct ip_ranges_build *b);
/*
 * Adds first <= last. OK: *clash is the range that it took the place of, if any (value NULL: none). ERR_REFUSED: it
 * overlaps *clash; blocks before that one are done. ERR_NOMEM.
 */
int ip_ranges_add(struct ip_ranges_build *b, struct ip_range r, struct ip_range *clash);
/* Takes out what is exactly this, block by block. false: some block held no such range. */
bool ip_ranges_remove(struct ip_ranges_build *b, uint32_t first, uint32_t last);

/* As it is looked up: sorted, apart from each other, neighbours of equal value as one. */
struct ip_ranges {
    const struct ip_range *v;
    size_t n;
};

/* OK or ERR_NOMEM. */
int ip_ranges_finish(const struct ip_ranges_build *b, struct arena *a, struct ip_ranges *out);
/* The value, or NULL. */
const void *ip_ranges_find(const struct ip_ranges *r, uint32_t address);

#endif
