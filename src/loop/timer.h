/*
 * The timer wheel, as the loop turns it. Users of timers need loop.h only.
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include "loop/loop.h"

/* How long to sleep at most, in ms: until the next tick that may hold a timer; -1 when no timer is set. */
int timer_wait(struct loop *l);
/* Fires what is due. */
void timer_run(struct loop *l);

#endif
