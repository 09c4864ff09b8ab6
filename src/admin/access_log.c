/*
 * access_log and log_format. Each location holds the list of logs that its exchanges go to; the line is composed in
 * on_end, when the last byte has left or the exchange has failed, straight into the worker's buffer for the file.
 */
#include "admin/access_log.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "admin/log_buffer.h"
#include "admin/log_format.h"
#include "admin/log_path.h"
#include "base/attr.h"
#include "base/err.h"
#include "conf/logs.h"
#include "conf/units.h"

enum { GZIP_BUFFERED = 64 << 10 }; /* nginx: what gzip collects when no buffer= is given */

struct log_use {
    const struct log_format *format;
    const struct log_file *file;
    const struct log_path *path; /* with variables; NULL: file */
    bool conditional;
    struct template condition; /* if=: empty and "0" mean no line */
    struct log_use *next;
};

/* SCOPE_LOCATION: the list is one value, so that a level with a line of its own inherits none. */
struct log_list {
    struct log_use *first;
    bool off;
};

struct access_log {
    struct log_list *logs;
    bool subrequests; /* log_subrequest */
    struct log_cache_conf cache;
};

/* SCOPE_MAIN */
struct access_main {
    struct log_format *formats;
    struct log_file *files;
};

/* ---- running ---- */

static bool wanted(struct exchange *x, const struct log_use *u)
{
    slice value;
    if (!u->conditional)
        return true;
    return exchange_eval(x, &u->condition, &value) == OK && value.n && !slice_eq(value, SLICE("0"));
}

static void access_log_end(struct exchange *x, const void *conf)
{
    const struct access_log *a = conf;
    if (x->aside && !a->subrequests)
        return;
    for (const struct log_use *u = a->logs->first; u; u = u->next) {
        if (!wanted(x, u))
            continue;
        if (u->path) {
            log_path_line(x, u->path, &a->cache, u->format);
            continue;
        }
        struct strb *line = log_buffer_begin(x->w, x->gen, u->file);
        if (!line) {
            worker_count(x->w, COUNT_MEMORY_REFUSED);
            continue;
        }
        log_format_line(u->format, x, line);
        log_buffer_end(x->w, line);
    }
}

static bool access_log_active(const void *conf)
{
    const struct access_log *a = conf;
    return a->logs && a->logs->first && !a->logs->off;
}

/* ---- log_format ---- */

static struct access_main *main_of(struct conf_ctx *cf)
{
    return conf_scope_own(cf, cf->scope[SCOPE_MAIN], &access_log_feature);
}

static struct log_format *find_format(const struct access_main *m, slice name)
{
    struct log_format *f = m->formats;
    while (f && !slice_eq(f->name, name))
        f = f->next;
    return f;
}

static int set_log_format(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct access_main *m = main_of(cf);
    struct log_format *f;
    slice name = node->args[0].text;
    if (!m)
        return ERR_NOMEM;
    if (find_format(m, name) || slice_eq(name, SLICE("combined")))
        return conf_error(cf, node, 0, "duplicate \"log_format\" name \"%.*s\"", SLICE_FMT(name));
    int rc = log_format_parse(cf, node, &f);
    if (rc != OK)
        return rc;
    f->next = m->formats;
    m->formats = f;
    return OK;
}

/* ---- access_log ---- */

static int use_format(struct conf_ctx *cf, const struct conf_node *node, struct access_main *m, struct log_use *u)
{
    slice name = node->nargs > 1 ? node->args[1].text : SLICE("combined");
    struct log_format *f = find_format(m, name);
    int rc = f ? ERR_NOTFOUND : log_format_predefined(cf, name, &f);
    if (rc != OK && rc != ERR_NOTFOUND)
        return rc;
    if (rc == OK) {
        f->next = m->formats;
        m->formats = f;
    }
    if (!f)
        return conf_error(cf, node, 1, "unknown log format \"%.*s\"", SLICE_FMT(name));
    u->format = f;
    return OK;
}

struct log_options {
    uint64_t buffer, flush, gzip;
    bool has_buffer, has_flush;
};

/* gzip or gzip=LEVEL */
static int set_gzip(struct conf_ctx *cf, const struct conf_node *node, int arg, bool has_level, slice level,
                    struct log_options *o)
{
    o->gzip = 1;
    if (has_level && (slice_to_u64(level, &o->gzip) != OK || o->gzip < 1 || o->gzip > 9))
        return conf_error(cf, node, arg, "invalid compression level \"%.*s\"", SLICE_FMT(level));
    if (!o->buffer)
        o->buffer = GZIP_BUFFERED;
    return OK;
}

