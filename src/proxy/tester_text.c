/*
 * Faults that show in the text of an http block, whatever its directives mean to whom: fields lost by inheritance, an
 * alias that joins paths badly, an `if` that does not do what it looks like, locations behind a `return`, maps that
 * read themselves. Levels are walked without recursion; what is said has been proved from the lines alone, and where a
 * line leaves a doubt nothing is said.
 */
#include "proxy/tester.h"

#include "base/attr.h"
#include "base/regex_proof.h"
#include "proxy/tester_priv.h"

bool text_is(const struct conf_node *n, const char *name)
{
    return slice_eq(n->name, slice_str(name));
}

slice text_arg(const struct conf_node *n, uint32_t i)
{
    return i < n->nargs ? n->args[i].text : SLICE_NONE;
}

const struct conf_node *text_child(const struct conf_node *block, const char *name)
{
    for (const struct conf_node *n = block->children; n; n = n->next) {
        if (text_is(n, name))
            return n;
    }
    return NULL;
}

slice text_place(struct conf_ctx *cf, const struct conf_node *n, const struct conf_node *from)
{
    if (n->pos.file == from->pos.file || !n->pos.file)
        return arena_printf(cf->arena, "line %u", n->pos.line);
    return arena_printf(cf->arena, "%.*s:%u", SLICE_FMT(n->pos.file->path), n->pos.line);
}

const struct conf_node *text_next(const struct conf_node *n, const struct conf_node *top)
{
    if (n->children)
        return n->children;
    while (n != top && !n->next)
        n = n->parent;
    return n == top ? NULL : n->next;
}

/* ---- fields lost by inheritance ---- */

static bool sets_field(const struct conf_node *level, const char *directive, slice field)
{
    for (const struct conf_node *n = level->children; n; n = n->next) {
        if (text_is(n, directive) && slice_ieq(text_arg(n, 0), field))
            return true;
    }
    return false;
}

/* The nearest level around that writes the directive. */
static const struct conf_node *level_around(const struct conf_node *level, const char *directive)
{
    for (const struct conf_node *l = level->parent; l; l = l->parent) {
        if (text_child(l, directive))
            return l;
    }
    return NULL;
}

/* add_header_inherit, which holds from where it is written inwards: do lines of outer levels stay? */
static bool merges(const struct conf_node *level, const char *inherit)
{
    for (const struct conf_node *l = level; l; l = l->parent) {
        const struct conf_node *n = text_child(l, inherit);
        if (n)
            return !slice_eq(text_arg(n, 0), SLICE("on"));
    }
    return false;
}

static void check_lost(struct conf_ctx *cf, const struct conf_node *level, const char *directive, const char *fix)
{
    const struct conf_node *own = text_child(level, directive), *outer = own ? level_around(level, directive) : NULL;
    for (const struct conf_node *n = outer ? outer->children : NULL; n; n = n->next) {
        if (!text_is(n, directive) || sets_field(level, directive, text_arg(n, 0)))
            continue;
        slice hint =
            arena_printf(cf->arena, "a level that has a %s of its own inherits none: \"%.*s\" of %.*s is lost here; %s",
                         directive, SLICE_FMT(text_arg(n, 0)), SLICE_FMT(text_place(cf, n, own)), fix);
        TESTER_WARN(cf, own->pos, hint, "%s drops what the level around it sets", directive);
        return;
    }
}

static void check_fields(struct conf_ctx *cf, const struct conf_node *level)
{
    if (text_child(level, "add_header") &&
        !merges(level, "add_header_inherit")) /* the first is cheap: servers are many */
        check_lost(cf, level, "add_header", "repeat it, or say \"add_header_inherit merge\"");
    if (text_child(level, "proxy_pass"))
        check_lost(cf, level, "proxy_set_header", "repeat it");
}

/* ---- alias ---- */

static bool ends_in_slash(slice s)
{
    return s.n && s.p[s.n - 1] == '/';
}

/* The path of a prefix location, or nothing. */
static slice prefix_of(const struct conf_node *location)
{
    if (location->nargs == 1 && slice_starts(text_arg(location, 0), SLICE("/")))
        return text_arg(location, 0);
    if (location->nargs == 1 && slice_starts(text_arg(location, 0), SLICE("^~")))
        return slice_from(text_arg(location, 0), 2);
    return location->nargs == 2 && slice_eq(text_arg(location, 0), SLICE("^~")) ? text_arg(location, 1) : SLICE_NONE;
}

