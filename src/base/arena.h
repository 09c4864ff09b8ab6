/*
 * An arena: memory that is handed out in one direction and given back all at once.
 *
 * One per exchange and one per configuration generation. The first chunk may be lent by the owner (a page from a slab),
 * so that a usual exchange never calls malloc. Nothing in an arena is freed alone. Not thread-safe: an arena belongs to
 * whoever owns it. A `limit` bounds what a peer can make us keep: beyond it arena_alloc fails like any other
 * out-of-memory.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct arena_chunk;

struct arena {
    char *at, *end;
    struct arena_chunk *chunks; /* heap chunks, newest first */
    size_t used;                /* bytes of heap chunks, for budgets and for reports */
    size_t limit;               /* 0: none */
    size_t chunk;               /* size of the next heap chunk */
};

/* Embeds an arena over `first` (may be NULL with n 0); the caller keeps owning `first`. */
void arena_init(struct arena *a, void *first, size_t n, size_t chunk, size_t limit);
/* Frees every heap chunk; the arena must be initialised again before its next use. */
void arena_done(struct arena *a);

/* Slow path of arena_alloc. */
void *arena_grow(struct arena *a, size_t n, size_t align);

/* n bytes aligned for any object, or NULL. Uninitialised. */
static inline void *arena_alloc(struct arena *a, size_t n)
{
    char *p = (char *)(((size_t)a->at + 15) & ~(size_t)15);
    if (__builtin_expect(p && p <= a->end && n <= (size_t)(a->end - p), 1)) {
        a->at = p + n;
        return p;
    }
    return arena_grow(a, n, 16);
}

/* n bytes without alignment, for text. */
static inline char *arena_bytes(struct arena *a, size_t n)
{
    if (__builtin_expect(n <= (size_t)(a->end - a->at), 1)) {
        char *p = a->at;
        a->at += n;
        return p;
    }
    return arena_grow(a, n, 1);
}

/* As arena_alloc, zeroed. */
void *arena_zalloc(struct arena *a, size_t n);
/* count * size bytes, zeroed, or NULL; the product is checked. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* A copy of the slice with a terminating NUL behind it (not counted). false when out of memory. */
bool arena_dup(struct arena *a, slice s, slice *out);
/* A formatted, NUL-terminated string in the arena; an empty slice with NULL pointer when out of memory. */
slice arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define arena_new(a, type)      ((type *)arena_zalloc(a, sizeof(type)))
#define arena_new_n(a, type, n) ((type *)arena_array(a, n, sizeof(type)))

#endif
