/*
 * The content of a location where nobody else answers, as in nginx: for a path that ends in a slash the first file of
 * `index` that is there (by an internal redirect), else a list of the directory where autoindex is on, else 403; for
 * any other path the file.
 */
#include "policy/files.h"

#include <errno.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/uri.h"
#include "policy/conditional.h"
#include "policy/types.h"
#include "proxy/redirect.h"

enum verdict files_error(struct exchange *x, unsigned status)
{
    return reply_set(x, status, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static bool is_read(enum method m)
{
    return m == METHOD_GET || m == METHOD_HEAD;
}

static bool ends_in_slash(slice uri)
{
    return uri.n && uri.p[uri.n - 1] == '/';
}

/* ---- a file ---- */

static bool put(struct exchange *x, enum token t, slice name, slice value)
{
    return fields_add(&x->arena, &x->resp.fields, (struct field){ .name = name, .value = value, .token = (uint16_t)t });
}

/* Else error_page has asked for another status: there are no conditions, dates and ranges for it then. */
static bool is_plain(const struct exchange *x)
{
    return !x->override_status || x->override_status == 200;
}

/* The validators, which a 304 has to name too. The texts are the file's: it may be gone before the head is composed. */
static bool put_validators(struct exchange *x, const struct file *f, bool etag)
{
    char *mem = arena_bytes(&x->arena, 29u + f->etag_n);
    if (!mem)
        return false;
    memcpy(mem, f->modified, 29);
    memcpy(mem + 29, f->etag, f->etag_n);
    return (!is_plain(x) || put(x, TOK_LAST_MODIFIED, SLICE("Last-Modified"), slice_of(mem, 29))) &&
           (!etag || put(x, TOK_ETAG, SLICE("ETag"), slice_of(mem + 29, f->etag_n)));
}

static enum verdict answer_unmodified(struct exchange *x, struct file *f, bool etag)
{
    int rc = reply_set(x, 304, SLICE_NONE, SLICE_NONE, false);
    bool done = rc == OK && put_validators(x, f, etag);
    file_unref(x->w, f);
    x->error_paged = true; /* no error: error_page does not look at it, or has done so */
    x->override_status = 0;
    return done ? VERDICT_REPLY : VERDICT_DROP;
}

static enum verdict answer_file(struct exchange *x, const struct files_conf *c, const struct file_place *p,
                                struct file *f)
{
    slice etag = c->etag ? slice_of(f->etag, f->etag_n) : SLICE_NONE;
    unsigned status = is_plain(x) ? conditional_test(x, etag, f->mtime, c->if_modified_since) : 200;
    if (status != 200)
        exchange_trace(x, &x->pass.loc->pos, "the request's conditions make the answer a %u", status);
    if (status == 304)
        return answer_unmodified(x, f, c->etag);
    if (status == 412) {
        file_unref(x->w, f);
        return files_error(x, 412);
    }
    slice type = types_of(x);
    if (reply_set(x, 200, SLICE_NONE, SLICE_NONE, false) == OK &&
        (!type.n || put(x, TOK_CONTENT_TYPE, SLICE("Content-Type"), type)) && put_validators(x, f, c->etag) &&
        file_end_attach(x, f, p->path) == OK) {
        x->resp.body = x->resp.declared = (struct body_fact){ BODY_LENGTH, f->size };
        return VERDICT_REPLY;
    }
    file_unref(x->w, f);
    return VERDICT_DROP;
}

/* A directory that was asked for without its slash. */
static enum verdict add_slash(struct exchange *x)
{
    slice path, location;
    if (!uri_escape(&x->arena, x->pass.uri, URI_ESCAPE_PATH, &path))
        return VERDICT_DROP;
    path = arena_printf(&x->arena, "%.*s/%s%.*s", SLICE_FMT(path), x->pass.args.n ? "?" : "", SLICE_FMT(x->pass.args));
    if (!path.p || redirect_location(x, path, &location) != OK || reply_redirect(x, 301, location) != OK)
        return VERDICT_DROP;
    return VERDICT_REPLY;
}

static enum verdict serve(struct exchange *x, const struct files_conf *c)
{
    struct file_place p;
    struct file *f;
    int rc = file_place(x, SLICE_NONE, &p);
    if (rc != OK)
        return rc == ERR_NOTFOUND ? files_error(x, x->pass.rewritten ? 500 : 404) : VERDICT_DROP;
    rc = file_open(x, &p, &f);
    if (rc == ERR_NOMEM)
        return files_error(x, 503);
    if (rc != OK)
        return files_error(x, file_error(x, &p, errno));
    unsigned refused = 0;
    if (file_is_dir(f)) {
        file_unref(x->w, f);
        return add_slash(x);
    }
    if (f->fd < 0) {
        exchange_log(x, LEVEL_CRIT, "\"%.*s\" is not a regular file", SLICE_FMT(p.path));
        refused = 404;
    } else if (!is_read(x->pass.method)) {
        refused = 405;
    }
    if (refused) {
        file_unref(x->w, f);
        return files_error(x, refused);
    }
    return answer_file(x, c, &p, f);
}

/* ---- index ---- */

static unsigned index_error(struct exchange *x, const struct files_conf *c, const struct file_place *p, int err)
{
    char text[128];
    const char *why = strerror_r(err, text, sizeof(text));
    if (err == EXDEV || err == ELOOP)
        return file_error(x, p, err);
    if (err == EACCES) {
        exchange_log(x, LEVEL_ERROR, "\"%.*s\" is forbidden (%d: %s)", SLICE_FMT(p->path), err, why);
        return 403;
    }
    if (c->log_not_found)
        exchange_log(x, LEVEL_ERROR, "\"%.*s\" is not found (%d: %s)", SLICE_FMT(p->path), err, why);
    return 404;
}

/* An index file is not there. Is the directory? 0, or the status of the answer. */
static unsigned index_dir(struct exchange *x, const struct files_conf *c, const struct file_place *file)
{
    struct file_place dir;
    struct file *f;
    int rc = file_place(x, SLICE_NONE, &dir);
    if (rc == OK)
        rc = file_look(x, &dir, &f);
    if (rc == OK) {
        file_unref(x->w, f);
        return 0;
    }
    if (rc == ERR_NOMEM)
        return 503;
    return errno == EACCES ? 0 : index_error(x, c, file, ENOENT);
}

/* One file of the list: NEXT when it is not there. */
static enum verdict try_index(struct exchange *x, const struct files_conf *c, slice name, bool *dir_known)
{
    struct file_place p;
    struct file *f;
    int rc = file_place(x, name, &p);
    if (rc != OK)
        return rc == ERR_NOTFOUND ? files_error(x, 500) : VERDICT_DROP;
    rc = file_look(x, &p, &f);
    if (rc == OK) {
        slice uri = arena_printf(&x->arena, "%.*s%.*s", SLICE_FMT(x->pass.uri), SLICE_FMT(name));
        file_unref(x->w, f);
        exchange_trace(x, &x->pass.loc->pos, "index: \"%.*s\"", SLICE_FMT(uri));
        return !uri.p ? VERDICT_DROP : files_redirect(x, uri, x->pass.args, x->pass.has_args);
    }
    if (rc == ERR_NOMEM)
        return files_error(x, 503);
    int err = errno;
    unsigned status = err == ENOENT || err == EMFILE || err == ENFILE ? 0 : index_error(x, c, &p, err);
    if (err == EMFILE || err == ENFILE)
        status = file_error(x, &p, err);
    if (!status && !*dir_known)
        status = index_dir(x, c, &p);
    *dir_known = true;
    return status ? files_error(x, status) : VERDICT_NEXT;
}

static enum verdict find_index(struct exchange *x, const struct files_conf *c)
{
    bool dir_known = false;
    for (const struct file_index *i = c->index; i; i = i->next) {
        slice name;
        if (exchange_eval(x, &i->name, &name) != OK)
            return VERDICT_DROP;
        if (slice_starts(name, SLICE("/")))
            return files_redirect(x, name, x->pass.args, x->pass.has_args);
        enum verdict v = try_index(x, c, name, &dir_known);
        if (v != VERDICT_NEXT)
            return v;
    }
    return VERDICT_NEXT;
}

enum verdict files_redirect(struct exchange *x, slice uri, slice args, bool has_args)
{
    int rc = route_redirect(x, uri, args, has_args);
    return rc == OK ? VERDICT_PASS : files_error(x, rc == ERR_LIMIT ? 500 : 503);
}

/* ---- content ---- */

static enum verdict forbidden(struct exchange *x)
{
    struct file_place p;
    if (file_place(x, SLICE_NONE, &p) == OK)
        exchange_log(x, LEVEL_ERROR, "directory index of \"%.*s\" is forbidden", SLICE_FMT(p.path));
    return files_error(x, 403);
}

static enum verdict select_dir(struct exchange *x, const struct files_conf *c)
{
    struct file_place p;
    enum verdict v = find_index(x, c);
    if (v != VERDICT_NEXT)
        return v;
    if (!c->autoindex || !is_read(x->pass.method))
        return forbidden(x);
    return file_place(x, SLICE_NONE, &p) == OK ? autoindex_answer(x, c, &p) : files_error(x, 500);
}

static enum verdict files_select(struct exchange *x, const void *conf)
{
    if (!is_read(x->pass.method) && x->pass.method != METHOD_POST)
        return files_error(x, 405);
    return ends_in_slash(x->pass.uri) ? select_dir(x, conf) : serve(x, conf);
}

const struct content files_content = { .name = "files", .select = files_select };
