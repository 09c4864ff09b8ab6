#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t size;
};

void arena_init(struct arena *a, void *first, size_t n, size_t chunk, size_t limit)
{
    a->at = first;
    a->end = first ? a->at + n : NULL;
    a->chunks = NULL;
    a->used = 0;
    a->limit = limit;
    a->chunk = chunk < 256 ? 256 : chunk;
}

void arena_done(struct arena *a)
{
    struct arena_chunk *c = a->chunks, *next;
    for (; c; c = next) {
        next = c->next;
        free(c);
    }
    a->chunks = NULL;
    a->at = a->end = NULL;
    a->used = 0;
}

/* A request that is large for the chunk size gets a chunk of its own, and the current chunk stays in use. */
void *arena_grow(struct arena *a, size_t n, size_t align)
{
    size_t head = (sizeof(struct arena_chunk) + 15) & ~(size_t)15, need, total;
    bool own = n > a->chunk / 4;
    if (!checked_add(n, align, &need))
        return NULL;
    if (!checked_add(head, own ? need : a->chunk, &total))
        return NULL;
    if (a->limit && (a->used > a->limit || total > a->limit - a->used))
        return NULL;
    struct arena_chunk *c = malloc(total);
    if (!c)
        return NULL;
    c->size = total;
    c->next = a->chunks;
    a->chunks = c;
    a->used += total;
    char *p = (char *)c + head;
    if (!own) {
        a->at = p + n;
        a->end = (char *)c + total;
    }
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;
    return checked_mul(count, size, &n) ? arena_zalloc(a, n) : NULL;
}

bool arena_dup(struct arena *a, slice s, slice *out)
{
    size_t n;
    char *p = checked_add(s.n, 1, &n) ? arena_bytes(a, n) : NULL;
    if (!p)
        return false;
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *out = slice_of(p, s.n);
    return true;
}

slice arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char small[256];
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    slice out = SLICE_NONE;
    if (n < 0)
        return out;
    if ((size_t)n < sizeof(small)) {
        arena_dup(a, slice_of(small, (size_t)n), &out);
        return out;
    }
    char *p = arena_bytes(a, (size_t)n + 1);
    if (!p)
        return out;
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return slice_of(p, (size_t)n);
}
