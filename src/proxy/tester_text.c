/*
 * Faults that show in the text of an http block, whatever its directives mean to whom: fields lost by inheritance, an
 * alias that joins paths badly, an `if` that does not do what it looks like, locations behind a `return`, maps that
 * read themselves. Levels are walked without recursion; what is said has been proved from the lines alone, and where a
 * line leaves a doubt nothing is said.
 */
#include "proxy/tester.h"

#include "base/attr.h"

#define WARN(cf, pos, hint, ...) conf_diag_add((cf)->diag, CONF_WARN, (pos), (hint), __VA_ARGS__)

static bool is(const struct conf_node *n, const char *name)
{
    return slice_eq(n->name, slice_str(name));
}

static slice arg(const struct conf_node *n, uint32_t i)
{
    return i < n->nargs ? n->args[i].text : SLICE_NONE;
}

static const struct conf_node *child(const struct conf_node *level, const char *name)
{
    for (const struct conf_node *n = level->children; n; n = n->next) {
        if (is(n, name))
            return n;
    }
    return NULL;
}

/* ---- fields lost by inheritance ---- */

static bool sets_field(const struct conf_node *level, const char *directive, slice field)
{
    for (const struct conf_node *n = level->children; n; n = n->next) {
        if (is(n, directive) && slice_ieq(arg(n, 0), field))
            return true;
    }
    return false;
}

/* The nearest level around that writes the directive. */
static const struct conf_node *level_around(const struct conf_node *level, const char *directive)
{
    for (const struct conf_node *l = level->parent; l; l = l->parent) {
        if (child(l, directive))
            return l;
    }
    return NULL;
}

/* add_header_inherit, which holds from where it is written inwards: do lines of outer levels stay? */
static bool merges(const struct conf_node *level, const char *inherit)
{
    for (const struct conf_node *l = level; l; l = l->parent) {
        const struct conf_node *n = child(l, inherit);
        if (n)
            return !slice_eq(arg(n, 0), SLICE("on"));
    }
    return false;
}

static void check_lost(struct conf_ctx *cf, const struct conf_node *level, const char *directive, const char *fix)
{
    const struct conf_node *own = child(level, directive), *outer = own ? level_around(level, directive) : NULL;
    for (const struct conf_node *n = outer ? outer->children : NULL; n; n = n->next) {
        if (!is(n, directive) || sets_field(level, directive, arg(n, 0)))
            continue;
        slice hint = arena_printf(
            cf->arena, "a level that has a %s of its own inherits none: \"%.*s\" of line %u is lost here; %s",
            directive, SLICE_FMT(arg(n, 0)), n->pos.line, fix);
        WARN(cf, own->pos, hint, "%s drops what the level around it sets", directive);
        return;
    }
}

static void check_fields(struct conf_ctx *cf, const struct conf_node *level)
{
    if (!merges(level, "add_header_inherit"))
        check_lost(cf, level, "add_header", "repeat it, or say \"add_header_inherit merge\"");
    if (child(level, "proxy_pass"))
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
    if (location->nargs == 1 && slice_starts(arg(location, 0), SLICE("/")))
        return arg(location, 0);
    return location->nargs == 2 && slice_eq(arg(location, 0), SLICE("^~")) ? arg(location, 1) : SLICE_NONE;
}

static void check_alias(struct conf_ctx *cf, const struct conf_node *location)
{
    const struct conf_node *n = child(location, "alias");
    slice path = prefix_of(location), to = n ? arg(n, 0) : SLICE_NONE;
    if (!path.n || !to.n || slice_find(to, '$') >= 0 || ends_in_slash(path) == ends_in_slash(to))
        return;
    const char *rest = ends_in_slash(path) ? "x" : "x/y";
    slice hint = arena_printf(cf->arena, "\"%.*s%s\" is looked for at \"%.*s%s\": let both end in a slash",
                              SLICE_FMT(path), rest, SLICE_FMT(to), rest);
    WARN(cf, n->pos, hint, "alias \"%.*s\" in location \"%.*s\" joins paths in a way that surprises", SLICE_FMT(to),
         SLICE_FMT(path));
}

/* ---- if ---- */

/* The rewrite module's own lines run in their order; everything else of an `if` is configuration. */
static const struct conf_node *configuration_in(const struct conf_node *block)
{
    static const char *const program[] = { "return", "rewrite",     "set",
                                           "break",  "rewrite_log", "uninitialized_variable_warn" };
    for (const struct conf_node *n = block->children; n; n = n->next) {
        bool runs = false;
        for (size_t i = 0; i < array_len(program) && !runs; i++)
            runs = is(n, program[i]);
        if (!runs)
            return n;
    }
    return NULL;
}

/* The value of `($variable OP VALUE)`, the parenthesis taken off; it may stand by itself behind a quoted one. */
static slice compared(const struct conf_node *n)
{
    slice value = arg(n, 2);
    if (n->nargs == 3 && value.n && value.p[value.n - 1] == ')')
        return slice_upto(value, value.n - 1);
    return n->nargs == 4 && slice_eq(arg(n, 3), SLICE(")")) ? value : SLICE_NONE;
}

