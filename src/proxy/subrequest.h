/*
 * A subrequest: a child exchange that asks another location of the same server on behalf of its parent (auth_request).
 *
 * The child borrows the parent's head, client and generation, and is routed, proxied and answered like any other. Its
 * front end is a sink that lives in the parent's arena: it keeps the answer's head for the parent and throws the body
 * away. Nothing of the client's body goes to a child, and PHASE_ACCESS is not run for it: that is the parent's matter.
 *
 * The child stays as it is, answered, until the parent has read what it needs (subrequest_release). It never outlives
 * its parent: finish of the parent ends it first.
 */
#ifndef PROXY_SUBREQUEST_H
#define PROXY_SUBREQUEST_H

#include "http/exchange.h"

struct subrequest {
    struct end front;
    struct exchange *parent, *x; /* x: the child; NULL when it is gone */
    struct x_hold hold;          /* the parent's */
    uint64_t left;               /* of SUBREQUEST_DRAIN */
    unsigned status;             /* of the answer; 0: none so far, or none at all */
    uint8_t depth;
    bool released;
};

enum {
    SUBREQUEST_DEPTH = 8,         /* children of children */
    SUBREQUEST_DRAIN = 256 << 10, /* bytes of a body read for nothing, so that the backend's connection can be kept */
};

/*
 * Asks for a decoded path with a GET. The parent gets X_WAKE when there is something to see. NULL: out of memory, or
 * too deep (logged).
 */
struct subrequest *subrequest_start(struct exchange *parent, slice uri, slice args, bool has_args);

/* Is there anything to read: an answer (s->x, its resp and variables, and s->status), or the end without one (0)? */
static inline bool subrequest_ready(const struct subrequest *s)
{
    return s->status || !s->x;
}

/* The parent has read what it wants: the child may end. */
void subrequest_release(struct subrequest *s);

#endif
