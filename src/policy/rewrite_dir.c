/*
 * The directives of the rewrite module: reading them into programs. Names, contexts and messages are nginx's.
 */
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "policy/rewrite.h"
#include "policy/rewrite_program.h"

/* ---- programs ---- */

static struct rewrite_main *main_of(struct conf_ctx *cf)
{
    return conf_scope_own(cf, cf->scope[SCOPE_MAIN], &rewrite_feature);
}

/* The program that a line goes into: inside an `if` that of the level around it. */
static struct program *program_of(struct conf_ctx *cf, struct rewrite *level)
{
    struct rewrite_main *m = main_of(cf);
    if (!m || m->around)
        return m ? m->around : NULL;
    if (!level->program) {
        struct program *p = arena_new(cf->arena, struct program);
        if (!p)
            return NULL;
        p->end = &p->first;
        level->program = p;
    }
    return level->program;
}

static struct op *add_op(struct conf_ctx *cf, const struct conf_node *node, struct rewrite *level, enum op_kind kind)
{
    struct program *p = program_of(cf, level);
    struct op *op = p ? arena_new(cf->arena, struct op) : NULL;
    if (!op)
        return NULL;
    op->kind = kind;
    op->pos = node->pos;
    *p->end = op;
    p->end = &op->next;
    return op;
}

/* ---- set, return, break ---- */

static int set_set(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    slice name = node->args[0].text;
    if (name.n < 2 || name.p[0] != '$')
        return conf_error(cf, node, 0, "invalid variable name \"%.*s\"", SLICE_FMT(name));
    struct op *op = add_op(cf, node, conf, OP_SET);
    if (!op)
        return ERR_NOMEM;
    int rc = template_compile(cf, &node->args[1], &op->value);
    if (rc != OK)
        return rc;
    size_t errors = cf->diag->errors;
    op->var = var_declare(cf, slice_from(name, 1), &node->args[0]);
    if (!op->var)
        return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
    op->var->by_set = true;
    return var_derives(cf, op->var, &op->value);
}

static bool is_url(slice s)
{
    return slice_starts(s, SLICE("http://")) || slice_starts(s, SLICE("https://")) || slice_starts(s, SLICE("$scheme"));
}

static int set_return(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    uint64_t status = 302;
    slice first = node->args[0].text;
    bool url = slice_to_u64(first, &status) != OK;
    if ((url && (node->nargs == 2 || !is_url(first))) || (!url && (status < 200 || status > 999)))
        return conf_error(cf, node, 0, "invalid return code \"%.*s\"", SLICE_FMT(first));
    struct op *op = add_op(cf, node, conf, OP_RETURN);
    if (!op)
        return ERR_NOMEM;
    op->status = (uint16_t)status;
    op->text = url || (node->nargs == 2 && node->args[1].text.n);
    return op->text ? template_compile(cf, &node->args[node->nargs - 1], &op->value) : OK;
}

static int set_break(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return add_op(cf, node, conf, OP_BREAK) ? OK : ERR_NOMEM;
}

/* ---- rewrite ---- */

static int parse_flag(struct conf_ctx *cf, const struct conf_node *node, struct replacement *r)
{
    slice flag = node->nargs == 3 ? node->args[2].text : SLICE_NONE;
    if (is_url(node->args[1].text))
        r->redirect = 302;
    if (slice_eq(flag, SLICE("break")))
        r->stop = true;
    else if (slice_eq(flag, SLICE("redirect")))
        r->redirect = 302;
    else if (slice_eq(flag, SLICE("permanent")))
        r->redirect = 301;
    else if (node->nargs == 3 && !slice_eq(flag, SLICE("last")))
        return conf_error(cf, node, 2, "invalid parameter \"%.*s\"", SLICE_FMT(flag));
    r->last = node->nargs == 3 || r->redirect;
    return OK;
}

/* A last '?' drops the request's arguments; the first one divides the path from arguments, but not of a redirect. */
static int parse_replacement(struct conf_ctx *cf, const struct conf_node *node, struct replacement *r)
{
    struct conf_arg value = node->args[1], args = value;
    r->keep_args = value.text.p[value.text.n - 1] != '?';
    if (!r->keep_args)
        value.text = slice_upto(value.text, value.text.n - 1);
    if (r->redirect)
        r->has_args = slice_find(value.text, '?') >= 0;
    else
        r->has_args = slice_cut(value.text, '?', &value.text, &args.text);
    int rc = template_compile(cf, &value, &r->value);
    return rc == OK && r->has_args && !r->redirect ? template_compile(cf, &args, &r->args) : rc;
}

