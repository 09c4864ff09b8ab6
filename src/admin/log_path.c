#include "admin/log_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "admin/log_buffer.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "conf/logs.h"
#include "conf/trees.h"
#include "conf/units.h"
#include "policy/files.h"

enum { LINE_LIMIT = 1 << 20 };

/* A file of the cache. */
struct open_log {
    struct list link; /* log_paths.used */
    struct open_log *next;
    uint64_t hash;
    uint64_t used, checked; /* loop ms: last use; when it was last known to be what the path means */
    uint64_t since, uses;   /* uses since `since`, for min_uses */
    uint64_t inactive;
    dev_t device;
    ino_t inode;
    int fd; /* -1: not used often enough to be kept */
    size_t n;
    char path[];
};

/* ---- files ---- */

static int open_beneath(const struct log_path *p, const char *name, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
        .mode = flags & O_CREAT ? 0644 : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd;
    do
        fd = syscall(SYS_openat2, p->tree->fds[0], name, &how, sizeof(how));
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return (int)fd;
}

static int open_log(const struct log_path *p, const char *name)
{
    return open_beneath(p, name, O_WRONLY | O_APPEND | O_CREAT);
}

/* ---- the cache ---- */

/* Leaves the cache; the caller frees all that did, in the end. (The analyser does not see that none is
 * taken out twice.) NOLINTBEGIN(clang-analyzer-unix.Malloc) */
