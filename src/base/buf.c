#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checked.h"

struct buf *buf_new_forced(struct buf_budget *budget, size_t cap)
{
    size_t total;
    if (!checked_add(cap, sizeof(struct buf), &total))
        return NULL;
    struct buf *b = malloc(total);
    if (!b)
        return NULL;
    b->budget = budget;
    b->refs = 1;
    b->cap = cap;
    b->len = 0;
    budget->used += cap;
    return b;
}

struct buf *buf_new(struct buf_budget *budget, size_t cap)
{
    if (budget->limit && (budget->used > budget->limit || cap > budget->limit - budget->used)) {
        budget->refused++;
        return NULL;
    }
    return buf_new_forced(budget, cap);
}

void buf_unref(struct buf *b)
{
    assert(b->refs > 0);
    if (--b->refs)
        return;
    b->budget->used -= b->cap;
    free(b);
}
