/*
 * From a URI to a path of the file system, as nginx's ngx_http_map_uri_to_path does it: text behind text. What differs
 * comes later: the path is opened beneath the tree that it lies in, never by its name.
 */
#include "base/attr.h"
#include "base/checked.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "http/vars.h"
#include "policy/files.h"

/* A path of these parts, in the exchange's arena. */
static bool join(struct exchange *x, slice a, slice b, slice c, slice *out)
{
    size_t n;
    if (!checked_add(a.n, b.n, &n) || !checked_add(n, c.n, &n) || !checked_add(n, 1, &n))
        return false;
    char *p = arena_bytes(&x->arena, n), *at = p;
    if (!p)
        return false;
    for (const slice *s = (const slice[]){ a, b, c }, *end = s + 3; s < end; s++) {
        if (s->n)
            memcpy(at, s->p, s->n);
        at += s->n;
    }
    *at = '\0';
    *out = slice_of(p, n - 1);
    return true;
}

int file_root_text(struct exchange *x, slice *out)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    return exchange_eval(x, &c->root.text, out);
}

/*
 * An alias without a slash at its end that is a directory: what follows it must be nothing or begin with a slash, or
 * the URI would name a sibling of the directory ("alias /data" and /data-private). One that was none at load may be one
 * by now, which matters as soon as something follows it.
 */
static bool in_tree(struct exchange *x, const struct file_root *r, slice rest, struct file_place *p)
{
    bool below = rest.n && rest.p[0] == '/';
    p->tree = r->tree;
    if (!r->self || (r->self->entry->error && !below && !(rest.n && file_tree_is_dir(x, r->self))))
        return true;
    p->tree = r->self;
    return !rest.n || below;
}

static int place(struct exchange *x, const struct file_root *r, slice text, slice rest, slice tail,
                 struct file_place *out)
{
    if (!in_tree(x, r, rest, out)) {
        exchange_log(x, LEVEL_ERROR, "\"%.*s%.*s\" is not beneath \"%.*s\", which \"alias\" names without a slash",
                     SLICE_FMT(text), SLICE_FMT(rest), SLICE_FMT(text));
        return ERR_NOTFOUND;
    }
    out->root = text.n;
    if (!join(x, text, rest, tail, &out->path))
        return ERR_NOMEM;
    exchange_trace(x, &r->pos, "\"%.*s\" is looked for at \"%.*s\"", SLICE_FMT(x->pass.uri), SLICE_FMT(out->path));
    return OK;
}

/* What of the URI follows the root. */
static int rest_of(struct exchange *x, const struct file_root *r, slice *out)
{
    slice uri = x->pass.uri;
    switch ((enum file_root_kind)r->kind) {
    case ROOT_PLAIN:
        *out = uri;
        return OK;
    case ROOT_ALIAS_REGEX:
        *out = x->pass.behind_alias ? uri : SLICE_NONE;
        return OK;
    case ROOT_ALIAS:
        break;
    }
    if (!slice_starts(uri, r->location)) {
        exchange_log(x, LEVEL_ALERT, "\"alias\" cannot be used in location \"%.*s\" where URI was rewritten",
                     SLICE_FMT(r->location));
        return ERR_NOTFOUND;
    }
    *out = slice_from(uri, r->location.n);
    return OK;
}

int file_place(struct exchange *x, slice tail, struct file_place *out)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    slice text, rest;
    int rc = rest_of(x, &c->root, &rest);
    if (rc == OK)
        rc = exchange_eval(x, &c->root.text, &text);
    return rc == OK ? place(x, &c->root, text, rest, tail, out) : rc;
}

int file_place_named(struct exchange *x, slice name, struct file_place *out)
{
    const struct files_conf *c = exchange_conf(x, &files_feature);
    const struct file_root *r = &c->root;
    slice text;
    if (r->kind == ROOT_ALIAS && slice_starts(name, r->location))
        name = slice_from(name, r->location.n);
    int rc = exchange_eval(x, &r->text, &text);
    return rc == OK ? place(x, r, text, name, SLICE_NONE, out) : rc;
}

/* ---- variables: at the server's rules they are those of the server, as in nginx ---- */

static int get_document_root(struct exchange *x, const struct var *v, slice *out)
{
    return x->pass.loc ? file_root_text(x, out) : ERR_NOTFOUND;
}

static int get_request_filename(struct exchange *x, const struct var *v, slice *out)
{
    struct file_place p;
    int rc = x->pass.loc ? file_place(x, SLICE_NONE, &p) : ERR_NOTFOUND;
    if (rc == OK)
        *out = p.path;
    return rc;
}

static int get_realpath_root(struct exchange *x, const struct var *v, slice *out)
{
    const struct files_conf *c;
    struct file_place p;
    slice text;
    if (!x->pass.loc)
        return ERR_NOTFOUND;
    c = exchange_conf(x, &files_feature);
    int rc = exchange_eval(x, &c->root.text, &text);
    if (rc == OK)
        rc = place(x, &c->root, text, SLICE_NONE, SLICE_NONE, &p);
    if (rc == OK && !file_real_path(x, &p, out))
        rc = ERR_NOTFOUND;
    return rc;
}

const struct var_def file_vars[FILE_VARS] = {
    { .name = "document_root",
      .known = VAR_REQUEST,
      .get = get_document_root,
      .doc = "The value of root or alias here.",
      .client = true },
    { .name = "realpath_root",
      .known = VAR_REQUEST,
      .get = get_realpath_root,
      .doc = "The same as an absolute path, with links resolved.",
      .client = true },
    { .name = "request_filename",
      .known = VAR_REQUEST,
      .get = get_request_filename,
      .doc = "The path of the file that the request asks for, by root or alias and the URI.",
      .client = true },
};