static void take_out(struct log_paths *ps, struct open_log *o, struct open_log **out)
{
    struct open_log **at = &ps->buckets[o->hash % LOG_PATH_BUCKETS];
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    list_del(&o->link);
    ps->count--;
    o->next = *out;
    *out = o;
}
static void free_all(struct open_log *out)
{
    for (struct open_log *next; out; out = next) {
        next = out->next;
        if (out->fd >= 0)
            close(out->fd);
        free(out);
    }
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static struct open_log *oldest(const struct log_paths *ps)
{
    return list_empty(&ps->used) ? NULL : list_entry(ps->used.prev, struct open_log, link);
}

/* All but `keep` of them, the oldest first. */
static void drop(struct log_paths *ps, uint64_t keep)
{
    struct open_log *out = NULL;
    while (ps->count > keep)
        take_out(ps, oldest(ps), &out);
    free_all(out);
}

static void drop_inactive(struct log_paths *ps)
{
    uint64_t now = loop_now(ps->loop);
    struct open_log *out = NULL, *o = oldest(ps);
    for (; o && now - o->used >= o->inactive; o = oldest(ps))
        take_out(ps, o, &out);
    if (o)
        timer_set(ps->loop, &ps->timer, o->inactive - (now - o->used));
    free_all(out);
}

static void timer_fired(struct timer *t)
{
    drop_inactive(container_of(t, struct log_paths, timer));
}

static struct open_log *find(struct log_paths *ps, slice path, uint64_t hash)
{
    struct open_log *o = ps->buckets[hash % LOG_PATH_BUCKETS];
    while (o && (o->hash != hash || !slice_eq(slice_of(o->path, o->n), path)))
        o = o->next;
    return o;
}

static struct open_log *add(struct log_paths *ps, slice path, uint64_t hash, uint64_t max)
{
    struct open_log *o = malloc(sizeof(*o) + path.n);
    if (!o)
        return NULL;
    *o = (struct open_log){ .hash = hash, .fd = -1, .n = path.n, .since = loop_now(ps->loop) };
    memcpy(o->path, path.p, path.n);
    drop(ps, max - 1);
    o->next = ps->buckets[hash % LOG_PATH_BUCKETS];
    ps->buckets[hash % LOG_PATH_BUCKETS] = o;
    list_add(&ps->used, &o->link);
    if (ps->count++ == 0)
        timer_clear(&ps->timer);
    return o;
}

/* Does the path still mean this file? Somebody may have moved it away. */
static bool still_it(const struct open_log *o, const struct log_path *p, const char *name)
{
    struct stat st;
    int at = open_beneath(p, name, O_PATH);
    bool same = at >= 0 && fstat(at, &st) == 0 && st.st_dev == o->device && st.st_ino == o->inode;
    if (at >= 0)
        close(at);
    return same;
}

static int reopen(struct open_log *o, const struct log_path *p, const char *name)
{
    struct stat st;
    if (o->fd >= 0)
        close(o->fd);
    o->fd = open_log(p, name);
    if (o->fd >= 0 && fstat(o->fd, &st) == 0) {
        o->device = st.st_dev;
        o->inode = st.st_ino;
    }
    return o->fd;
}

/* A descriptor for the file, or -1 and errno; *whose is NULL when the caller has to close it. */
static int file_of(struct log_paths *ps, const struct log_path *p, const struct log_cache_conf *c, slice path,
                   struct open_log **whose)
{
    uint64_t now = loop_now(ps->loop), hash = hash_bytes(path, false), epoch = logs_epoch();
    const char *name = path.p + p->front;
    *whose = NULL;
    if (!c || !c->max)
        return open_log(p, name);
    if (ps->epoch != epoch)
        drop(ps, 0);
    ps->epoch = epoch;
    struct open_log *o = find(ps, path, hash);
    if (!o)
        o = add(ps, path, hash, c->max);
    if (!o)
        return open_log(p, name);
    if (now - o->since >= c->inactive) {
        o->since = now;
        o->uses = 0;
    }
    o->uses++;
    o->used = now;
    o->inactive = c->inactive;
    list_del(&o->link);
    list_add(&ps->used, &o->link);
    if (!ps->timer.at)
        timer_set(ps->loop, &ps->timer, c->inactive);
    if (o->uses < c->min_uses && o->fd < 0)
        return open_log(p, name);
    if (o->fd < 0 || (now - o->checked >= c->valid && !still_it(o, p, name))) {
        if (reopen(o, p, name) < 0)
            return -1;
    }
    if (now - o->checked >= c->valid)
        o->checked = now;
    *whose = o;
    return o->fd;
}

void log_paths_init(struct log_paths *p, struct loop *loop)
{
    *p = (struct log_paths){ .loop = loop };
    list_init(&p->used);
    timer_init(&p->timer, timer_fired);
}

void log_paths_done(struct log_paths *p)
{
    drop(p, 0);
    timer_drop(p->loop, &p->timer);
}

/* ---- lines ---- */

/* nginx's manual, "access_log": without the root directory of the request there is no log. */
static bool root_exists(struct exchange *x)
{
    struct stat st;
    slice root, inside;
    if (!x->pass.loc || file_root_text(x, &root) != OK)
        return false;
    inside = arena_printf(&x->arena, "%.*s/.", SLICE_FMT(root)); /* the root may be a tree itself */
    if (inside.p && file_probe(x, inside, &st) == OK && S_ISDIR(st.st_mode))
        return true;
    exchange_log(x, LEVEL_ERROR, "testing \"%.*s\" existence failed, there is no line in the log", SLICE_FMT(root));
    return false;
}

static bool write_line(int fd, slice s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return false;
        s = slice_from(s, (size_t)n);
    }
    return true;
}

/* NUL-terminated. */
static bool path_of(struct exchange *x, const struct log_path *p, slice *out)
{
    slice path;
    if (exchange_eval(x, &p->text, &path) != OK)
        return false;
    *out = arena_printf(&x->arena, "%.*s", SLICE_FMT(path));
    return out->p && out->n == path.n && !memchr(path.p, 0, path.n);
}

