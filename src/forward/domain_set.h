/*
 * A set of domain names, small enough for a million of them.
 *
 * Names are kept once, in lower case and without dots at the ends, in one block of bytes; an open-addressed table of
 * 32-bit offsets finds them. A name may stand for itself, for what lies below it, or for both; a look-up hashes each
 * suffix of the host that begins at a label, so its cost is the host's number of labels, whatever the set holds, and
 * a look-alike ("notexample.com") is never a suffix at a label. Built by one thread at load, then only read.
 */
#ifndef FORWARD_DOMAIN_SET_H
#define FORWARD_DOMAIN_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* What a name in the set stands for; bits. */
enum domain_scope {
    DOMAIN_SELF = 1 << 0,
    DOMAIN_BELOW = 1 << 1,
    DOMAIN_BOTH = DOMAIN_SELF | DOMAIN_BELOW,
};

enum { DOMAIN_NAME_MAX = 253 }; /* bytes of a name without its last dot, RFC 1035 §2.3.4 */

/* A name as sets hold it: in lower case, dots at the ends left out. Its length; 0: this is no name. */
size_t domain_normal(char dst[DOMAIN_NAME_MAX], slice name);

struct domain_set {
    uint32_t *slots; /* offset + 1 of an entry in `bytes`; 0: empty */
    uint32_t cap, count;
    char *bytes; /* entries: length, scope, the name */
    uint32_t used, room;
};

/* An all-zero struct is an empty set. */
void domain_set_done(struct domain_set *s);
/*
 * Adds a name, in any letter case, dots at either end left out; a name that is there gains the scope. OK, ERR_NOMEM,
 * ERR_SYNTAX (empty, too long, an empty label, or a byte that no host name holds), ERR_LIMIT (4 GB of names).
 */
int domain_set_add(struct domain_set *s, slice name, enum domain_scope scope);
/* Gives back what growing has left over. */
void domain_set_trim(struct domain_set *s);
/*
 * Is the host, or what it lies below, in the set? *entry (may be NULL) is the most specific name that says so, alive as
 * long as the set. A host longer than a name can be is in no set.
 */
bool domain_set_has(const struct domain_set *s, slice host, slice *entry);
/* Heap bytes that it holds. */
size_t domain_set_memory(const struct domain_set *s);

#endif
