/*
 * A growable, checked string builder on the heap: the one way to compose text whose length is not known before.
 *
 * There is no "measure, then copy": a piece is appended or the builder is marked failed, and then stays failed, so that
 * a caller may append without looking and ask once at the end (CVE-2026-42945 and its kin came from two passes that
 * disagreed). A limit bounds it.
 */
#ifndef BASE_STRB_H
#define BASE_STRB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct strb {
    char *p;
    size_t n, cap, limit;
    bool failed, fixed; /* fixed: p is the caller's memory and does not grow */
};

/* An empty builder that grows on the heap up to `limit` bytes (0: no limit). */
void strb_init(struct strb *b, size_t limit);
/* A builder over the caller's memory. */
void strb_init_fixed(struct strb *b, char *mem, size_t cap);
void strb_done(struct strb *b);

/* Makes room for n more bytes; false marks the builder failed. */
bool strb_room(struct strb *b, size_t n);
void strb_add(struct strb *b, slice s);
void strb_char(struct strb *b, char c);
void strb_dec(struct strb *b, uint64_t v);
void strb_printf(struct strb *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define strb_lit(b, literal) strb_add(b, SLICE(literal))

static inline slice strb_slice(const struct strb *b)
{
    return slice_of(b->p, b->n);
}

#endif
