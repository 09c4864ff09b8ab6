/*
 * Opening beneath a tree.
 *
 * openat2(2) resolves a path beneath the tree's descriptor, so that neither ".." nor a link leads out of it. A link
 * that leads out by an absolute path, and back in, is fine: what the kernel then refuses (EXDEV) is looked at once
 * more, and opened if its real path lies in the tree. With `disable_symlinks off` links lead wherever they do; with
 * `on` or `if_not_owner` the kernel, or a walk along the components, refuses them.
 *
 * Files are opened without blocking, and only regular ones are read.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/trees.h"
#include "policy/files.h"

enum { RENEW_MS = 1000, RETRIES = 8, FILES_BATCH = 64 };

/* ---- resolving ---- */

static int beneath(int dir, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                            .resolve = resolve | RESOLVE_NO_MAGICLINKS };
    long fd = -1;
    /* EAGAIN: something was renamed while ".." of a link was resolved */
    for (int i = 0; i < RETRIES; i++) {
        fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* The real path of what a descriptor stands for; false when the kernel does not tell. */
static bool real_path(int fd, char *dst, size_t size, size_t *n)
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t got = readlink(name, dst, size);
    if (got <= 0 || (size_t)got >= size)
        return false;
    *n = (size_t)got;
    return true;
}

static bool lies_within(int fd, int tree)
{
    char a[PATH_MAX], b[PATH_MAX];
    size_t an, bn;
    if (!real_path(fd, a, sizeof(a), &an) || !real_path(tree, b, sizeof(b), &bn))
        return false;
    slice inner = slice_of(a, an), outer = slice_of(b, bn);
    if (slice_eq(outer, SLICE("/")) || slice_eq(inner, outer))
        return true;
    return slice_starts(inner, outer) && inner.p[outer.n] == '/';
}

/* By way of outside. What is looked at is opened only when it is known to lie in the tree. */
static int open_back_in(int tree, const char *rel, int flags)
{
    char name[64];
    int at = beneath(tree, rel, O_PATH, 0);
    if (at < 0)
        return -1;
    if (!lies_within(at, tree)) {
        close(at);
        errno = EXDEV;
        return -1;
    }
    if (flags & O_PATH)
        return at;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", at);
    int fd = open(name, flags | O_CLOEXEC);
    int err = errno;
    close(at);
    errno = err;
    return fd;
}

static int open_within(int tree, const char *rel, int flags)
{
    int fd = beneath(tree, rel, flags, RESOLVE_BENEATH);
    return fd < 0 && errno == EXDEV ? open_back_in(tree, rel, flags) : fd;
}

