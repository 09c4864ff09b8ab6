/*
 * The condition of an `if`, as nginx reads it: arguments of the directive, the first one with the '(' in front and the
 * last one with the ')' behind.
 */
#include "base/err.h"
#include "policy/rewrite_program.h"

/* The arguments with the parentheses taken off, from `cur` to `last`. What they say in messages is what nginx says. */
struct condition {
    struct conf_arg *arg;
    int cur, last;
};

static int invalid(struct conf_ctx *cf, const struct conf_node *node, const struct condition *c, int arg)
{
    return conf_error(cf, node, arg, "invalid condition \"%.*s\"", SLICE_FMT(c->arg[arg].text));
}

static int cut(struct conf_ctx *cf, const struct conf_node *node, struct condition *c)
{
    c->last = (int)node->nargs - 1;
    c->arg = arena_new_n(cf->arena, struct conf_arg, node->nargs);
    if (!c->arg)
        return ERR_NOMEM;
    memcpy(c->arg, node->args, node->nargs * sizeof(*c->arg));
    slice *first = &c->arg[0].text, *end = &c->arg[c->last].text;
    if (!slice_starts(*first, SLICE("(")))
        return invalid(cf, node, c, 0);
    if (first->n == 1)
        c->cur = 1;
    else
        *first = slice_from(*first, 1);
    if (!end->n || end->p[end->n - 1] != ')')
        return invalid(cf, node, c, c->last);
    if (end->n == 1)
        c->last--;
    else
        *end = slice_upto(*end, end->n - 1);
    return c->cur <= c->last ? OK : invalid(cf, node, c, c->cur < (int)node->nargs ? c->cur : 0);
}

static int parse_variable(struct conf_ctx *cf, const struct condition *c, struct test *t)
{
    size_t errors = cf->diag->errors;
    t->var = var_use(cf, slice_from(c->arg[c->cur].text, 1), &c->arg[c->cur]);
    if (!t->var)
        return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
    return OK;
}

/* $variable [OPERATOR VALUE] */
static int parse_comparison(struct conf_ctx *cf, const struct conf_node *node, const struct condition *c,
                            struct test *t)
{
    const struct conf_arg *value = &c->arg[c->last];
    if (c->cur != c->last && c->cur + 2 != c->last)
        return invalid(cf, node, c, c->cur);
    int rc = parse_variable(cf, c, t);
    if (rc != OK || c->cur == c->last)
        return rc;
    slice word = c->arg[c->cur + 1].text, plain = word;
    t->negated = slice_starts(word, SLICE("!"));
    if (t->negated)
        plain = slice_from(word, 1);
    if (slice_eq(plain, SLICE("="))) {
        t->kind = TEST_EQUAL;
        return template_compile(cf, value, &t->value);
    }
    if (slice_eq(plain, SLICE("~")) || slice_eq(plain, SLICE("~*"))) {
        t->kind = TEST_REGEX;
        t->source = value->text;
        return match_compile(cf, node, c->last, t->source, plain.n == 2, &t->match);
    }
    return conf_error(cf, node, c->cur + 1, "unexpected \"%.*s\" in condition", SLICE_FMT(word));
}

/* -f and its like, perhaps with a '!' in front. */
static int parse_file(struct conf_ctx *cf, const struct conf_node *node, const struct condition *c, struct test *t)
{
    static const struct {
        char letter;
        enum file_kind kind;
    } kinds[] = { { 'f', FILE_PLAIN }, { 'd', FILE_DIRECTORY }, { 'e', FILE_ANY }, { 'x', FILE_EXECUTABLE } };
    slice word = c->arg[c->cur].text;
    t->kind = TEST_FILE;
    t->negated = slice_starts(word, SLICE("!"));
    if (c->cur + 1 != c->last)
        return invalid(cf, node, c, c->cur);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (word.p[word.n - 1] != kinds[i].letter)
            continue;
        t->file = kinds[i].kind;
        return template_compile(cf, &c->arg[c->last], &t->value);
    }
    return invalid(cf, node, c, c->cur);
}

int test_parse(struct conf_ctx *cf, const struct conf_node *node, struct test *t)
{
    struct condition c = { .cur = 0 };
    int rc = cut(cf, node, &c);
    if (rc != OK)
        return rc;
    slice first = c.arg[c.cur].text;
    if (first.n > 1 && first.p[0] == '$')
        return parse_comparison(cf, node, &c, t);
    if ((first.n == 2 && first.p[0] == '-') || (first.n == 3 && slice_starts(first, SLICE("!-"))))
        return parse_file(cf, node, &c, t);
    return invalid(cf, node, &c, c.cur);
}
