#include "proxy/client_life.h"

#include "base/attr.h"
#include "base/err.h"
#include "proxy/step.h"

struct life {
    struct x_hold hold;
    struct timer timer;
    struct exchange *x;
};

static void on_timer(struct timer *t)
{
    struct life *l = container_of(t, struct life, timer);
    exchange_log(l->x, LEVEL_WARN, "ended: the connection is older than client_lifetime");
    l->x->ended = END_DROPPED;
    exchange_front_failed(l->x, WHY_LIMIT);
}

static void let_go(struct x_hold *hold, struct exchange *x)
{
    struct life *l = container_of(hold, struct life, hold);
    timer_drop(&x->w->loop, &l->timer);
    exchange_unhold(x, hold);
}

int client_life_watch(struct exchange *x, uint64_t ms)
{
    struct life *l = arena_new(&x->arena, struct life);
    uint64_t end = x->client->since + ms, now = loop_now(&x->w->loop);
    if (!l)
        return ERR_NOMEM;
    l->x = x;
    timer_init(&l->timer, on_timer);
    exchange_hold(x, &l->hold, let_go);
    timer_set(&x->w->loop, &l->timer, end > now ? end - now : 1);
    return OK;
}