/* One component: a link whose owner is not that of what it leads to is none. What was no link must not become one. */
static int open_step(int dir, const char *name, int flags)
{
    struct stat link, there;
    if (fstatat(dir, name, &link, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    bool is_link = S_ISLNK(link.st_mode);
    int fd = beneath(dir, name, flags, is_link ? 0 : RESOLVE_NO_SYMLINKS);
    if (fd < 0 || !is_link)
        return fd;
    if (fstat(fd, &there) == 0 && there.st_uid == link.st_uid)
        return fd;
    close(fd);
    errno = ELOOP;
    return -1;
}

static int open_owned(int tree, const char *rel, int flags)
{
    char name[NAME_MAX + 1];
    int dir = tree, fd = -1;
    for (;;) {
        size_t n = strcspn(rel, "/"), skip = n + strspn(rel + n, "/");
        bool last = rel[skip] == 0;
        if (n >= sizeof(name)) {
            errno = ENAMETOOLONG;
            fd = -1;
        } else {
            memcpy(name, rel, n);
            name[n] = 0;
            fd = open_step(dir, name, last ? flags | (skip > n ? O_DIRECTORY : 0) : O_PATH | O_DIRECTORY);
        }
        int err = errno;
        if (dir != tree)
            close(dir);
        errno = err;
        if (last || fd < 0)
            return fd;
        dir = fd;
        rel += skip;
    }
}

static int open_checked(int dir, const char *rel, int flags, enum file_links mode)
{
    switch (mode) {
    case LINKS_WITHIN:
        return open_within(dir, rel, flags);
    case LINKS_FOLLOW:
        return beneath(dir, rel, flags, 0);
    case LINKS_NONE:
        return beneath(dir, rel, flags, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
    case LINKS_OWNER:
        return open_owned(dir, rel, flags);
    }
    errno = EINVAL;
    return -1;
}

/* ---- places ---- */

static bool climbs(const char *rel)
{
    for (; *rel; rel += strspn(rel, "/")) {
        size_t n = strcspn(rel, "/");
        if (n == 2 && rel[0] == '.' && rel[1] == '.')
            return true;
        rel += n;
    }
    return false;
}

/* The part of the path that lies beneath the tree; NULL and errno when it does not. */
static const char *rel_of(const struct file_place *p)
{
    slice path = p->path, tree = p->tree->path;
    if (memchr(path.p, 0, path.n)) {
        errno = ENOENT;
        return NULL;
    }
    bool self = path.n + 1 == tree.n && slice_starts(tree, path);
    if (!self && !slice_starts(path, tree)) {
        errno = ENOENT; /* a name without a slash in front of it, behind a root without one at its end */
        return NULL;
    }
    const char *rel = path.p + (self ? path.n : tree.n);
    rel += strspn(rel, "/");
    if (climbs(rel)) {
        errno = EXDEV;
        return NULL;
    }
    return *rel ? rel : ".";
}

static void renew(struct exchange *x, struct file_tree *t)
{
    uint64_t now = loop_now(&x->w->loop), due = atomic_load_explicit(&t->due, memory_order_relaxed);
    if (likely(now < due) || !atomic_compare_exchange_strong(&t->due, &due, now + RENEW_MS))
        return;
    tree_renew(t->entry);
}

bool file_tree_is_dir(struct exchange *x, struct file_tree *t)
{
    struct stat st;
    renew(x, t);
    return fstat(t->entry->fds[0], &st) == 0 && S_ISDIR(st.st_mode);
}

size_t file_links_unchecked(struct exchange *x, const struct files_conf *c, const struct file_place *p)
{
    slice from, path = p->path;
    if (likely(!c->links.beyond.source.n) || exchange_eval(x, &c->links.beyond, &from) != OK)
        return 0;
    while (from.n && from.p[from.n - 1] == '/')
        from.n--;
    return slice_starts(path, from) && from.n < path.n && path.p[from.n] == '/' ? from.n : 0;
}

/* The first n bytes of rel, as a directory: a descriptor, or -1 and errno. */
static int open_front(int tree, const char *rel, size_t n)
{
    char dir[PATH_MAX];
    if (n >= sizeof(dir)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(dir, rel, n);
    dir[n] = 0;
    return open_within(tree, dir, O_PATH | O_DIRECTORY);
}

/* A tree that is not there has a descriptor too: what is beneath it does not exist. */
static int explain_absence(int fd, int tree)
{
    struct stat st;
    if (fd < 0 && errno == ENOTDIR)
        errno = fstat(tree, &st) == 0 && S_ISDIR(st.st_mode) ? ENOTDIR : ENOENT;
    return fd;
}

/* Where links are looked at one by one. What lies beneath a directory that cannot be opened is not there either. */
static int open_careful(struct exchange *x, const struct files_conf *c, const struct file_place *p, const char *rel,
                        int flags)
{
    int tree = p->tree->entry->fds[0], dir = tree;
    size_t before = (size_t)(rel - p->path.p), n = rel[0] == '.' && !rel[1] ? 0 : file_links_unchecked(x, c, p);
    n = n > before ? n - before : 0;
    if (n) {
        dir = open_front(tree, rel, n);
        rel += n + strspn(rel + n, "/");
    }
    int fd = dir < 0 ? -1 : open_checked(dir, *rel ? rel : ".", flags, c->links.mode);
    if (n && dir >= 0) {
        int err = errno;
        close(dir);
        errno = err;
    }
    return fd;
}

int file_open_fd(struct exchange *x, const struct file_place *p, int flags)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    const char *rel = rel_of(p);
    if (!rel)
        return -1;
    renew(x, p->tree);
    int tree = p->tree->entry->fds[0];
    if (likely(c->links.mode == LINKS_WITHIN))
        return explain_absence(open_within(tree, rel, flags), tree);
    return explain_absence(open_careful(x, c, p, rel, flags), tree);
}

int file_open_dir(struct exchange *x, const struct file_place *p)
{
    return file_open_fd(x, p, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
}

bool file_real_path(struct exchange *x, const struct file_place *p, slice *out)
{
    char text[PATH_MAX];
    size_t n;
    int fd = file_open_fd(x, p, O_PATH);
    if (fd < 0)
        return false;
    bool known = real_path(fd, text, sizeof(text), &n);
    close(fd);
    return known && arena_dup(&x->arena, slice_of(text, n), out);
}

/* ---- files ---- */

static void forget(struct files_worker *fw)
{
    if (fw->seen)
        file_unref(fw->w, fw->seen);
    fw->seen = NULL;
    fw->who = NULL;
}

static void forget_task(struct task *t)
{
    forget(container_of(t, struct files_worker, forget));
}

struct files_worker *files_worker(struct worker *w)
{
    struct files_worker *fw = w->files;
    if (likely(fw))
        return fw;
    fw = calloc(1, sizeof(*fw));
    if (!fw)
        return NULL;
    fw->w = w;
    slab_init(&fw->files, sizeof(struct file), FILES_BATCH);
    list_init(&fw->caches);
    task_init(&fw->forget, forget_task);
    w->files = fw;
    return fw;
}

static void worker_done(struct worker *w)
{
    struct files_worker *fw = w->files;
    if (!fw)
        return;
    forget(fw);
    file_caches_drop(w);
    slab_done(&fw->files);
    free(fw);
    w->files = NULL;
}

const struct room_hooks files_room = { .name = "files", .done = worker_done, .gen_changed = file_caches_drop };

static void describe(struct file *f, const struct stat *st)
{
    f->mode = st->st_mode;
    f->size = st->st_size > 0 ? (uint64_t)st->st_size : 0;
    f->mtime = st->st_mtim.tv_sec;
    f->inode = st->st_ino;
    f->device = st->st_dev;
    clock_http_date(f->modified, f->mtime);
    char *at = f->etag;
    *at++ = '"';
    at += u64_to_hex(at, (uint64_t)f->mtime);
    *at++ = '-';
    at += u64_to_hex(at, f->size);
    *at++ = '"';
    f->etag_n = (uint8_t)(at - f->etag);
}

/* Takes the descriptor over; it is kept only of what can be read. */
static int file_new(struct exchange *x, int fd, bool readable, struct file **out)
{
    struct files_worker *fw = files_worker(x->w);
    struct stat st;
    int rc = fstat(fd, &st) < 0 ? ERR_SYS : OK;
    struct file *f = rc == OK && fw ? slab_take(&fw->files) : NULL;
    if (!f) {
        int err = errno;
        close(fd);
        errno = err;
        return rc == OK ? ERR_NOMEM : rc;
    }
    f->refs = 1;
    describe(f, &st);
    f->fd = readable && S_ISREG(st.st_mode) ? fd : -1;
    if (f->fd < 0)
        close(fd);
    *out = f;
    return OK;
}

void file_unref(struct worker *w, struct file *f)
{
    if (--f->refs)
        return;
    if (f->fd >= 0)
        close(f->fd);
    slab_give(&w->files->files, f);
}

int file_open_now(struct exchange *x, const struct file_place *p, struct file **out)
{
    int fd = file_open_fd(x, p, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? ERR_SYS : file_new(x, fd, true, out);
}

/* What file_look has opened in this very run of the exchange, if this location would have opened it the same way. */
static struct file *take_seen(struct exchange *x, const struct files_conf *c, const struct file_place *p)
{
    struct files_worker *fw = x->w->files;
    if (!fw || fw->who != x || fw->tree != p->tree || fw->links != c->links.mode ||
        fw->beyond != c->links.beyond.source.p || !slice_eq(fw->path, p->path))
        return NULL;
    struct file *f = fw->seen;
    fw->seen = NULL;
    fw->who = NULL;
    return f;
}

/* A cache of a configuration that was replaced would hold its files open until the next reload. */
static bool caches(const struct exchange *x, const struct files_conf *c)
{
    return c->cache && x->gen == x->w->gen;
}

int file_open(struct exchange *x, const struct file_place *p, struct file **out)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    if (caches(x, c))
        return file_cache_open(x, c, p, out);
    struct file *f = take_seen(x, c, p);
    if (!f)
        return file_open_now(x, p, out);
    *out = f;
    return OK;
}

/* There, but not for us to read: its owner may still want it to be found. */
static int look_only(struct exchange *x, const struct file_place *p, struct file **out)
{
    int fd = file_open_fd(x, p, O_PATH);
    return fd < 0 ? ERR_SYS : file_new(x, fd, false, out);
}

int file_look(struct exchange *x, const struct file_place *p, struct file **out)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    bool cached = caches(x, c);
    int rc = cached ? file_cache_open(x, c, p, out) : file_open_now(x, p, out);
    if (rc == ERR_SYS && (errno == EACCES || errno == ENXIO))
        rc = look_only(x, p, out);
    if (rc != OK || cached || (*out)->fd < 0)
        return rc;
    struct files_worker *fw = x->w->files;
    forget(fw);
    (*out)->refs++;
    fw->seen = *out;
    fw->who = x;
    fw->path = p->path;
    fw->tree = p->tree;
    fw->links = c->links.mode;
    fw->beyond = c->links.beyond.source.p;
    task_post(&x->w->loop, &fw->forget);
    return rc;
}

unsigned file_error(struct exchange *x, const struct file_place *p, int err)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    char text[128];
    enum log_level level = LEVEL_ERROR;
    unsigned status = 500;
    switch (err) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        status = 404;
        break;
    case EXDEV:
        exchange_log(x, level,
                     "\"%.*s\" leads out of \"%.*s\": refused (for links, \"disable_symlinks off;\" allows it)",
                     SLICE_FMT(p->path), SLICE_FMT(p->tree->path));
        return 403;
    case EACCES:
    case ELOOP:
        status = 403;
        break;
    default:
        level = LEVEL_CRIT;
        break;
    }
    if (status != 404 || c->log_not_found)
        exchange_log(x, level, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(p->path), err,
                     strerror_r(err, text, sizeof(text)));
    return status;
}

/* ---- probes ---- */

static const struct file_tree *tree_of(const struct exchange *x, slice path)
{
    const struct files_main *m = conf_get(x->gen->gen->main, &files_feature);
    const struct file_tree *best = NULL;
    for (const struct file_tree *t = m->trees; t; t = t->next) {
        if (slice_starts(path, t->path) && (!best || t->path.n > best->path.n))
            best = t;
    }
    return best;
}

int file_probe(struct exchange *x, slice path, struct stat *st)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    struct file_place p = { .tree = c->root.tree };
    if (!slice_starts(path, p.tree->path))
        p.tree = (struct file_tree *)(uintptr_t)tree_of(x, path);
    if (!p.tree)
        return ERR_NOTFOUND;
    p.path = arena_printf(&x->arena, "%.*s", SLICE_FMT(path)); /* NUL-terminated */
    if (!p.path.p)
        return ERR_NOMEM;
    int fd = file_open_fd(x, &p, O_PATH);
    if (fd < 0)
        return ERR_SYS;
    int rc = fstat(fd, st) < 0 ? ERR_SYS : OK;
    close(fd);
    return rc;
}
