/*
 * The end that reads a file: a back end whose answer is there already.
 *
 * A body is a list of parts: some bytes and a range of the file, and some bytes at the very end. A whole file is one
 * part; several ranges (multipart/byteranges) are several.
 *
 * What is small is read into the scratch buffer and lent: it leaves in one call with the head. What is larger goes as
 * ranges of the file (PIECE_FILE), which a front end on a plain socket has the kernel send from the page cache. A
 * transform gets everything as memory, for it wants to look at it. Files change while they are sent: one that has
 * become shorter than was promised breaks the answer off.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "policy/files.h"

enum {
    READ_MAX = 24 << 10,   /* what is read at most rather than sent by the kernel */
    PIECE_MAX = 512 << 10, /* a file piece: how much may leave before others have their turn */
    TURNS = 8,
};

struct file_end {
    struct end end;
    struct file *file; /* or NULL: a text */
    char *text;        /* heap */
    slice path;
    const struct file_part *parts;
    uint32_t nparts, part; /* the one under way */
    slice before, last;    /* of the part and at the end: not put yet */
    uint64_t at, left;     /* of the part */
    struct file_part whole;
    bool done;
};

static struct file_end *file_of(struct end *e)
{
    return container_of(e, struct file_end, end);
}

static void begin_part(struct file_end *f, uint32_t i)
{
    f->part = i;
    if (i >= f->nparts)
        return;
    f->before = f->parts[i].before;
    f->at = f->parts[i].range.start;
    f->left = f->parts[i].range.end - f->parts[i].range.start;
}

static bool is_over(const struct file_end *f)
{
    return f->part >= f->nparts && !f->last.n;
}

/* ---- producing ---- */

enum made { MADE_SOME, MADE_FULL, MADE_BROKEN };

static void cut_short(struct file_end *f, int err)
{
    char text[128];
    struct exchange *x = f->end.x;
    if (err)
        exchange_log(x, LEVEL_CRIT, "pread() \"%.*s\" failed (%d: %s)", SLICE_FMT(f->path), err,
                     strerror_r(err, text, sizeof(text)));
    else
        exchange_log(x, LEVEL_ALERT, "pread() read only to byte %llu of \"%.*s\"", (unsigned long long)f->at,
                     SLICE_FMT(f->path));
}

/* Waits for the disk when the page cache does not have it. */
static enum made read_some(struct file_end *f, size_t want)
{
    struct worker *w = f->end.x->w;
    char *p = scratch_take(&w->scratch, NULL);
    size_t n = f->left < want ? (size_t)f->left : want;
    n = n < w->scratch.size ? n : w->scratch.size;
    ssize_t got;
    do
        got = pread(f->file->fd, p, n, (off_t)f->at);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
        cut_short(f, got < 0 ? errno : 0);
        return MADE_BROKEN;
    }
    f->at += (uint64_t)got;
    f->left -= (uint64_t)got;
    pipe_put(f->end.in, PIECE_LOAN, slice_of(p, (size_t)got));
    return MADE_SOME;
}

static bool by_reading(const struct file_end *f)
{
    return f->left <= READ_MAX || f->end.x->transforms;
}

/* The next piece of the body. A loan is the last piece before a push. */
static enum made make(struct file_end *f)
{
    struct pipe *p = f->end.in;
    size_t want = pipe_want(p);
    if (want == 0)
        return MADE_FULL;
    if (f->part >= f->nparts) {
        pipe_put(p, PIECE_MEM, f->last);
        f->last = SLICE_NONE;
        return MADE_SOME;
    }
    if (f->before.n) {
        pipe_put(p, PIECE_MEM, f->before);
        f->before = SLICE_NONE;
        if (!pipe_has_place(p))
            return MADE_FULL;
    }
    if (f->left && by_reading(f)) {
        enum made m = read_some(f, want);
        if (m != MADE_SOME)
            return m;
    } else if (f->left) {
        size_t n = f->left < PIECE_MAX ? (size_t)f->left : PIECE_MAX;
        pipe_put_file(p, f->file->fd, f->at, n);
        f->at += n;
        f->left -= n;
    }
    if (!f->left)
        begin_part(f, f->part + 1);
    return MADE_SOME;
}

