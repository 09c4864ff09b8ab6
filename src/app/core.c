#include "app/core.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>

#include "app/user.h"
#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/logs.h"
#include "conf/units.h"
#include "loop/job_pool.h"

const struct core_conf *core_conf(const struct generation *g)
{
    return g->main[core_feature.id];
}

/* CPUs that this process may run on: what `auto` means in a container too. */
static uint32_t cpus_allowed(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (uint32_t)n;
}

static int set_user(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct core_conf *c = conf;
    slice user = node->args[0].text, group = node->nargs > 1 ? node->args[1].text : user;
    int rc = user_known(cf->bundle, user, group);
    if (rc == ERR_NOTFOUND)
        return conf_error(cf, node, -1, "there is no user \"%.*s\" or no group \"%.*s\"", SLICE_FMT(user),
                          SLICE_FMT(group));
    if (rc < 0)
        return conf_error(cf, node, -1, "cannot look up user \"%.*s\": %s", SLICE_FMT(user), err_name(rc));
    c->user = user;
    c->group = group;
    return OK;
}

static int set_workers(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct core_conf *c = conf;
    uint64_t n;
    if (slice_eq(node->args[0].text, SLICE("auto"))) {
        c->workers = cpus_allowed();
        return OK;
    }
    if (slice_to_u64(node->args[0].text, &n) < 0 || n < 1 || n > WORKERS_MAX)
        return conf_error(cf, node, 0, "invalid number of workers \"%.*s\", it must be \"auto\" or 1 to %d",
                          SLICE_FMT(node->args[0].text), WORKERS_MAX);
    c->workers = (uint32_t)n;
    return OK;
}

static int parse_mask(slice s, uint64_t *out)
{
    uint64_t mask = 0;
    if (s.n == 0 || s.n > 64)
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '0' && s.p[i] != '1')
            return ERR_SYNTAX;
        mask = mask << 1 | (uint64_t)(s.p[i] == '1');
    }
    *out = mask;
    return mask ? OK : ERR_SYNTAX;
}

static int set_affinity(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct core_affinity *a = &((struct core_conf *)conf)->affinity;
    uint32_t first = slice_eq(node->args[0].text, SLICE("auto"));
    if (first && node->nargs > 2)
        return conf_error(cf, node, 2, "\"auto\" takes one mask at most");
    a->automatic = first;
    a->masks = arena_new_n(cf->arena, uint64_t, node->nargs);
    if (!a->masks)
        return ERR_NOMEM;
    for (uint32_t i = first; i < node->nargs; i++) {
        if (parse_mask(node->args[i].text, &a->masks[a->n++]) < 0)
            return conf_error(cf, node, (int)i, "invalid CPU mask \"%.*s\": up to 64 digits 0 and 1, at least one 1",
                              SLICE_FMT(node->args[i].text));
    }
    return OK;
}

static int set_rlimit_core(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct core_conf *c = conf;
    c->has_rlimit_core = true;
    if (conf_offset(node->args[0].text, &c->rlimit_core) < 0)
        return conf_error(cf, node, 0, "invalid size \"%.*s\"", SLICE_FMT(node->args[0].text));
    return OK;
}

static int set_priority(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    slice s = node->args[0].text;
    bool minus = slice_starts(s, SLICE("-"));
    uint64_t n;
    if (slice_to_u64(slice_from(s, minus), &n) < 0 || n > 20)
        return conf_error(cf, node, 0, "invalid priority \"%.*s\", it lies between -20 and 20", SLICE_FMT(s));
    ((struct core_conf *)conf)->priority = minus ? -(int)n : (int)n;
    return OK;
}

static int set_error_log(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    ((struct core_conf *)conf)->has_log = true;
    return log_directive(cf, node, &cf->gen->log);
}

static int set_env(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct core_conf *c = conf;
    struct core_env *e = arena_new(cf->arena, struct core_env);
    slice text = node->args[0].text;
    if (!e)
        return ERR_NOMEM;
    e->name = text;
    slice_cut(text, '=', &e->name, &e->value);
    if (e->name.n == 0 || slice_starts(e->name, SLICE("HINGE_")))
        return conf_error(cf, node, 0, "\"%.*s\" cannot be a variable's name", SLICE_FMT(e->name));
    e->next = c->env;
    c->env = e;
    return OK;
}

static int set_events(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    ((struct core_conf *)conf)->has_events = true;
    return conf_apply(cf, node, CONF_EVENTS);
}

