/* What the files of the engine and of its workers share. */
#ifndef APP_ENGINE_PRIV_H
#define APP_ENGINE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "app/app.h"
#include "app/control.h"
#include "app/worker.h"
#include "net/addr.h"

/* One listening address: the sockets belong to the engine, whatever generation brought them. */
struct engine_listener {
    slice key;
    struct addr addr;
    bool shared; /* one socket for all workers */
    bool wanted; /* by the generation that is taken now */
    int *fds;
    uint32_t nfds;
    struct engine_listener *next;
};

/* A configuration being compiled on a thread of its own. */
struct engine_load {
    struct engine *engine;
    uint64_t id;
    struct bundle *bundle;
    struct generation *gen; /* the result; NULL: `why` tells */
    char why[1024];
    pthread_t thread;
    _Atomic bool finished;
};

enum engine_state { ENGINE_RUNS, ENGINE_QUITS, ENGINE_STOPS };

struct engine {
    const struct app *app;
    struct schema schema;
    int control, sigfd, notify;
    int rescue, heir; /* where the next master asks, and the one that does; -1: none (app/rescue.h) */
    bool threaded;
    bool dropped; /* rights are given up, or need not be */
    struct control_transfer transfer;
    struct engine_load *load;
    struct generation *current, *taking;
    uint64_t taking_id;
    unsigned nworkers;             /* that listeners are shared out to */
    struct worker_thread *threads; /* the serving ones, and the retiring ones that still have work */
    struct engine_listener *listeners;
    _Atomic unsigned acks;
    unsigned acks_wanted;
    enum engine_state state;
    bool want_quit, closing; /* closing: workers were told to stop accepting */
    int exit_code;
    bool done;
};

/* A worker has done what it was told. From any thread. */
void engine_ack(struct engine *e);
/* A worker has ended, or something else is worth a look. From any thread. */
void engine_notify(struct engine *e);

/* engine_load.c: compiles the complete transfer on a thread; engine_load_done gives its result, joined. */
int engine_load_start(struct engine *e);
void engine_load_free(struct engine_load *l);
/* Puts a log that was opened anew under the numbers of every generation alive. */
void engine_reopen(struct engine *e, slice path, int fd);

/* engine_listen.c: joins the sockets that a generation's bundle brought with those that are there. OK or ERR_NOMEM. */
int engine_listeners_join(struct engine *e, struct generation *g);
/* Closes those that are not wanted any more (all: every one). */
void engine_listeners_close(struct engine *e, bool all);
/* Does worker `index` accept from socket `i`? */
bool engine_listener_mine(const struct engine *e, const struct engine_listener *l, uint32_t i, unsigned index);

#endif
