/*
 * The master's loop: signals, the engine's messages, and what follows from them (app/master.h).
 *
 * Everything is serialised by one rule: there is at most one configuration on its way to the engine (`pending`). What
 * comes while it is, waits. The last configuration that an engine acknowledged is `active`; a new engine gets that one,
 * never what happens to be on the disk. Steps of starting, reloading and ending are in master_steps.c.
 */
#include "app/master.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/control.h"
#include "app/core.h"
#include "app/demo.h"
#include "app/master_priv.h"
#include "base/attr.h"
#include "base/err.h"

static const struct {
    int number;
    const char *name, *action;
} signals[] = {
    { SIGHUP, "SIGHUP", ", reconfiguring" },
    { SIGUSR1, "SIGUSR1", ", reopening logs" },
    { SIGUSR2, "SIGUSR2", ", ignored: the binary is changed by a restart" },
    { SIGQUIT, "SIGQUIT", ", shutting down" },
    { SIGTERM, "SIGTERM", ", exiting" },
    { SIGINT, "SIGINT", ", exiting" },
    { SIGCHLD, "SIGCHLD", NULL },
};

int master_signals(struct master *m)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < array_len(signals); i++)
        sigaddset(&set, signals[i].number);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return ERR_SYS;
    m->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->sigfd < 0 ? ERR_SYS : OK;
}

static void note_signal(struct master *m, const struct signalfd_siginfo *si)
{
    for (size_t i = 0; i < array_len(signals); i++) {
        if (signals[i].number != (int)si->ssi_signo || !signals[i].action)
            continue;
        if (si->ssi_pid)
            program_say(m->p, LEVEL_NOTICE, "signal %d (%s) received from %u%s", signals[i].number, signals[i].name,
                        si->ssi_pid, signals[i].action);
        else
            program_say(m->p, LEVEL_NOTICE, "signal %d (%s) received%s", signals[i].number, signals[i].name,
                        signals[i].action);
    }
}

/* All that is pending is read before anything is done: Ctrl-C reaches the engine as well, and its end is no crash then.
 */
static void read_signals(struct master *m)
{
    struct signalfd_siginfo si;
    while (read(m->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        note_signal(m, &si);
        switch (si.ssi_signo) {
        case SIGHUP:
            m->want_reload = true;
            break;
        case SIGUSR1:
            m->want_reopen = true;
            break;
        case SIGQUIT:
            m->want_quit = true;
            break;
        case SIGTERM:
        case SIGINT:
            m->want_stop = true;
            break;
        case SIGCHLD:
            m->want_wait = true;
            break;
        default:
            break;
        }
    }
}

/* ---- the engine's messages ---- */

static void on_message(struct master *m, struct control_msg *msg)
{
    switch (msg->type) {
    case CONTROL_READY:
        master_ready(m, msg->id);
        break;
    case CONTROL_FAILED:
        program_say(m->p, LEVEL_EMERG, "the engine refused the configuration: %.*s", SLICE_FMT(msg->payload));
        master_refused(m);
        break;
    case CONTROL_DRAINED:
        master_drained(m);
        break;
    default:
        program_say(m->p, LEVEL_CRIT, "the engine sent a message of type %d, ignored", (int)msg->type);
        break;
    }
}

static void read_control(struct master *m)
{
    static struct control_msg msg; /* too large for the stack; this loop is not re-entered */
    for (;;) {
        int rc = m->engine.control < 0 ? ERR_AGAIN : control_recv(m->engine.control, &msg);
        if (rc == ERR_AGAIN)
            return;
        if (rc < 0) { /* gone, or talking nonsense: in both cases its end follows, by itself or by our hand */
            if (rc != ERR_CLOSED && m->engine.pid)
                kill(m->engine.pid, SIGKILL);
            master_lost(m);
            return;
        }
        control_close(&msg); /* an engine has no descriptors to give */
        on_message(m, &msg);
    }
}

static void reap(struct master *m)
{
    pid_t pid;
    int status;
    m->want_wait = false;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (WIFSIGNALED(status))
            program_say(m->p, LEVEL_CRIT, "engine process %d exited on signal %d%s", (int)pid, WTERMSIG(status),
                        WCOREDUMP(status) ? " (core dumped)" : "");
        else
            program_say(m->p, WEXITSTATUS(status) ? LEVEL_CRIT : LEVEL_NOTICE, "engine process %d exited with code %d",
                        (int)pid, WEXITSTATUS(status));
        if (pid == m->engine.pid)
            master_engine_gone(m);
        else
            master_forget(m, pid);
    }
}

/* ---- the loop ---- */

static bool loading(const struct master *m)
{
    return m->pending || m->starting;
}

/* What was asked for and can be done now. */
static void act(struct master *m)
{
    if (m->want_stop && m->ending != ENDING_STOP)
        master_stop(m);
    else if (m->want_quit && m->ending == ENDING_NO)
        master_quit(m);
    if (m->ending != ENDING_NO)
        return;
    if (m->want_reopen && !loading(m)) {
        m->want_reopen = false;
        master_reopen(m);
    }
    if (m->restart_at && master_now() >= m->restart_at)
        master_restart(m);
    if (m->want_reload && !loading(m) && m->engine.control >= 0) {
        m->want_reload = false;
        master_reload(m);
    }
}

static int wait_ms(const struct master *m)
{
    int64_t at = m->ending == ENDING_STOP ? m->kill_at : m->restart_at, left;
    if (!at)
        return -1;
    left = at - master_now();
    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void turn(struct master *m)
{
    struct pollfd p[2] = { { .fd = m->sigfd, .events = POLLIN }, { .fd = m->engine.control, .events = POLLIN } };
    poll(p, 2, wait_ms(m));
    if (p[0].revents)
        read_signals(m);
    if (p[1].revents)
        read_control(m);
    if (m->want_wait)
        reap(m);
    if (m->ending == ENDING_STOP && m->kill_at && master_now() >= m->kill_at)
        master_kill(m);
    if (!m->done)
        act(m);
}

int master_main(struct program *p)
{
    struct master m = {
        .p = p, .sigfd = -1, .engine = { .control = -1 }, .next_id = 1, .daemon_pipe = -1, .orphan = -1, .rescue = -1
    };
    int rc = master_begin(&m);
    while (rc == OK && !m.done)
        turn(&m);
    master_end(&m);
    return rc == OK && m.was_up ? 0 : 1;
}