static void check_alias(struct conf_ctx *cf, const struct conf_node *location)
{
    const struct conf_node *n = text_child(location, "alias");
    slice path = prefix_of(location), to = n ? text_arg(n, 0) : SLICE_NONE;
    if (!path.n || !to.n || slice_find(to, '$') >= 0 || ends_in_slash(path) == ends_in_slash(to))
        return;
    const char *rest = ends_in_slash(path) ? "x" : "x/y";
    slice hint = arena_printf(cf->arena, "\"%.*s%s\" is looked for at \"%.*s%s\": let both end in a slash",
                              SLICE_FMT(path), rest, SLICE_FMT(to), rest);
    TESTER_WARN(cf, n->pos, hint, "alias \"%.*s\" in location \"%.*s\" joins paths in a way that surprises",
                SLICE_FMT(to), SLICE_FMT(path));
}

/* ---- behind a return ---- */

/* The first location that is tried by path. */
static const struct conf_node *first_location(const struct conf_node *server)
{
    for (const struct conf_node *n = server->children; n; n = n->next) {
        if (text_is(n, "location") && !slice_starts(text_arg(n, 0), SLICE("@")))
            return n;
    }
    return NULL;
}

static bool redirects(const struct conf_node *n)
{
    slice to = text_arg(n, 1), flag = text_arg(n, 2);
    return slice_eq(flag, SLICE("permanent")) || slice_eq(flag, SLICE("redirect")) ||
           slice_starts(to, SLICE("http://")) || slice_starts(to, SLICE("https://")) ||
           slice_starts(to, SLICE("$scheme"));
}

/* Lines that may end the server's rules in another way, or lead somewhere else. */
static bool leads_on(const struct conf_node *n)
{
    return text_is(n, "if") || text_is(n, "break") || text_is(n, "rewrite");
}

static void check_answered(struct conf_ctx *cf, const struct conf_node *server, const struct conf_node *n)
{
    const struct conf_node *location = first_location(server);
    if (!location || text_child(server, "error_page") || text_child(server->parent, "error_page"))
        return;
    slice hint =
        arena_printf(cf->arena,
                     "the \"%.*s\" of %.*s answers every request of the server before a location is looked for; "
                     "put it into \"location / { }\"",
                     SLICE_FMT(n->name), SLICE_FMT(text_place(cf, n, location)));
    TESTER_WARN(cf, location->pos, hint, "the locations of this server are never used");
}

/* Can a request come to a location otherwise than by the path that the server's rules gave it? */
static bool other_ways(const struct conf_node *server)
{
    static const char *const ways[] = { "error_page", "try_files", "auth_request", "mirror", "internal" };
    for (const struct conf_node *n = text_next(server, server); n; n = text_next(n, server)) {
        if (text_is(n, "rewrite") && n->parent != server)
            return true;
        for (size_t i = 0; i < array_len(ways); i++) {
            if (text_is(n, ways[i]))
                return true;
        }
    }
    return text_child(server->parent, "error_page");
}

/* The path of a location that takes exactly or as a prefix what it names, or nothing. */
static slice literal_of(const struct conf_node *location, bool *exact)
{
    *exact = location->nargs == 2 && slice_eq(text_arg(location, 0), SLICE("="));
    return *exact ? text_arg(location, 1) : prefix_of(location);
}

/* `rewrite ^ /one/path last`: no other path is looked for. */
static void check_rewritten(struct conf_ctx *cf, const struct conf_node *server, const struct conf_node *n)
{
    slice to = text_arg(n, 1);
    if (!slice_starts(to, SLICE("/")) || ends_in_slash(to) || slice_find(to, '$') >= 0 || slice_find(to, '?') >= 0 ||
        slice_find(to, '%') >= 0 || other_ways(server))
        return;
    for (const struct conf_node *l = server->children; l; l = l->next) {
        bool exact;
        slice path = text_is(l, "location") ? literal_of(l, &exact) : SLICE_NONE;
        if (!path.n || (exact ? slice_eq(to, path) : slice_starts(to, path)))
            continue;
        slice hint =
            arena_printf(cf->arena,
                         "the \"rewrite\" of %.*s leads every request of the server to \"%.*s\" before a location is "
                         "looked for; put it into \"location / { }\"",
                         SLICE_FMT(text_place(cf, n, l)), SLICE_FMT(to));
        TESTER_WARN(cf, l->pos, hint, "location \"%.*s\" is never used", SLICE_FMT(path));
        return;
    }
}