static int set_rewrite(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    if (!node->args[1].text.n)
        return conf_error(cf, node, 1, "empty replacement");
    struct replacement *r = arena_new(cf->arena, struct replacement);
    struct op *op = r ? add_op(cf, node, conf, OP_REWRITE) : NULL;
    if (!op)
        return ERR_NOMEM;
    op->replacement = r;
    r->source = node->args[0].text;
    int rc = match_compile(cf, node, 0, r->source, false, &r->match);
    if (rc == OK)
        rc = parse_flag(cf, node, r);
    return rc == OK ? parse_replacement(cf, node, r) : rc;
}

/* ---- if ---- */

static int set_if(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    bool server = cf->context == CONF_SERVER || cf->context == CONF_FORWARD;
    enum conf_context outer = cf->context;
    struct rewrite_main *m = main_of(cf);
    struct test *t = arena_new(cf->arena, struct test);
    struct op *op = m && t ? add_op(cf, node, conf, OP_IF) : NULL;
    if (!op)
        return ERR_NOMEM;
    op->test = t;
    int rc = test_parse(cf, node, t);
    if (rc == ERR_NOMEM)
        return rc;
    struct location *inside = conf_inside_enter(cf, node);
    if (!inside)
        return ERR_NOMEM;
    op->inside = server ? NULL : inside;
    m->around = ((struct rewrite *)conf)->program;
    int block = conf_apply(cf, node, server ? CONF_SERVER_IF : CONF_LOCATION_IF);
    op->otherwise = m->around->end;
    m->around = NULL;
    conf_inside_leave(cf);
    cf->context = outer;
    return rc != OK ? rc : block;
}

#define RULES (CONF_SERVER | CONF_SERVER_IF | CONF_LOCATION | CONF_LOCATION_IF)

static const struct directive directives[] = {
    {
        .name = "rewrite",
        .contexts = RULES,
        .min_args = 2,
        .max_args = 3,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_rewrite,
        .usage = "rewrite REGEX REPLACEMENT [last | break | redirect | permanent];",
        .doc =
            "When REGEX matches the decoded path of the request, REPLACEMENT, in which $1 to $9 are its groups, takes "
            "its place. Behind a '?' in it stand arguments; those of the request are appended unless it ends in '?'. "
            "Without a flag the following lines run on with the new path. last: no further lines of this level run, "
            "and the location is looked for again, at most ten times. break: no further lines run, and the location "
            "stays. redirect (302) and permanent (301) send the client to REPLACEMENT; so does one that begins with "
            "http://, https:// or $scheme (302).",
    },
    {
        .name = "if",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_BLOCK,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_if,
        .usage = "if (CONDITION) { ... }",
        .doc = "The lines of the block run if the condition holds: $VARIABLE (not empty and not 0), $VARIABLE = or != "
               "VALUE, $VARIABLE ~, ~*, !~ or !~* REGEX, -f, -d, -e, -x or !-f ... PATH (a file, a directory, either, "
               "something executable, in a directory that some root or alias names, and as disable_symlinks lets it be "
               "reached). In a location the block is a configuration of its own, which inherits from the "
               "location, also who answers. The last `if` that holds gives the request its configuration, and what "
               "other blocks say besides rewrite lines is then without effect.",
    },
    {
        .name = "set",
        .contexts = RULES,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_set,
        .usage = "set $VARIABLE VALUE;",
        .doc =
            "Assigns a value, which may hold variables, to a variable. $args may be assigned too: it then is what goes "
            "out as the query.",
    },
    {
        .name = "return",
        .contexts = RULES,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_return,
        .usage = "return CODE [TEXT];   return CODE URL;   return URL;",
        .doc =
            "Ends processing and answers. 301, 302, 303, 307 and 308 redirect to URL (a path is made absolute, see "
            "absolute_redirect); URL alone means 302; 444 closes the connection without an answer. Other codes answer "
            "TEXT with the type that the path has by types and default_type.",
    },
    {
        .name = "break",
        .contexts = RULES,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_break,
        .usage = "break;",
        .doc = "The following lines of the rewrite module at this level are not run.",
    },
    {
        .name = "rewrite_log",
        .contexts = CONF_HTTP | RULES,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct rewrite, log),
        .def = "off",
        .usage = "rewrite_log on | off;",
        .doc = "Whether matches and results of rewrite and if go to the error log, at level notice. In an if it has no "
               "effect.",
    },
};

struct feature rewrite_feature = {
    .name = "rewrite",
    .forward = true,
    .doc = "Changing the URI, choosing by condition, assigning variables, answering at once.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct rewrite_main), [SCOPE_LOCATION] = sizeof(struct rewrite) },
};
