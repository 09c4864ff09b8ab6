#include "policy/auth_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"

enum { FAULTS_SHOWN = 5, PATTERN_LIMIT = 8192 };

/* ---- one file ---- */

struct reader {
    struct conf_ctx *cf;
    struct conf_file file; /* for messages; without its text, which must not be shown */
    uint32_t faults;
};

static void warn_line(struct reader *r, uint32_t line, const char *text)
{
    const struct conf_pos pos = { .file = &r->file, .line = line };
    conf_diag_add(r->cf->diag, CONF_WARN, pos, SLICE_NONE, "%s", text);
}

static void on_fault(void *ctx, struct htpasswd_fault f)
{
    struct reader *r = ctx;
    char text[256];
    if (r->faults++ >= FAULTS_SHOWN)
        return;
    snprintf(text, sizeof(text), "this line of a password file is ignored: %s", f.why);
    warn_line(r, f.line, text);
}

static void warn_weak(struct reader *r, const struct htpasswd *h)
{
    const struct htpasswd_user *first = NULL;
    uint32_t n = 0;
    char text[256];
    for (uint32_t i = 0; i < h->n; i++) {
        if (!password_weakness(h->v[i].stored))
            continue;
        n++;
        first = first ? first : &h->v[i];
    }
    if (!first)
        return;
    snprintf(text, sizeof(text), "%u of %u passwords should be replaced by bcrypt (htpasswd -B), this one is kept %s",
             n, h->n, password_weakness(first->stored));
    warn_line(r, first->line, text);
}

/* Only whoever gathers the bundle looks at the disk. */
static void warn_mode(struct reader *r)
{
    struct stat st;
    const struct conf_pos pos = { .file = &r->file, .line = 1 };
    if (bundle_closed(r->cf->bundle) || stat(r->file.path.p, &st) != 0 || !(st.st_mode & S_IROTH))
        return;
    conf_diag_add(r->cf->diag, CONF_WARN, pos, SLICE("chmod o-r keeps other users of this machine from it"),
                  "this password file can be read by everybody");
}

static int parse(struct conf_ctx *cf, slice text, struct htpasswd *h)
{
    struct reader r = { .cf = cf, .file = { .path = h->path } };
    int rc = htpasswd_parse(cf->arena, text, on_fault, &r, h);
    if (rc != OK)
        return rc;
    if (r.faults > FAULTS_SHOWN) {
        char more[64];
        snprintf(more, sizeof(more), "%u further lines are ignored", r.faults - FAULTS_SHOWN);
        warn_line(&r, 1, more);
    }
    warn_weak(&r, h);
    warn_mode(&r);
    return OK;
}

static void cleanup(struct gen_cleanup *c)
{
    struct auth_files *f = container_of(c, struct auth_files, cleanup);
    for (size_t i = 0; i < f->by_path.cap; i++) {
        if (f->by_path.slots[i].value)
            htpasswd_done(f->by_path.slots[i].value);
    }
    map_done(&f->by_path);
}

static struct auth_files *files_new(struct conf_ctx *cf)
{
    struct auth_files *f = arena_new(cf->arena, struct auth_files);
    if (!f)
        return NULL;
    map_init(&f->by_path, false);
    generation_cleanup(cf->gen, &f->cleanup, cleanup);
    return f;
}

/* A file that cannot be read is one in which nobody is: as in nginx, requests are told so. */
static int read_file(struct conf_ctx *cf, const struct conf_node *node, struct auth_files *f, slice path,
                     const struct htpasswd **out)
{
    slice text = SLICE_NONE;
    struct htpasswd *h = map_get(&f->by_path, path);
    *out = h;
    if (h)
        return OK;
    if (f->by_path.count >= AUTH_FILES_MAX)
        return conf_error(cf, node, 0, "more than %d password files", AUTH_FILES_MAX);
    h = arena_new(cf->arena, struct htpasswd);
    if (!h || !arena_dup(cf->arena, path, &h->path))
        return ERR_NOMEM;
    map_init(&h->users, false);
    int rc = map_put(&f->by_path, h->path, h);
    if (rc != OK)
        return rc;
    *out = h;
    rc = bundle_file(cf->bundle, h->path, &text);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK) {
        h->error = rc == ERR_SYS && errno ? errno : ENOENT;
        conf_warn(cf, node, 0, "open() \"%.*s\" failed (%d: %s): nobody will be let in", SLICE_FMT(h->path), h->error,
                  strerror(h->error));
        return OK;
    }
    rc = parse(cf, text, h);
    return rc == ERR_LIMIT ? conf_error(cf, node, 0, "too many users in \"%.*s\"", SLICE_FMT(h->path)) : rc;
}

