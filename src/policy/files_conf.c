/*
 * The directives of the feature `files`, and what is found out at load: the tree of every root and alias.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/trees.h"
#include "conf/units.h"
#include "policy/files.h"
#include "proxy/http_block.h"

/* ---- trees ---- */

struct file_tree *file_tree_use(struct conf_ctx *cf, slice dir)
{
    struct files_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &files_feature);
    struct bundle_entry *e;
    errno = 0;
    while (dir.n && dir.p[dir.n - 1] == '/')
        dir.n--;
    slice path = arena_printf(cf->arena, "%.*s/", SLICE_FMT(dir));
    if (!m || !path.p)
        return NULL;
    for (struct file_tree *t = m->trees; t; t = t->next) {
        if (slice_eq(t->path, path))
            return t;
    }
    struct file_tree *t = arena_new(cf->arena, struct file_tree);
    if (!t || tree_entry(cf->bundle, path, &e) != OK)
        return NULL;
    *t = (struct file_tree){ .entry = e, .path = path, .next = m->trees };
    m->trees = t;
    return t;
}

/* What stands before the first variable, up to its last slash. */
static slice literal_front(const struct template *t)
{
    slice s = template_literal(t) ? t->source : t->parts[0].literal;
    return slice_upto(s, (size_t)(slice_rfind(s, '/') + 1));
}

/* Makes a path absolute against the prefix, keeping its variables. */
static int make_absolute(struct conf_ctx *cf, struct template *t)
{
    slice *front = template_literal(t) ? &t->source : &t->parts[0].literal;
    if (!template_literal(t) && t->parts[0].var)
        return OK;
    slice full = bundle_path(cf->bundle, *front), copy;
    if (!full.p || !arena_dup(cf->arena, full, &copy))
        return ERR_NOMEM;
    *front = copy;
    return OK;
}

/* ---- root, alias ---- */

static bool names_root(slice s, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i + n < s.n; i++) {
        if (s.p[i] != '$')
            continue;
        size_t at = i + 1 + (s.p[i + 1] == '{');
        if (s.n - at >= n && memcmp(s.p + at, name, n) == 0)
            return true;
    }
    return false;
}

static int check_root(struct conf_ctx *cf, const struct conf_node *node, const struct location_build *l)
{
    slice text = node->args[0].text;
    bool alias = slice_eq(node->name, SLICE("alias"));
    if (alias && l && l->kind == LOCATION_NAMED)
        return conf_error(cf, node, -1, "the \"alias\" directive cannot be used inside the named location");
    static const char *const own[] = { "document_root", "realpath_root" };
    for (size_t i = 0; i < array_len(own); i++) {
        if (names_root(text, own[i]))
            return conf_error(cf, node, 0, "the $%s variable cannot be used in the \"%.*s\" directive", own[i],
                              SLICE_FMT(node->name));
    }
    if (memchr(text.p, 0, text.n))
        return conf_error(cf, node, 0, "a path holds no NUL");
    return OK;
}

/* What is not there may still come: a reason to say so, not to stay down. */
static void warn_absent(struct conf_ctx *cf, const struct conf_node *node, const struct file_root *r)
{
    const struct bundle_entry *e = r->tree->entry;
    if (!e->error && r->self && r->self->entry->error == ENOENT)
        e = r->self->entry;
    if (e->error && node->pos.file)
        conf_warn(cf, node, 0, "\"%.*s\" cannot be opened (%d: %s)", SLICE_FMT(e->key), e->error, strerror(e->error));
}

/* The directory that requests cannot leave. */
static int find_trees(struct conf_ctx *cf, const struct conf_node *node, struct file_root *r)
{
    slice text = r->text.source, front = literal_front(&r->text);
    bool literal = template_literal(&r->text);
    if (!literal && (front.n < 2 || r->text.parts[0].var))
        return conf_error(cf, node, 0,
                          "\"%.*s\" must begin with the name of a directory other than \"/\" before its first "
                          "variable: files are opened beneath that directory and nowhere else",
                          SLICE_FMT(node->name));
    bool whole = literal && (r->kind == ROOT_PLAIN || front.n == text.n);
    r->tree = file_tree_use(cf, whole ? text : front);
    if (!r->tree)
        return errno == EMFILE || errno == ENFILE
                   ? conf_error(cf, node, 0, "no descriptors left for \"%.*s\"", SLICE_FMT(text))
                   : ERR_NOMEM;
    if (literal && !whole) {
        r->self = file_tree_use(cf, text);
        if (!r->self)
            return ERR_NOMEM;
    }
    warn_absent(cf, node, r);
    return OK;
}

static enum file_root_kind kind_of(const struct conf_node *node, const struct location_build *l)
{
    if (!slice_eq(node->name, SLICE("alias")))
        return ROOT_PLAIN;
    return l && l->kind == LOCATION_REGEX ? ROOT_ALIAS_REGEX : ROOT_ALIAS;
}

