/*
 * Filter lists of the process that gathers configurations: each content compiled once.
 *
 * A list of a million names takes a noticeable time to compile, and most reloads change none. So the table that was
 * made of some bytes is kept by their digest for as long as some generation names it, and a generation that reads the
 * same bytes again is given the same table. The files are read twice and never held: once to see whether their table is
 * there and how many names they have, once to make it. Only whoever gathers comes here, from one thread; an engine is
 * handed the tables.
 */
#ifndef FORWARD_FILTER_STORE_H
#define FORWARD_FILTER_STORE_H

#include "base/slice.h"

struct filter_held;

/*
 * Reads the files of a list from their beginnings: `piece` with the bytes of each, then `end`. What these answer other
 * than OK (ERR_NOMEM, ERR_AGAIN) ends it and is returned; other codes are the reader's own.
 */
struct filter_sink {
    int (*piece)(void *ctx, slice bytes);
    int (*end)(void *ctx);
    void *ctx;
};
typedef int (*filter_files_fn)(void *files, const struct filter_sink *to);

/*
 * The table of these files, compiled now or found. One reference, which filter_store_drop gives back. OK, ERR_NOMEM,
 * ERR_LIMIT (too many names), ERR_AGAIN (the files change while they are read), ERR_SYS, what `read` answered.
 */
int filter_store_get(filter_files_fn read, void *files, struct filter_held **out);
void filter_store_drop(struct filter_held *h);
/* The table's sealed file; the store's. */
int filter_held_fd(const struct filter_held *h);
/* How many lists are held, by how many references; for tests. */
uint32_t filter_store_count(uint32_t *refs);

#endif
