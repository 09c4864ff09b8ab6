/*
 * Fetching: what an open bundle reads from the disk and from the resolver. Each thing is fetched once; what came of it,
 * failure included, is an entry from then on. Want of memory is no answer and is not kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/bundle_priv.h"
#include "conf/tree.h"

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

/* 0 or an errno. The builder is marked failed when memory ran out. */
static int read_all(int fd, struct strb *out)
{
    for (;;) {
        if (!strb_room(out, 65536))
            return 0;
        ssize_t n = read(fd, out->p + out->n, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        out->n += (size_t)n;
        if (out->n > CONF_MAX_FILE)
            return EFBIG;
    }
}

/* O_NONBLOCK: a FIFO in the place of a file is empty, or an error, but never a hang. */
static int read_file(const char *path, struct strb *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno;
    int error = read_all(fd, out);
    close(fd);
    return error;
}

static int find(struct bundle *b, enum bundle_kind kind, slice key, slice *text)
{
    struct bundle_entry *e = map_get(&b->by_key[kind], key);
    if (!e)
        return ERR_NOTFOUND;
    e->readers++;
    return answer(e, text);
}

static bool is_known(const struct bundle *b, enum bundle_kind kind, slice key)
{
    return b->closed || map_get(&b->by_key[kind], key);
}

int bundle_file(struct bundle *b, slice path, slice *text)
{
    struct strb data;
    slice key = bundle_path(b, path);
    if (!key.p)
        return ERR_NOMEM;
    if (is_known(b, BUNDLE_FILE, key))
        return find(b, BUNDLE_FILE, key, text);
    strb_init(&data, 0);
    int error = slice_find(key, '\0') >= 0 ? EINVAL : read_file(key.p, &data);
    return keep(b, BUNDLE_FILE, key, &data, error, text);
}

/* The pages in between go back to the system; their arena frees the rest. */
void bundle_file_done(struct bundle *b, slice path)
{
    struct bundle_entry *e = map_get(&b->by_key[BUNDLE_FILE], path);
    if (!e || !e->readers || --e->readers || !b->closed)
        return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)e->text.p, to = from + e->text.n;
    from = (from + page - 1) & ~(page - 1);
    to &= ~(page - 1);
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
    e->text = SLICE_NONE;
    e->error = ENOENT;
}

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
