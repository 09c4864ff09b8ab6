/*
 * An end: one of the two sides of an exchange.
 *
 * The front end faces whoever asked (an HTTP/1 connection, later a stream, a cache filler), the back end whoever
 * answers (a backend connection, a local reply, a file). Both have the same small table of calls. The front end fills
 * the request pipe and empties the response pipe; the back end the other way round.
 *
 * Downward calls come from exchange_run and, for kick_out, from pipe_push. Upward an end only posts event bits
 * (exchange_post). An end never knows the other end, and is never called from inside one of its own upward posts.
 */
#ifndef HTTP_END_H
#define HTTP_END_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

struct exchange;
struct pipe;
struct rest;
struct end;

struct end_ops {
    const char *name;
    /* Composes the head of the message (front: x->resp; back: x->origin); nothing is written before the next kick_out.
     * At most once per end and attempt. OK, ERR_SYNTAX (something may not be written), ERR_NOMEM. */
    int (*send_head)(struct end *e, struct exchange *x);
    /* Front only: passes x->interim (1xx) on, or drops it when the peer cannot take it. */
    void (*send_interim)(struct end *e, struct exchange *x);
    /* Both pipes carry bytes without framing from here on, in both directions: behind the 101 in x->resp, which the
     * front end composes. Takes the place of send_head there. OK or ERR_NOMEM; NULL: not of this protocol. */
    int (*switch_protocol)(struct end *e, struct exchange *x);
    /* The pipe that this end empties has data, EOF or abort, or a head waits: write as much as goes. */
    void (*kick_out)(struct end *e);
    /* Somebody wants what this end produces: read on. The first call is what triggers 100-continue. */
    void (*kick_in)(struct end *e);
    /* Front only, may be NULL: reads ahead, without putting anything into a pipe. true: the whole body, of `limit`
     * bytes at most, is there and will be lent by the next kick_in. */
    bool (*in_hand)(struct end *e, uint64_t limit);
    /* Nobody wants the rest of what this end produces: drain it up to a limit, or close when done. */
    void (*stop_in)(struct end *e);
    /* End now, both directions: the end detaches itself (e->x = NULL) and never posts again. */
    void (*reset)(struct end *e);
    /* May be NULL: never. Nothing is under way in this end, and it wakes its exchange before it touches it again
     * (http/rest.h). */
    bool (*may_rest)(struct end *e);
    /* After both directions ended well: detaches, and keeps or closes its connection as it sees fit. */
    void (*finish)(struct end *e);
};

struct end {
    const struct end_ops *ops;
    struct exchange *x;    /* NULL: detached */
    struct rest *rest;     /* the exchange is at rest (http/rest.h); else NULL */
    struct pipe *in, *out; /* filled by this end; emptied by this end */
    struct task kick;      /* runs kick_in from the run queue */
};

void end_init(struct end *e, const struct end_ops *ops);
/* Binds the end to an exchange and its pipes. */
void end_attach_front(struct end *e, struct exchange *x);
void end_attach_back(struct end *e, struct exchange *x);
/* Unbinds: the pipes forget it, its kick is cancelled. */
void end_detach(struct end *e);

#endif
