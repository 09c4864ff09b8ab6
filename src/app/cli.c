#include "app/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/slice.h"

enum { DEMO_PORT = 8080 };

static int refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int refuse(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("hinge: ", stderr);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return ERR_SYNTAX;
}

/* Where the value of an option goes, and how nginx says that it is missing. */
static const char **value_slot(struct cli *c, char letter, const char **missing)
{
    switch (letter) {
    case 'p':
        *missing = "option \"-p\" requires directory name";
        return &c->prefix;
    case 'c':
        *missing = "option \"-c\" requires file name";
        return &c->conf;
    case 'e':
        *missing = "option \"-e\" requires file name";
        return &c->error_log;
    case 'g':
        *missing = "option \"-g\" requires parameter";
        return &c->globals;
    case 's':
        *missing = "option \"-s\" requires parameter";
        return &c->signal;
    default:
        return NULL;
    }
}

static bool set_flag(struct cli *c, char letter)
{
    switch (letter) {
    case 'h':
    case '?':
        c->help = true;
        return true;
    case 'v':
        c->version = true;
        return true;
    case 'V':
        c->version_long = true;
        return true;
    case 't':
        c->test = true;
        return true;
    case 'T':
        c->test = c->dump = true;
        return true;
    case 'q':
        c->quiet = true;
        return true;
    default:
        return false;
    }
}

/* One word of letters: "-t", "-tq", "-cFILE"; *next is the word behind it, *used whether it was a value. */
static int parse_letters(struct cli *c, const char *letters, const char *next, bool *used)
{
    for (const char *p = letters; *p; p++) {
        const char *missing = NULL;
        const char **slot = value_slot(c, *p, &missing);
        if (!slot) {
            if (!set_flag(c, *p))
                return refuse("invalid option: \"%s\"", letters);
            continue;
        }
        *used = p[1] == 0;
        *slot = p[1] ? p + 1 : next;
        return *slot && **slot ? OK : refuse("%s", missing);
    }
    return OK;
}

static int parse_port(struct cli *c, const char *text, bool *used)
{
    uint64_t v;
    c->demo = true;
    c->demo_port = DEMO_PORT;
    if (!text || text[0] == '-')
        return OK;
    /* the demonstration's backends and its forward proxy take the four ports behind it */
    if (slice_to_u64(slice_str(text), &v) < 0 || v < 1 || v > 65535 - 4)
        return refuse("invalid port \"%s\": --demo takes a number from 1 to 65531", text);
    c->demo_port = (uint16_t)v;
    *used = true;
    return OK;
}

static int parse_word(struct cli *c, const char *name, const char *next, bool *used)
{
    if (strcmp(name, "demo") == 0)
        return parse_port(c, next, used);
    if (strcmp(name, "squid") == 0) {
        *used = true;
        c->squid = next;
        return next && *next ? OK : refuse("option \"--squid\" requires file name");
    }
    if (strcmp(name, "strict") == 0)
        c->strict = true;
    else if (strcmp(name, "lenient") == 0)
        c->lenient = true;
    else if (strcmp(name, "docs") == 0)
        c->docs = true;
    else if (strcmp(name, "help") == 0)
        c->help = true;
    else if (strcmp(name, "version") == 0)
        c->version = true;
    else
        return refuse("invalid option: \"--%s\"", name);
    return OK;
}

static int check_signal(const struct cli *c)
{
    static const char *const known[] = { "stop", "quit", "reload", "reopen" };
    if (!c->signal)
        return OK;
    for (size_t i = 0; i < array_len(known); i++) {
        if (strcmp(c->signal, known[i]) == 0)
            return OK;
    }
    return refuse("invalid option: \"-s %s\"", c->signal);
}

int cli_parse(struct cli *c, int argc, char **argv)
{
    *c = (struct cli){ 0 };
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        bool used = false;
        if (word[0] != '-' || word[1] == 0)
            return refuse("invalid option: \"%s\"", word);
        int rc = word[1] == '-' ? parse_word(c, word + 2, next, &used) : parse_letters(c, word + 1, next, &used);
        if (rc < 0)
            return rc;
        i += used;
    }
    if (c->squid && (c->conf || c->demo))
        return refuse("option \"--squid\" stands instead of \"-c\" and \"--demo\"");
    return check_signal(c);
}
