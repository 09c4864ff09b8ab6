/*
 * The tester's part about `if`, from the text alone: a block that undoes another, that turns try_files off, a condition
 * that compares with an expression as text, and one on a variable that has no value yet.
 *
 * An `if` of a location is a configuration of its own: the last one that is taken replaces those of the others. So
 * blocks which end the matter (return, a redirect) or which cannot hold together do no harm, and nothing is said.
 */
#include "base/attr.h"
#include "proxy/tester_priv.h"

static bool is_url(slice s)
{
    return slice_starts(s, SLICE("http://")) || slice_starts(s, SLICE("https://")) || slice_starts(s, SLICE("$scheme"));
}

/* ---- what a block holds ---- */

/* The rewrite module's own lines run in their order; everything else of an `if` is configuration. */
static const struct conf_node *configuration_in(const struct conf_node *block)
{
    static const char *const program[] = { "return", "rewrite",     "set",
                                           "break",  "rewrite_log", "uninitialized_variable_warn" };
    for (const struct conf_node *n = block->children; n; n = n->next) {
        bool runs = false;
        for (size_t i = 0; i < array_len(program) && !runs; i++)
            runs = text_is(n, program[i]);
        if (!runs)
            return n;
    }
    return NULL;
}

/* May a request that takes this block be answered by it, or look for a location again? */
static bool leaves_location(const struct conf_node *block)
{
    for (const struct conf_node *n = block->children; n; n = n->next) {
        if (text_is(n, "return") || (text_is(n, "rewrite") && !slice_eq(text_arg(n, 2), SLICE("break"))))
            return true;
    }
    return false;
}

/* May it keep the lines behind it from being run? */
static bool ends_program(const struct conf_node *block)
{
    for (const struct conf_node *n = block->children; n; n = n->next) {
        if (text_is(n, "return") || text_is(n, "break") ||
            (text_is(n, "rewrite") && (n->nargs == 3 || is_url(text_arg(n, 1)))))
            return true;
    }
    return false;
}

/* ---- conditions ---- */

/* A condition without its parentheses: what is tested, and for comparisons how and with what. */
struct condition {
    slice left, op, right;
};

static slice without_end(slice s)
{
    return s.n && s.p[s.n - 1] == ')' ? slice_upto(s, s.n - 1) : s;
}

static struct condition condition_of(const struct conf_node *n)
{
    uint32_t first = slice_eq(text_arg(n, 0), SLICE("(")), last = n->nargs - 1;
    bool apart = last > first && slice_eq(text_arg(n, last), SLICE(")"));
    slice words[3] = { SLICE_NONE, SLICE_NONE, SLICE_NONE };
    for (uint32_t i = first, at = 0; i < n->nargs - apart && at < array_len(words); i++, at++) {
        words[at] = text_arg(n, i);
        if (i == 0 && slice_starts(words[at], SLICE("(")))
            words[at] = slice_from(words[at], 1);
        if (i == last && !apart)
            words[at] = without_end(words[at]);
    }
    return (struct condition){ words[0], words[1], words[2] };
}

static bool negates(slice a, slice b)
{
    return slice_starts(b, SLICE("!")) && slice_eq(a, slice_from(b, 1));
}

static bool literals_differ(slice a, slice b)
{
    return !slice_eq(a, b) && slice_find(a, '$') < 0 && slice_find(b, '$') < 0;
}

/* Can a request be told that takes both? Of one variable that is compared twice only the plain cases are known. */
static bool may_both_hold(const struct conf_node *one, const struct conf_node *other)
{
    struct condition a = condition_of(one), b = condition_of(other);
    if ((negates(a.left, b.left) || negates(b.left, a.left)) && slice_eq(a.op, b.op))
        return false; /* -f PATH and !-f PATH */
    if (!slice_eq(a.left, b.left) || !slice_starts(a.left, SLICE("$")))
        return true;
    if (slice_eq(a.op, b.op) && slice_eq(a.right, b.right))
        return true;
    bool a_not = slice_eq(a.op, SLICE("!=")), b_not = slice_eq(b.op, SLICE("!="));
    bool a_is = slice_eq(a.op, SLICE("=")), b_is = slice_eq(b.op, SLICE("="));
    return ((a_not && b_not) || (a_not && b_is) || (a_is && b_not)) && literals_differ(a.right, b.right);
}

/* "=" compares text: an expression on its right side was meant for "~". */
static void check_comparison(struct conf_ctx *cf, const struct conf_node *n)
{
    struct condition c = condition_of(n);
    if (c.right.n < 2 || (!slice_eq(c.op, SLICE("=")) && !slice_eq(c.op, SLICE("!="))))
        return;
    bool anchored = c.right.p[0] == '^' || c.right.p[c.right.n - 1] == '$';
    if (slice_find(c.right, '|') < 0 && !anchored)
        return;
    TESTER_WARN(cf, n->pos, SLICE("\"=\" and \"!=\" compare text, \"~\" and \"!~\" match an expression"),
                "the condition compares with the text \"%.*s\"", SLICE_FMT(c.right));
}

