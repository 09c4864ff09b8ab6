/*
 * Dialling: from a host that was found at run time to an upstream whose peers are its addresses.
 *
 * For proxy_pass with variables and for forward proxying. The name is resolved once (waiting without blocking), each
 * address is judged when the client chose the target, and what is left are the peers of the exchange, tried in turn by
 * proxy_next_upstream. Nothing is resolved again for a retry.
 */
#ifndef PROXY_DIAL_H
#define PROXY_DIAL_H

#include "http/exchange.h"
#include "net/egress.h"
#include "proxy/endpoint.h"
#include "proxy/upstream.h"

struct dial_rules {
    const struct resolver_conf *resolver; /* NULL: none; names cannot be dialled */
    uint64_t timeout;                     /* ms for the name */
    uint32_t share;                       /* names asked for at once for the client */
    const struct egress *egress;          /* may be NULL */
    uint64_t idle;                        /* ms that idle connections to it are kept; 0: as always */
    bool guarded;                         /* the client chose the target: addresses are judged */
    /*
     * Asked about all addresses before any of them is judged: OK; > 0: none of them will be connected to, and
     * x->proxy->upstream is set; ERR_REFUSED: reply_set was called; ERR_NOMEM. Asked with none (n 0) when the name has
     * no addresses, too.
     */
    int (*judge)(struct exchange *x, const struct addr *v, uint32_t n);
};

struct dial_name;

/* In the exchange's arena; one for each target. */
struct dial {
    struct x_hold hold;
    struct exchange *x;
    struct dial_name *name; /* while it is asked for; else NULL */
    struct dial_rules rules;
    slice text, host; /* of the target; they live as long as the exchange */
    uint16_t port;
    uint8_t pass; /* of the exchange, when it began */
    bool waiting, answered;
    const struct upstream *upstream; /* of the outcome OK */
    unsigned status; /* of the outcome ERR_REFUSED: 403 or 508 by the guard, 502 no such name, 500; 0: the answer is
                        prepared */
};

/*
 * Begins. OK: d->upstream; ERR_AGAIN: X_WAKE will be posted, call dial_go_on then; ERR_REFUSED: it was logged, and
 * d->status is the answer's.
 */
int dial_begin(struct exchange *x, struct dial *d, const struct dial_rules *rules, const struct endpoint *e);
/* The same outcomes; ERR_AGAIN: woken by something else. */
int dial_go_on(struct dial *d);
/* Stops waiting. Nothing when it does not. */
void dial_drop(struct dial *d);
/* The answer of a dial that was refused. */
int dial_reply(struct exchange *x, const struct dial *d);

#endif
