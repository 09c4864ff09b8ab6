/*
 * The worker's one read buffer, and who has unread bytes in it.
 *
 * Connections own no read buffer: they read into the worker's scratch, and what can be parsed and passed on at once
 * never costs memory. A reader that leaves bytes there (a parsed head whose body waits for the exchange to run) holds
 * the scratch; if somebody else must read before these bytes were taken, the holder is told to stash them first.
 */
#ifndef LOOP_SCRATCH_H
#define LOOP_SCRATCH_H

#include <stddef.h>

struct scratch_holder {
    /* Copy what is still unread somewhere of your own: the bytes will be gone when this returns. */
    void (*stash)(struct scratch_holder *h);
};

struct scratch {
    char *p;
    size_t size;
    struct scratch_holder *holder;
};

enum { SCRATCH_SIZE = 256 << 10 };

int scratch_init(struct scratch *s, size_t size);
void scratch_done(struct scratch *s);

/* The buffer, free for reading into; a holder other than `h` stashes first. */
static inline char *scratch_take(struct scratch *s, struct scratch_holder *h)
{
    if (s->holder && s->holder != h) {
        struct scratch_holder *old = s->holder;
        s->holder = NULL;
        old->stash(old);
    }
    s->holder = NULL;
    return s->p;
}

/* Says that bytes of `h` lie in the scratch, or (scratch_drop) that none do any more. */
static inline void scratch_hold(struct scratch *s, struct scratch_holder *h)
{
    s->holder = h;
}

static inline void scratch_drop(struct scratch *s, struct scratch_holder *h)
{
    if (s->holder == h)
        s->holder = NULL;
}

#endif