static void finish_body(struct file_end *f)
{
    f->done = true;
    pipe_end(f->end.in, NULL);
    pipe_push(f->end.in);
    exchange_post(f->end.x, X_BACK_DONE);
}

static void break_off(struct file_end *f)
{
    f->done = true;
    pipe_abort(f->end.in);
    pipe_push(f->end.in);
}

static void file_kick_in(struct end *e)
{
    struct file_end *f = file_of(e);
    struct pipe *p = e->in;
    if (f->done)
        return;
    if (e->x->req.method == METHOD_HEAD) {
        f->part = f->nparts;
        f->last = SLICE_NONE;
    }
    for (int turn = 0; turn < TURNS; turn++) {
        enum made m = is_over(f) ? MADE_SOME : make(f);
        if (m == MADE_BROKEN) {
            break_off(f);
            return;
        }
        if (is_over(f)) {
            finish_body(f);
            return;
        }
        if (m == MADE_FULL) {
            p->stalled = true;
            return;
        }
        int rc = pipe_push(p);
        if (rc < 0)
            break_off(f);
        if (rc < 0 || rc == PIPE_FULL)
            return;
    }
    task_post_later(&e->x->w->loop, &e->kick);
}

/* ---- the end ---- */

static int file_send_head(struct end *e, struct exchange *x)
{
    return ERR_UNSUPPORTED; /* nothing is ever sent to us */
}

static void file_kick_out(struct end *e)
{
}

static void file_stop_in(struct end *e)
{
    pipe_close(e->in);
}

/* What the pipe still holds of the file is for nobody any more. */
static void file_reset(struct end *e)
{
    struct file_end *f = file_of(e);
    struct worker *w = e->x->w;
    if (e->x->head_sent)
        pipe_close(e->in);
    end_detach(e);
    if (f->file)
        file_unref(w, f->file);
    free(f->text);
}

/* The front end gave up on what it was to send: the file has become shorter. */
static bool was_cut(const struct file_end *f)
{
    const struct exchange *x = f->end.x;
    bool no_body = x->req.method == METHOD_HEAD || x->resp.status == 204 || x->resp.status == 304;
    return x->ended == END_DONE && !no_body && f->end.in->filed;
}

static void file_finish(struct end *e)
{
    struct file_end *f = file_of(e);
    if (was_cut(f))
        exchange_log(e->x, LEVEL_ALERT, "sendfile() reported that \"%.*s\" was truncated", SLICE_FMT(f->path));
    file_reset(e);
}

static const struct end_ops file_ops = {
    .name = "file",
    .send_head = file_send_head,
    .kick_out = file_kick_out,
    .kick_in = file_kick_in,
    .stop_in = file_stop_in,
    .reset = file_reset,
    .finish = file_finish,
};

bool file_answers(const struct exchange *x)
{
    return x->back && x->back->ops == &file_ops && file_of(x->back)->file;
}

static struct file_end *attach(struct exchange *x)
{
    struct file_end *f = arena_new(&x->arena, struct file_end);
    if (!f)
        return NULL;
    end_init(&f->end, &file_ops);
    end_attach_back(&f->end, x);
    return f;
}

int file_end_attach(struct exchange *x, struct file *file, slice path)
{
    struct file_end *f = attach(x);
    if (!f)
        return ERR_NOMEM;
    f->file = file;
    f->path = path;
    f->whole.range = (struct range){ 0, file->size };
    f->parts = &f->whole;
    f->nparts = file->size > 0;
    begin_part(f, 0);
    return OK;
}

int file_end_text(struct exchange *x, char *text, size_t n)
{
    struct file_end *f = attach(x);
    if (!f)
        return ERR_NOMEM;
    f->text = text;
    f->last = slice_of(text, n);
    return OK;
}

void file_answer_parts(struct exchange *x, const struct file_part *parts, uint32_t n, slice last)
{
    struct file_end *f = file_of(x->back);
    f->parts = parts;
    f->nparts = n;
    f->last = last;
    begin_part(f, 0);
}
