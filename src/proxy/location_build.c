/*
 * From locations as they were read to locations as requests meet them: configuration, policies, who answers, and the
 * compiled structure to search them by.
 */
#include "base/attr.h"
#include "base/err.h"
#include "http/client_conf.h"
#include "http/uri.h"
#include "proxy/http_block.h"
#include "proxy/redirect.h"

/* ---- locations of our own making ---- */

/* Redirects to the path in conf (encoded), with the request's arguments. */
static enum verdict slash_select(struct exchange *x, const void *conf)
{
    slice path = *(const slice *)conf, location;
    if (x->pass.has_args && x->pass.args.n)
        path = arena_printf(&x->arena, "%.*s?%.*s", SLICE_FMT(path), SLICE_FMT(x->pass.args));
    if (!path.p || redirect_location(x, path, &location) != OK || reply_redirect(x, 301, location) != OK)
        return VERDICT_DROP;
    return VERDICT_REPLY;
}

static const struct content slash_content = { .name = "redirect to the path with a slash", .select = slash_select };

static enum verdict failed_select(struct exchange *x, const void *conf)
{
    exchange_log(x, LEVEL_ERROR, "a regular expression could not be matched against \"%.*s\"", SLICE_FMT(x->pass.uri));
    return reply_set(x, 500, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static const struct content failed_content = { .name = "failure", .select = failed_select };

static const struct policy_use no_policies[1];

/* A copy of a location where no request policies run: in nginx, what it is for happens before any would. */
static struct location *bare_copy(struct arena *a, const struct location *l, const struct content *c, const void *conf)
{
    struct location *copy = arena_new(a, struct location);
    if (!copy)
        return NULL;
    *copy = *l;
    copy->policies = no_policies;
    copy->content = c;
    copy->content_conf = conf;
    return copy;
}

/* ---- one location ---- */

static int fill(struct conf_ctx *cf, struct location_build *l, void *const *outer)
{
    struct location *loc = l->loc;
    loc->conf = l->scope->conf;
    loc->client = conf_get(loc->conf, &client_feature);
    const struct http_level *level = conf_get(loc->conf, &http_feature);
    loc->log = level->log ? level->log : &cf->gen->log;
    loc->internal = level->internal;
    loc->warns_uninitialized = level->warns_uninitialized;
    /* An inner block inherits who answers, as its own configuration says how. */
    const struct location_build *who = l->kind == LOCATION_INSIDE && !l->content ? l->parent : l;
    const struct http_main *m = http_main_of(cf);
    const struct feature *f = who->content ? who->content_feature : m ? m->fallback_feature : NULL;
    loc->content = who->content ? who->content : m ? m->fallback : NULL;
    loc->content_conf = f ? conf_get(loc->conf, f) : NULL;
    if (loc->content && loc->content->connect)
        ((struct server *)(uintptr_t)loc->server)->connect = true; /* not finished yet */
    loc->policies = loc->response_policies = loc->end_policies = no_policies;
    /* after an error nothing will run here, and what policies look at may not be finished */
    return cf->diag->errors ? OK : policies_build(cf->arena, loc, outer);
}

static struct location_entry *entry_new(struct conf_ctx *cf, const struct location *loc)
{
    struct location_entry *e = arena_new(cf->arena, struct location_entry);
    if (e)
        e->loc = loc;
    return e;
}

static int add(struct conf_ctx *cf, struct location_tree *t, struct location_build *l, struct location_entry *e)
{
    int rc = location_tree_add(cf, t, l->kind, l->path, e);
    if (rc == ERR_REFUSED)
        return conf_error(cf, l->node, 0, "duplicate location \"%.*s\"", SLICE_FMT(l->loc->name));
    return rc;
}

/* "/x" for a location "/x/" that hands requests on, unless somebody wrote a location for it. */
static int add_slash(struct conf_ctx *cf, struct location_tree *t, const struct location_build *l)
{
    slice path = slice_upto(l->path, l->path.n - 1);
    if (location_tree_has(t, path))
        return OK;
    slice *target = arena_new(cf->arena, slice);
    if (!target || !uri_escape(cf->arena, l->path, URI_ESCAPE_PATH, target))
        return ERR_NOMEM;
    struct location *loc = bare_copy(cf->arena, l->loc, &slash_content, target);
    struct location_entry *e = loc ? entry_new(cf, loc) : NULL;
    return e ? location_tree_add(cf, t, LOCATION_EXACT, path, e) : ERR_NOMEM;
}

static bool wants_slash(const struct location_build *l)
{
    return (l->kind == LOCATION_PREFIX || l->kind == LOCATION_EXACT) && l->path.n > 1 &&
           l->path.p[l->path.n - 1] == '/' && l->content && l->content->slash_redirect;
}

/* ---- a level ---- */

static int build_level(struct conf_ctx *cf, struct location_build *outer, struct location_tree **out, unsigned depth);

static int build_one(struct conf_ctx *cf, struct location_tree *t, struct location_build *l, unsigned depth)
{
    int rc = fill(cf, l, l->parent->scope->conf);
    if (l->kind == LOCATION_INSIDE)
        return rc;
    struct location_entry *e = rc == OK ? entry_new(cf, l->loc) : NULL;
    if (!e)
        return rc == OK ? ERR_NOMEM : rc;
    e->match = l->match;
    e->pattern = (struct regex_pattern){ l->path, l->icase };
    e->noregex = l->noregex;
    rc = add(cf, t, l, e);
    if (rc == OK && l->children)
        rc = build_level(cf, l, &e->nested, depth + 1);
    if (rc == OK && location_tree_empty(e->nested))
        e->nested = NULL; /* there were inner blocks only */
    return rc;
}

/* Recursion follows the nesting of blocks, which CONF_MAX_DEPTH bounds. */
static int build_level(struct conf_ctx *cf, struct location_build *outer, struct location_tree **out, unsigned depth)
{
    struct location_tree *t = location_tree_new(cf);
    int rc = t ? OK : ERR_NOMEM;
    if (rc != OK || depth > CONF_MAX_DEPTH)
        return rc;
    for (struct location_build *l = outer->children; l; l = l->next) {
        int one = build_one(cf, t, l, depth);
        if (one == ERR_NOMEM)
            return one;
        rc = one != OK ? one : rc;
    }
    for (struct location_build *l = outer->children; l && rc == OK; l = l->next) {
        if (wants_slash(l))
            rc = add_slash(cf, t, l);
    }
    if (rc == OK)
        rc = location_tree_finish(cf, t);
    *out = t;
    return rc;
}

/* Of the server level's policies those that still have to run when no location matches: the rewrite rules have run. */
static const struct policy_use *after_rewrite(struct arena *a, const struct policy_use *all)
{
    size_t n = 0, at = 0;
    while (all[n].policy)
        n++;
    struct policy_use *uses = arena_new_n(a, struct policy_use, n + 1);
    for (size_t i = 0; uses && i < n; i++) {
        if (all[i].phase != PHASE_REWRITE)
            uses[at++] = all[i];
    }
    return uses;
}

int location_build_all(struct conf_ctx *cf, struct server_build *s, const struct conf_scope *http)
{
    struct server_locations *all = arena_new(cf->arena, struct server_locations);
    if (!all)
        return ERR_NOMEM;
    int rc = fill(cf, &s->base, http->conf);
    if (rc != OK)
        return rc;
    struct location *none = bare_copy(cf->arena, s->base.loc, s->base.loc->content, s->base.loc->content_conf);
    all->failed = bare_copy(cf->arena, s->base.loc, &failed_content, NULL);
    if (!none || !all->failed)
        return ERR_NOMEM;
    none->policies = after_rewrite(cf->arena, s->base.loc->policies);
    if (!none->policies)
        return ERR_NOMEM;
    all->none = none;
    s->server->locations = all;
    return build_level(cf, &s->base, &all->tree, 0);
}