static int set_option(struct conf_ctx *cf, const struct conf_node *node, int arg, struct log_options *o,
                      struct log_use *u)
{
    slice text = node->args[arg].text, name, value = SLICE_NONE;
    if (!slice_cut(text, '=', &name, &value))
        name = text;
    if (slice_eq(name, SLICE("gzip")))
        return set_gzip(cf, node, arg, name.n < text.n, value, o);
    if (name.n == text.n)
        return conf_error(cf, node, arg, "invalid parameter \"%.*s\"", SLICE_FMT(text));
    if (slice_eq(name, SLICE("buffer"))) {
        o->has_buffer = true;
        if (conf_size(value, &o->buffer) != OK || o->buffer == 0 || o->buffer > 16 << 20)
            return conf_error(cf, node, arg, "invalid buffer size \"%.*s\"", SLICE_FMT(value));
    } else if (slice_eq(name, SLICE("flush"))) {
        o->has_flush = true;
        if (conf_msec(value, &o->flush) != OK || o->flush == 0)
            return conf_error(cf, node, arg, "invalid flush time \"%.*s\"", SLICE_FMT(value));
    } else if (slice_eq(name, SLICE("if"))) {
        struct conf_arg condition = node->args[arg];
        condition.text = value;
        u->conditional = true;
        return template_compile(cf, &condition, &u->condition);
    } else {
        return conf_error(cf, node, arg, "invalid parameter \"%.*s\"", SLICE_FMT(text));
    }
    return OK;
}

static int set_options(struct conf_ctx *cf, const struct conf_node *node, struct log_options *o, struct log_use *u)
{
    int rc = OK;
    for (uint32_t i = 2; i < node->nargs; i++) {
        int one = set_option(cf, node, (int)i, o, u);
        rc = one != OK ? one : rc;
    }
    if (rc == OK && o->has_flush && !o->buffer)
        rc = conf_error(cf, node, -1, "no buffer is defined for access_log \"%.*s\"", SLICE_FMT(node->args[0].text));
    return rc;
}

static struct log_file *file_new(struct conf_ctx *cf, struct access_main *m, slice path, int fd)
{
    struct log_file *f = arena_new(cf->arena, struct log_file);
    if (!f)
        return NULL;
    f->path = path;
    f->fd = fd;
    f->next = m->files;
    m->files = f;
    return f;
}

/* Lines that name one file share its buffer, so they must agree about it. */
static int use_file(struct conf_ctx *cf, const struct conf_node *node, struct access_main *m,
                    const struct log_options *o, struct log_use *u)
{
    int fd = -1;
    slice path = bundle_path(cf->bundle, node->args[0].text), own;
    if (!path.p || !arena_dup(cf->arena, path, &own))
        return ERR_NOMEM;
    int rc = log_file(cf->bundle, own, &fd);
    if (rc == ERR_SYS)
        return conf_error(cf, node, 0, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(own), errno, strerror(errno));
    if (rc != OK)
        return rc;
    struct log_file *f = m->files;
    while (f && !slice_eq(f->path, own))
        f = f->next;
    if (f && (f->buffer != o->buffer || f->flush != o->flush || f->gzip != o->gzip) && (o->buffer || f->buffer))
        return conf_error(cf, node, 0, "access_log \"%.*s\" already defined with conflicting parameters",
                          SLICE_FMT(node->args[0].text));
    if (!f)
        f = file_new(cf, m, own, fd);
    if (!f)
        return ERR_NOMEM;
    f->buffer = o->buffer;
    f->flush = o->flush;
    f->gzip = (uint8_t)o->gzip;
    u->file = f;
    return OK;
}

static int use_syslog(struct conf_ctx *cf, const struct conf_node *node, struct access_main *m,
                      const struct log_options *o, struct log_use *u)
{
    const struct syslog_to *to;
    int fd = -1;
    if (o->buffer || o->has_flush)
        return conf_error(cf, node, -1, "parameter \"%s\" is not supported by syslog",
                          o->gzip         ? "gzip"
                          : o->has_buffer ? "buffer"
                                          : "flush");
    int rc = log_syslog(cf, node, 0, &to, &fd);
    if (rc != OK)
        return rc;
    struct log_file *f = file_new(cf, m, node->args[0].text, fd);
    if (!f)
        return ERR_NOMEM;
    f->syslog = to;
    u->file = f;
    return OK;
}

static int use_path(struct conf_ctx *cf, const struct conf_node *node, const struct log_options *o, struct log_use *u)
{
    struct log_path *p;
    if (o->buffer || o->has_flush)
        return conf_error(cf, node, -1, "buffered logs cannot have variables in name");
    int rc = log_path_parse(cf, node, &p);
    if (rc == OK)
        u->path = p;
    return rc;
}