static int set_use(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    if (slice_eq(node->args[0].text, SLICE("epoll")))
        return OK;
    return conf_error(cf, node, 0, "invalid event type \"%.*s\": epoll is the only one", SLICE_FMT(node->args[0].text));
}

/* The log that -e names (or the built-in path); when that cannot be opened, lines go to stderr, as they did at start.
 */
static int default_log(struct conf_ctx *cf)
{
    slice path = bundle_option(cf->bundle, SLICE("error_log"));
    int fd = 2;
    if (path.n && !slice_eq(path, SLICE("stderr"))) {
        int rc = log_file(cf->bundle, path, &fd);
        if (rc == ERR_NOMEM)
            return rc;
        if (rc < 0)
            fd = 2;
    }
    log_add(&cf->gen->log, fd, LEVEL_ERROR);
    return OK;
}

static int core_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                       const void *parent)
{
    struct core_conf *c = conf;
    if (kind != SCOPE_MAIN)
        return OK;
    if (!c->has_events) {
        conf_diag_add(cf->diag, CONF_EMERG, (struct conf_pos){ 0 }, SLICE("add: events { }"),
                      "no \"events\" section in configuration");
        return ERR_SYNTAX;
    }
    if (c->workers == 0)
        c->workers = 1;
    if (!c->has_log)
        return default_log(cf);
    return OK;
}

#define AT(field) .offset = offsetof(struct core_conf, field), .size = sizeof(((struct core_conf *)0)->field)
/* What a default nginx.conf says of TLS for all servers; a server that wants TLS is refused (listen ... ssl). */
#define TUNING(w, ctx, n, why)                                                                              \
    {                                                                                                       \
        .name = w, .contexts = ctx, .min_args = 1, .max_args = n, .type = CONF_TUNING, .scope = SCOPE_MAIN, \
        .repeat = true, .usage = w " ...;", .doc = why                                                      \
    }

