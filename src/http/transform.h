/*
 * A transform: something that changes a body on its way, between two pipes.
 *
 * Without one, the producer's pipe is the consumer's pipe. transform_insert puts one between them: it takes the place
 * of the consumer of the first pipe and of the producer of a second one, so neither end notices anything but kicks. Its
 * `step` turns what lies in `in` into pieces in `out`, a bounded amount at a time, and says why it stopped. A full
 * `out` stops it, which lets `in` fill up, which stops the producer: back-pressure passes through.
 *
 * A transform that changes the length of a body must say so before the head leaves: the exchange's body fact becomes
 * BODY_UNKNOWN. All memory is the exchange's.
 *
 * Several may stand behind one another. Their order is that of enum transform_order and not that of insertion, so who
 * inserts one need not know of the others.
 */
#ifndef HTTP_TRANSFORM_H
#define HTTP_TRANSFORM_H

#include "http/end.h"
#include "http/pipe.h"

struct transform;

enum transform_result {
    TRANSFORM_MOVED,      /* something was put: push it, and call again */
    TRANSFORM_NEED_INPUT, /* nothing more to do with what is in `in`; at its EOF everything that was held has been put
                           */
    TRANSFORM_NEED_ROOM,  /* put found no place */
    TRANSFORM_FAILED,     /* the body cannot go on */
};

/* From the producer to the client; one that says nothing (0) is the nearest to the producer. */
enum transform_order {
    TRANSFORM_INTAKE = 1, /* how fast the producer is read (proxy_limit_rate) */
    TRANSFORM_CODE,       /* the content coding (gzip) */
    TRANSFORM_CUT,        /* parts of it (ranges) */
    TRANSFORM_TRAIL,      /* trailers (add_trailer) */
    TRANSFORM_PACE,       /* how fast the client is sent to (limit_rate) */
    TRANSFORM_SHARE,      /* ... all that one user is sent (user_limit_rate) */
};

struct transform {
    uint8_t order; /* enum transform_order */
    /* Takes from `in` (pipe_front, pipe_iov, pipe_take) and puts loans, memory or buffers into `out`. A loan must be
     * good until the step is called again. Must make progress or return one of the NEED results. */
    enum transform_result (*step)(struct transform *t, struct pipe *in, struct pipe *out);
    /* The exchange ends: free what is not the arena's. May be NULL. */
    void (*done)(struct transform *t);
    /* What the body's trailers become, at its end; NULL: what they were. */
    const struct fields *(*trailers)(struct transform *t, const struct fields *from);
    struct end end; /* consumer of `in`, producer of `out` */
    struct pipe *in;
    struct pipe out;
    bool failed;
    struct transform *next; /* of the exchange */
};

/*
 * Puts the transform into the way of the response body, at the place of its order. Before the head of the answer is
 * sent. `t` is zeroed memory of the exchange with order, step (and done) set; its capacity is that of the pipe it is
 * put behind.
 */
void transform_insert(struct exchange *x, struct transform *t);
/* The transform with that step, or NULL: for who inserted one and asks later. */
struct transform *transform_find(const struct exchange *x,
                                 enum transform_result (*step)(struct transform *, struct pipe *, struct pipe *));
/* Runs the transform soon although neither end kicked it: a timer of its own has come. */
void transform_wake(struct transform *t);
/* Takes all of them out again: the answer that they were made for is not sent. Before any body moved. */
void transforms_remove(struct exchange *x);
/* Ends all transforms of an exchange; from exchange_free. */
void transforms_done(struct exchange *x);

#endif
