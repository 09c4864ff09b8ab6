/* What the two files of the master share. */
#ifndef APP_MASTER_PRIV_H
#define APP_MASTER_PRIV_H

#include <stdint.h>

#include "app/program.h"
#include "app/spawn.h"

enum master_ending { ENDING_NO, ENDING_QUIT, ENDING_STOP };

enum { MASTER_CRASHES = 3, MASTER_RETIRED = 8 };

struct master {
    struct program *p;
    int sigfd;
    struct generation *active;  /* the last one that an engine acknowledged */
    struct generation *pending; /* on its way to the engine */
    uint64_t next_id;
    struct engine_proc engine;
    bool starting;                 /* the engine has been sent `active` and has not answered yet */
    pid_t retired[MASTER_RETIRED]; /* engines that finish what they have, after a QUIT of their own */
    bool want_reload, want_reopen, want_quit, want_stop, want_wait;
    enum master_ending ending;
    int64_t restart_at, kill_at; /* ms; 0: no */
    int64_t crashes[MASTER_CRASHES];
    unsigned ncrashes, backoff;
    int daemon_pipe;       /* tells the process that the user started how it went */
    char *pid_path;        /* of the file that we wrote; NULL: none */
    int orphan;            /* to an engine whose master had died and whose sockets we took; -1: none */
    int rescue;            /* where the next master shall ask; the engine has it too. -1: none */
    char rescue_path[128]; /* its file; empty: none */
    bool was_up, done;
};

int64_t master_now(void);
int master_signals(struct master *m);

/* Everything up to the first engine's start. */
int master_begin(struct master *m);
/* The engine acknowledged generation `id`. */
void master_ready(struct master *m, uint64_t id);
void master_refused(struct master *m);
void master_drained(struct master *m);
/* The control socket is broken. */
void master_lost(struct master *m);
/* The engine has ended. */
void master_engine_gone(struct master *m);
void master_forget(struct master *m, pid_t pid);
void master_restart(struct master *m);
void master_reload(struct master *m);
void master_reopen(struct master *m);
void master_quit(struct master *m);
void master_stop(struct master *m);
void master_kill(struct master *m);
/* Takes back what the start made: pid file, unix sockets, memory. */
void master_end(struct master *m);

#endif
