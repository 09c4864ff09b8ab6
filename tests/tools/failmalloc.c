#include "failmalloc.h"

#include <errno.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void __wrap_free(void *p);

static _Thread_local struct {
    bool on, onward, failed;
    size_t left; /* allocations that still succeed */
    long live;
} state;

void fail_alloc_at(size_t n, bool onward)
{
    state.on = true;
    state.onward = onward;
    state.failed = false;
    state.left = n;
}

bool fail_alloc_off(void)
{
    state.on = false;
    return state.failed;
}

long alloc_live(void)
{
    return state.live;
}

static bool fails(void)
{
    if (!state.on || (state.failed && !state.onward))
        return false;
    if (state.left) {
        state.left--;
        return false;
    }
    state.failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    state.live += p != NULL;
    return p;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : counted(__real_aligned_alloc(align, n));
}

void *__wrap_realloc(void *p, size_t n)
{
    if (fails())
        return NULL;
    void *q = __real_realloc(p, n);
    state.live += !p && q;
    return q;
}

void __wrap_free(void *p)
{
    state.live -= p != NULL;
    __real_free(p);
}
