#include "base/strb.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"

void strb_init(struct strb *b, size_t limit)
{
    *b = (struct strb){ .limit = limit };
}

void strb_init_fixed(struct strb *b, char *mem, size_t cap)
{
    *b = (struct strb){ .p = mem, .cap = cap, .fixed = true };
}

void strb_done(struct strb *b)
{
    if (!b->fixed)
        free(b->p);
    *b = (struct strb){ .failed = true };
}

bool strb_room(struct strb *b, size_t n)
{
    size_t need, cap;
    if (b->failed)
        return false;
    if (n <= b->cap - b->n)
        return true;
    if (b->fixed || !checked_add(b->n, n, &need) || (b->limit && need > b->limit))
        goto fail;
    if (!checked_add(need, need / 2, &cap))
        goto fail;
    cap = cap < 128 ? 128 : cap;
    cap = b->limit && cap > b->limit ? b->limit : cap; /* else the slack of a growth would lie beyond the limit */
    char *p = realloc(b->p, cap);
    if (!p)
        goto fail;
    b->p = p;
    b->cap = cap;
    return true;
fail:
    b->failed = true;
    return false;
}

void strb_add(struct strb *b, slice s)
{
    if (!s.n || !strb_room(b, s.n))
        return;
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

void strb_char(struct strb *b, char c)
{
    strb_add(b, slice_of(&c, 1));
}

void strb_dec(struct strb *b, uint64_t v)
{
    char tmp[20];
    strb_add(b, slice_of(tmp, u64_to_dec(tmp, v)));
}

void strb_printf(struct strb *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !strb_room(b, (size_t)n + 1)) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}
