/*
 * The nearest known name: what a typing error may have meant.
 *
 * Distance is Damerau-Levenshtein in its restricted form (insert, delete, replace, swap of neighbours), bounded: a
 * third of the name's length and three at most, so that a suggestion is either plausible or absent.
 */
#ifndef CONF_NEAREST_H
#define CONF_NEAREST_H

#include "base/slice.h"

struct nearest {
    slice wanted;
    slice best;      /* empty: nothing near */
    unsigned within; /* distance that still counts; shrinks as candidates are offered */
};

void nearest_init(struct nearest *n, slice wanted);
/* Of equally near names the first one offered wins. `name` must outlive n. */
void nearest_offer(struct nearest *n, slice name);
/* Distance of two names, or limit + 1 when it is above `limit` or a name is longer than 64 bytes. */
unsigned name_distance(slice a, slice b, unsigned limit);

#endif
