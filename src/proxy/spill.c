/*
 * The files have no name (O_TMPFILE), so nothing can be left behind by a crash and nobody else can open them. They are
 * made and written by the job pool, one write at a time for each direction of an exchange; the bytes stay in the pipe
 * until they stand in the file (http/pipe.h), so a write that fails or that nobody waits for any more costs nothing.
 *
 * A spill is memory of its own, because it may outlive its exchange: while a write is under way the job holds it, else
 * the exchange does. Written bytes are read back with sendfile, from the worker's thread: as a rule they are still in
 * the page cache.
 */
#include "proxy/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "http/work.h"

/* The way to the pool and back costs about as much as copying so many bytes. */
enum { WRITE_MIN = 64 << 10 };

struct spill {
    struct work work;
    struct pipe_run run;
    const struct bundle_entry *dir;
    uint64_t size; /* what of the file is in use */
    int fd;        /* -1: not made yet */
    int error;     /* errno of the last job; 0: all is written */
    bool busy;     /* a job is under way */
    bool failed;   /* a part of the request body could not be written */
};

/* ---- on a thread of the pool ---- */

/* Leaves the first n bytes of an iovec out. */
static void advance(struct iovec **v, int *count, size_t n)
{
    while (*count && n >= (*v)->iov_len) {
        n -= (*v)->iov_len;
        (*v)++;
        (*count)--;
    }
    if (n) {
        (*v)->iov_base = (char *)(*v)->iov_base + n;
        (*v)->iov_len -= n;
    }
}

static int write_run(int fd, struct pipe_run *r, uint64_t at)
{
    struct iovec *v = r->iov;
    int count = r->n;
    while (count) {
        ssize_t n = pwritev(fd, v, count, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        at += (size_t)n;
        advance(&v, &count, (size_t)n);
    }
    return 0;
}

static void run(struct work *k)
{
    struct spill *s = container_of(k, struct spill, work);
    s->error = 0;
    if (s->fd < 0)
        s->fd = openat(s->dir->fds[0], ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    s->error = s->fd < 0 ? errno : write_run(s->fd, &s->run, s->size);
}

/* ---- on the worker's ---- */

static void spill_free(struct spill *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

static void log_failure(struct exchange *x, const struct spill *s)
{
    char err[128];
    const char *text = strerror_r(s->error, err, sizeof(err));
    if (s->fd < 0)
        exchange_log(x, LEVEL_CRIT, "open() of a temporary file in \"%.*s\" failed (%d: %s)", SLICE_FMT(s->dir->key),
                     s->error, text);
    else
        exchange_log(x, LEVEL_CRIT, "pwritev() to a temporary file failed (%d: %s)", s->error, text);
}

/* An answer goes on at the client's pace; a request body is lost, and the body step says so. */
static void failed(struct exchange *x, struct spill *s, struct pipe *p)
{
    log_failure(x, s);
    p->overflow = false;
    pipe_spill_abort(p);
    if (p != &x->req_pipe)
        return;
    s->failed = true;
    exchange_post(x, X_FRONT_FULL);
}

static void finished(struct work *k)
{
    struct spill *s = container_of(k, struct spill, work);
    struct exchange *x = k->x;
    s->busy = false;
    if (x) {
        struct pipe *p = s == x->spill ? &x->req_pipe : &x->resp_pipe;
        bool dropped = !p->spilling; /* the pipe was closed or emptied meanwhile, and may be full again */
        if (s->error)
            failed(x, s, p);
        else
            pipe_spill_commit(p, &s->run, s->fd, s->size);
        if (!s->error && s->size == 0)
            worker_count(x->w, COUNT_SPILLED);
        s->size += s->error ? 0 : s->run.size;
        if (dropped && p->stalled)
            exchange_post(x, p == &x->req_pipe ? X_FRONT_FULL : X_BACK_FULL);
    }
    pipe_run_drop(&s->run);
    if (!x)
        spill_free(s);
}

static struct spill *spill_new(const struct bundle_entry *dir)
{
    struct spill *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->work.run = run;
    s->work.finished = finished;
    s->dir = dir;
    s->fd = -1;
    return s;
}

/* Has the pipe written. False: it cannot be, and the log says why. */
static bool spill_pipe(struct exchange *x, struct spill **at, struct pipe *p, const struct bundle_entry *dir,
                       size_t keep)
{
    struct spill *s = *at ? *at : spill_new(dir);
    *at = s;
    if (!s) {
        exchange_log(x, LEVEL_CRIT, "no memory to write a temporary file");
        return false;
    }
    if (!pipe_spill_begin(p, &s->run, keep))
        return p->state != PIPE_OPEN; /* nothing more comes that would want the room */
    if (exchange_work(x, &s->work) < 0) {
        pipe_run_drop(&s->run);
        pipe_spill_abort(p);
        exchange_log(x, LEVEL_CRIT, "no place in the job queue to write a temporary file");
        return false;
    }
    s->busy = true;
    return true;
}

enum step spill_request(struct exchange *x)
{
    struct spill *s = x->spill;
    if (s && s->failed) {
        s->failed = false;
        return step_error(x, 500);
    }
    if ((s && s->busy) || !x->req_pipe.stalled)
        return STEP_WAIT;
    if (!spill_pipe(x, &x->spill, &x->req_pipe, x->pass.loc->client->body_temp_dir, 0))
        return step_error(x, 500);
    if (x->req_pipe.capacity < WRITE_MIN) /* the next write is worth a job; memory that is short has its own word */
        pipe_resize(&x->req_pipe, WRITE_MIN);
    return STEP_WAIT;
}

void spill_answer(struct exchange *x)
{
    const struct proxy_conf *c = x->proxy->conf;
    if ((x->resp_spill && x->resp_spill->busy) || !x->resp_pipe.stalled)
        return;
    uint64_t size = x->resp_spill ? x->resp_spill->size : 0;
    bool room = size + x->resp_pipe.queued - x->resp_pipe.filed <= c->max_temp_file_size;
    if (!room || !spill_pipe(x, &x->resp_spill, &x->resp_pipe, c->temp_dir, c->busy))
        x->resp_pipe.overflow = false; /* from here on the client's pace is the backend's */
}

static void leave(struct spill **s)
{
    if (*s && !(*s)->busy)
        spill_free(*s);
    *s = NULL;
}

void spill_done(struct exchange *x)
{
    leave(&x->spill);
    leave(&x->resp_spill);
}
