/*
 * The master's steps: start, reload, restart after a crash, logs, end (app/master.h; the loop is in master.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "app/control.h"
#include "app/core.h"
#include "app/demo.h"
#include "app/master_priv.h"
#include "app/pidfile.h"
#include "app/rescue.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/logs.h"
#include "net/listen.h"

enum { CRASH_WINDOW_MS = 10000, BACKOFF_MS = 1000, BACKOFF_STEPS = 5, KILL_MS = 15000 };

int64_t master_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- start ---- */

/* The process that the user started waits for the outcome; the one in the background goes on. */
static int go_background(struct master *m)
{
    int fd[2];
    char outcome = 1;
    if (pipe2(fd, O_CLOEXEC) < 0)
        return ERR_SYS;
    pid_t pid = fork();
    if (pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return ERR_SYS;
    }
    if (pid > 0) {
        close(fd[1]);
        ssize_t n = read(fd[0], &outcome, 1);
        _exit(n == 1 ? outcome : 1);
    }
    close(fd[0]);
    m->daemon_pipe = fd[1];
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        close(null);
    }
    return OK;
}

static int start_engine(struct master *m, struct generation *g)
{
    int rc = spawn_engine(m->p, g, m->next_id++, &m->engine);
    if (rc < 0 && m->engine.pid)
        kill(m->engine.pid, SIGKILL); /* its end is noticed and dealt with like a crash */
    else if (rc == OK && m->engine.pid)
        program_say(m->p, LEVEL_NOTICE, "start engine process %d", (int)m->engine.pid);
    return rc;
}

/* Sockets of an engine that has survived its master, if there is one. */
static struct bundle *ask_orphan(struct master *m)
{
    char path[sizeof(m->rescue_path)];
    struct bundle *found = NULL;
    if (m->p->cli.demo || !rescue_path(program_pid_path(m->p, m->pending), path, sizeof(path)))
        return NULL;
    int rc = rescue_ask(path, &found, &m->orphan);
    if (rc == OK)
        program_say(m->p, LEVEL_NOTICE, "taking over from an engine whose master is gone");
    else if (rc != ERR_NOTFOUND)
        program_say(m->p, LEVEL_WARN, "\"%s\" gave no usable answer: %s", path, err_name(rc));
    return found;
}

/* A socket for each address and worker, twice while a reload takes them over: as many descriptors as are allowed. */
static void raise_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
        return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

int master_begin(struct master *m)
{
    struct program *p = m->p;
    raise_limit();
    int rc = program_compile(p, &m->pending);
    if (rc < 0)
        return rc;
    struct bundle *found = ask_orphan(m);
    rc = program_open(p, m->pending, found, false);
    bundle_free(found);
    if (rc < 0) {
        if (p->cli.demo)
            demo_advise(p->cli.demo_port);
        return rc;
    }
    if (core_conf(m->pending)->daemon && !p->cli.demo)
        rc = go_background(m);
    if (rc == OK)
        rc = master_signals(m);
    if (rc < 0) {
        program_say(p, LEVEL_EMERG, "cannot start (%d: %s)", errno, strerror(errno));
        return rc;
    }
    log_main_set(&m->pending->log);
    log_line(log_main, LEVEL_NOTICE, 0, "hinge/" HINGE_VERSION);
    return start_engine(m, m->pending);
}

/* ---- a configuration has been taken ---- */

static void replace_pidfile(struct master *m)
{
    slice path = program_pid_path(m->p, m->active);
    if (m->p->cli.demo || (m->pid_path && path.p && strcmp(m->pid_path, path.p) == 0))
        return;
    if (!path.p || pidfile_write(path.p) < 0) {
        program_say(m->p, m->was_up ? LEVEL_CRIT : LEVEL_EMERG, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(path),
                    errno, strerror(errno));
        if (!m->was_up)
            master_stop(m);
        return;
    }
    if (m->pid_path)
        unlink(m->pid_path);
    free(m->pid_path);
    m->pid_path = strdup(path.p);
}

/* Our engine serves: the one that we took the sockets from may finish what it has. */
static void relieve_orphan(struct master *m)
{
    if (m->orphan < 0)
        return;
    control_send(m->orphan, CONTROL_QUIT, 0, SLICE_NONE, NULL, 0);
    close(m->orphan);
    m->orphan = -1;
}

/* Every new engine gets it. Without it, a master that dies leaves its ports taken until the engine is told to end. */
static void offer_rescue(struct master *m)
{
    if (m->engine.threaded || !m->pid_path)
        return;
    if (m->rescue < 0) {
        if (!rescue_path(slice_str(m->pid_path), m->rescue_path, sizeof(m->rescue_path)) ||
            rescue_listen(m->rescue_path, &m->rescue) < 0) {
            program_say(m->p, LEVEL_WARN, "cannot open \"%s\" (%d: %s): the next master could not take over",
                        m->rescue_path, errno, strerror(errno));
            m->rescue_path[0] = 0;
            return;
        }
    }
    control_send(m->engine.control, CONTROL_RESCUE, 0, SLICE_NONE, &m->rescue, 1);
}

