/*
 * The program's entrances: the process that a user starts, and the two that it starts itself.
 */
#include "app/app.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/commands.h"
#include "app/engine.h"
#include "app/explain.h"
#include "app/master.h"
#include "app/resolve.h"
#include "app/title.h"
#include "base/err.h"

static int run(struct program *p, char *const *words)
{
    if (p->cli.signal)
        return command_signal(p);
    if (p->cli.test)
        return command_test(p);
    title_set(p->argc, p->argv, "hinge: master process", words);
    return master_main(p);
}

const struct room_hooks *app_server_room(const struct app *app)
{
    for (size_t i = 0; i < app->nrooms; i++) {
        if (app->rooms[i]->accept)
            return app->rooms[i];
    }
    return NULL;
}

int app_main(const struct app *app, int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "explain") == 0)
        return explain_main(app, argc, argv);
    const char *name = resolve_asked();
    int control = name ? -1 : engine_asked();
    if (name || control >= 0)
        prctl(PR_SET_NAME, "hinge"); /* exec has named the process after /proc/self/exe */
    if (name)
        _exit(resolve_main(name));
    if (control >= 0)
        return engine_run(app, control, false);
    struct cli cli;
    struct program p;
    char **words = title_keep(argc, argv);
    if (!words || cli_parse(&cli, argc, words) < 0) {
        title_free(words);
        return 1;
    }
    int code = 1;
    if (cli.help || cli.version || cli.version_long || cli.docs) {
        code = command_print(app, &cli);
    } else if (program_init(&p, app, &cli, argc, argv) == OK) {
        code = run(&p, words);
        program_done(&p);
    }
    title_free(words);
    return code;
}
