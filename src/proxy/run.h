/*
 * The step machine's door: called once before the first worker starts.
 */
#ifndef PROXY_RUN_H
#define PROXY_RUN_H

#include "proxy/step.h"

/* Makes exchange_run the step machine of this room. */
void run_init(void);

/* One step of the walk, for whoever wants to look between steps (explain): the step that x->step says. The caller moves
 * x->step on. */
enum step run_step(struct exchange *x);

#endif
