/*
 * The master: gathers configurations, holds the sockets, starts and watches the engine. It never reads what a client or
 * a backend sent.
 */
#ifndef APP_MASTER_H
#define APP_MASTER_H

#include "app/program.h"

/* The whole life of the started process; the exit code. */
int master_main(struct program *p);

#endif
