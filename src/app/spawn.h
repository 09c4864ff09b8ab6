/*
 * Starting an engine: a new process (fork and exec of the same binary), or a thread when master_process is off. Either
 * way it is handed a sealed bundle over a control socket and nothing else.
 */
#ifndef APP_SPAWN_H
#define APP_SPAWN_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "app/program.h"

struct engine_proc {
    pid_t pid;   /* 0: none, or a thread */
    int control; /* the master's end; -1: closed */
    bool threaded;
    pthread_t thread;
};

/* The environment variable by which an engine knows that it is one, and where its control socket is. */
#define SPAWN_VARIABLE "HINGE_ENGINE"

/* Starts an engine for the configuration and sends it its bundle as generation `id`. OK, or an error after saying why.
 */
int spawn_engine(struct program *p, struct generation *g, uint64_t id, struct engine_proc *out);
/* Sends the configuration to a running engine. OK or an error code. */
int spawn_send(struct engine_proc *e, struct generation *g, uint64_t id);

#endif
