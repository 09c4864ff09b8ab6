/*
 * A slab: objects of one size, kept on a free list, hot ones first.
 *
 * One slab per worker and kind (connections, exchange pages, buffers), so it needs no lock. Blocks are taken from the
 * heap `batch` objects at a time; what is free beyond `keep` whole objects is never handed back to the heap before
 * slab_done, because a proxy that once held n connections will hold them again. With AddressSanitizer freed objects are
 * poisoned, so that a use after free is seen although no free happened. Objects that fill whole pages of 4096 bytes
 * begin on one, so that whoever holds one may give its memory back to the kernel for a time (http/rest.c).
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

struct slab_block;

struct slab {
    void *free;                /* single chain through the objects' first word */
    struct slab_block *blocks; /* every block ever taken */
    size_t size;               /* of an object, rounded up to 64 */
    size_t batch;
    size_t live, total; /* objects out, objects ever made */
};

void slab_init(struct slab *s, size_t size, size_t batch);
/* Gives every block back to the heap. Objects still out become invalid. */
void slab_done(struct slab *s);
/* An uninitialised object, or NULL. */
void *slab_take(struct slab *s);
void slab_give(struct slab *s, void *object);

#endif
