/*
 * The engine's main thread (app/engine.h).
 *
 * It sleeps in one poll on the control socket, the signals, and the eventfd through which workers and the loader
 * report. A configuration goes: gathered (control_gather), compiled (engine_load.c), its sockets joined with those that
 * are there, offered to every worker by letter, acknowledged by all, answered READY. Only one is on its way at a time,
 * and a graceful end waits for it; a fast one does not. When the master is gone, the engine serves on until a signal.
 */
#include "app/engine.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/core.h"
#include "app/engine_priv.h"
#include "app/rescue.h"
#include "app/spawn.h"
#include "app/watchdog.h"
#include "base/attr.h"
#include "base/err.h"
#include "loop/job_pool.h"

int engine_asked(void)
{
    const char *text = getenv(SPAWN_VARIABLE);
    uint64_t fd;
    if (!text || slice_to_u64(slice_str(text), &fd) < 0 || fd > INT32_MAX)
        return -1;
    unsetenv(SPAWN_VARIABLE);
    return (int)fd;
}

void engine_notify(struct engine *e)
{
    uint64_t one = 1;
    ssize_t n = write(e->notify, &one, sizeof(one));
    (void)n; /* a full counter wakes as well */
}

void engine_ack(struct engine *e)
{
    atomic_fetch_add(&e->acks, 1);
    engine_notify(e);
}

static void answer(struct engine *e, enum control_type type, uint64_t id, slice text)
{
    if (e->control >= 0)
        control_send(e->control, type, id, text, NULL, 0);
}

/* Something that leaves no way on: the master starts another engine. */
static void give_up(struct engine *e, const char *why)
{
    log_line(log_main, LEVEL_CRIT, 0, "the engine gives up: %s", why);
    e->exit_code = 1;
    e->done = true;
}

/* ---- taking a configuration ---- */

static bool busy(const struct engine *e)
{
    return e->load || e->taking;
}

static void expect_acks(struct engine *e, unsigned n)
{
    atomic_store(&e->acks, 0);
    e->acks_wanted = n;
}

static struct worker_thread *serving(const struct engine *e, unsigned index)
{
    for (struct worker_thread *t = e->threads; t; t = t->next) {
        if (!t->retiring && t->w.index == index)
            return t;
    }
    return NULL;
}

static bool start_worker(struct engine *e, unsigned index, struct generation *g)
{
    struct worker_thread *t = worker_start(e, index, g);
    if (!t)
        return false;
    t->next = e->threads;
    e->threads = t;
    return true;
}

/* Offers the generation to workers 0 .. n - 1, starting those that are not there, and retires those beyond. */
static void offer(struct engine *e, struct generation *g)
{
    unsigned n = core_conf(g)->workers, acks = n;
    for (struct worker_thread *t = e->threads; t; t = t->next)
        acks += !t->retiring && t->w.index >= n;
    e->taking = g;
    e->taking_id = g->id;
    e->nworkers = n;
    job_pool_set((unsigned)core_conf(g)->job_threads, core_conf(g)->job_queue);
    expect_acks(e, acks);
    for (struct worker_thread *t = e->threads; t; t = t->next) {
        if (!t->retiring && t->w.index >= n)
            worker_quit(t, false); /* its sockets are served by the others */
    }
    for (unsigned i = 0; i < n; i++) {
        struct worker_thread *t = serving(e, i);
        if (t)
            worker_take(t, g);
        else if (!start_worker(e, i, g))
            return give_up(e, "a worker could not be started");
    }
}

static void on_loaded(struct engine *e)
{
    struct engine_load *l = e->load;
    struct generation *g = l->gen;
    e->load = NULL;
    if (!g) {
        answer(e, CONTROL_FAILED, l->id, slice_str(l->why));
        if (!e->current)
            give_up(e, l->why);
    } else if (e->state != ENGINE_RUNS) {
        generation_unref(g);
    } else if (engine_listeners_join(e, g) < 0) {
        generation_unref(g);
        give_up(e, "no memory for the listening sockets");
    } else {
        offer(e, g);
    }
    engine_load_free(l);
}

static void on_taken(struct engine *e)
{
    struct generation *old = e->current;
    for (struct worker_thread *t = e->threads; t; t = t->next) {
        if (atomic_load(&t->failed))
            return give_up(e, "a worker could not take the configuration");
    }
    e->current = e->taking;
    e->taking = NULL;
    log_main_set(&e->current->log);
    if (core_conf(e->current)->has_rlimit_core) /* a process that changed its user leaves no core without being asked */
        prctl(PR_SET_DUMPABLE, 1);
    engine_listeners_close(e, false);
    if (old)
        generation_unref(old);
    log_line(log_main, LEVEL_INFO, 0, "generation %llu serves with %u workers", (unsigned long long)e->taking_id,
             e->nworkers);
    answer(e, CONTROL_READY, e->taking_id, SLICE_NONE);
}

