#include "conf/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"

int log_open(const char *path)
{
    /* Our own streams by another name: opening them anew fails on sockets, and on another user's terminal. */
    if (strcmp(path, "/dev/stdout") == 0 || strcmp(path, "/dev/stderr") == 0)
        return fcntl(path[8] == 'o' ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    /* A FIFO without a reader gives ENXIO instead of hanging; a plain file does not mind the flag. */
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
}

static _Atomic uint64_t epoch;

uint64_t logs_epoch(void)
{
    return atomic_load_explicit(&epoch, memory_order_relaxed);
}

void logs_next_epoch(void)
{
    atomic_fetch_add_explicit(&epoch, 1, memory_order_relaxed);
}

static int attach(struct bundle_entry *e)
{
    int *fds = malloc(sizeof(*fds));
    if (!fds)
        return ERR_NOMEM;
    fds[0] = log_open(e->key.p);
    if (fds[0] < 0) {
        int err = errno;
        free(fds);
        errno = err;
        return ERR_SYS;
    }
    e->fds = fds;
    e->nfds = 1;
    return OK;
}

int log_file(struct bundle *b, slice path, int *fd)
{
    slice full = bundle_path(b, path);
    if (!full.p)
        return ERR_NOMEM;
    struct bundle_entry *e = bundle_descriptor(b, BUNDLE_LOG, full);
    if (!e)
        return bundle_closed(b) ? ERR_NOTFOUND : ERR_NOMEM;
    int rc = e->nfds == 0 ? attach(e) : OK;
    if (rc == OK)
        *fd = e->fds[0];
    return rc;
}

bool logs_replace(struct bundle *b, slice path, int fd)
{
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        if (e->kind == BUNDLE_LOG && e->nfds == 1 && slice_eq(e->key, path))
            return dup3(fd, e->fds[0], O_CLOEXEC) >= 0;
    }
    return false;
}

static int target_of(struct conf_ctx *cf, const struct conf_node *node, int *fd, const struct syslog_to **to)
{
    slice name = node->args[0].text;
    if (slice_eq(name, SLICE("stderr"))) {
        *fd = STDERR_FILENO;
        return OK;
    }
    if (log_is_syslog(name))
        return log_syslog(cf, node, 0, to, fd);
    if (slice_starts(name, SLICE("memory:")))
        return conf_error(cf, node, 0, "error_log to \"%.*s\" is not supported by this build; name a file or stderr",
                          SLICE_FMT(name));
    if (name.n == 0)
        return conf_error(cf, node, 0, "the file of an error_log has no name");
    int rc = log_file(cf->bundle, name, fd);
    if (rc < 0)
        return conf_error(cf, node, 0, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(name), errno,
                          rc == ERR_SYS ? strerror(errno) : err_name(rc));
    return OK;
}

int log_directive(struct conf_ctx *cf, const struct conf_node *node, struct log *out)
{
    enum log_level level = LEVEL_ERROR;
    const struct syslog_to *to = NULL;
    int fd = -1;
    if (node->nargs > 1) {
        level = log_level_find(node->args[1].text);
        if (!level)
            return conf_error(cf, node, 1, "invalid log level \"%.*s\"", SLICE_FMT(node->args[1].text));
    }
    int rc = target_of(cf, node, &fd, &to);
    if (rc < 0)
        return rc;
    if (!(to ? log_add_syslog(out, fd, level, to) : log_add(out, fd, level)))
        return conf_error(cf, node, 0, "more than %d error_log lines at one level", LOG_TARGETS_MAX);
    return OK;
}
