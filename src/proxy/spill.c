/*
 * The files have no name (O_TMPFILE), so nothing can be left behind by a crash and nobody else can open them. Writes go
 * to the page cache from the worker's thread, a buffer at a time, as nginx's do.
 */
#include "proxy/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "conf/bundle.h"

struct spill {
    int fd;
    uint64_t size;
};

static struct spill *spill_open(struct exchange *x, const struct bundle_entry *dir)
{
    char err[128];
    struct spill *s = arena_new(&x->arena, struct spill);
    if (!s)
        return NULL;
    s->fd = openat(dir->fds[0], ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        exchange_log(x, LEVEL_CRIT, "open() of a temporary file in \"%.*s\" failed (%d: %s)", SLICE_FMT(dir->key),
                     errno, strerror_r(errno, err, sizeof(err)));
        return NULL;
    }
    worker_count(x->w, COUNT_SPILLED);
    return s;
}

static bool spill_pipe(struct exchange *x, struct spill **s, struct pipe *p, const struct bundle_entry *dir,
                       size_t keep)
{
    char err[128];
    if (!*s)
        *s = spill_open(x, dir);
    if (!*s)
        return false;
    if (pipe_to_file(p, (*s)->fd, &(*s)->size, keep) == OK)
        return true;
    exchange_log(x, LEVEL_CRIT, "pwrite() to a temporary file failed (%d: %s)", errno,
                 strerror_r(errno, err, sizeof(err)));
    return false;
}

enum step spill_request(struct exchange *x)
{
    if (!spill_pipe(x, &x->spill, &x->req_pipe, x->pass.loc->client->body_temp_dir, 0))
        return step_error(x, 500);
    x->front->ops->kick_in(x->front);
    return STEP_BODY;
}

void spill_answer(struct exchange *x)
{
    const struct proxy_conf *c = x->proxy->conf;
    uint64_t size = x->resp_spill ? x->resp_spill->size : 0;
    bool room = size + x->resp_pipe.queued - x->resp_pipe.filed <= c->max_temp_file_size;
    if (room && spill_pipe(x, &x->resp_spill, &x->resp_pipe, c->temp_dir, c->busy))
        x->back->ops->kick_in(x->back);
    else
        x->resp_pipe.overflow = false; /* from here on the client's pace is the backend's */
}

static void spill_close(struct spill **s)
{
    if (*s)
        close((*s)->fd);
    *s = NULL;
}

void spill_done(struct exchange *x)
{
    spill_close(&x->spill);
    spill_close(&x->resp_spill);
}
