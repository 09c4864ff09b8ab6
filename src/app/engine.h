/*
 * The engine: the process that serves. Its main thread talks to the master, takes signals, loads configurations and
 * watches the workers; worker threads do all the rest (app/worker.h).
 */
#ifndef APP_ENGINE_H
#define APP_ENGINE_H

#include <stdbool.h>

#include "app/app.h"

/* The control socket when this process was started as an engine (and forgets that it was told), or -1. */
int engine_asked(void);

/*
 * Serves until told to end; the exit code. Takes the control socket over. threaded: inside the master's process, where
 * signals and rights are the master's business.
 */
int engine_run(const struct app *app, int control, bool threaded);

#endif
