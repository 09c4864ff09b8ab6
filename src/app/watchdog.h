/*
 * When the engine is broken: a worker that does not come back to its loop, a fatal signal. Either way the stack goes to
 * the error log and the process ends, because the master starts another at once and a half-broken one would stay.
 */
#ifndef APP_WATCHDOG_H
#define APP_WATCHDOG_H

#include "app/worker.h"

enum { WATCHDOG_TICK_MS = 500 };

/* Installs the handlers. OK or ERR_SYS. */
int watchdog_init(void);
/*
 * Once every WATCHDOG_TICK_MS: looks at every worker's heartbeat. Ticks are counted instead of time measured: a process
 * that was stopped as a whole (SIGSTOP, a debugger, a suspended machine) has not been stuck.
 */
void watchdog_tick(struct worker_thread *threads);

#endif
