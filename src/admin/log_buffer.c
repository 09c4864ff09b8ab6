#include "admin/log_buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/log_path.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"
#include "policy/gzip_stream.h"

enum {
    BUFFER_UNASKED = 64 << 10,
    BUFFER_LIMIT = 16 << 20,
    LINE_MAX_SIZE = 1 << 20,
    COMPLAIN_MS = 60000,
    GZIP_ROOM = 4096
};

struct log_buffer {
    const struct log_file *file; /* NULL: free to be taken */
    struct gen_ref *gen;         /* held while there are lines */
    struct strb text;
    uint64_t due; /* loop time; 0: not by time */
    struct admin_worker *admin;
    struct log_buffer *next;
};

struct admin_worker {
    struct worker *w;
    struct log_buffer *buffers;       /* those with lines first, by use */
    struct timer timer;               /* the earliest `flush=` */
    void (*turn_end)(struct loop *l); /* who wanted to be told before us */
    uint64_t complained, lost;
    struct log_paths paths;
};

/* ---- writing ---- */

static void complain(struct admin_worker *a, slice path, int err)
{
    uint64_t now = loop_now(&a->w->loop);
    a->lost++;
    worker_count(a->w, COUNT_LOG_LOST);
    if (a->complained && now - a->complained < COMPLAIN_MS)
        return;
    a->complained = now ? now : 1;
    log_line(log_main, LEVEL_CRIT, 0, "write() to \"%.*s\" failed (%d: %s); %llu writes lost so far", SLICE_FMT(path),
             err, strerror(err), (unsigned long long)a->lost);
}

/* A file takes all or the disk is full; a reader that does not keep up loses lines instead of holding the worker up. */
static void write_all(struct admin_worker *a, const struct log_file *f, slice s)
{
    while (s.n) {
        ssize_t n = write(f->fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            complain(a, f->path, n < 0 ? errno : ENOSPC);
            return;
        }
        s = slice_from(s, (size_t)n);
    }
}

static void send_line(struct admin_worker *a, const struct log_file *f, slice line)
{
    if (!syslog_send(f->syslog, f->fd, f->syslog->severity, &a->w->loop.clock, line))
        complain(a, f->path, errno);
}

/* One member of a gzip file. Without a compressor the lines are lost: text would break the file for its readers. */
static void write_gzip(struct admin_worker *a, const struct log_file *f, slice text)
{
    struct gzip_store store = { .busy = 0 };
    struct gzip_stream *z = gzip_stream_take(&store, f->gzip, SIZE_MAX);
    char *out = z ? malloc(text.n + GZIP_ROOM) : NULL;
    size_t n = 0;
    bool done = !out;
    while (!done && n < text.n + GZIP_ROOM)
        n += gzip_stream_run(z, &text, out + n, text.n + GZIP_ROOM - n, GZIP_END, &done);
    if (out && done)
        write_all(a, f, slice_of(out, n));
    else
        complain(a, f->path, ENOMEM);
    free(out);
    if (z)
        gzip_stream_give(&store, z);
    gzip_store_done(&store);
}

static void flush(struct log_buffer *b)
{
    struct gen_ref *gen = b->gen;
    slice text = strb_slice(&b->text);
    if (b->file->syslog)
        send_line(b->admin, b->file, slice_upto(text, text.n ? text.n - 1 : 0));
    else if (b->file->gzip)
        write_gzip(b->admin, b->file, text);
    else
        write_all(b->admin, b->file, text);
    b->text.n = 0;
    b->file = NULL;
    b->gen = NULL;
    b->due = 0;
    gen_drop(gen);
}

/* Writes what need not wait, or everything; looks when the next `flush=` is due. */
static void flush_due(struct admin_worker *a, bool all)
{
    uint64_t now = loop_now(&a->w->loop), next = 0;
    for (struct log_buffer *b = a->buffers; b; b = b->next) {
        if (!b->file)
            continue;
        if (all || !b->file->buffer || !b->gen->current || (b->due && b->due <= now))
            flush(b);
        else if (b->due && (!next || b->due < next))
            next = b->due;
    }
    if (next)
        timer_set(&a->w->loop, &a->timer, next - now);
}

static void timer_fired(struct timer *t)
{
    flush_due(container_of(t, struct admin_worker, timer), false);
}

static void turn_ended(struct loop *l)
{
    struct admin_worker *a = worker_of(l)->admin;
    if (a->turn_end)
        a->turn_end(l);
    flush_due(a, false);
}

/* ---- lines ---- */

static struct log_buffer *buffer_new(struct admin_worker *a)
{
    struct log_buffer *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    strb_init(&b->text, BUFFER_LIMIT + LINE_MAX_SIZE);
    b->admin = a;
    b->next = a->buffers;
    a->buffers = b;
    return b;
}

static struct log_buffer *buffer_of(struct admin_worker *a, const struct log_file *f)
{
    struct log_buffer *spare = NULL;
    for (struct log_buffer *b = a->buffers; b; b = b->next) {
        if (b->file == f)
            return b;
        if (!b->file)
            spare = b;
    }
    return spare ? spare : buffer_new(a);
}

struct strb *log_buffer_begin(struct worker *w, struct gen_ref *gen, const struct log_file *f)
{
    assert(f);
    struct log_buffer *b = buffer_of(w->admin, f);
    if (!b)
        return NULL;
    if (!b->file) {
        b->file = f;
        b->gen = gen_use(gen);
        if (f->flush) {
            b->due = loop_now(&w->loop) + f->flush;
            timer_set(&w->loop, &w->admin->timer, f->flush);
        }
    }
    return &b->text;
}

void log_buffer_end(struct worker *w, struct strb *line)
{
    struct log_buffer *b = container_of(line, struct log_buffer, text);
    size_t most = b->file->buffer ? b->file->buffer : BUFFER_UNASKED;
    if (line->failed) {
        line->failed = false; /* the line did not fit in memory: what did is written, cut */
        complain(b->admin, b->file->path, ENOMEM);
    }
    if (line->n >= most || b->file->syslog)
        flush(b);
}

void log_buffer_lost(struct worker *w, slice path, int err)
{
    complain(w->admin, path, err);
}

struct log_paths *log_buffer_paths(struct worker *w)
{
    return &w->admin->paths;
}

/* ---- the room ---- */

static int admin_init(struct worker *w)
{
    struct admin_worker *a = calloc(1, sizeof(*a));
    if (!a)
        return ERR_NOMEM;
    a->w = w;
    timer_init(&a->timer, timer_fired);
    log_paths_init(&a->paths, &w->loop);
    a->turn_end = w->loop.turn_end;
    w->loop.turn_end = turn_ended;
    w->admin = a;
    return OK;
}

static void admin_done(struct worker *w)
{
    struct admin_worker *a = w->admin;
    flush_due(a, true);
    log_paths_done(&a->paths);
    timer_drop(&w->loop, &a->timer);
    w->loop.turn_end = a->turn_end;
    for (struct log_buffer *b = a->buffers, *next; b; b = next) {
        next = b->next;
        strb_done(&b->text);
        free(b);
    }
    free(a);
    w->admin = NULL;
}

static void admin_changed(struct worker *w)
{
    flush_due(w->admin, false);
}

const struct room_hooks admin_room = {
    .name = "admin",
    .init = admin_init,
    .done = admin_done,
    .gen_changed = admin_changed,
};
