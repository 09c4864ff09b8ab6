/*
 * Fetching: what an open bundle reads from the disk and from the resolver. Each thing is fetched once; what came of it,
 * failure included, is an entry from then on. Want of memory is no answer and is not kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/memfile.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/bundle_priv.h"
#include "conf/tree.h"

enum { READ_PIECE = 64 << 10 };

/* What a kept entry answers. EFBIG and ENOENT-by-name stand for codes of ours. */
static int answer(const struct bundle_entry *e, slice *text)
{
    if (e->error == 0) {
        *text = e->text;
        return OK;
    }
    if (e->error == EFBIG)
        return ERR_LIMIT;
    if (e->kind == BUNDLE_NAME && e->error == ENOENT)
        return ERR_NOTFOUND;
    errno = e->error;
    return ERR_SYS;
}

/* Keeps the outcome: a text, or the errno of a failure. Takes the builder's bytes. */
static int keep(struct bundle *b, enum bundle_kind kind, slice key, struct strb *text, int error, slice *out)
{
    slice copy = SLICE_NONE;
    bool ok = error || (!text->failed && arena_dup(&b->arena, strb_slice(text), &copy));
    strb_done(text);
    if (!ok)
        return ERR_NOMEM;
    const struct bundle_entry *e = bundle_add(b, kind, key, copy, error);
    return e ? answer(e, out) : ERR_NOMEM;
}

/* ---- files ---- */

/* O_NONBLOCK: a FIFO in the place of a file is empty, or an error, but never a hang. */
static int open_file(slice key)
{
    if (slice_find(key, '\0') >= 0) {
        errno = EINVAL;
        return -1;
    }
    return open(key.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* The whole file in pieces of READ_PIECE. *error: an errno, 0 none; else what `take` answered. */
static int pieces(int fd, bundle_take_fn take, void *ctx, int *error)
{
    char *piece = malloc(READ_PIECE);
    size_t total = 0;
    int rc = piece ? OK : ERR_NOMEM;
    *error = 0;
    while (rc == OK) {
        ssize_t n = read(fd, piece, READ_PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        *error = n < 0 ? errno : 0;
        if (n <= 0)
            break;
        total += (size_t)n;
        *error = total > CONF_MAX_FILE ? EFBIG : 0;
        if (*error)
            break;
        rc = take(ctx, slice_of(piece, (size_t)n));
    }
    free(piece);
    return rc;
}

/* Where the bytes of a file gather: on the heap until they are many, then in a memory file. */
struct gathered {
    struct strb small;
    int fd; /* -1: none yet */
};

static int gather(void *ctx, slice piece)
{
    struct gathered *g = ctx;
    if (g->fd < 0 && g->small.n + piece.n < BUNDLE_LARGE) {
        strb_add(&g->small, piece);
        return g->small.failed ? ERR_NOMEM : OK;
    }
    if (g->fd < 0 && memfile_new("hinge-file", &g->fd) < 0)
        return ERR_NOMEM;
    int rc = memfile_put(g->fd, strb_slice(&g->small));
    if (rc == OK)
        rc = memfile_put(g->fd, piece);
    g->small.n = 0;
    return rc == OK ? OK : ERR_NOMEM;
}

static int keep_large(struct bundle *b, slice key, int fd, slice *out)
{
    slice all;
    int *fds = malloc(sizeof(*fds));
    if (!fds || memfile_put(fd, SLICE("\0")) < 0 || memfile_seal(fd) < 0 || memfile_map(fd, &all) < 0)
        goto fail;
    struct bundle_entry *e = bundle_add(b, BUNDLE_FILE, key, slice_upto(all, all.n - 1), 0);
    if (!e) {
        memfile_unmap(all.p, all.n);
        goto fail;
    }
    fds[0] = fd;
    e->fds = fds;
    e->nfds = 1;
    e->mapped = true;
    return answer(e, out);
fail:
    free(fds);
    close(fd);
    return ERR_NOMEM;
}

static int fetch_file(struct bundle *b, slice key, slice *text)
{
    struct gathered g = { .fd = -1 };
    int error = 0, rc = OK, fd = open_file(key);
    strb_init(&g.small, 0);
    if (fd >= 0) {
        rc = pieces(fd, gather, &g, &error);
        close(fd);
    } else {
        error = errno;
    }
    if (rc == OK && !error && g.fd >= 0) {
        strb_done(&g.small);
        return keep_large(b, key, g.fd, text);
    }
    if (g.fd >= 0)
        close(g.fd);
    if (rc == OK)
        return keep(b, BUNDLE_FILE, key, &g.small, error, text);
    strb_done(&g.small);
    return rc;
}

static int find(struct bundle *b, enum bundle_kind kind, slice key, slice *text)
{
    const struct bundle_entry *e = map_get(&b->by_key[kind], key);
    return e ? answer(e, text) : ERR_NOTFOUND;
}

static bool is_known(const struct bundle *b, enum bundle_kind kind, slice key)
{
    return b->closed || map_get(&b->by_key[kind], key);
}

int bundle_file(struct bundle *b, slice path, slice *text)
{
    slice key = bundle_path(b, path);
    if (!key.p)
        return ERR_NOMEM;
    return is_known(b, BUNDLE_FILE, key) ? find(b, BUNDLE_FILE, key, text) : fetch_file(b, key, text);
}

int bundle_pieces(struct bundle *b, slice path, bundle_take_fn take, void *ctx)
{
    slice key = bundle_path(b, path), text;
    int error;
    if (!key.p)
        return ERR_NOMEM;
    if (is_known(b, BUNDLE_FILE, key)) {
        int rc = find(b, BUNDLE_FILE, key, &text);
        return rc == OK && text.n ? take(ctx, text) : rc;
    }
    int fd = open_file(key);
    if (fd < 0)
        return ERR_SYS;
    int rc = pieces(fd, take, ctx, &error);
    close(fd);
    if (rc != OK || !error)
        return rc;
    errno = error;
    return error == EFBIG ? ERR_LIMIT : ERR_SYS;
}

/* ---- names of files, addresses of names ---- */

int bundle_glob(struct bundle *b, slice pattern, slice *paths)
{
    struct strb data;
    glob_t g = { 0 };
    slice key = bundle_path(b, pattern);
    if (!key.p)
        return ERR_NOMEM;
    if (is_known(b, BUNDLE_GLOB, key))
        return find(b, BUNDLE_GLOB, key, paths);
    int r = slice_find(key, '\0') >= 0 ? GLOB_ABORTED : glob(key.p, 0, NULL, &g);
    strb_init(&data, CONF_MAX_FILE);
    for (size_t i = 0; r == 0 && i < g.gl_pathc; i++) {
        strb_add(&data, slice_str(g.gl_pathv[i]));
        strb_char(&data, '\0');
    }
    data.failed |= r == GLOB_NOSPACE;
    globfree(&g);
    return keep(b, BUNDLE_GLOB, key, &data, r == GLOB_ABORTED ? EINVAL : 0, paths);
}

int bundle_name(struct bundle *b, slice host, slice *addresses)
{
    struct strb data;
    if (is_known(b, BUNDLE_NAME, host))
        return find(b, BUNDLE_NAME, host, addresses);
    strb_init(&data, CONF_MAX_FILE);
    int r = b->resolve ? b->resolve(b->resolve_ctx, host, &data) : ERR_UNSUPPORTED;
    if (r == ERR_NOMEM) {
        strb_done(&data);
        return r;
    }
    int error = r == OK ? 0 : r == ERR_NOTFOUND ? ENOENT : EAGAIN;
    return keep(b, BUNDLE_NAME, host, &data, error, addresses);
}
