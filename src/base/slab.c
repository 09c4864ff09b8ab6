#include "base/slab.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/checked.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISON 1
#endif
#endif

#ifdef SLAB_POISON
#include <sanitizer/asan_interface.h>
#define poison(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define poison(p, n)   ((void)0)
#define unpoison(p, n) ((void)0)
#endif

enum { SLAB_ALIGN = 64 };

struct slab_block {
    struct slab_block *next;
    size_t size;
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
        unpoison(b, b->size);
        free(b);
    }
    s->blocks = NULL;
    s->free = NULL;
}

/* Objects of a fresh block are chained in address order, so that the first ones out share pages. */
static int slab_refill(struct slab *s)
{
    size_t n;
    if (!checked_mul(s->size, s->batch, &n) || !checked_add(n, SLAB_ALIGN, &n))
        return -1;
    char *mem = aligned_alloc(SLAB_ALIGN, n);
    if (!mem)
        return -1;
    struct slab_block *b = (struct slab_block *)mem;
    b->next = s->blocks;
    b->size = n;
    s->blocks = b;
    char *obj = mem + SLAB_ALIGN;
    for (size_t i = s->batch; i-- > 0;) {
        void **slot = (void **)(obj + i * s->size);
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
