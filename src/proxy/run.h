/*
 * The step machine's door: called once before the first worker starts.
 */
#ifndef PROXY_RUN_H
#define PROXY_RUN_H

/* Makes exchange_run the step machine of this room. */
void run_init(void);

#endif
