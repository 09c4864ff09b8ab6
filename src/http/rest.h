/*
 * An exchange at rest: a tunnel in which nothing moves needs its memory only when something does again.
 *
 * The page that holds the exchange and what its arena has on it is packed (base/pack.h) into a few hundred bytes, and
 * given back to the kernel; the address stays its own. So waking it is one fault and one copy to the same place: no
 * pointer changes, and nobody but the two ends knows. They look at end.rest before they touch their exchange; whatever
 * else points into the page stands in the way of resting (rest.c).
 */
#ifndef HTTP_REST_H
#define HTTP_REST_H

#include "base/attr.h"
#include "http/exchange.h"

enum { REST_AFTER = 250 }; /* ms without a byte until a tunnel's exchange is laid to rest */

/*
 * Lays it to rest when nothing is under way in it and both ends let it (end_ops.may_rest). false: it stays awake. Not
 * from inside exchange_run or a push. The front end's kick_in runs after every waking: whoever ends rests there again.
 */
bool exchange_rest(struct exchange *x);
/* The exchange of this end is awake from here on. */
void exchange_wake(struct end *e);

/* First thing of every callback of an end that has may_rest. */
static inline void end_wake(struct end *e)
{
    if (unlikely(e->rest))
        exchange_wake(e);
}

#endif
