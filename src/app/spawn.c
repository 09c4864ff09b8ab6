#include "app/spawn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/control.h"
#include "app/core.h"
#include "app/engine.h"
#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"

enum { ENV_MAX = 256 };

/* ---- the child, between fork and exec ---- */

/* What the engine may see of the master's environment: the time zone, and what only sanitizers and profilers read. */
static const char *const inherited[] = { "TZ",           "ASAN_OPTIONS", "UBSAN_OPTIONS",
                                         "TSAN_OPTIONS", "LSAN_OPTIONS", "LLVM_PROFILE_FILE" };

static void add_env(char **env, size_t *n, slice name, const char *value)
{
    if (*n < ENV_MAX && value && asprintf(&env[*n], "%.*s=%s", SLICE_FMT(name), value) >= 0)
        (*n)++;
}

/* Values of the configuration are NUL-terminated: a value stands at the end of its argument. */
static const char *env_value(const struct core_env *e)
{
    char name[256];
    if (e->value.p)
        return e->value.p;
    int n = snprintf(name, sizeof(name), "%.*s", SLICE_FMT(e->name));
    return n > 0 && n < (int)sizeof(name) ? getenv(name) : NULL;
}

static char **make_env(const struct core_conf *c, int control)
{
    static char *env[ENV_MAX + 1];
    size_t n = 0;
    char number[16];
    snprintf(number, sizeof(number), "%d", control);
    add_env(env, &n, SLICE(SPAWN_VARIABLE), number);
    for (size_t i = 0; i < array_len(inherited); i++)
        add_env(env, &n, slice_str(inherited[i]), getenv(inherited[i]));
    for (const struct core_env *e = c->env; e; e = e->next)
        add_env(env, &n, e->name, env_value(e));
    env[n] = NULL;
    return env;
}

static void set_limit(int what, uint64_t value)
{
    struct rlimit l = { .rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value };
    struct rlimit old;
    if (setrlimit(what, &l) == 0 || getrlimit(what, &old) < 0)
        return;
    l.rlim_max = old.rlim_max; /* without root: as much as is allowed */
    l.rlim_cur = l.rlim_cur < old.rlim_max ? l.rlim_cur : old.rlim_max;
    setrlimit(what, &l);
}

static void ATTR_NORETURN become_engine(struct program *p, const struct generation *g, int control)
{
    char *argv[] = { (char *)(uintptr_t) "hinge: engine process", NULL };
    const struct core_conf *c = core_conf(g);
    int own = dup(control);    /* a descriptor that exec keeps */
    if (c->daemon && g->log.n) /* whoever started us must not have to wait for the end of our stderr */
        dup2(g->log.target[0].fd, STDERR_FILENO);
    if (c->rlimit_nofile)
        set_limit(RLIMIT_NOFILE, c->rlimit_nofile);
    if (c->has_rlimit_core)
        set_limit(RLIMIT_CORE, c->rlimit_core);
    if (c->priority && setpriority(PRIO_PROCESS, 0, c->priority) < 0)
        program_say(p, LEVEL_ALERT, "setpriority(%d) failed (%d: %s)", c->priority, errno, strerror(errno));
    if (c->working_directory.n && chdir(c->working_directory.p) < 0) {
        program_say(p, LEVEL_ALERT, "chdir(\"%.*s\") failed (%d: %s)", SLICE_FMT(c->working_directory), errno,
                    strerror(errno));
        _exit(1);
    }
    execve("/proc/self/exe", argv, make_env(c, own));
    _exit(1);
}

/* ---- the master ---- */

int spawn_send(struct engine_proc *e, struct generation *g, uint64_t id)
{
    int memfd, *fds;
    size_t n;
    int rc = bundle_seal(g->bundle, &memfd, &fds, &n);
    if (rc < 0)
        return rc;
    rc = control_send_bundle(e->control, id, memfd, fds, n);
    close(memfd);
    free(fds);
    return rc;
}

struct thread_start {
    const struct app *app;
    int control;
};

static void *engine_thread(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;
    free(arg);
    engine_run(start.app, start.control, true);
    return NULL;
}

static int start_thread(struct program *p, int control, struct engine_proc *e)
{
    struct thread_start *start = malloc(sizeof(*start));
    if (!start)
        return ERR_NOMEM;
    *start = (struct thread_start){ .app = p->app, .control = control };
    if (pthread_create(&e->thread, NULL, engine_thread, start) != 0) {
        free(start);
        return ERR_SYS;
    }
    e->threaded = true;
    return OK;
}

static int start_process(struct program *p, struct generation *g, int control, struct engine_proc *e)
{
    pid_t pid = fork();
    if (pid == 0)
        become_engine(p, g, control);
    if (pid < 0)
        return ERR_SYS;
    close(control);
    e->pid = pid;
    return OK;
}

int spawn_engine(struct program *p, struct generation *g, uint64_t id, struct engine_proc *out)
{
    int pair[2];
    struct engine_proc e = { .control = -1 };
    if (control_pair(pair) < 0) {
        program_say(p, LEVEL_EMERG, "socketpair() failed (%d: %s)", errno, strerror(errno));
        return ERR_SYS;
    }
    int rc = core_conf(g)->master_process ? start_process(p, g, pair[0], &e) : start_thread(p, pair[0], &e);
    if (rc < 0) {
        program_say(p, LEVEL_EMERG, "cannot start the engine (%d: %s)", errno, strerror(errno));
        close(pair[0]);
        close(pair[1]);
        return rc;
    }
    e.control = pair[1];
    rc = spawn_send(&e, g, id);
    if (rc < 0 && rc != ERR_CLOSED)
        program_say(p, LEVEL_EMERG, "cannot hand the configuration to the engine: %s", err_name(rc));
    *out = e; /* also when the engine has died already: its end is reported like any other */
    return rc == ERR_CLOSED ? OK : rc;
}
