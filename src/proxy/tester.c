/*
 * The tester: faults of a configuration that starts, and does not do what it looks like.
 *
 * Runs when the http block has been built, where files are at hand (-t, start, reload). What it says it has proved from
 * the finished structures and from the text; each warning names the reason and the fix. --strict makes them errors.
 */
#include "proxy/tester.h"

#include "base/attr.h"
#include "base/regex_proof.h"
#include "conf/bundle.h"
#include "proxy/proxy.h"
#include "proxy/upstream_conf.h"

#define WARN(cf, pos, hint, ...) conf_diag_add((cf)->diag, CONF_WARN, (pos), (hint), __VA_ARGS__)

/* ---- locations that can never match ---- */

static bool same_expression(const struct location_build *a, const struct location_build *b)
{
    return slice_eq(a->path, b->path) && slice_eq(a->node->args[0].text, b->node->args[0].text);
}

/* Is there a longer prefix than p that some path beginning with `literal` has? Then p does not catch them all. */
static bool longer_prefix(const struct location_build *level, const struct location_build *p, slice literal)
{
    for (const struct location_build *q = level->children; q; q = q->next) {
        if ((q->kind == LOCATION_PREFIX || q->kind == LOCATION_EXACT) && q->path.n > p->path.n &&
            (slice_starts(q->path, literal) || slice_starts(literal, q->path)))
            return true;
    }
    return false;
}

static bool has_letter(slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (ascii_alpha(s.p[i]))
            return true;
    }
    return false;
}

/* A ^~ location that catches every path that the expression could match. */
static const struct location_build *caught_by(const struct location_build *level, const struct location_build *l)
{
    slice literal = regex_literal_prefix(l->path);
    if (l->icase && has_letter(literal))
        return NULL; /* it also matches what begins with /STATIC/, and ^~ /static/ does not catch that */
    for (const struct location_build *p = level->children; p && literal.n; p = p->next) {
        if (p->kind == LOCATION_PREFIX && p->noregex && slice_starts(literal, p->path) &&
            !longer_prefix(level, p, literal))
            return p;
    }
    return NULL;
}

static void check_expression(struct conf_ctx *cf, const struct location_build *level, const struct location_build *l)
{
    struct conf_pos pos = l->node->pos;
    slice name = l->path;
    if (!regex_may_begin(l->match.regex, '/')) {
        WARN(cf, pos, SLICE("a path begins with \"/\"; scheme and host are not part of it"),
             "location \"%.*s\" can never match", SLICE_FMT(name));
        return;
    }
    for (const struct location_build *e = level->children; e != l; e = e->next) {
        if (e->kind != LOCATION_REGEX || !(same_expression(e, l) || regex_matches_paths(e->path)))
            continue;
        slice hint = arena_printf(cf->arena, "\"%.*s\" in line %u is tried first and matches what it would",
                                  SLICE_FMT(e->path), e->node->pos.line);
        WARN(cf, pos, hint, "location \"%.*s\" can never match", SLICE_FMT(name));
        return;
    }
    const struct location_build *p = caught_by(level, l);
    if (!p)
        return;
    slice hint = arena_printf(cf->arena, "\"^~ %.*s\" in line %u keeps regular expressions from being tried",
                              SLICE_FMT(p->path), p->node->pos.line);
    WARN(cf, pos, hint, "location \"%.*s\" can never match", SLICE_FMT(name));
}

/* A prefix loses against an expression that matches every path. */
static void check_prefix(struct conf_ctx *cf, const struct location_build *level, const struct location_build *l)
{
    if (l->noregex || l->children)
        return;
    for (const struct location_build *e = level->children; e; e = e->next) {
        if (e->kind != LOCATION_REGEX || !regex_matches_paths(e->path))
            continue;
        slice hint = arena_printf(cf->arena,
                                  "\"~ %.*s\" in line %u matches every path, and an expression wins over a prefix; "
                                  "write \"location ^~ %.*s\"",
                                  SLICE_FMT(e->path), e->node->pos.line, SLICE_FMT(l->path));
        WARN(cf, l->node->pos, hint, "location \"%.*s\" is never used", SLICE_FMT(l->path));
        return;
    }
}

/* ---- proxy_pass ---- */

static const struct proxy_conf *proxy_of(const struct location_build *l)
{
    return l->content == &proxy_content ? conf_get(l->scope->conf, &proxy_feature) : NULL;
}

static bool ends_in_slash(slice s)
{
    return s.n && s.p[s.n - 1] == '/';
}

/* The URI part replaces the location's prefix as text: one slash more or less shows in every target. */
static void check_slashes(struct conf_ctx *cf, const struct location_build *l, const struct proxy_conf *c)
{
    if (c->dynamic || !c->has_uri || l->kind != LOCATION_PREFIX || slice_find(c->uri, '?') >= 0 ||
        ends_in_slash(l->path) == ends_in_slash(c->uri))
        return;
    const char *slash = ends_in_slash(l->path) ? "" : "/";
    slice hint = arena_printf(cf->arena, "\"%.*s%sx\" is passed on as \"%.*s%sx\": let both end in a slash, or none",
                              SLICE_FMT(l->path), slash, SLICE_FMT(c->uri), slash);
    WARN(cf, c->node->pos, hint, "proxy_pass with \"%.*s\" in location \"%.*s\" joins paths in a way that surprises",
         SLICE_FMT(c->uri), SLICE_FMT(l->path));
}

