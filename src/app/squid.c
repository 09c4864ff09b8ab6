#include "app/squid.h"

#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/squid.h"

/* Where Squid writes unless it is told otherwise (Debian's squid(8)). */
#define LOG_DIR  "/var/log/squid"
#define PID_FILE "/run/squid.pid"

/* The last line of that name, or NULL. */
static const struct conf_node *last_of(const struct conf_node *n, const char *name)
{
    const struct conf_node *found = NULL;
    for (; n; n = n->next) {
        if (n->nargs && slice_eq(n->name, slice_str(name)))
            found = n;
    }
    return found;
}

static void add_quoted(struct strb *b, slice text)
{
    strb_char(b, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            strb_char(b, '\\');
        strb_char(b, text.p[i]);
    }
    strb_char(b, '"');
}

static void add_line(struct strb *b, const char *name, slice value, const char *more)
{
    strb_printf(b, "%s ", name);
    add_quoted(b, value);
    strb_printf(b, "%s;\n", more);
}

static void add_user(struct strb *b, const struct conf_node *lines)
{
    const struct conf_node *user = last_of(lines, "cache_effective_user");
    const struct conf_node *group = last_of(lines, "cache_effective_group");
    if (!user)
        return;
    strb_lit(b, "user ");
    add_quoted(b, user->args[0].text);
    if (group) {
        strb_char(b, ' ');
        add_quoted(b, group->args[0].text);
    }
    strb_lit(b, ";\n");
}

/* Seconds, as the unit says; Squid's 30 without a line. */
static void add_shutdown(struct strb *b, const struct conf_node *lines)
{
    const struct conf_node *n = last_of(lines, "shutdown_lifetime");
    uint64_t v = 30, unit = 1;
    if (n && slice_to_u64(n->args[0].text, &v) != OK)
        return;
    if (n && n->nargs > 1)
        unit = slice_istarts(n->args[1].text, SLICE("min"))    ? 60
               : slice_istarts(n->args[1].text, SLICE("hour")) ? 3600
                                                               : 1;
    if (v <= 1u << 20)
        strb_printf(b, "worker_shutdown_timeout %llus;\n", (unsigned long long)v * unit);
}

static void add_processes(struct strb *b, const struct conf_node *lines, bool own_paths)
{
    const struct conf_node *pid = last_of(lines, "pid_filename"), *log = last_of(lines, "cache_log");
    const struct conf_node *workers = last_of(lines, "workers"), *files = last_of(lines, "max_filedescriptors");
    bool dir = !own_paths && access(LOG_DIR, W_OK) == 0;
    uint64_t n;
    if (pid && !slice_eq(pid->args[0].text, SLICE("none")))
        add_line(b, "pid", pid->args[0].text, "");
    else if (!own_paths)
        strb_lit(b, "pid " PID_FILE ";\n");
    if (log && slice_eq(log->args[0].text, SLICE("none")))
        strb_lit(b, "error_log /dev/null;\n");
    else if (log || dir)
        add_line(b, "error_log", log ? log->args[0].text : SLICE(LOG_DIR "/cache.log"), " notice");
    if (workers && slice_to_u64(workers->args[0].text, &n) == OK && n)
        add_line(b, "worker_processes", workers->args[0].text, "");
    else
        strb_lit(b, "worker_processes auto;\n");
    if (files && slice_to_u64(files->args[0].text, &n) == OK && n)
        add_line(b, "worker_rlimit_nofile", files->args[0].text, "");
    add_user(b, lines);
    add_shutdown(b, lines);
}

static void add_all(struct strb *b, const struct conf_node *lines, const char *path, bool own_paths)
{
    add_processes(b, lines, own_paths);
    strb_lit(b, "events { worker_connections 16384; }\nhttp {\n");
    if (!last_of(lines, "access_log")) {
        bool dir = !own_paths && access(LOG_DIR, W_OK) == 0;
        add_line(b, "access_log", dir ? SLICE(LOG_DIR "/access.log") : SLICE("access.log"), " squid");
    }
    strb_lit(b, "forward {\n");
    add_line(b, "squid_conf", slice_str(path), "");
    strb_lit(b, "}\n}\n");
    strb_char(b, 0);
}

char *squid_config(struct bundle *bundle, const char *path, bool own_paths)
{
    struct arena a;
    struct conf_diag unheard; /* the same is told when the file is compiled */
    struct conf_node *lines = NULL;
    struct strb b;
    arena_init(&a, NULL, 0, 16384, 0);
    conf_diag_init(&unheard, &a);
    strb_init(&b, 0);
    int rc = squid_parse(&a, bundle, &unheard, slice_str(path), (struct conf_pos){ 0 }, &lines, NULL);
    add_all(&b, lines, path, own_paths);
    if (rc == ERR_NOMEM || b.failed) {
        strb_done(&b);
        b.p = NULL;
    }
    arena_done(&a);
    return b.p;
}
