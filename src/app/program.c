#include "app/program.h"

#include <sys/stat.h>
#include <fcntl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/core.h"
#include "app/demo.h"
#include "app/resolve.h"
#include "app/squid.h"
#include "app/user.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/logs.h"
#include "net/listen.h"

/* ---- saying ---- */

static void say(struct program *p, enum log_level level, slice text)
{
    if (p->on_stderr && level <= LEVEL_WARN)
        fprintf(stderr, "hinge: [%s] %.*s\n", log_level_name(level), SLICE_FMT(text));
    /* what stderr has seen already need not stand there twice */
    if (!p->on_stderr || level > LEVEL_WARN || strcmp(p->error_log, "stderr") != 0)
        log_text(log_main, level, 0, text, SLICE_NONE);
}

void program_say(struct program *p, enum log_level level, const char *fmt, ...)
{
    char text[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0)
        say(p, level, slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

static enum log_level level_of(const struct conf_diag *d, const struct conf_message *m)
{
    if (m->severity == CONF_WARN && d->strict)
        return LEVEL_EMERG;
    return m->severity == CONF_EMERG ? LEVEL_EMERG : m->severity == CONF_WARN ? LEVEL_WARN : LEVEL_NOTICE;
}

/* A terminal gets the message as it is made; a log gets each of its lines as a line. */
static void say_message(struct program *p, const struct conf_diag *d, const struct conf_message *m)
{
    enum log_level level = level_of(d, m);
    slice text = conf_message_text(d->arena, m), line, rest;
    if (p->on_stderr && !(p->cli.quiet && level > LEVEL_WARN))
        fprintf(stderr, "hinge: %.*s\n", SLICE_FMT(text));
    if (p->on_stderr && strcmp(p->error_log, "stderr") == 0)
        return;
    ptrdiff_t space = slice_find(text, ' '); /* behind "[emerg]": the log has a level of its own */
    for (text = slice_from(text, (size_t)space + 1); text.n; text = rest) {
        line = text;
        rest = SLICE_NONE;
        slice_cut(text, '\n', &line, &rest);
        log_text(log_main, level, 0, line, SLICE_NONE);
        if (level < LEVEL_NOTICE)
            level = LEVEL_NOTICE; /* an explanation is no event of its own */
    }
}

static void say_all(struct program *p, const struct conf_diag *d)
{
    for (const struct conf_message *m = d->first; m; m = m->next)
        say_message(p, d, m);
    if (d->dropped)
        program_say(p, LEVEL_NOTICE, "%zu further messages are not shown", d->dropped);
}

/* ---- paths ---- */

static int join(char *dst, const char *dir, const char *path)
{
    int n = snprintf(dst, PATH_MAX, "%s%s", path[0] == '/' ? "" : dir, path);
    return n > 0 && n < PATH_MAX ? OK : ERR_LIMIT;
}

static int make_prefix(struct program *p)
{
    char cwd[PATH_MAX + 1], given[PATH_MAX];
    const char *prefix = p->cli.prefix ? p->cli.prefix : HINGE_PREFIX;
    size_t n = strlen(prefix);
    if (snprintf(given, sizeof(given), "%s%s", prefix, n && prefix[n - 1] == '/' ? "" : "/") >= (int)sizeof(given))
        return ERR_LIMIT;
    if (given[0] == '/')
        return join(p->prefix, "", given);
    if (!getcwd(cwd, sizeof(cwd) - 1))
        return ERR_SYS;
    n = strlen(cwd);
    cwd[n] = '/';
    cwd[n + 1] = 0;
    return join(p->prefix, cwd, given);
}

/* As Squid does, a relative one is looked for where we are. */
static int squid_path(struct program *p)
{
    char cwd[PATH_MAX + 1];
    if (!getcwd(cwd, sizeof(cwd) - 1))
        return ERR_SYS;
    size_t n = strlen(cwd);
    cwd[n] = '/';
    cwd[n + 1] = 0;
    return join(p->conf, cwd, p->cli.squid);
}

static int make_paths(struct program *p)
{
    const struct cli *c = &p->cli;
    int rc = make_prefix(p);
    if (rc == OK)
        rc = c->squid ? squid_path(p) : join(p->conf, p->prefix, c->conf ? c->conf : "hinge.conf");
    if (rc == OK)
        rc = join(p->pid_default, p->prefix, c->prefix ? "hinge.pid" : HINGE_PID_PATH);
    if (rc < 0)
        return rc;
    if ((c->error_log && strcmp(c->error_log, "stderr") == 0) || (c->demo && !c->error_log)) {
        memcpy(p->error_log, "stderr", sizeof("stderr"));
        return OK;
    }
    return join(p->error_log, p->prefix, c->error_log ? c->error_log : c->prefix ? "error.log" : HINGE_ERROR_LOG);
}

/* Until the configuration was read, lines go to the log of -e, which exists from the start. */
static void open_first_log(struct program *p)
{
    struct log first = { 0 };
    bool told = p->cli.error_log != NULL;
    int fd = strcmp(p->error_log, "stderr") == 0 ? STDERR_FILENO : log_open(p->error_log);
    if (fd < 0) {
        if (told)
            fprintf(stderr, "hinge: [warn] could not open error log file: open() \"%s\" failed (%d: %s)\n",
                    p->error_log, errno, strerror(errno));
        memcpy(p->error_log, "stderr", sizeof("stderr"));
        fd = STDERR_FILENO;
    }
    log_add(&first, fd, LEVEL_NOTICE);
    log_main_set(&first);
    if (fd != STDERR_FILENO)
        close(fd);
}

int program_init(struct program *p, const struct app *app, const struct cli *cli, int argc, char **argv)
{
    memset(p, 0, sizeof(*p));
    p->app = app;
    p->cli = *cli;
    p->argc = argc;
    p->argv = argv;
    p->on_stderr = true;
    int rc = make_paths(p);
    if (rc < 0) {
        fprintf(stderr,
                "hinge: [emerg] the path given with -p, -c or -e is too long, or there is no current directory\n");
        return rc;
    }
    open_first_log(p);
    if (cli->demo && !(p->conf_text = demo_config(cli->demo_port)))
        return ERR_NOMEM;
    rc = schema_init(&p->schema, app->features, app->nfeatures);
    if (rc < 0)
        program_say(p, LEVEL_EMERG, "cannot make the table of directives: %s", err_name(rc));
    return rc;
}

void program_done(struct program *p)
{
    schema_done(&p->schema);
    free(p->conf_text);
}

/* ---- from disk to generation ---- */

/* What the squid.conf says now, as text; names in it are relative to its directory. */
static int set_squid(struct program *p, struct bundle *b)
{
    const char *slash = strrchr(p->conf, '/');
    slice dir = slice_of(p->conf, (size_t)(slash - p->conf) + 1);
    if (bundle_option_set(b, SLICE("conf_dir"), dir) < 0)
        return ERR_NOMEM;
    char *text = squid_config(b, p->conf, p->cli.prefix != NULL);
    int rc = text ? bundle_option_set(b, SLICE("conf-text"), slice_str(text)) : ERR_NOMEM;
    free(text);
    return rc;
}

static int set_options(struct program *p, struct bundle *b)
{
    const struct {
        const char *name, *value;
    } options[] = {
        { "conf", p->conf },
        { "error_log", p->error_log },
        { "g", p->cli.globals },
        { "conf-text", p->conf_text },
        { "lenient", p->cli.lenient ? "1" : NULL },
        { "test", p->cli.test ? "1" : NULL },
        { "squid", p->cli.squid ? "1" : NULL },
    };
    bundle_set_resolver(b, resolve_name, NULL);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (options[i].value && bundle_option_set(b, slice_str(options[i].name), slice_str(options[i].value)) < 0)
            return ERR_NOMEM;
    }
    return p->cli.squid ? set_squid(p, b) : OK;
}

/* Without root there is nobody to become: nginx says so when a user was asked for. */
static int choose_user(struct program *p, struct generation *g)
{
    const struct core_conf *c = core_conf(g);
    slice user = c->user.n ? c->user : SLICE(HINGE_USER), group = c->user.n ? c->group : user;
    if (geteuid() != 0) {
        if (c->user.n && p->on_stderr)
            program_say(p, LEVEL_WARN,
                        "the \"user\" directive makes sense only if the master process runs with "
                        "super-user privileges, ignored");
        return OK;
    }
    if (!c->master_process)
        return OK;
    int rc = user_known(g->bundle, user, group);
    if (rc == OK)
        rc = user_choose(g->bundle, user, group);
    if (rc < 0)
        program_say(p, LEVEL_EMERG, "cannot find user \"%.*s\": %s", SLICE_FMT(user), err_name(rc));
    return rc;
}

/* Names on the command line are relative to the prefix, as nginx's are; who has the file before him is told. */
static void say_where(struct program *p)
{
    const char *name = p->cli.conf;
    if (p->on_stderr && name && name[0] != '/' && access(p->conf, F_OK) < 0 && access(name, F_OK) == 0)
        program_say(p, LEVEL_WARN, "for the \"%s\" of this directory add -p ./, or give its whole path", name);
}

/* NULL after saying why; the bundle is the caller's then. */
static struct generation *compile(struct program *p, struct bundle *b, struct arena *messages)
{
    struct conf_diag diag;
    struct generation *g = NULL;
    conf_diag_init(&diag, messages);
    diag.strict = p->cli.strict;
    int rc = set_options(p, b);
    if (rc == OK)
        rc = generation_compile(&p->schema, b, &diag, &g);
    say_all(p, &diag);
    if (!g)
        say_where(p);
    if (rc < 0 && !diag.errors)
        program_say(p, LEVEL_EMERG, "the configuration could not be read: %s", err_name(rc));
    return g;
}

int program_compile(struct program *p, struct generation **out)
{
    struct arena messages;
    struct bundle *b = bundle_new(slice_str(p->prefix));
    if (!b)
        return ERR_NOMEM;
    arena_init(&messages, NULL, 0, 4096, 0);
    struct generation *g = compile(p, b, &messages);
    arena_done(&messages);
    if (!g) {
        bundle_free(b);
        return ERR_SYNTAX;
    }
    int rc = choose_user(p, g);
    if (rc < 0) {
        generation_unref(g);
        return rc;
    }
    *out = g;
    return OK;
}

static void report_listen(void *ctx, enum log_level level, const char *text)
{
    program_say(ctx, level, "%s", text);
}

static int open_logs(struct program *p, struct generation *g)
{
    for (struct bundle_entry *e = bundle_first(g->bundle); e; e = e->next) {
        int fd;
        if (e->kind != BUNDLE_LOG || log_is_syslog(e->key) || log_file(g->bundle, e->key, &fd) == OK)
            continue;
        program_say(p, LEVEL_EMERG, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(e->key), errno, strerror(errno));
        return ERR_SYS;
    }
    return OK;
}

/* A directory that is not there is made, for the engine's user alone; one that is there stays as it is. */
static int open_dir(const struct bundle *b, const struct bundle_entry *e, int *out)
{
    bool made = mkdir(e->key.p, 0700) == 0;
    int fd = open(e->key.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS;
    if (made && user_own(b, fd) < 0) {
        close(fd);
        return ERR_SYS;
    }
    *out = fd;
    return OK;
}

static int open_dirs(struct program *p, struct generation *g)
{
    for (struct bundle_entry *e = bundle_first(g->bundle); e; e = e->next) {
        int fd;
        if (e->kind != BUNDLE_DIR || e->nfds)
            continue;
        if (open_dir(g->bundle, e, &fd) < 0) {
            program_say(p, LEVEL_EMERG, "directory \"%.*s\" cannot be used (%d: %s)", SLICE_FMT(e->key), errno,
                        strerror(errno));
            return ERR_SYS;
        }
        e->fds = malloc(sizeof(*e->fds));
        if (!e->fds) {
            close(fd);
            return ERR_NOMEM;
        }
        e->fds[0] = fd;
        e->nfds = 1;
    }
    return OK;
}

int program_open(struct program *p, struct generation *g, struct bundle *previous, bool test)
{
    struct listen_how how = {
        .workers = core_conf(g)->workers,
        .previous = previous,
        .tries = p->cli.demo ? 1 : 0, /* somebody is watching, and can choose another port */
        .test = test,
        .report = report_listen,
        .ctx = p,
    };
    int rc = open_logs(p, g);
    if (rc == OK)
        rc = open_dirs(p, g);
    if (rc == OK)
        rc = listen_open_all(g->bundle, &how);
    return rc < 0 ? ERR_SYS : OK;
}

slice program_pid_path(struct program *p, const struct generation *g)
{
    slice path = core_conf(g)->pid;
    return bundle_path(g->bundle, path.n ? path : slice_str(p->pid_default));
}
