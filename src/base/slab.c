#include "base/slab.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/poison.h"

enum { SLAB_ALIGN = 64, SLAB_PAGE = 4096 };

/* On the heap by itself, so that what is behind the objects need not be touched. */
struct slab_block {
    struct slab_block *next;
    char *objects;
    size_t size; /* of all objects */
};

void slab_init(struct slab *s, size_t size, size_t batch)
{
    s->free = NULL;
    s->blocks = NULL;
    s->size = (size + SLAB_ALIGN - 1) & ~(size_t)(SLAB_ALIGN - 1);
    s->batch = batch ? batch : 1;
    s->live = s->total = 0;
}

void slab_done(struct slab *s)
{
    struct slab_block *b = s->blocks, *next;
    for (; b; b = next) {
        next = b->next;
        unpoison(b->objects, b->size);
        free(b->objects);
        free(b);
    }
    s->blocks = NULL;
    s->free = NULL;
}

/* Objects of a fresh block are chained in address order, so that the first ones out share pages. */
static int slab_refill(struct slab *s)
{
    size_t n;
    if (!checked_mul(s->size, s->batch, &n))
        return -1;
    struct slab_block *b = malloc(sizeof(*b));
    char *mem = b ? aligned_alloc(s->size % SLAB_PAGE ? SLAB_ALIGN : SLAB_PAGE, n) : NULL;
    if (!mem) {
        free(b);
        return -1;
    }
    *b = (struct slab_block){ .next = s->blocks, .objects = mem, .size = n };
    s->blocks = b;
    for (size_t i = s->batch; i-- > 0;) {
        void **slot = (void **)(mem + i * s->size);
        *slot = s->free;
        s->free = slot;
        poison(slot, s->size);
    }
    assert(s->free);
    s->total += s->batch;
    return 0;
}

void *slab_take(struct slab *s)
{
    if (!s->free && slab_refill(s) < 0)
        return NULL;
    void **slot = s->free;
    unpoison(slot, s->size);
    s->free = *slot;
    s->live++;
    return slot;
}

void slab_give(struct slab *s, void *object)
{
    void **slot = object;
    *slot = s->free;
    s->free = slot;
    s->live--;
    poison(slot, s->size);
}
