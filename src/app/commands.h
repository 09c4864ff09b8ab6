/*
 * What the program does besides serving: -t, -T, -s, and the printing options. Each gives the exit code.
 */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H

#include "app/program.h"

int command_test(struct program *p);
int command_signal(struct program *p);
/* -h, -v, -V, --docs. */
int command_print(const struct app *app, const struct cli *cli);

#endif
