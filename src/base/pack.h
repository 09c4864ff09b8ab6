/*
 * Packing: memory that is not looked at for a while, made small.
 *
 * Made for structs: words of eight bytes, of which most are zero, small numbers, or pointers near to each other. Each
 * becomes a tag and what the words before it do not tell; sixteen of those are remembered on both sides. Text stays as
 * it is. Five times smaller is usual, at about the price of two copies.
 */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stddef.h>
#include <stdint.h>

enum { PACK_MEMORY = 16 };

/* What both sides remember of the words so far. All zero at the beginning; lasts over several calls. */
struct pack {
    uint64_t known[PACK_MEMORY];
    unsigned next;
};

/* The most that n bytes can become. */
static inline size_t pack_bound(size_t n)
{
    return n + n / 8 + 1;
}

/* n: a multiple of 8. Writes at most pack_bound(n) bytes to `out`; how many. */
size_t pack_add(struct pack *p, uint8_t *out, const void *in, size_t n);
/* The way back, by calls with the same sizes in the same order; `in` is ours and trusted. How many bytes of it were
 * read. */
size_t pack_take(struct pack *p, void *out, size_t n, const uint8_t *in);

#endif