/* Where the lines go. */
static int use_target(struct conf_ctx *cf, const struct conf_node *node, struct access_main *m,
                      const struct log_options *o, struct log_use *u)
{
    slice target = node->args[0].text;
    if (log_is_syslog(target))
        return use_syslog(cf, node, m, o, u);
    return slice_find(target, '$') >= 0 ? use_path(cf, node, o, u) : use_file(cf, node, m, o, u);
}

static int add_log(struct conf_ctx *cf, const struct conf_node *node, struct log_list *list)
{
    struct access_main *m = main_of(cf);
    struct log_use *u = arena_new(cf->arena, struct log_use), **at = &list->first;
    struct log_options o = { 0 };
    if (!m || !u)
        return ERR_NOMEM;
    int rc = set_options(cf, node, &o, u);
    if (rc == OK)
        rc = use_format(cf, node, m, u);
    if (rc == OK)
        rc = use_target(cf, node, m, &o, u);
    if (rc != OK)
        return rc;
    while (*at)
        at = &(*at)->next;
    *at = u;
    return OK;
}

static int set_access_log(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct access_log *a = conf;
    if (!a->logs)
        a->logs = arena_new(cf->arena, struct log_list);
    if (!a->logs)
        return ERR_NOMEM;
    if (!slice_eq(node->args[0].text, SLICE("off")))
        return add_log(cf, node, a->logs);
    if (node->nargs > 1)
        return conf_error(cf, node, 1, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[1].text));
    a->logs->off = true;
    return OK;
}

static int set_cache(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return log_cache_parse(cf, node, &((struct access_log *)conf)->cache);
}

static const struct directive directives[] = {
    {
        .name = "access_log",
        .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LOCATION_IF | CONF_LIMIT_EXCEPT,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .offset = offsetof(struct access_log, logs),
        .size = sizeof(struct log_list *),
        .set = set_access_log,
        .usage = "access_log FILE | syslog:server=ADDRESS[,facility=NAME][,severity=NAME][,tag=TEXT][,nohostname] "
                 "[FORMAT [buffer=SIZE] [gzip[=LEVEL]] [flush=TIME] [if=CONDITION]];   access_log off;",
        .doc = "Writes a line for each request, in the named format (combined; forward is there too, with what a "
               "forward block decided and why), to FILE or, as a datagram, to a syslog server: HOST[:PORT] or "
               "unix:PATH; facility local7, severity info, tag nginx unless said otherwise. buffer= collects lines "
               "for a file up to SIZE, flush= at most so long; without them lines leave at the end of each turn of "
               "the event loop; gzip (level 1) makes a gzip file of what was collected, 64k by default. FILE may "
               "hold variables behind the directory that it begins with and cannot leave; it is then written line by"
               " line, opened by the user of the workers (see open_log_file_cache), and not at all for a request "
               "whose root does not exist. With if=, no line when CONDITION is empty or 0. Several lines of one "
               "level add up. off, the default, cancels all logs of the level. Lines that a full disk or a slow "
               "reader does not take are lost and counted (log_lost).",
    },
    {
        .name = "open_log_file_cache",
        .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = 4,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct access_log, cache),
        .size = sizeof(struct log_cache_conf),
        .set = set_cache,
        .def = "off",
        .usage = "open_log_file_cache max=NUMBER [inactive=TIME] [min_uses=NUMBER] [valid=TIME];   "
                 "open_log_file_cache off;",
        .doc =
            "Keeps open the files of logs whose path holds variables: max of them in each worker; those not used for "
            "inactive (10s) are closed; only those used min_uses times (1) within that time stay open; after valid "
            "(60s) it is looked whether the path still means the same file.",
    },
    {
        .name = "log_subrequest",
        .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct access_log, subrequests),
        .def = "off",
        .usage = "log_subrequest on | off;",
        .doc = "Whether what auth_request asks for has lines of its own.",
    },
    {
        .name = "log_format",
        .contexts = CONF_HTTP,
        .min_args = 2,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_log_format,
        .usage = "log_format NAME [escape=default|json|none] TEXT ...;",
        .doc =
            "A format for access_log. Values of variables are escaped: default writes what is not printable ASCII, "
            "quotes and backslashes as \\xHH and a missing value as \"-\"; json for strings of JSON; none not at all.",
    },
};

struct feature access_log_feature = {
    .name = "access_log",
    .forward = true,
    .doc = "Logs of requests.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct access_main), [SCOPE_LOCATION] = sizeof(struct access_log) },
};

const struct policy access_log_policy = {
    .name = "access_log",
    .feature = &access_log_feature,
    .active = access_log_active,
    .on_end = access_log_end,
};
