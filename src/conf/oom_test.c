/*
 * Want of memory while a configuration is read: the whole way from a bundle to merged structs, with every single
 * allocation failing once, and with all from some point on failing. Whatever fails, the answer is ERR_NOMEM or the
 * right result (a hint may be missing), never a wrong complaint about the file, never a leak or a crash.
 */
#include "conf/conf_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/schema.h"
#include "failmalloc.h"

struct toy {
    uint64_t num;
    struct template text;
    uint32_t choice;
};

static int get_nothing(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND;
}

static int set_block(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct conf_scope *s = conf_scope_enter(cf, SCOPE_LOCATION, node);
    if (!s)
        return ERR_NOMEM;
    int r = conf_apply(cf, node, CONF_HTTP);
    if (r == OK)
        r = conf_scope_merge(cf, s);
    conf_scope_leave(cf, s);
    return r;
}

static int set_var(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    size_t errors = cf->diag->errors;
    if (var_declare(cf, node->args[0].text, &node->args[0]))
        return OK;
    return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
}

static const struct conf_value choices[] = { { "red", 1 }, { "blue", 2 }, { NULL, 0 } };

#define IN_HTTP .contexts = CONF_HTTP, .min_args = 1, .max_args = 1, .scope = SCOPE_LOCATION, .usage = "u;", .doc = "d"

static const struct directive directives[] = {
    { .name = "http", .contexts = CONF_MAIN, .type = CONF_BLOCK, .set = set_block, .usage = "u", .doc = "d" },
    { .name = "num", IN_HTTP, .type = CONF_NUM, .offset = offsetof(struct toy, num), .def = "3" },
    { .name = "text", IN_HTTP, .type = CONF_TEMPLATE, .offset = offsetof(struct toy, text), .def = "$known" },
    { .name = "choice",
      IN_HTTP,
      .type = CONF_ENUM,
      .offset = offsetof(struct toy, choice),
      .values = choices,
      .def = "red" },
    { .name = "set", IN_HTTP, .type = CONF_CUSTOM, .set = set_var, .repeat = true },
    { .name = "tune", IN_HTTP, .type = CONF_TUNING },
};
static const struct var_def vars[] = { { .name = "known", .get = get_nothing, .doc = "d" } };
static struct feature feature = {
    .name = "f",
    .doc = "d",
    .directives = directives,
    .ndirectives = 6,
    .vars = vars,
    .nvars = 1,
    .size = { [SCOPE_LOCATION] = sizeof(struct toy) },
};
static struct feature *const features[] = { &feature };

/* What a run found, to compare runs by. */
struct result {
    int code;
    size_t errors, warnings, kept;
    unsigned nodes, nvars;
};

static unsigned count_nodes(const struct conf_node *root)
{
    unsigned n = 0;
    for (const struct conf_node *c = root ? root->children : NULL; c; c = c->next) {
        n++;
        for (const struct conf_node *d = c->children; d; d = d->next)
            n++;
    }
    return n;
}

static int compile(struct bundle *b, struct arena *a, struct conf_diag *d, struct result *res)
{
    struct schema s;
    struct conf_ctx cf;
    struct conf_node *root = NULL;
    int r = schema_init(&s, features, 1);
    if (r < 0)
        return r;
    r = conf_ctx_init(&cf, &s, a, b, d);
    if (r == OK)
        r = conf_parse(a, b, d, SLICE("main"), &root, NULL);
    res->nodes = count_nodes(root);
    if (root) {
        int applied = conf_apply(&cf, root, CONF_MAIN);
        r = applied < 0 ? applied : r;
    }
    if (r == OK)
        r = vars_check(&cf);
    res->nvars = cf.nvars;
    conf_ctx_done(&cf);
    schema_done(&s);
    return r;
}

/* To the engine and back. */
static int travel(struct bundle **b)
{
    int fd, *fds;
    size_t n;
    struct bundle *loaded;
    int r = bundle_seal(*b, &fd, &fds, &n);
    if (r < 0)
        return r;
    r = bundle_load(fd, fds, n, &loaded);
    free(fds);
    close(fd);
    if (r < 0)
        return r;
    bundle_free(*b);
    *b = loaded;
    return OK;
}

static struct result run(slice text)
{
    struct result res = { 0 };
    struct arena a;
    struct conf_diag d;
    arena_init(&a, NULL, 0, 256, 0); /* small, so that many allocations can fail */
    conf_diag_init(&d, &a);
    struct bundle *b = bundle_new(SLICE("/p"));
    int r = b ? bundle_file_set(b, SLICE("main"), text) : ERR_NOMEM;
    if (r == OK)
        r = bundle_file_set(b, SLICE("more"), SLICE("set $b;"));
    if (r == OK)
        r = travel(&b);
    if (r == OK)
        r = compile(b, &a, &d, &res);
    for (const struct conf_message *m = d.first; m; m = m->next) {
        slice printed = conf_message_text(&a, m);
        if (!printed.p && r == OK)
            r = ERR_NOMEM;
    }
    res.code = r;
    res.errors = d.errors;
    res.warnings = d.warnings;
    res.kept = d.kept;
    bundle_free(b);
    arena_done(&a);
    return res;
}

static void fail_everywhere(slice text, int code)
{
    long live = alloc_live();
    struct result good = run(text);
    assert_int_equal(good.code, code);
    for (int onward = 0; onward < 2; onward++) {
        bool failed = true;
        size_t n = 0;
        for (; failed; n++) {
            fail_alloc_at(n, onward);
            struct result res = run(text);
            failed = fail_alloc_off();
            assert_int_equal(alloc_live(), live);
            if (res.code == ERR_NOMEM) {
                assert_true(failed);
                continue;
            }
            assert_int_equal(res.code, good.code);
            assert_int_equal(res.errors, good.errors);
            assert_int_equal(res.warnings, good.warnings);
            assert_int_equal(res.nodes, good.nodes);
            assert_int_equal(res.nvars, good.nvars);
        }
        assert_true(n > 30);
    }
}

static void good_file(void **state)
{
    fail_everywhere(
        SLICE("http { num 5; text \"a $early b $known\"; set early; set late; choice blue; tune 1;\n"
              "set some_rather_long_name_that_fills_a_chunk_of_the_arena_by_itself_and_then_some_more; }\n"),
        OK);
}

static void bad_file(void **state)
{
    fail_everywhere(SLICE("htp; http { nun 5; text \"$nobody\"; choice green; num; num x; set known; a \"b\"c; }\n"
                          "include none; include more; }"),
                    ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(good_file), cmocka_unit_test(bad_file) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
