/*
 * try_files: the first of several files that is there becomes the URI of the request; if none is, its last word tells
 * what then: an internal redirect, a named location, or a status.
 *
 * It holds at the level where it stands and is not inherited, as in nginx.
 */
#include "policy/try_files.h"

#include <errno.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "policy/files.h"

struct candidate {
    struct template name;
    bool dir; /* it was written with a slash at its end */
    struct candidate *next;
};

/* SCOPE_LOCATION */
struct try_files {
    struct candidate *first;
    struct template last;
    uint16_t status; /* not 0: "=CODE" */
    struct conf_pos pos;
};

/* The URI that a file which was found stands for. */
static bool uri_of(struct exchange *x, slice name, bool dir, slice *out)
{
    const struct file_root *r = &((const struct files_conf *)exchange_conf(x, &files_feature))->root;
    *out = name;
    if (r->kind == ROOT_ALIAS_REGEX) {
        if (dir) { /* as in nginx: the URI stays, and so does the file that the alias names */
            *out = x->pass.uri;
            return true;
        }
        x->pass.behind_alias = true;
        return true;
    }
    if (r->kind == ROOT_PLAIN || slice_starts(name, r->location))
        return true;
    *out = arena_printf(&x->arena, "%.*s%.*s", SLICE_FMT(r->location), SLICE_FMT(name));
    return out->p;
}

/* OK: it is there; ERR_NOTFOUND: it is not; ERR_NOMEM. */
static int try_one(struct exchange *x, const struct candidate *c, slice *uri)
{
    struct file_place p;
    struct file *f;
    slice name;
    char text[128];
    int rc = exchange_eval(x, &c->name, &name);
    if (rc == OK)
        rc = file_place_named(x, name, &p);
    if (rc != OK)
        return rc;
    rc = file_look(x, &p, &f);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK) {
        if (errno == EXDEV || errno == ELOOP)
            file_error(x, &p, errno);
        else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
            exchange_log(x, LEVEL_CRIT, "stat() \"%.*s\" failed (%d: %s)", SLICE_FMT(p.path), errno,
                         strerror_r(errno, text, sizeof(text)));
        return ERR_NOTFOUND;
    }
    bool found = file_is_dir(f) == c->dir;
    file_unref(x->w, f);
    if (!found)
        return ERR_NOTFOUND;
    return uri_of(x, name, c->dir, uri) ? OK : ERR_NOMEM;
}

static enum verdict fall_back(struct exchange *x, const struct try_files *t)
{
    slice uri, path, args = SLICE_NONE;
    if (t->status)
        exchange_trace(x, &t->pos, "try_files: nothing is there, %u", t->status);
    if (t->status == 444)
        return VERDICT_DROP;
    if (t->status)
        return files_error(x, t->status);
    if (exchange_eval(x, &t->last, &uri) != OK)
        return VERDICT_DROP;
    exchange_trace(x, &t->pos, "try_files: nothing is there, going on with \"%.*s\"", SLICE_FMT(uri));
    if (slice_starts(uri, SLICE("@")))
        return route_named(x, uri) == OK ? VERDICT_PASS : files_error(x, 500);
    path = uri;
    bool has_args = slice_cut(uri, '?', &path, &args);
    return files_redirect(x, path, args, has_args);
}

static enum verdict try_request(struct exchange *x, const void *conf)
{
    const struct try_files *t = conf;
    for (const struct candidate *c = t->first; c; c = c->next) {
        slice uri;
        int rc = try_one(x, c, &uri);
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc != OK)
            return files_error(x, 503);
        exchange_trace(x, &t->pos, "try_files: \"%.*s\" is there", SLICE_FMT(uri));
        if (uri.n && !slice_eq(uri, x->pass.uri)) {
            x->pass.uri = uri;
            exchange_forget_values(x);
        }
        return VERDICT_NEXT;
    }
    return fall_back(x, t);
}

static bool try_active(const void *conf)
{
    return ((const struct try_files *)conf)->first;
}

/* ---- directives ---- */

static int set_last(struct conf_ctx *cf, const struct conf_node *node, struct try_files *t)
{
    int arg = (int)node->nargs - 1;
    slice text = node->args[arg].text;
    uint64_t code;
    if (!slice_starts(text, SLICE("=")))
        return template_compile(cf, &node->args[arg], &t->last);
    if (slice_to_u64(slice_from(text, 1), &code) != OK || code < 200 || code > 999)
        return conf_error(cf, node, arg, "invalid code \"%.*s\"", SLICE_FMT(text));
    t->status = (uint16_t)code;
    return OK;
}

static int set_try_files(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct try_files *t = conf;
    struct candidate **at = &t->first;
    t->pos = node->pos;
    for (uint32_t i = 0; i + 1 < node->nargs; i++) {
        struct conf_arg arg = node->args[i];
        struct candidate *c = arena_new(cf->arena, struct candidate);
        if (!c)
            return ERR_NOMEM;
        c->dir = slice_ends(arg.text, SLICE("/"));
        arg.text.n -= c->dir;
        int rc = template_compile(cf, &arg, &c->name);
        if (rc != OK)
            return rc;
        *at = c;
        at = &c->next;
    }
    return set_last(cf, node, t);
}

static const struct directive directives[] = {
    {
        .name = "try_files",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 2,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .set = set_try_files,
        .usage = "try_files FILE ... URI | @NAME | =CODE;",
        .doc = "Looks for the files, in this order, beneath root or alias; a name that ends in a slash means a "
               "directory. The first that is there becomes the URI. If none is: an internal redirect to URI (which may "
               "have arguments), to a named location, or an answer with the code.",
    },
};

struct feature try_files_feature = {
    .name = "try_files",
    .doc = "The first of several files.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct try_files) },
};

const struct policy try_files_policy = {
    .name = "try_files",
    .feature = &try_files_feature,
    .active = try_active,
    .own_level = true,
    .on_request = try_request,
};