void log_path_line(struct exchange *x, const struct log_path *p, const struct log_cache_conf *c,
                   const struct log_format *f)
{
    struct open_log *whose;
    struct strb line;
    slice path;
    if (!path_of(x, p, &path)) {
        worker_count(x->w, COUNT_MEMORY_REFUSED);
        return;
    }
    if (!root_exists(x))
        return;
    int fd = file_of(log_buffer_paths(x->w), p, c, path, &whose);
    if (fd < 0) {
        log_buffer_lost(x->w, path, errno);
        return;
    }
    strb_init(&line, LINE_LIMIT);
    log_format_line(f, x, &line);
    if (line.failed)
        worker_count(x->w, COUNT_MEMORY_REFUSED);
    if (!write_line(fd, strb_slice(&line)))
        log_buffer_lost(x->w, path, errno);
    strb_done(&line);
    if (!whose)
        close(fd);
}

/* ---- load ---- */

/* Relative paths are relative to the prefix. */
static int make_absolute(struct conf_ctx *cf, struct template *t)
{
    slice full = bundle_path(cf->bundle, t->parts[0].literal), copy;
    if (!full.p || !arena_dup(cf->arena, full, &copy))
        return ERR_NOMEM;
    t->parts[0].literal = copy;
    return OK;
}

int log_path_parse(struct conf_ctx *cf, const struct conf_node *node, struct log_path **out)
{
    struct log_path *p = arena_new(cf->arena, struct log_path);
    struct bundle_entry *tree;
    if (!p)
        return ERR_NOMEM;
    int rc = template_compile(cf, &node->args[0], &p->text);
    if (rc != OK)
        return rc;
    if (p->text.parts[0].var)
        return conf_error(cf, node, 0,
                          "the path of a log begins with the directory that it shall not leave, not with "
                          "a variable");
    rc = make_absolute(cf, &p->text);
    if (rc != OK)
        return rc;
    p->front = (size_t)(slice_rfind(p->text.parts[0].literal, '/') + 1);
    rc = tree_entry(cf->bundle, slice_upto(p->text.parts[0].literal, p->front), &tree);
    if (rc == ERR_SYS)
        return conf_error(cf, node, 0, "no descriptors left for \"%.*s\"", SLICE_FMT(node->args[0].text));
    if (rc != OK)
        return rc;
    if (tree->error)
        conf_warn(cf, node, 0, "\"%.*s\" cannot be opened (%d: %s)", SLICE_FMT(tree->key), tree->error,
                  strerror(tree->error));
    p->tree = tree;
    *out = p;
    return OK;
}

static int cache_parameter(struct conf_ctx *cf, const struct conf_node *node, uint32_t arg, struct log_cache_conf *c)
{
    slice text = node->args[arg].text, name, value;
    bool ok = slice_cut(text, '=', &name, &value);
    if (ok && slice_eq(name, SLICE("max")))
        ok = slice_to_u64(value, &c->max) == OK && c->max;
    else if (ok && slice_eq(name, SLICE("inactive")))
        ok = conf_msec(value, &c->inactive) == OK && c->inactive;
    else if (ok && slice_eq(name, SLICE("valid")))
        ok = conf_msec(value, &c->valid) == OK;
    else if (ok && slice_eq(name, SLICE("min_uses")))
        ok = slice_to_u64(value, &c->min_uses) == OK && c->min_uses;
    else
        ok = false;
    return ok ? OK
              : conf_error(cf, node, (int)arg, "invalid \"open_log_file_cache\" parameter \"%.*s\"", SLICE_FMT(text));
}

int log_cache_parse(struct conf_ctx *cf, const struct conf_node *node, struct log_cache_conf *out)
{
    struct log_cache_conf c = { .inactive = 10000, .valid = 60000, .min_uses = 1 };
    if (node->nargs == 1 && slice_eq(node->args[0].text, SLICE("off"))) {
        *out = c;
        return OK;
    }
    for (uint32_t i = 0; i < node->nargs; i++) {
        int rc = cache_parameter(cf, node, i, &c);
        if (rc != OK)
            return rc;
    }
    if (!c.max)
        return conf_error(cf, node, -1, "\"open_log_file_cache\" must have \"max\" parameter");
    *out = c;
    return OK;
}