static int set_root(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct file_root *r = &((struct files_conf *)conf)->root;
    const struct http_main *m = http_main_of(cf);
    if (!m)
        return ERR_NOMEM;
    if (r->tree)
        return conf_error(cf, node, -1, "\"%.*s\" directive is duplicate, \"%s\" directive was specified earlier",
                          SLICE_FMT(node->name), r->kind == ROOT_PLAIN ? "root" : "alias");
    int rc = check_root(cf, node, m->location);
    if (rc == OK)
        rc = template_compile(cf, &node->args[0], &r->text);
    if (rc == OK)
        rc = make_absolute(cf, &r->text);
    if (rc != OK)
        return rc;
    r->kind = (uint8_t)kind_of(node, m->location);
    r->pos = node->pos;
    r->location = m->location ? m->location->path : SLICE_NONE;
    if (r->kind == ROOT_PLAIN && template_literal(&r->text)) {
        while (r->text.source.n && r->text.source.p[r->text.source.n - 1] == '/')
            r->text.source.n--;
    }
    return find_trees(cf, node, r);
}

/* ---- index ---- */

static int set_index(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct files_conf *c = conf;
    struct file_index **at = &c->index;
    while (*at)
        at = &(*at)->next;
    for (uint32_t i = 0; i < node->nargs; i++) {
        slice text = node->args[i].text;
        if (!text.n)
            return conf_error(cf, node, (int)i, "index \"\" in \"index\" directive is invalid");
        if (text.p[0] == '/' && i + 1 != node->nargs)
            conf_warn(cf, node, (int)i,
                      "only the last index in \"index\" directive should be absolute: nothing behind \"%.*s\" is tried",
                      SLICE_FMT(text));
        struct file_index *one = arena_new(cf->arena, struct file_index);
        if (!one)
            return ERR_NOMEM;
        int rc = template_compile(cf, &node->args[i], &one->name);
        if (rc != OK)
            return rc;
        *at = one;
        at = &one->next;
    }
    return OK;
}

/* ---- disable_symlinks, open_file_cache ---- */

static int set_links(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct file_links_conf *l = &((struct files_conf *)conf)->links;
    static const struct {
        const char *name;
        enum file_links mode;
    } modes[] = {
        { "outside", LINKS_WITHIN }, { "off", LINKS_FOLLOW }, { "on", LINKS_NONE }, { "if_not_owner", LINKS_OWNER }
    };
    size_t i = 0;
    while (i < array_len(modes) && !slice_eq(node->args[0].text, slice_str(modes[i].name)))
        i++;
    if (i == array_len(modes))
        return conf_error(cf, node, 0, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[0].text));
    l->mode = (uint8_t)modes[i].mode;
    if (node->nargs == 1)
        return OK;
    struct conf_arg from = node->args[1];
    bool checks = l->mode == LINKS_NONE || l->mode == LINKS_OWNER;
    if (!checks || !slice_starts(from.text, SLICE("from=")) || from.text.n == 5)
        return conf_error(cf, node, 1, "invalid parameter \"%.*s\"", SLICE_FMT(from.text));
    from.text = slice_from(from.text, 5);
    return template_compile(cf, &from, &l->beyond);
}

static int cache_parameter(struct conf_ctx *cf, const struct conf_node *node, int arg, struct file_cache_conf *c)
{
    slice s = node->args[arg].text;
    if (slice_starts(s, SLICE("max=")) && slice_to_u64(slice_from(s, 4), &c->max) == OK && c->max > 0 &&
        c->max <= 10000000)
        return OK;
    if (slice_starts(s, SLICE("inactive=")) && conf_msec(slice_from(s, 9), &c->inactive) == OK)
        return OK;
    return conf_error(cf, node, arg, "invalid \"open_file_cache\" parameter \"%.*s\"", SLICE_FMT(s));
}

static int set_cache(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct files_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &files_feature);
    struct file_cache_conf *c = arena_new(cf->arena, struct file_cache_conf);
    int rc = OK;
    if (!m || !c)
        return ERR_NOMEM;
    if (node->nargs == 1 && slice_eq(node->args[0].text, SLICE("off")))
        return OK;
    c->inactive = 60000;
    for (uint32_t i = 0; rc == OK && i < node->nargs; i++)
        rc = cache_parameter(cf, node, (int)i, c);
    if (rc == OK && !c->max)
        return conf_error(cf, node, -1, "\"open_file_cache\" must have the \"max\" parameter");
    c->number = m->caches++;
    ((struct files_conf *)conf)->cache = c;
    return rc;
}

/* Once, at the http level: from here on locations where nobody else answers serve files. */
static int files_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                        const void *parent)
{
    return kind == SCOPE_LOCATION && !parent ? content_default(cf, &files_content, &files_feature) : OK;
}

/* ---- directives ---- */

static const struct conf_value ims_values[] = {
    { "off", IMS_OFF },
    { "exact", IMS_EXACT },
    { "before", IMS_BEFORE },
    { NULL, 0 },
};

static const struct conf_value format_values[] = {
    { "html", AUTOINDEX_HTML },
    { "json", AUTOINDEX_JSON },
    { "jsonp", AUTOINDEX_JSONP },
    { "xml", AUTOINDEX_XML },
    { NULL, 0 },
};

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

