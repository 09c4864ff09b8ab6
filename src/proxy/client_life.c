#include "proxy/client_life.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/rest.h"
#include "proxy/step.h"

/* On the heap: the exchange may be at rest meanwhile. */
struct life {
    struct x_hold hold;
    struct timer timer;
    struct end *front; /* outlives the exchange */
};

static void on_timer(struct timer *t)
{
    struct life *l = container_of(t, struct life, timer);
    end_wake(l->front);
    struct exchange *x = l->front->x;
    exchange_log(x, LEVEL_WARN, "ended: the connection is older than client_lifetime");
    x->ended = END_DROPPED;
    exchange_front_failed(x, WHY_LIMIT);
}

static void let_go(struct x_hold *hold, struct exchange *x)
{
    struct life *l = container_of(hold, struct life, hold);
    timer_drop(&x->w->loop, &l->timer);
    exchange_unhold(x, hold);
    free(l);
}

int client_life_watch(struct exchange *x, uint64_t ms)
{
    struct life *l = calloc(1, sizeof(*l));
    uint64_t end = x->client->since + ms, now = loop_now(&x->w->loop);
    if (!l)
        return ERR_NOMEM;
    l->front = x->front;
    timer_init(&l->timer, on_timer);
    exchange_hold(x, &l->hold, let_go);
    l->hold.still = true;
    timer_set(&x->w->loop, &l->timer, end > now ? end - now : 1);
    return OK;
}
