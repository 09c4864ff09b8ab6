/*
 * The command line: nginx's options, and a few of our own.
 */
#ifndef APP_CLI_H
#define APP_CLI_H

#include <stdbool.h>
#include <stdint.h>

struct cli {
    bool help, version, version_long, docs;
    bool test, dump, quiet, strict, lenient;
    bool demo;
    uint16_t demo_port;
    const char *prefix, *conf, *error_log, *globals, *signal; /* NULL: not given; into argv */
    const char *squid;                                        /* a squid.conf instead of `conf` */
};

/* OK, or ERR_SYNTAX after telling stderr why. */
int cli_parse(struct cli *c, int argc, char **argv);

#endif
