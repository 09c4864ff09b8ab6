/*
 * A refcounted run of bytes: the only refcounted thing in an exchange's life.
 *
 * Body bytes that could not be written on at once are copied into one of these. References are counted without atomics:
 * a buffer never leaves its worker. Every buffer is charged to a budget, the worker-wide bound on queued body bytes.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

/* What queued bodies of one worker may take together, and what they take. */
struct buf_budget {
    size_t limit, used;
    uint64_t refused; /* how often a buffer was denied */
};

struct buf {
    struct buf_budget *budget;
    uint32_t refs;
    size_t cap, len; /* len: bytes filled, from the front */
    char data[];
};

/* A buffer of at least `cap` bytes with one reference; NULL when memory or the budget is used up. */
struct buf *buf_new(struct buf_budget *budget, size_t cap);

/* The same, over the budget if need be: for the few bytes without which nothing would move. */
struct buf *buf_new_forced(struct buf_budget *budget, size_t cap);

static inline struct buf *buf_ref(struct buf *b)
{
    b->refs++;
    return b;
}

void buf_unref(struct buf *b);

#endif