static void announce(struct master *m)
{
    char fine = 0;
    m->was_up = true;
    m->p->on_stderr = false;
    if (m->p->cli.demo)
        demo_greet(m->p->cli.demo_port);
    if (m->daemon_pipe < 0)
        return;
    /* whatever still writes to stderr shall be found: in the log, as with nginx */
    if (m->active->log.n)
        dup2(m->active->log.target[0].fd, STDERR_FILENO);
    ssize_t n = write(m->daemon_pipe, &fine, 1);
    (void)n; /* the one who waited may have been killed */
    close(m->daemon_pipe);
    m->daemon_pipe = -1;
}

static void obey_new_core(struct master *m, const struct generation *old)
{
    const struct core_conf *c = core_conf(m->active), *o = core_conf(old);
    slice was = bundle_option(old->bundle, SLICE("run-as")), is = bundle_option(m->active->bundle, SLICE("run-as"));
    struct rlimit l = { .rlim_cur = (rlim_t)c->rlimit_nofile, .rlim_max = (rlim_t)c->rlimit_nofile };
    if (c->rlimit_nofile && c->rlimit_nofile != o->rlimit_nofile && m->engine.pid &&
        prlimit(m->engine.pid, RLIMIT_NOFILE, &l, NULL) < 0)
        program_say(m->p, LEVEL_WARN, "prlimit(RLIMIT_NOFILE, %llu) failed (%d: %s)",
                    (unsigned long long)c->rlimit_nofile, errno, strerror(errno));
    if (c->priority != o->priority || c->has_rlimit_core != o->has_rlimit_core || c->rlimit_core != o->rlimit_core ||
        !slice_eq(c->working_directory, o->working_directory))
        program_say(
            m->p, LEVEL_WARN,
            "\"worker_priority\", \"worker_rlimit_core\" and \"working_directory\" are obeyed by the next engine");
    if (!slice_eq(was, is))
        program_say(m->p, LEVEL_WARN, "the engine keeps its user until it is restarted: \"user\" has changed");
    if (c->master_process != o->master_process || c->daemon != o->daemon)
        program_say(m->p, LEVEL_WARN, "\"daemon\" and \"master_process\" are obeyed at the next start");
}

void master_ready(struct master *m, uint64_t id)
{
    (void)id; /* there is one configuration on its way at most, so this is the answer to it */
    if (m->starting)
        offer_rescue(m);
    m->starting = false;
    if (!m->pending)
        return;
    struct generation *old = m->active;
    m->active = m->pending;
    m->pending = NULL;
    log_main_set(&m->active->log);
    if (old) {
        obey_new_core(m, old);
        listen_unlink(old->bundle, m->active->bundle);
        generation_unref(old);
    }
    if (m->ending == ENDING_NO)
        replace_pidfile(m);
    if (m->was_up || m->ending != ENDING_NO)
        return;
    relieve_orphan(m);
    offer_rescue(m);
    announce(m);
}

/* Drops what the engine does not want. Sockets that were opened for it are closed, those taken over live on in active.
 */
static void drop_pending(struct master *m)
{
    if (!m->pending)
        return;
    listen_unlink(m->pending->bundle, m->active ? m->active->bundle : NULL);
    generation_unref(m->pending);
    m->pending = NULL;
}

void master_refused(struct master *m)
{
    if (m->starting) { /* it took this one before, so something is wrong with the engine or the machine */
        m->starting = false;
        if (m->engine.pid)
            kill(m->engine.pid, SIGKILL);
        return;
    }
    drop_pending(m);
}

/* ---- reload and logs ---- */

void master_reload(struct master *m)
{
    struct generation *g;
    if (program_compile(m->p, &g) < 0)
        return;
    if (program_open(m->p, g, m->active->bundle, false) < 0) {
        listen_unlink(g->bundle, m->active->bundle);
        generation_unref(g);
        return;
    }
    m->pending = g;
    int rc = spawn_send(&m->engine, g, m->next_id++);
    if (rc < 0 && rc != ERR_CLOSED) {
        program_say(m->p, LEVEL_CRIT, "cannot hand the configuration to the engine: %s", err_name(rc));
        drop_pending(m);
        if (m->engine.pid)
            kill(m->engine.pid, SIGKILL); /* half a bundle told, or an engine that does not listen: start afresh */
    }
}

void master_reopen(struct master *m)
{
    struct bundle *b = m->active->bundle;
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        if (e->kind != BUNDLE_LOG || log_is_syslog(e->key))
            continue;
        int fd = log_open(e->key.p);
        if (fd < 0) {
            program_say(m->p, LEVEL_CRIT, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(e->key), errno, strerror(errno));
            continue;
        }
        logs_replace(b, e->key, fd);
        if (m->engine.control >= 0)
            control_send(m->engine.control, CONTROL_LOG, 0, e->key, &fd, 1);
        close(fd);
    }
    log_main_set(&m->active->log);
}

/* ---- an engine ends ---- */

void master_lost(struct master *m)
{
    close(m->engine.control);
    m->engine.control = -1;
    if (m->engine.threaded) {
        pthread_join(m->engine.thread, NULL);
        m->done = true;
    }
}

