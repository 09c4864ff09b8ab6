/*
 * What every task of the started process shares (start, -t, -s, reload): paths, schema, how to say something, and how
 * to turn the files on the disk into a configuration.
 */
#ifndef APP_PROGRAM_H
#define APP_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

#include "app/app.h"
#include "app/cli.h"
#include "base/log.h"
#include "conf/generation.h"
#include "conf/schema.h"

struct program {
    const struct app *app;
    struct schema schema;
    struct cli cli;
    char prefix[PATH_MAX];    /* absolute, ends in '/' */
    char conf[PATH_MAX];      /* absolute */
    char error_log[PATH_MAX]; /* absolute, or "stderr" */
    char pid_default[PATH_MAX];
    char *conf_text; /* --demo: what is read instead of a file; else NULL */
    bool on_stderr;  /* still at start: what is said goes to stderr too */
    char **argv;
    int argc;
};

/* Paths and schema from the command line, and the start's error log. OK, or an error after saying why. */
int program_init(struct program *p, const struct app *app, const struct cli *cli, int argc, char **argv);
void program_done(struct program *p);

/* One message: to the log, and while the program starts to stderr as "hinge: [level] text". */
void program_say(struct program *p, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * Reads and compiles what is on the disk now, into a generation whose bundle is open. Errors and warnings are said.
 * OK or an error code.
 */
int program_compile(struct program *p, struct generation **out);
/*
 * Opens what the configuration names: its sockets (taking over those of `previous`, may be NULL) and its logs.
 * test: only see whether the addresses could be bound. OK or ERR_SYS after saying why.
 */
int program_open(struct program *p, struct generation *g, struct bundle *previous, bool test);

/* The path of the pid file; in the generation's bundle. */
slice program_pid_path(struct program *p, const struct generation *g);

#endif