#define SLOT(dname, dtype, field, default_text, list, usage_text, doc_text)                                     \
    {                                                                                                           \
        .name = dname, .contexts = HSL, .min_args = 1, .max_args = 1, .type = dtype, .scope = SCOPE_LOCATION,   \
        .offset = offsetof(struct files_conf, field), .def = default_text, .values = list, .usage = usage_text, \
        .doc = doc_text,                                                                                        \
    }

static const struct directive directives[] = {
    {
        .name = "root",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct files_conf, root),
        .size = sizeof(struct file_root),
        .def = "html",
        .set = set_root,
        .usage = "root PATH;",
        .doc =
            "The directory that the URI's path is looked up in. It may hold variables behind the name of a directory: "
            "that directory, and without variables PATH itself, is opened when the configuration is loaded, and files "
            "are opened beneath it and nowhere else. When PATH comes to mean another directory, that one is taken "
            "within a second.",
    },
    {
        .name = "alias",
        .contexts = CONF_LOCATION,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct files_conf, root),
        .size = sizeof(struct file_root),
        .set = set_root,
        .usage = "alias PATH;",
        .doc =
            "As root, but PATH takes the place of the location's prefix; in a location given by a regular expression, "
            "of the whole URI. A directory named without a slash at its end has no siblings: /data-x is not found in a "
            "location /data with alias /data.",
    },
    {
        .name = "index",
        .contexts = HSL,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .offset = offsetof(struct files_conf, index),
        .size = sizeof(struct file_index *),
        .def = "index.html",
        .set = set_index,
        .usage = "index FILE ...;",
        .doc = "Files looked for, in this order, when a path ends in a slash; the first that is there answers by an "
               "internal redirect. The last may be a path of its own, to which all go that find none.",
    },
    SLOT("etag", CONF_FLAG, etag, "on", NULL, "etag on | off;",
         "Whether answers made of files have an ETag: time and size of the file in hexadecimal."),
    SLOT("if_modified_since", CONF_ENUM, if_modified_since, "exact", ims_values,
         "if_modified_since off | exact | before;",
         "How If-Modified-Since is compared with the time of a file: not at all, for being the same, or for being the "
         "same or later. If-None-Match goes before it (RFC 9110, 13.2.2)."),
    SLOT("log_not_found", CONF_FLAG, log_not_found, "on", NULL, "log_not_found on | off;",
         "Whether files that are not there get a line in the error log."),
    {
        .name = "disable_symlinks",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct files_conf, links),
        .size = sizeof(struct file_links_conf),
        .def = "outside",
        .set = set_links,
        .usage = "disable_symlinks outside | off | on [from=PART] | if_not_owner [from=PART];",
        .doc =
            "Symbolic links that are refused (403) beneath the directory of root or alias: those that lead out of it; "
            "none; all; those whose owner is not that of what they lead to. With from=, what PART names of the path "
            "may lead over links. The directory itself may always be a link. nginx knows no outside and has off as "
            "its default.",
    },
    {
        .name = "open_file_cache",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct files_conf, cache),
        .size = sizeof(const struct file_cache_conf *),
        .def = "off",
        .set = set_cache,
        .usage = "open_file_cache off;   open_file_cache max=NUMBER [inactive=TIME];",
        .doc =
            "Keeps what was opened open, and what was seen of directories and failures in mind: NUMBER at most in each "
            "worker, the coldest go first, and what nobody has asked for during TIME (60s).",
    },
    SLOT("open_file_cache_valid", CONF_MSEC, cache_valid, "60s", NULL, "open_file_cache_valid TIME;",
         "After what time an entry is looked at again."),
    SLOT("open_file_cache_min_uses", CONF_NUM, cache_min_uses, "1", NULL, "open_file_cache_min_uses NUMBER;",
         "How often a file has to be asked for, without a pause of `inactive`, before it is kept open."),
    SLOT("open_file_cache_errors", CONF_FLAG, cache_errors, "off", NULL, "open_file_cache_errors on | off;",
         "Whether failures are remembered."),
    SLOT("autoindex", CONF_FLAG, autoindex, "off", NULL, "autoindex on | off;",
         "Whether a directory without any file of `index` is listed."),
    SLOT("autoindex_exact_size", CONF_FLAG, autoindex_exact, "on", NULL, "autoindex_exact_size on | off;",
         "Whether lists in HTML give sizes in bytes, or rounded to K, M and G."),
    SLOT("autoindex_localtime", CONF_FLAG, autoindex_local, "off", NULL, "autoindex_localtime on | off;",
         "Whether lists in HTML give times of the local zone, or UTC."),
    SLOT("autoindex_format", CONF_ENUM, autoindex_format, "html", format_values,
         "autoindex_format html | xml | json | jsonp;",
         "The form of lists. For jsonp the argument `callback` names the function."),
};

struct feature files_feature = {
    .name = "files",
    .doc = "Serving files: what answers where nothing else is said.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = file_vars,
    .nvars = FILE_VARS,
    .size = { [SCOPE_MAIN] = sizeof(struct files_main), [SCOPE_LOCATION] = sizeof(struct files_conf) },
    .finish = files_finish,
};
