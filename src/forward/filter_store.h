/*
 * Filter lists of the process: each content once.
 *
 * A list of a million names costs memory and a noticeable time to compile, and most reloads change none. So what files
 * say is kept by a digest of all their bytes for as long as some generation names it, and a generation that reads the
 * same bytes again is given the same list. Only loading comes here, from its own thread; workers hold pointers that
 * live as long as their generation.
 */
#ifndef FORWARD_FILTER_STORE_H
#define FORWARD_FILTER_STORE_H

#include "forward/filter.h"

/*
 * The list of these files, compiled now or found. One reference, which filter_store_drop gives back. OK, ERR_NOMEM,
 * ERR_LIMIT (4 GB of names). Any thread.
 */
int filter_store_get(const slice *texts, uint32_t n, const struct filter_list **out);
void filter_store_drop(const struct filter_list *l);
/* How many lists are held, by how many references; for tests. */
uint32_t filter_store_count(uint32_t *refs);

#endif