/* ---- ending ---- */

static void begin_quit(struct engine *e)
{
    unsigned acks = 0;
    e->want_quit = false;
    e->state = ENGINE_QUITS;
    e->closing = true;
    log_line(log_main, LEVEL_NOTICE, 0, "gracefully shutting down");
    for (struct worker_thread *t = e->threads; t; t = t->next)
        acks += !t->retiring;
    expect_acks(e, acks);
    for (struct worker_thread *t = e->threads; t; t = t->next) {
        if (!t->retiring)
            worker_quit(t, true);
    }
}

static void on_drained(struct engine *e)
{
    e->closing = false;
    engine_listeners_close(e, true);
    answer(e, CONTROL_DRAINED, 0, SLICE_NONE);
}

static void begin_stop(struct engine *e)
{
    if (e->state == ENGINE_STOPS)
        return;
    e->state = ENGINE_STOPS;
    log_line(log_main, LEVEL_NOTICE, 0, "exiting");
    job_pool_stop();
    for (struct worker_thread *t = e->threads; t; t = t->next)
        worker_stop(t);
}

static void collect_threads(struct engine *e)
{
    for (struct worker_thread **at = &e->threads; *at;) {
        struct worker_thread *t = *at;
        if (!atomic_load(&t->ended)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        if (!t->retiring && !e->done)
            give_up(e, "a worker ended");
        worker_free(t);
    }
    if (e->state != ENGINE_RUNS && !e->threads && !e->load && !e->closing)
        e->done = true;
}

/* ---- what wakes the main thread ---- */

static void on_notify(struct engine *e)
{
    uint64_t count;
    ssize_t n = read(e->notify, &count, sizeof(count));
    (void)n;
    if (e->load && atomic_load(&e->load->finished))
        on_loaded(e);
    bool acked = atomic_load(&e->acks) >= e->acks_wanted;
    if (e->taking && acked && !e->done && e->state == ENGINE_RUNS)
        on_taken(e);
    if (e->closing && acked)
        on_drained(e);
    if (!e->done)
        collect_threads(e);
}

static void on_bundle(struct engine *e, struct control_msg *msg)
{
    uint64_t id = msg->id;
    int rc = control_gather(&e->transfer, msg);
    if (rc == OK && (busy(e) || e->state != ENGINE_RUNS || e->want_quit))
        rc = ERR_REFUSED;
    if (rc == OK)
        rc = engine_load_start(e);
    if (rc == OK || rc == ERR_MORE)
        return;
    control_transfer_done(&e->transfer);
    answer(e, CONTROL_FAILED, id, slice_str(err_name(rc)));
    if (!e->current)
        give_up(e, "the first configuration could not be read");
}

static void on_message(struct engine *e, struct control_msg *msg)
{
    switch (msg->type) {
    case CONTROL_BUNDLE:
    case CONTROL_FDS:
        on_bundle(e, msg);
        break;
    case CONTROL_LOG:
        if (msg->nfds == 1)
            engine_reopen(e, msg->payload, msg->fds[0]);
        break;
    case CONTROL_RESCUE:
        if (msg->nfds == 1) {
            if (e->rescue >= 0)
                close(e->rescue);
            e->rescue = msg->fds[0];
            msg->nfds = 0;
        }
        break;
    case CONTROL_QUIT:
        e->want_quit = true;
        break;
    case CONTROL_STOP:
        begin_stop(e);
        break;
    default:
        log_line(log_main, LEVEL_CRIT, 0, "the master sent a message of type %d, ignored", (int)msg->type);
        break;
    }
    control_close(msg);
}

static void lose_master(struct engine *e, int rc)
{
    close(e->control);
    e->control = -1;
    if (e->state != ENGINE_RUNS)
        return;
    if (e->threaded || !e->current) { /* it never got to serve, or the process ends anyway */
        begin_stop(e);
        return;
    }
    log_line(log_main, LEVEL_CRIT, 0, "the master is gone (%s), the engine serves on until it is told to end",
             err_name(rc));
}

static void on_control(struct engine *e)
{
    static struct control_msg msg; /* large; one engine a process */
    while (e->control >= 0 && !e->done) {
        int rc = control_recv(e->control, &msg);
        if (rc == ERR_AGAIN)
            return;
        if (rc < 0)
            lose_master(e, rc);
        else
            on_message(e, &msg);
    }
}

/* The next master asks for the sockets. A connection that nobody waits at any more fails at once and does no harm. */
static void on_rescue(struct engine *e)
{
    int conn;
    if (rescue_accept(e->rescue, &conn) < 0)
        return;
    if (rescue_answer(conn, e->listeners) < 0) {
        close(conn);
        return;
    }
    if (e->heir >= 0)
        close(e->heir);
    e->heir = conn;
    log_line(log_main, LEVEL_NOTICE, 0, "a new master has taken the listening sockets");
}

/* It either says that its own engine serves, or has failed and goes away. */
static void on_heir(struct engine *e)
{
    static struct control_msg msg; /* large; one engine a process */
    int rc = control_recv(e->heir, &msg);
    if (rc == ERR_AGAIN)
        return;
    if (rc == OK) {
        control_close(&msg);
        e->want_quit = msg.type == CONTROL_QUIT || e->want_quit;
    }
    close(e->heir);
    e->heir = -1;
}

static void on_signal(struct engine *e)
{
    struct signalfd_siginfo si;
    while (read(e->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGQUIT)
            e->want_quit = true;
        else if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
            begin_stop(e);
    }
}

/* ---- life ---- */

static int open_signals(struct engine *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP); /* the master's: a terminal that closes tells the engine too */
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_SETMASK, &set, NULL) != 0)
        return ERR_SYS;
    e->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return e->sigfd < 0 ? ERR_SYS : OK;
}

