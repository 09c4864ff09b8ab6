/*
 * Compressors: one interface over ISA-L and zlib, and a worker's store of their states.
 *
 * Levels are nginx's 1 to 9. With ISA-L: 1 is its level 1, 2 its level 2, 3 to 6 its level 3, which costs what zlib's
 * fastest does or less; 7 to 9 are zlib's own, for those who want the last percent whatever it takes. Without ISA-L (a
 * build option) all are zlib's.
 *
 * A state is large (150 to 270 KB), so a worker keeps those that were used, hot ones first, and has a limit for all of
 * them together: who asks beyond it gets none.
 */
#ifndef POLICY_GZIP_STREAM_H
#define POLICY_GZIP_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct gzip_stream;

enum { GZIP_LEVELS = 10, GZIP_BUFFER = 32 << 10 };

/* One worker's. Zeroed memory is a store without anything in it. */
struct gzip_store {
    struct gzip_stream *free[GZIP_LEVELS];
    size_t used;    /* bytes of all states, idle ones included */
    size_t busy;    /* states that are out */
    char *out, *in; /* GZIP_BUFFER bytes each, for who runs a stream; made with the first one */
};

void gzip_store_done(struct gzip_store *s);

/* A stream at its beginning, of level 1 to 9; NULL: no memory, or the states would take more than `limit` bytes. */
struct gzip_stream *gzip_stream_take(struct gzip_store *s, unsigned level, size_t limit);
/* At any time. */
void gzip_stream_give(struct gzip_store *st, struct gzip_stream *s);

enum gzip_goal {
    GZIP_MORE,  /* more input will come */
    GZIP_FLUSH, /* a decoder shall see all of the input so far */
    GZIP_END,   /* nothing comes behind this input */
};

/*
 * Compresses what is at *in, which moves on, into out; returns how many bytes were written (less than `cap` bytes), and
 * in *done whether the goal is reached: the input is taken, flushed, ended. If not, call again with the same goal.
 */
size_t gzip_stream_run(struct gzip_stream *z, slice *in, char *out, size_t cap, enum gzip_goal goal, bool *done);

#endif
