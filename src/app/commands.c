#include "app/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "app/pidfile.h"
#include "app/version.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"

/* ---- -t, -T ---- */

static void dump(const struct generation *g)
{
    for (const struct conf_file *f = g->files; f; f = f->next)
        printf("# configuration file %.*s:\n%.*s\n", SLICE_FMT(f->path), SLICE_FMT(f->text));
    fflush(stdout);
}

/* nginx's lines; they go to stderr, and scripts read them there. */
static void tell(const struct program *p, const char *what)
{
    if (!p->cli.quiet)
        fprintf(stderr, "hinge: %s\n", what);
}

int command_test(struct program *p)
{
    struct generation *g = NULL;
    char text[PATH_MAX + 64];
    int rc = program_compile(p, &g);
    if (rc == OK) {
        snprintf(text, sizeof(text), "the configuration file %s syntax is ok", p->conf);
        tell(p, text);
        rc = program_open(p, g, NULL, true);
    }
    if (rc == OK && p->cli.dump)
        dump(g);
    if (g)
        generation_unref(g);
    if (rc < 0) {
        fprintf(stderr, "hinge: configuration file %s test failed\n", p->conf);
        return 1;
    }
    snprintf(text, sizeof(text), "configuration file %s test is successful", p->conf);
    tell(p, text);
    return 0;
}

/* ---- -s ---- */

static int signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = { { "stop", SIGTERM }, { "quit", SIGQUIT }, { "reload", SIGHUP }, { "reopen", SIGUSR1 } };
    for (size_t i = 0; i < array_len(known); i++) {
        if (strcmp(name, known[i].name) == 0)
            return known[i].number;
    }
    return 0;
}

static int send_signal(struct program *p, const char *path)
{
    pid_t pid;
    int rc = pidfile_read(path, &pid);
    if (rc == ERR_SYNTAX) {
        program_say(p, LEVEL_ERROR, "invalid PID number in \"%s\"", path);
        return 1;
    }
    if (rc < 0) {
        program_say(p, LEVEL_ERROR, "open() \"%s\" failed (%d: %s)", path, errno, strerror(errno));
        return 1;
    }
    int number = signal_number(p->cli.signal);
    if (kill(pid, number) == 0)
        return 0;
    program_say(p, LEVEL_ERROR, "kill(%d, %d) failed (%d: %s)", (int)pid, number, errno, strerror(errno));
    return 1;
}

/* The pid file's place is in the configuration, so it is read first, as nginx does. */
int command_signal(struct program *p)
{
    struct generation *g;
    if (program_compile(p, &g) < 0)
        return 1;
    slice path = program_pid_path(p, g);
    int code = path.p ? send_signal(p, path.p) : 1;
    generation_unref(g);
    return code;
}

/* ---- printing ---- */

static int put(FILE *to, struct strb *b)
{
    bool ok = !b->failed && fwrite(b->p, 1, b->n, to) == b->n && fflush(to) == 0;
    strb_done(b);
    return ok ? 0 : 1;
}

static int print_with_schema(const struct app *app, bool docs)
{
    struct schema s;
    struct strb b;
    strb_init(&b, 0);
    int rc = schema_init(&s, app->features, app->nfeatures);
    if (rc < 0)
        return 1;
    if (docs)
        rc = schema_manual(&s, &b);
    else
        version_long(&b, &s);
    schema_done(&s);
    int code = put(docs ? stdout : stderr, &b);
    return rc < 0 ? 1 : code;
}

int command_print(const struct app *app, const struct cli *cli)
{
    struct strb b;
    if (cli->docs || cli->version_long)
        return print_with_schema(app, cli->docs);
    strb_init(&b, 0);
    if (cli->help)
        version_help(&b);
    else
        version_short(&b);
    return put(stderr, &b);
}