static int begin(struct engine *e)
{
    e->notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->notify < 0 || (!e->threaded && open_signals(e) < 0))
        return ERR_SYS;
    int rc = schema_init(&e->schema, e->app->features, e->app->nfeatures);
    return rc == OK ? watchdog_init() : rc;
}

/*
 * A worker or the loader may still run when the engine gives up; the process ends then, and nothing needs freeing. The
 * job pool's threads have no work left when all workers have gone.
 */
static void end(struct engine *e)
{
    if (e->threads || e->load)
        _exit(e->exit_code);
    job_pool_done();
    if (e->taking)
        generation_unref(e->taking);
    if (e->current)
        generation_unref(e->current);
    engine_listeners_close(e, true);
    control_transfer_done(&e->transfer);
    schema_done(&e->schema);
    if (e->control >= 0)
        close(e->control);
    if (e->sigfd >= 0)
        close(e->sigfd);
    if (e->rescue >= 0)
        close(e->rescue);
    if (e->heir >= 0)
        close(e->heir);
    close(e->notify);
}

static void turn(struct engine *e)
{
    bool orphan = e->control < 0 && e->current && e->state == ENGINE_RUNS;
    struct pollfd p[] = { { .fd = e->control, .events = POLLIN },
                          { .fd = e->sigfd, .events = POLLIN },
                          { .fd = e->notify, .events = POLLIN },
                          { .fd = orphan ? e->rescue : -1, .events = POLLIN },
                          { .fd = e->heir, .events = POLLIN } };
    if (poll(p, array_len(p), WATCHDOG_TICK_MS) == 0)
        watchdog_tick(e->threads);
    if (p[1].revents)
        on_signal(e);
    if (p[0].revents)
        on_control(e);
    if (p[2].revents)
        on_notify(e);
    if (p[3].revents)
        on_rescue(e);
    if (p[4].revents)
        on_heir(e);
    if (e->want_quit && e->state == ENGINE_RUNS && !busy(e))
        begin_quit(e);
    if (e->state == ENGINE_STOPS && !e->threads && !e->load)
        e->done = true;
}

/*
 * Bodies come and go by the hundred kilobytes. By default the heap hands such memory back to the kernel at once and
 * takes it anew, page by page, for the next one: half the cost of an upload. It keeps this much instead.
 */
static void keep_memory(void)
{
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

int engine_run(const struct app *app, int control, bool threaded)
{
    struct engine e = { .app = app,
                        .control = control,
                        .sigfd = -1,
                        .rescue = -1,
                        .heir = -1,
                        .threaded = threaded,
                        .dropped = threaded,
                        .transfer = { .memfd = -1 } };
    keep_memory();
    if (begin(&e) < 0) {
        log_line(log_main, LEVEL_EMERG, 0, "the engine cannot start (%d: %s)", errno, strerror(errno));
        return 1;
    }
    while (!e.done)
        turn(&e);
    end(&e);
    return e.exit_code;
}
