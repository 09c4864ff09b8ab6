/*
 * A hash map from byte strings to pointers: open addressing, seeded SipHash-1-3, so that peers cannot choose
 * collisions.
 *
 * Keys are not copied: they must outlive the map. Built at configuration load and then read by many threads without a
 * lock; only the builder may write.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct map_slot {
    slice key;
    uint64_t hash;
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t count, cap; /* cap: a power of two, or 0 */
    bool icase;        /* keys are equal but for letter case */
};

void map_init(struct map *m, bool icase);
void map_done(struct map *m);
/* OK, ERR_NOMEM, or ERR_REFUSED when the key is there already (the map is unchanged). */
int map_put(struct map *m, slice key, void *value);
/* The value, or NULL. */
void *map_get(const struct map *m, slice key);

/* SipHash-1-3 of the bytes under the process's random key; letters folded when icase. */
uint64_t hash_bytes(slice s, bool icase);
/* SipHash-1-3 of the bytes under that key, which whoever keeps hashes for another process chose. */
uint64_t hash_keyed(const uint64_t key[2], slice s);
/* Random bytes from the kernel; aborts when it gives none. */
void rand_bytes(void *dst, size_t n);

#endif