/* Immediately, unless it was the third crash within ten seconds: then ever later, up to half a minute. */
static int64_t restart_delay(struct master *m)
{
    int64_t now = master_now(), last = m->ncrashes ? m->crashes[(m->ncrashes - 1) % MASTER_CRASHES] : 0;
    m->crashes[m->ncrashes++ % MASTER_CRASHES] = now;
    int64_t third_last = m->crashes[m->ncrashes % MASTER_CRASHES]; /* this one counted */
    bool dense = m->ncrashes >= MASTER_CRASHES && now - third_last < CRASH_WINDOW_MS;
    bool again = m->backoff && now - last < CRASH_WINDOW_MS + ((int64_t)BACKOFF_MS << m->backoff);
    if (!dense && !again) {
        m->backoff = 0;
        return 0;
    }
    int64_t delay = (int64_t)BACKOFF_MS << m->backoff;
    if (m->backoff < BACKOFF_STEPS)
        m->backoff++;
    return delay;
}

void master_engine_gone(struct master *m)
{
    if (m->engine.control >= 0)
        close(m->engine.control);
    m->engine = (struct engine_proc){ .control = -1 };
    m->starting = false;
    if (m->ending != ENDING_NO || !m->was_up) {
        m->done = true;
        return;
    }
    if (m->pending)
        program_say(m->p, LEVEL_EMERG, "the engine ended while it took the new configuration; the old one stays");
    drop_pending(m);
    int64_t delay = restart_delay(m);
    if (delay)
        program_say(m->p, LEVEL_ERROR, "engines end too often, the next one starts in %lld s", (long long)delay / 1000);
    m->restart_at = master_now() + delay;
}

void master_restart(struct master *m)
{
    m->restart_at = 0;
    m->starting = true;
    if (start_engine(m, m->active) == OK || m->engine.pid)
        return;
    m->starting = false;
    m->restart_at = master_now() + BACKOFF_MS;
}

void master_forget(struct master *m, pid_t pid)
{
    for (size_t i = 0; i < MASTER_RETIRED; i++) {
        if (m->retired[i] == pid)
            m->retired[i] = 0;
    }
}

static void close_listeners(struct generation *g)
{
    listen_unlink(g->bundle, NULL);
    for (struct bundle_entry *e = bundle_first(g->bundle); e; e = e->next) {
        for (uint32_t i = 0; e->kind == BUNDLE_LISTEN && i < e->nfds; i++)
            close(e->fds[i]);
        if (e->kind == BUNDLE_LISTEN)
            e->nfds = 0;
    }
}

/* The engine listens no more. Asked by us: neither do we. Asked by somebody else: the next engine takes its place. */
void master_drained(struct master *m)
{
    if (m->ending != ENDING_NO || m->engine.threaded) {
        if (m->active)
            close_listeners(m->active);
        return;
    }
    for (size_t i = 0; i < MASTER_RETIRED; i++) {
        if (m->retired[i])
            continue;
        m->retired[i] = m->engine.pid;
        break;
    }
    close(m->engine.control);
    m->engine = (struct engine_proc){ .control = -1 };
    drop_pending(m);
    master_restart(m);
}

/* ---- the end ---- */

static void tell(struct master *m, enum control_type what, int number)
{
    for (size_t i = 0; i < MASTER_RETIRED; i++) {
        if (m->retired[i])
            kill(m->retired[i], number);
    }
    if (m->engine.control >= 0 && control_send(m->engine.control, what, 0, SLICE_NONE, NULL, 0) == OK)
        return;
    if (m->engine.pid)
        kill(m->engine.pid, number);
    else if (!m->engine.threaded || m->engine.control < 0)
        m->done = true; /* nobody is there who could end */
}

void master_quit(struct master *m)
{
    m->ending = ENDING_QUIT;
    tell(m, CONTROL_QUIT, SIGQUIT);
}

void master_stop(struct master *m)
{
    m->ending = ENDING_STOP;
    m->kill_at = master_now() + KILL_MS;
    tell(m, CONTROL_STOP, SIGTERM);
}

void master_kill(struct master *m)
{
    m->kill_at = 0;
    program_say(m->p, LEVEL_CRIT, "the engine does not end, killing it");
    if (m->engine.pid)
        kill(m->engine.pid, SIGKILL);
    else
        m->done = true;
}

void master_end(struct master *m)
{
    if (m->pid_path)
        unlink(m->pid_path);
    free(m->pid_path);
    if (m->rescue_path[0])
        unlink(m->rescue_path);
    if (m->rescue >= 0)
        close(m->rescue);
    if (m->orphan >= 0)
        close(m->orphan);
    drop_pending(m);
    if (m->active) {
        listen_unlink(m->active->bundle, NULL);
        log_line(log_main, LEVEL_NOTICE, 0, "exit");
        generation_unref(m->active);
    }
    if (m->engine.control >= 0)
        close(m->engine.control);
    if (m->sigfd >= 0)
        close(m->sigfd);
}