/* ---- a variable without a value ---- */

/* Is it one that `set` alone gives values to? A name in an expression's group (?<name>...) may be another way. */
static bool by_set_alone(struct conf_ctx *cf, const struct conf_node *http, slice name)
{
    for (const struct conf_node *n = text_next(http, http); n; n = text_next(n, http)) {
        for (uint32_t i = 0; i < n->nargs; i++) {
            slice s = text_arg(n, i);
            for (ptrdiff_t at; (at = slice_find(s, '<')) >= 0;) {
                s = slice_from(s, (size_t)at + 1);
                if (s.n > name.n && s.p[name.n] == '>' && slice_ieq(slice_upto(s, name.n), name))
                    return false;
            }
        }
    }
    for (const struct var *v = cf->first_var; v; v = v->next) {
        if (slice_ieq(v->name, name))
            return v->by_set && !v->def;
    }
    return false;
}

static bool stands_in(const struct conf_node *n, const struct conf_node *block)
{
    while (n && n != block)
        n = n->parent;
    return n;
}

/* Where the variable of a condition gets its values, seen from the condition. */
struct setters {
    const struct conf_node *behind; /* the first one, when all of them stand behind the `if` at its level */
    bool any, elsewhere;
};

static struct setters find_setters(const struct conf_node *server, const struct conf_node *condition, slice name)
{
    struct setters s = { .any = false };
    bool seen = false;
    for (const struct conf_node *n = text_next(server, server); n; n = text_next(n, server)) {
        seen |= n == condition;
        slice to = text_arg(n, 0);
        if (text_is(n, "if") || to.n < 2 || to.p[0] != '$' || !slice_ieq(slice_from(to, 1), name))
            continue;
        const struct conf_node *level = text_is(n->parent, "if") ? n->parent->parent : n->parent;
        bool behind = seen && level == condition->parent && !stands_in(n, condition);
        s.elsewhere |= !behind;
        if (behind && !s.behind)
            s.behind = n;
        s.any = true;
    }
    return s;
}

/* A file that several servers include may well ask for what only some of them set. */
static void check_unset(struct conf_ctx *cf, const struct conf_node *n)
{
    struct condition c = condition_of(n);
    const struct conf_node *server = n->parent;
    while (server && !text_is(server, "server"))
        server = server->parent;
    if (!server || c.left.n < 2 || c.left.p[0] != '$' || n->pos.file != server->pos.file)
        return;
    slice name = slice_from(c.left, 1);
    struct setters s = find_setters(server, n, name);
    if ((s.any && (s.elsewhere || !s.behind)) || !by_set_alone(cf, server->parent, name))
        return;
    slice hint = s.any ? arena_printf(cf->arena, "\"set\" stands behind it, in %.*s, and lines run in their order",
                                      SLICE_FMT(text_place(cf, s.behind, n)))
                       : SLICE("another server sets it, and nothing passes from one server to another; set it here");
    TESTER_WARN(cf, n->pos, hint, "the condition looks at \"$%.*s\", which is still empty", SLICE_FMT(name));
}

/* ---- blocks that take from others ---- */

/* Once an `if` is taken its configuration is the request's: that of an earlier one is gone. */
static void check_two(struct conf_ctx *cf, const struct conf_node *location, const struct conf_node *later)
{
    for (const struct conf_node *n = location->children; n != later; n = n->next) {
        const struct conf_node *lost = text_is(n, "if") ? configuration_in(n) : NULL;
        if (!lost || ends_program(n) || !may_both_hold(n, later))
            continue;
        slice hint =
            arena_printf(cf->arena,
                         "when both conditions hold, the \"%.*s\" of %.*s has no effect: the last \"if\" that is "
                         "taken replaces the configuration of the others; set a variable, or use \"map\"",
                         SLICE_FMT(lost->name), SLICE_FMT(text_place(cf, lost, later)));
        TESTER_WARN(cf, later->pos, hint, "this \"if\" undoes the one in %.*s", SLICE_FMT(text_place(cf, n, later)));
        return;
    }
}

void tester_if(struct conf_ctx *cf, const struct conf_node *n)
{
    const struct conf_node *location = n->parent;
    check_comparison(cf, n);
    check_unset(cf, n);
    if (!configuration_in(n) || !text_is(location, "location"))
        return;
    const struct conf_node *tried = text_child(location, "try_files");
    if (tried && !leaves_location(n))
        TESTER_WARN(cf, n->pos,
                    arena_printf(cf->arena,
                                 "inside it the location's try_files of %.*s does not run; keep to return, rewrite "
                                 "and set inside \"if\"",
                                 SLICE_FMT(text_place(cf, tried, n))),
                    "this \"if\" turns try_files off");
    check_two(cf, location, n);
}