/* `if ($v = a)` and `if ($v = b)` are never both true. */
static bool exclude_each_other(const struct conf_node *a, const struct conf_node *b)
{
    slice x = compared(a), y = compared(b);
    return x.p && y.p && slice_eq(arg(a, 0), arg(b, 0)) && slice_eq(arg(a, 1), SLICE("=")) &&
           slice_eq(arg(b, 1), SLICE("=")) && !slice_eq(x, y) && slice_find(x, '$') < 0 && slice_find(y, '$') < 0;
}

/* Once an `if` is taken its configuration is the request's: that of an earlier one is gone. */
static void check_two_ifs(struct conf_ctx *cf, const struct conf_node *location, const struct conf_node *later)
{
    for (const struct conf_node *n = location->children; n != later; n = n->next) {
        const struct conf_node *lost = is(n, "if") ? configuration_in(n) : NULL;
        if (!lost || exclude_each_other(n, later))
            continue;
        slice hint =
            arena_printf(cf->arena,
                         "when both conditions hold, the \"%.*s\" of line %u has no effect: the last \"if\" that "
                         "is taken replaces the configuration of the others; set a variable, or use \"map\"",
                         SLICE_FMT(lost->name), lost->pos.line);
        WARN(cf, later->pos, hint, "this \"if\" undoes the one in line %u", n->pos.line);
        return;
    }
}

/* "=" compares text: an expression on its right side was meant for "~". */
static void check_comparison(struct conf_ctx *cf, const struct conf_node *n)
{
    slice op = arg(n, 1), value = compared(n);
    if (value.n < 2 || (!slice_eq(op, SLICE("=")) && !slice_eq(op, SLICE("!="))))
        return;
    bool anchored = value.p[0] == '^' || value.p[value.n - 1] == '$';
    if (slice_find(value, '|') < 0 && !anchored)
        return;
    WARN(cf, n->pos, SLICE("\"=\" and \"!=\" compare text, \"~\" and \"!~\" match an expression"),
         "the condition compares with the text \"%.*s\"", SLICE_FMT(value));
}

static void check_if(struct conf_ctx *cf, const struct conf_node *n)
{
    const struct conf_node *location = n->parent, *lines = configuration_in(n);
    check_comparison(cf, n);
    if (!lines || !is(location, "location"))
        return;
    const struct conf_node *tried = child(location, "try_files");
    if (tried && !child(n, "return"))
        WARN(cf, n->pos,
             arena_printf(cf->arena, "inside it the location's try_files of line %u does not run", tried->pos.line),
             "this \"if\" turns try_files off");
    check_two_ifs(cf, location, n);
}

/* ---- behind a return ---- */

/* The first location that is tried by path. */
static const struct conf_node *first_location(const struct conf_node *server)
{
    for (const struct conf_node *n = server->children; n; n = n->next) {
        if (is(n, "location") && !slice_starts(arg(n, 0), SLICE("@")))
            return n;
    }
    return NULL;
}

/* A server's own lines run before a location is looked for. Behind a condition, a `break` or a rewrite nothing can be
 * told, and an error_page may lead to a location again. */
static void check_return(struct conf_ctx *cf, const struct conf_node *server)
{
    const struct conf_node *location = first_location(server), *n = server->children;
    while (n && !is(n, "return") && !is(n, "if") && !is(n, "break") && !is(n, "rewrite"))
        n = n->next;
    if (!location || !n || !is(n, "return") || child(server, "error_page"))
        return;
    slice hint =
        arena_printf(cf->arena,
                     "the \"return\" of line %u answers every request of the server before a location is looked "
                     "for; put it into \"location / { }\"",
                     n->pos.line);
    WARN(cf, location->pos, hint, "the locations of this server are never used");
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
    if (reads(arg(map, 0), name))
        return true;
    for (const struct conf_node *n = map->children; n; n = n->next) {
        if (reads(arg(n, 0), name))
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
        if (is(m, "map") && m->nargs == 2 && arg(m, 1).n > 1)
            left[n++] = m;
    }
    do {
        before = n;
        for (size_t i = 0; i < n; i++) {
            bool waits = false;
            for (size_t j = 0; j < n && !waits; j++)
                waits = map_reads(left[i], slice_from(arg(left[j], 1), 1));
            if (!waits)
                left[i--] = left[--n];
        }
    } while (n && n < before);
    for (size_t i = 0; i < n; i++) {
        slice name = slice_from(arg(left[i], 1), 1);
        for (size_t j = 0; j < n; j++) {
            if (!map_reads(left[j], name))
                continue;
            slice hint = arena_printf(cf->arena, "\"%.*s\" of line %u reads it; such a request is answered by an error",
                                      SLICE_FMT(arg(left[j], 1)), left[j]->pos.line);
            WARN(cf, left[i]->pos, hint, "the map of \"$%.*s\" may need its own value", SLICE_FMT(name));
            break;
        }
    }
}

/* ---- all of it ---- */

static void check_level(struct conf_ctx *cf, const struct conf_node *n)
{
    check_fields(cf, n);
    if (is(n, "location"))
        check_alias(cf, n);
    else if (is(n, "if"))
        check_if(cf, n);
    else if (is(n, "server"))
        check_return(cf, n);
}

void tester_text(struct conf_ctx *cf, const struct conf_node *http)
{
    const struct conf_node *n = http->children;
    check_maps(cf, http);
    while (n) {
        bool level = is(n, "server") || is(n, "location") || is(n, "if") || is(n, "limit_except");
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