static bool names_variable(const struct template *t, slice name)
{
    for (uint32_t i = 0; i < t->nparts; i++) {
        if (t->parts[i].var && slice_eq(t->parts[i].var->name, name))
            return true;
    }
    return false;
}

/* In an absolute request the host of the target counts, and the Host field may say something else. */
static void check_http_host(struct conf_ctx *cf, const struct proxy_conf *c)
{
    if (c->client_chosen && names_variable(&c->target, SLICE("http_host")))
        WARN(cf, c->node->pos, SLICE("the field is what the client wrote, whatever host its request is for; use $host"),
             "$http_host decides where \"%.*s\" leads", SLICE_FMT(c->pass));
}

/* ---- loops ---- */

static bool same_place(const struct addr *listening, const struct addr *peer)
{
    if (listening->sa.sa_family == AF_UNIX || peer->sa.sa_family == AF_UNIX)
        return addr_eq(listening, peer);
    if (addr_port(listening) != addr_port(peer))
        return false;
    return addr_eq(listening, peer) || (addr_is_any(listening) && addr_is_loopback(peer));
}

/* Does only this server listen there? Then whatever arrives there is its own. */
static bool alone_at(const struct http_main *m, const struct server_build *own, slice key)
{
    for (const struct server_build *s = m->servers; s; s = s->next) {
        for (const struct listen_line *l = s->listens; s != own && l; l = l->next) {
            if (slice_eq(l->key, key))
                return false;
        }
    }
    return true;
}

/* Would the passed request be found by the same location again? */
static bool comes_back(const struct location_build *l, const struct proxy_conf *c)
{
    return !c->has_uri || (l->kind == LOCATION_PREFIX && slice_starts(c->uri, l->path) && !l->children);
}

static void check_loop(struct conf_ctx *cf, const struct http_main *m, const struct server_build *s,
                       const struct location_build *l, const struct proxy_conf *c)
{
    if (c->dynamic || !c->upstream || !comes_back(l, c))
        return;
    for (uint32_t i = 0; i < c->upstream->primary.n; i++) {
        const struct peer *p = &c->upstream->primary.peers[i];
        for (const struct listen_line *line = s->listens; line; line = line->next) {
            if (!same_place(&line->addr, &p->addr) || !alone_at(m, s, line->key))
                continue;
            slice hint = arena_printf(cf->arena, "the server listens on %.*s itself, and finds this location again",
                                      SLICE_FMT(line->key));
            WARN(cf, c->node->pos, hint, "proxy_pass to %.*s is a loop", SLICE_FMT(p->text));
            return;
        }
    }
}

/* ---- upstreams ---- */

struct use {
    struct map used; /* upstreams that some proxy_pass names, by name */
    bool dynamic;    /* some proxy_pass finds its upstream when requests run: nothing can be said */
};

static void note_use(struct use *u, const struct proxy_conf *c)
{
    u->dynamic |= c->dynamic;
    if (!c->dynamic && c->upstream)
        map_put(&u->used, c->upstream->name, (void *)c->upstream);
}

static void check_unused(struct conf_ctx *cf, const struct use *u)
{
    const struct schema *s = cf->schema;
    if (u->dynamic || upstream_feature.id >= s->nfeatures || s->features[upstream_feature.id] != &upstream_feature)
        return;
    for (const struct upstream *up = upstream_blocks(cf); up; up = up->next) {
        if (!map_get(&u->used, up->name))
            WARN(cf, up->pos, SLICE("no proxy_pass names it: take it out, or look for a name that was written wrongly"),
                 "upstream \"%.*s\" is used by nobody", SLICE_FMT(up->name));
    }
}

/* ---- all of it ---- */

static void check_location(struct conf_ctx *cf, const struct http_main *m, const struct server_build *s,
                           const struct location_build *l, struct use *use)
{
    const struct proxy_conf *c = proxy_of(l);
    use->dynamic |= l->content && l->content->connect; /* a tunnel's target is found when requests run */
    if (l->parent && l->kind == LOCATION_REGEX)
        check_expression(cf, l->parent, l);
    if (l->parent && l->kind == LOCATION_PREFIX)
        check_prefix(cf, l->parent, l);
    if (!c)
        return;
    note_use(use, c);
    check_slashes(cf, l, c);
    check_http_host(cf, c);
    check_loop(cf, m, s, l, c);
    tester_clear_pass(cf, c);
}

/* The tree of locations, without recursion. */
static void check_server(struct conf_ctx *cf, const struct http_main *m, const struct server_build *s, struct use *use)
{
    const struct location_build *l = &s->base;
    while (l) {
        check_location(cf, m, s, l, use);
        if (l->children) {
            l = l->children;
            continue;
        }
        while (l != &s->base && !l->next)
            l = l->parent;
        l = l == &s->base ? NULL : l->next;
    }
}

void tester_run(struct conf_ctx *cf, const struct http_main *m, const struct conf_node *http)
{
    struct use use = { .dynamic = false };
    if (bundle_closed(cf->bundle))
        return; /* the engine: it was all said when the bundle was filled */
    map_init(&use.used, false);
    for (const struct server_build *s = m->servers; s; s = s->next)
        check_server(cf, m, s, &use);
    check_unused(cf, &use);
    map_done(&use.used);
    tester_twins(cf, m);
    tester_text(cf, http);
}
