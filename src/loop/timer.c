/*
 * One wheel of 4096 slots of 16 ms (about 65 seconds around). A timer hangs on the slot of its deadline, or on the last
 * slot of the round when the deadline is further off. Moving a deadline backwards in time unhangs it; moving it
 * forwards only stores the new time: when the old slot comes round, the timer is hung anew. Keep-alive connections,
 * which push their deadline with every request, therefore never touch a list.
 */
#include "loop/timer.h"

#include "base/attr.h"

void timer_init(struct timer *t, void (*fn)(struct timer *))
{
    list_init(&t->link);
    t->at = 0;
    t->slot = 0;
    t->fn = fn;
}

static void hang(struct loop *l, struct timer *t)
{
    uint64_t tick = (t->at + LOOP_TICK_MS - 1) / LOOP_TICK_MS;
    if (tick <= l->tick)
        tick = l->tick + 1;
    if (tick > l->tick + LOOP_WHEEL - 1)
        tick = l->tick + LOOP_WHEEL - 1;
    t->slot = tick;
    list_add_tail(&l->wheel[tick % LOOP_WHEEL], &t->link);
    l->timers++;
    if (tick < l->next_tick)
        l->next_tick = tick;
}

void timer_set(struct loop *l, struct timer *t, uint64_t ms)
{
    uint64_t at;
    if (__builtin_add_overflow(l->clock.mono, ms, &at))
        at = UINT64_MAX / 2;
    t->at = at ? at : 1;
    if (list_linked(&t->link)) {
        if (t->slot * LOOP_TICK_MS <= t->at)
            return; /* it will be looked at in time, and hung anew then */
        list_del(&t->link);
        l->timers--;
    }
    hang(l, t);
}

void timer_drop(struct loop *l, struct timer *t)
{
    t->at = 0;
    if (!list_linked(&t->link))
        return;
    list_del(&t->link);
    l->timers--;
}

/*
 * next_tick is a lower bound of the first slot in use: hanging a timer lowers it, unhanging one leaves it. So the wheel
 * is scanned only when the bound itself has passed, and a turn costs one comparison.
 */
int timer_wait(struct loop *l)
{
    if (!l->timers)
        return -1;
    if (l->next_tick <= l->tick) {
        uint64_t tick = l->tick + 1;
        while (tick < l->tick + LOOP_WHEEL && list_empty(&l->wheel[tick % LOOP_WHEEL]))
            tick++;
        l->next_tick = tick;
    }
    uint64_t due = l->next_tick * LOOP_TICK_MS;
    return due > l->clock.mono ? (int)(due - l->clock.mono) : 0;
}

static void run_slot(struct loop *l, struct list *slot)
{
    struct list due;
    if (list_empty(slot))
        return;
    due = *slot; /* move the whole ring, so that timers hung anew do not come by again */
    due.next->prev = due.prev->next = &due;
    list_init(slot);
    while (!list_empty(&due)) {
        struct timer *t = list_entry(due.next, struct timer, link);
        list_del(&t->link);
        l->timers--;
        if (!t->at)
            continue;
        if (t->at > l->clock.mono) {
            hang(l, t);
            continue;
        }
        t->at = 0;
        t->fn(t);
        loop_drain(l);
    }
}

void timer_run(struct loop *l)
{
    uint64_t now = l->clock.mono / LOOP_TICK_MS;
    if (!l->timers) {
        l->tick = now > l->tick ? now : l->tick;
        return;
    }
    /* After a long sleep one round reaches every slot; what is not due yet is hung anew from the present tick. */
    uint64_t first = l->tick + 1;
    if (now >= first + LOOP_WHEEL)
        first = now - LOOP_WHEEL + 1;
    for (uint64_t tick = first; tick <= now; tick++) {
        l->tick = tick;
        run_slot(l, &l->wheel[tick % LOOP_WHEEL]);
    }
}
