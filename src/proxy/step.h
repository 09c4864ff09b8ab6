/*
 * The steps of an exchange: the inside of proxy/run.c and the step files.
 *
 * A step runs until it can say which step comes next, or that the exchange must wait for an event. It is always called
 * from exchange_run, never from an end, so nothing re-enters. Each step is one file that bears its name.
 */
#ifndef PROXY_STEP_H
#define PROXY_STEP_H

#include "http/exchange.h"
#include "proxy/policy.h"
#include "proxy/proxy.h"

enum step {
    STEP_ADMIT,    /* is this a request that we serve at all */
    STEP_ROUTE,    /* which server, which location */
    STEP_LOCATE,   /* which location, once more: a rewrite changed the URI */
    STEP_POLICIES, /* may it pass, is it answered here */
    STEP_SELECT,   /* who answers */
    STEP_BODY,     /* gather the request body when it is wanted first */
    STEP_CONNECT,  /* get a connection to a peer */
    STEP_SEND,     /* derive and send the origin's head */
    STEP_RESPOND,  /* the answer's head is there: take it, or try the next peer */
    STEP_RESPONSE_POLICIES,
    STEP_DELIVER, /* head and body to the client */
    STEP_TUNNEL,  /* ... or the head of a 101, and bytes both ways */
    STEP_FINISH,  /* log, give connections back, free */
    STEPS,
    STEP_WAIT, /* not a step: an event will come */
    STEP_GONE, /* not a step: the exchange is freed */
};

enum step step_admit(struct exchange *x);
enum step step_route(struct exchange *x);
enum step step_locate(struct exchange *x);
enum step step_policies(struct exchange *x);
enum step step_select(struct exchange *x);
enum step step_body(struct exchange *x);
/* Is the request body gathered before a backend is asked? */
bool body_is_gathered(const struct exchange *x);
enum step step_connect(struct exchange *x);
enum step step_send(struct exchange *x);
enum step step_respond(struct exchange *x);
enum step step_response_policies(struct exchange *x);
enum step step_deliver(struct exchange *x);
enum step step_tunnel(struct exchange *x);
/* The peer of a CONNECT is there: 200, and bytes from then on. */
enum step step_established(struct exchange *x);
enum step step_finish(struct exchange *x);

/* What a verdict of a policy or of a content means for the walk; `next` is where NEXT leads. */
enum step step_verdict(struct exchange *x, enum verdict v, enum step next);

/* Answers with the plain page of the status from here on: the way of every error of our own. */
enum step step_error(struct exchange *x, unsigned status);

/* The current attempt failed with x->back_why, or with a status that proxy_next_upstream names: the next peer, or the
 * error answer (status 0: made from the reason). Resets the back end. */
enum step step_next_upstream(struct exchange *x, unsigned status);

/* Server and Date, where the answer has none (step_deliver.c). false: out of memory. */
bool deliver_own_fields(struct exchange *x);

/* Ends the exchange without (further) answer. */
enum step step_end(struct exchange *x, enum x_end reason);

/* Takes the back end off, closing its connection. */
void step_drop_back(struct exchange *x);

/* The answer was read whole: its connection goes back to the pool, or is closed if it cannot serve again. */
void step_give_back(struct exchange *x);

/* Local answers (proxy/reply.c): attaches the end that delivers what reply_set prepared. */
int reply_attach(struct exchange *x);

#endif