/* ---- names with variables ---- */

static void add_literal(struct strb *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (strchr("*?[]\\", s.p[i]))
            strb_char(b, '\\');
        strb_char(b, s.p[i]);
    }
}

/* The name with '*' for each variable, so that it matches every file that may be meant. */
static int pattern_of(struct conf_ctx *cf, const struct auth_file *f, slice *out)
{
    struct strb b;
    bool relative = f->name.parts[0].var || !slice_starts(f->name.parts[0].literal, SLICE("/"));
    strb_init(&b, PATTERN_LIMIT);
    if (relative)
        add_literal(&b, f->dir);
    for (uint32_t i = 0; i < f->name.nparts; i++) {
        const struct template_part *p = &f->name.parts[i];
        if (p->var)
            strb_char(&b, '*');
        else
            add_literal(&b, p->literal);
    }
    bool ok = !b.failed && arena_dup(cf->arena, strb_slice(&b), out);
    strb_done(&b);
    return ok ? OK : ERR_NOMEM;
}

static int read_all(struct conf_ctx *cf, const struct conf_node *node, struct auth_files *files, struct auth_file *f)
{
    slice pattern, paths, path;
    const struct htpasswd *one;
    int rc = pattern_of(cf, f, &pattern);
    if (rc == OK)
        rc = bundle_glob(cf->bundle, pattern, &paths);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        return conf_error(cf, node, 0, "the files of \"%.*s\" cannot be listed", SLICE_FMT(pattern));
    if (paths.n == 0)
        conf_warn(cf, node, 0, "no file matches \"%.*s\": nobody will be let in", SLICE_FMT(pattern));
    while (rc == OK && slice_cut(paths, '\0', &path, &paths))
        rc = read_file(cf, node, files, path, &one);
    return rc;
}

/* ---- a line ---- */

int auth_file_read(struct conf_ctx *cf, const struct conf_node *node, struct auth_files **files, struct auth_file *out)
{
    slice text = node->args[0].text;
    if (!*files)
        *files = files_new(cf);
    if (!*files)
        return ERR_NOMEM;
    slice dir = bundle_conf_path(cf->bundle, SLICE("x"));
    if (!dir.p || !arena_dup(cf->arena, slice_upto(dir, dir.n - 1), &out->dir))
        return ERR_NOMEM;
    out->node = node;
    out->all = *files;
    int rc = template_compile(cf, &node->args[0], &out->name);
    if (rc != OK)
        return rc;
    if (!template_literal(&out->name)) {
        if (out->name.parts[0].var && slice_find(text, '/') >= 0)
            return conf_error(cf, node, 0,
                              "the name must say where the files are before its first variable: they are read when the "
                              "configuration is loaded");
        return read_all(cf, node, *files, out);
    }
    slice path = bundle_conf_path(cf->bundle, text);
    return path.p ? read_file(cf, node, *files, path, &out->fixed) : ERR_NOMEM;
}

int auth_file_get(struct exchange *x, const struct auth_file *f, const struct htpasswd **out, slice *path)
{
    slice name;
    if (f->fixed) {
        *out = f->fixed;
        *path = f->fixed->path;
        return OK;
    }
    int rc = exchange_eval(x, &f->name, &name);
    if (rc != OK)
        return rc;
    if (!slice_starts(name, SLICE("/")))
        name = arena_printf(&x->arena, "%.*s%.*s", SLICE_FMT(f->dir), SLICE_FMT(name));
    if (!name.p)
        return ERR_NOMEM;
    *out = map_get(&f->all->by_path, name);
    *path = name;
    return OK;
}