/* A server's own lines run before a location is looked for. Behind a condition, a `break` or a rewrite nothing can be
 * told, and an error_page may lead to a location again. */
static void check_rules(struct conf_ctx *cf, const struct conf_node *server)
{
    const struct conf_node *n = server->children;
    while (n && !text_is(n, "return") && !leads_on(n))
        n = n->next;
    if (!n)
        return;
    if (text_is(n, "return"))
        check_answered(cf, server, n);
    else if (text_is(n, "rewrite") && regex_matches_paths(text_arg(n, 0)) && redirects(n))
        check_answered(cf, server, n);
    else if (text_is(n, "rewrite") && regex_matches_paths(text_arg(n, 0)) && n->nargs == 3)
        check_rewritten(cf, server, n);
}

/* ---- maps ---- */

/* Is `$name` or `${name}` in the text? */
static bool reads(slice text, slice name)
{
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (text.p[i] != '$')
            continue;
        slice rest = slice_from(text, i + 1);
        bool brace = slice_starts(rest, SLICE("{"));
        rest = brace ? slice_from(rest, 1) : rest;
        if (!slice_starts(rest, name))
            continue;
        char next = rest.n > name.n ? rest.p[name.n] : '\0';
        if (brace ? next == '}' : !(ascii_alpha(next) || ascii_digit(next) || next == '_'))
            return true;
    }
    return false;
}

static bool map_reads(const struct conf_node *map, slice name)
{
    if (reads(text_arg(map, 0), name))
        return true;
    for (const struct conf_node *n = map->children; n; n = n->next) {
        if (reads(text_arg(n, 0), name))
            return true;
    }
    return false;
}

enum { MAPS_MAX = 256 }; /* more than that are not looked at: every pair is compared */

/* Takes out, again and again, every map that reads none of those left; what cannot be taken out reads itself. */
static void check_maps(struct conf_ctx *cf, const struct conf_node *http)
{
    const struct conf_node *left[MAPS_MAX];
    size_t n = 0, before;
    for (const struct conf_node *m = http->children; m && n < MAPS_MAX; m = m->next) {
        if (text_is(m, "map") && m->nargs == 2 && text_arg(m, 1).n > 1)
            left[n++] = m;
    }
    do {
        before = n;
        for (size_t i = 0; i < n; i++) {
            bool waits = false;
            for (size_t j = 0; j < n && !waits; j++)
                waits = map_reads(left[i], slice_from(text_arg(left[j], 1), 1));
            if (!waits)
                left[i--] = left[--n];
        }
    } while (n && n < before);
    for (size_t i = 0; i < n; i++) {
        slice name = slice_from(text_arg(left[i], 1), 1);
        for (size_t j = 0; j < n; j++) {
            if (!map_reads(left[j], name))
                continue;
            slice hint = arena_printf(cf->arena,
                                      "\"%.*s\" of %.*s reads it: in such a circle it is empty, and the error log "
                                      "says so; let one of them read something else",
                                      SLICE_FMT(text_arg(left[j], 1)), SLICE_FMT(text_place(cf, left[j], left[i])));
            TESTER_WARN(cf, left[i]->pos, hint, "the map of \"$%.*s\" may need its own value", SLICE_FMT(name));
            break;
        }
    }
}

/* ---- all of it ---- */

static void check_level(struct conf_ctx *cf, const struct conf_node *n)
{
    check_fields(cf, n);
    if (text_is(n, "location"))
        check_alias(cf, n);
    else if (text_is(n, "if"))
        tester_if(cf, n);
    else if (text_is(n, "server"))
        check_rules(cf, n);
}

void tester_text(struct conf_ctx *cf, const struct conf_node *http)
{
    const struct conf_node *n = http->children;
    check_maps(cf, http);
    while (n) {
        bool level = text_is(n, "server") || text_is(n, "location") || text_is(n, "if") || text_is(n, "limit_except");
        if (level)
            check_level(cf, n);
        if (level && n->children) {
            n = n->children;
            continue;
        }
        while (n != http && !n->next)
            n = n->parent;
        n = n == http ? NULL : n->next;
    }
}