static const struct directive core_directives[] = {
    { .name = "user",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .set = set_user,
      .usage = "user NAME [GROUP];",
      .doc =
          "The user (and group) that the engine becomes when it is started as root. Default: nobody. The master keeps "
          "its rights: it reads files, binds sockets and opens logs. Without root the line is ignored." },
    { .name = "worker_processes",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .set = set_workers,
      .usage = "worker_processes NUMBER | auto;",
      .doc =
          "How many workers serve. A worker is a thread of the engine with an event loop of its own. auto: as many as "
          "there are CPUs to run on. Default: 1." },
    { .name = "worker_cpu_affinity",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .set = set_affinity,
      .usage = "worker_cpu_affinity MASK ... | auto [MASK];",
      .doc = "Binds each worker to CPUs. A mask is a binary number whose lowest digit is the first CPU; the last mask "
             "holds for all further workers. auto: one CPU a worker." },
    { .name = "worker_rlimit_nofile",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_MAIN,
      AT(rlimit_nofile),
      .min = 16,
      .max = 1U << 30,
      .usage = "worker_rlimit_nofile NUMBER;",
      .doc = "The limit of open descriptors of the engine, which all workers share. Default: as many as are allowed at "
             "start." },
    { .name = "worker_rlimit_core",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .set = set_rlimit_core,
      .usage = "worker_rlimit_core SIZE;",
      .doc = "The largest core file of the engine." },
    { .name = "worker_priority",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .set = set_priority,
      .usage = "worker_priority NUMBER;",
      .doc = "The engine's nice value, -20 to 20." },
    { .name = "worker_shutdown_timeout",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_MSEC,
      .scope = SCOPE_MAIN,
      AT(shutdown_timeout),
      .usage = "worker_shutdown_timeout TIME;",
      .doc = "How long connections may live on after a graceful stop was asked for, or after a reload in the old "
             "configuration; then they are closed. Default: as long as they take." },
    { .name = "working_directory",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_STRING,
      .scope = SCOPE_MAIN,
      AT(working_directory),
      .usage = "working_directory PATH;",
      .doc = "The engine's current directory: where core files go." },
    { .name = "env",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .repeat = true,
      .set = set_env,
      .usage = "env VARIABLE[=VALUE];",
      .doc = "An environment variable that the engine inherits or gets. Of all others it sees only TZ and those that "
             "sanitizers read." },
    { .name = "job_threads",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_MAIN,
      AT(job_threads),
      .min = 1,
      .max = JOB_THREADS_MAX,
      .def = "4",
      .usage = "job_threads NUMBER;",
      .doc = "How many threads the engine has for work that would hold a worker up, such as writing temporary files. "
             "All workers share them. A thread is started when there is work for it." },
    { .name = "job_queue",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_MAIN,
      AT(job_queue),
      .min = 1,
      .max = 1U << 30,
      .def = "65536",
      .usage = "job_queue NUMBER;",
      .doc = "How many jobs may wait for a thread. Beyond it a job is refused, and counted: what asked for it fails, "
             "or does without." },
    { .name = "daemon",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_FLAG,
      .scope = SCOPE_MAIN,
      AT(daemon),
      .def = "on",
      .usage = "daemon on | off;",
      .doc =
          "Whether the started process goes to the background. It does so once the engine serves; a start that fails "
          "is seen in the exit code." },
    { .name = "master_process",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_FLAG,
      .scope = SCOPE_MAIN,
      AT(master_process),
      .def = "on",
      .usage = "master_process on | off;",
      .doc = "off: one process does the work of master and engine, and keeps the rights it was started with. For "
             "debugging." },
    { .name = "pid",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_STRING,
      .scope = SCOPE_MAIN,
      AT(pid),
      .usage = "pid FILE;",
      .doc = "The file that holds the master's process number. It appears once every listener listens and the engine "
             "serves. Default: /run/hinge.pid." },
    { .name = "error_log",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .repeat = true,
      .set = set_error_log,
      .usage = "error_log FILE | stderr | syslog:server=ADDRESS[,facility=NAME][,tag=TEXT][,nohostname] [LEVEL];",
      .doc =
          "Where errors go, and from which level on: emerg, alert, crit, error (default), warn, notice, info, debug. "
          "Several lines at one level are several targets." },
    { .name = "events",
      .contexts = CONF_MAIN,
      .type = CONF_BLOCK,
      .scope = SCOPE_MAIN,
      .set = set_events,
      .usage = "events { ... }",
      .doc = "The context of directives about connections as such. It must be there." },
    { .name = "worker_connections",
      .contexts = CONF_EVENTS,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_MAIN,
      AT(worker_connections),
      .min = 1,
      .max = 1U << 30,
      .def = "512",
      .usage = "worker_connections NUMBER;",
      .doc = "How many connections, to clients and to backends together, one worker holds. Beyond it new clients are "
             "closed at once, and counted." },
    { .name = "worker_body_memory",
      .contexts = CONF_EVENTS,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_SIZE,
      .scope = SCOPE_MAIN,
      AT(body_memory),
      .min = 1 << 20,
      .def = "256m",
      .usage = "worker_body_memory SIZE;",
      .doc = "How many bytes of request and response bodies one worker keeps in memory for slow peers, all connections "
             "together. When half of it is used, each connection is held to 16k." },
    { .name = "use",
      .contexts = CONF_EVENTS,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .set = set_use,
      .usage = "use epoll;",
      .doc = "The event mechanism. There is one: epoll." },
    TUNING("multi_accept", CONF_EVENTS, 1,
           "How many connections a worker accepts at once follows from how busy it is."),
    TUNING("accept_mutex", CONF_EVENTS, 1, "Workers have sockets of their own, so none needs a lock to accept."),
    TUNING("accept_mutex_delay", CONF_EVENTS, 1, "Workers have sockets of their own, so none needs a lock to accept."),
    TUNING("worker_aio_requests", CONF_EVENTS, 1, "No asynchronous disk requests are made."),
    TUNING("debug_connection", CONF_EVENTS, 1, "Set the level of error_log instead."),
    TUNING("timer_resolution", CONF_MAIN, 1, "The clock is read once a turn of the loop."),
    TUNING("pcre_jit", CONF_MAIN, 1, "Regular expressions are always compiled to machine code where that works."),
    TUNING("thread_pool", CONF_MAIN, 3, "There is one pool for work that blocks: see job_threads and job_queue."),
    TUNING("lock_file", CONF_MAIN, 1, "No lock file is needed."),
    TUNING("ssl_engine", CONF_MAIN, 1, "OpenSSL engines are not used."),
    TUNING("load_module", CONF_MAIN, 1,
           "Nothing is loaded: what hinge can do is built in, and directives of other modules are refused by name."),
    TUNING("debug_points", CONF_MAIN, 1, "A broken invariant always aborts the engine; its stack is in the log."),
};

struct feature core_feature = {
    .name = "core",
    .doc = "Processes, logs, limits: the main and events contexts.",
    .directives = core_directives,
    .ndirectives = array_len(core_directives),
    .size = { [SCOPE_MAIN] = sizeof(struct core_conf) },
    .finish = core_finish,
};
