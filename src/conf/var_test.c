#include "conf/conf_test.h"

#include <stdio.h>

#include "conf/schema.h"

struct exchange {
    unsigned reads;
};

static int get_nothing(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND;
}

static const struct var_def defs[] = {
    { .name = "uri", .get = get_nothing, .doc = ".", .client = true },
    { .name = "pid", .get = get_nothing, .doc = "." },
    { .name = "1", .get = get_nothing, .doc = ".", .client = true },
    { .name = "http_", .prefix = true, .get = get_nothing, .doc = ".", .client = true },
    { .name = "http_x_", .prefix = true, .get = get_nothing, .doc = "." },
    { .name = "http_host", .get = get_nothing, .doc = "." },
};
static struct feature feature = { .name = "vars", .doc = ".", .vars = defs, .nvars = 6 };
static struct feature *const features[] = { &feature };

struct fixture {
    struct bench b;
    struct schema s;
    struct conf_ctx cf;
};

static int setup(void **state)
{
    static struct fixture f;
    bench_init(&f.b);
    assert_int_equal(schema_init(&f.s, features, 1), OK);
    assert_int_equal(conf_ctx_init(&f.cf, &f.s, &f.b.arena, f.b.bundle, &f.b.diag), OK);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    conf_ctx_done(&f->cf);
    schema_done(&f->s);
    bench_done(&f->b);
    return 0;
}

static void use(void **state)
{
    struct fixture *f = *state;
    struct var *uri = var_use(&f->cf, SLICE("uri"), NULL);
    assert_ptr_equal(uri->def, &defs[0]);
    assert_true(uri->client);
    assert_int_equal(uri->index, 0);
    assert_ptr_equal(var_use(&f->cf, SLICE("URI"), NULL), uri);
    struct var *field = var_use(&f->cf, SLICE("http_User_Agent"), NULL);
    assert_ptr_equal(field->def, &defs[3]);
    assert_string_equal(field->name.p, "http_user_agent");
    assert_string_equal(field->arg.p, "user_agent");
    assert_int_equal(field->index, 1);
    assert_ptr_equal(var_use(&f->cf, SLICE("http_host"), NULL)->def, &defs[5]); /* a plain name wins over its family */
    assert_ptr_equal(var_use(&f->cf, SLICE("http_x_y"), NULL)->def, &defs[3]);  /* the first family that fits */
    assert_int_equal(f->cf.nvars, 4);
    assert_null(var_use(&f->cf, SLICE(""), NULL));
    assert_null(var_use(&f->cf, SLICE("a-b"), NULL));
    expect_messages(&f->b, "invalid variable name \"\"|invalid variable name \"a-b\"");
    assert_int_equal(vars_check(&f->cf), OK);
}

static void declare(void **state)
{
    struct fixture *f = *state;
    struct var *early = var_use(&f->cf, SLICE("mine"), NULL); /* used before it is set */
    assert_non_null(early);
    assert_int_equal(vars_check(&f->cf), ERR_SYNTAX);
    assert_ptr_equal(var_declare(&f->cf, SLICE("Mine"), NULL), early);
    assert_true(early->settable);
    assert_ptr_equal(var_declare(&f->cf, SLICE("mine"), NULL), early);
    assert_null(var_declare(&f->cf, SLICE("uri"), NULL));
    assert_null(var_declare(&f->cf, SLICE("1"), NULL));
    struct var *own = var_declare(&f->cf, SLICE("http_own"), NULL);
    assert_true(own->settable);
    assert_null(own->def);
    assert_int_equal(own->arg.n, 0);
    expect_messages(&f->b, "unknown \"mine\" variable|the duplicate \"uri\" variable|the duplicate \"1\" variable");
    assert_int_equal(vars_check(&f->cf), OK);
}

static void define(void **state)
{
    struct fixture *f = *state;
    static const struct var_def map = { .name = "mapped", .get = get_nothing, .client = true };
    struct var *early = var_use(&f->cf, SLICE("mapped"), NULL);
    assert_ptr_equal(var_define(&f->cf, &map, NULL), early);
    assert_ptr_equal(early->def, &map);
    assert_true(early->client);
    assert_null(var_define(&f->cf, &map, NULL));
    assert_null(var_declare(&f->cf, SLICE("mapped"), NULL));
    expect_messages(&f->b, "the duplicate \"mapped\" variable");
}

static void changeable(void **state)
{
    struct fixture *f = *state;
    static const struct var_def first = { .name = "first", .get = get_nothing, .changeable = true },
                                last = { .name = "last", .get = get_nothing, .changeable = true };
    struct var *v = var_define(&f->cf, &first, NULL);
    assert_ptr_equal(var_declare(&f->cf, SLICE("first"), NULL), v); /* assigned after it was defined */
    assert_ptr_equal(v->def, &first);
    assert_false(v->settable);
    v = var_declare(&f->cf, SLICE("last"), NULL); /* and before */
    v->client = true;
    assert_ptr_equal(var_define(&f->cf, &last, NULL), v);
    assert_ptr_equal(v->def, &last);
    assert_false(v->settable);
    assert_true(v->client);
    static const struct var_def again = { .name = "last", .get = get_nothing, .changeable = true };
    assert_ptr_equal(var_define(&f->cf, &again, NULL), v); /* the later definition counts */
    assert_ptr_equal(v->def, &again);
    assert_true(v->client);
    assert_int_equal(f->b.diag.errors, 0);
    expect_messages(&f->b, "variable \"last\" is defined twice");
}

static struct template *compiled(struct fixture *f, const char *text)
{
    struct conf_arg arg = { .text = slice_str(text) };
    struct template *t = arena_new(&f->b.arena, struct template);
    assert_int_equal(template_compile(&f->cf, &arg, t), OK);
    return t;
}

static void spread(void **state)
{
    struct fixture *f = *state;
    struct var *a = var_declare(&f->cf, SLICE("a"), NULL), *b = var_declare(&f->cf, SLICE("b"), NULL),
               *c = var_declare(&f->cf, SLICE("c"), NULL);
    assert_int_equal(var_derives(&f->cf, a, compiled(f, "x$b")), OK); /* before what taints b */
    assert_int_equal(var_derives(&f->cf, b, compiled(f, "$pid")), OK);
    assert_int_equal(var_derives(&f->cf, c, compiled(f, "fixed")), OK);
    vars_spread(&f->cf);
    assert_false(a->client || b->client || c->client);
    assert_int_equal(var_derives(&f->cf, b, compiled(f, "$http_y")), OK);
    vars_spread(&f->cf);
    assert_true(a->client && b->client);
    assert_false(c->client);
}

static int lookup(struct exchange *x, const struct var *v, slice *out)
{
    x->reads++;
    if (slice_eq(v->name, SLICE("pid")))
        return ERR_NOTFOUND;
    if (slice_eq(v->name, SLICE("oom")))
        return ERR_NOMEM;
    *out = v->name;
    return OK;
}

static void expect_eval(struct fixture *f, slice text, const char *want, unsigned parts)
{
    struct conf_arg arg = { .text = text };
    struct template t;
    struct exchange x = { 0 };
    slice out;
    assert_int_equal(template_compile(&f->cf, &arg, &t), OK);
    assert_int_equal(t.nparts, parts);
    assert_int_equal(template_literal(&t), parts == 0);
    assert_true(slice_eq(t.source, text));
    assert_int_equal(template_eval(&t, &x, lookup, &f->b.arena, &out), OK);
    assert_true(slice_eq(out, slice_str(want)));
    unsigned vars = 0;
    for (unsigned i = 0; i < parts; i++)
        vars += t.parts[i].var != NULL;
    assert_int_equal(x.reads, vars);
}

static void templates(void **state)
{
    struct fixture *f = *state;
    expect_eval(f, SLICE(""), "", 0);
    expect_eval(f, SLICE("plain"), "plain", 0);
    expect_eval(f, SLICE("$uri"), "uri", 1);
    expect_eval(f, SLICE("${uri}"), "uri", 1);
    expect_eval(f, SLICE("a${uri}b"), "aurib", 3);
    expect_eval(f, SLICE("$uri$uri"), "uriuri", 2);
    expect_eval(f, SLICE("$uri-x"), "uri-x", 2);
    expect_eval(f, SLICE("$pid"), "", 1);
    expect_eval(f, SLICE("a$pid-b"), "a-b", 3);
    expect_eval(f, SLICE("$pid$pid"), "", 2);
    expect_eval(f, SLICE("$1x$12"), "1x12", 4);
    expect_eval(f, SLICE("${1}"), "1", 1);
    expect_eval(f, SLICE("$uri}"), "uri}", 2);
    expect_eval(f, SLICE("$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri$uri"),
                "uriuriuriuriuriuriuriuriuriuriuriuriuriuriuriuriuri", 17);
    expect_messages(&f->b, "");
}

static void bad_templates(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = { "$", "a$", "$-", "${", "${}", "${uri", "${u-ri}", "$$uri", "$0-" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct conf_arg arg = { .text = slice_str(texts[i]), .pos = { .line = (uint32_t)i } };
        struct template t = { .nparts = 77 };
        int r = template_compile(&f->cf, &arg, &t);
        assert_int_equal(r, i == 8 ? OK : ERR_SYNTAX); /* $0 is a name like any other, and unknown in the end */
        assert_int_equal(t.nparts, i == 8 ? 2 : 77);
    }
    assert_int_equal(vars_check(&f->cf), ERR_SYNTAX);
    expect_messages(&f->b,
                    "invalid variable name in \"$\"|invalid variable name in \"a$\"|invalid variable name in \"$-\"|"
                    "the closing bracket in \"\" variable is missing|invalid variable name in \"${}\"|"
                    "the closing bracket in \"uri\" variable is missing|"
                    "the closing bracket in \"u\" variable is missing|invalid variable name in \"$$uri\"|"
                    "unknown \"0\" variable");
}

static void out_of_memory(void **state)
{
    struct fixture *f = *state;
    struct conf_arg arg = { .text = SLICE("x$oom") };
    struct template t;
    struct exchange x = { 0 };
    slice out = SLICE("kept");
    var_declare(&f->cf, SLICE("oom"), NULL);
    assert_int_equal(template_compile(&f->cf, &arg, &t), OK);
    assert_int_equal(template_eval(&t, &x, lookup, &f->b.arena, &out), ERR_NOMEM);
    assert_true(slice_eq(out, SLICE("kept")));
    struct arena small;
    arena_init(&small, NULL, 0, 256, 64); /* its first chunk is over the limit */
    arg.text = SLICE("$uri$uri");
    assert_int_equal(template_compile(&f->cf, &arg, &t), OK);
    assert_int_equal(template_eval(&t, &x, lookup, &small, &out), ERR_NOMEM);
    arena_done(&small);
}

static void client(void **state)
{
    struct fixture *f = *state;
    struct conf_arg arg = { .text = SLICE("http://$later") };
    struct template t;
    assert_int_equal(template_compile(&f->cf, &arg, &t), OK);
    struct var *later = var_declare(&f->cf, SLICE("later"), NULL);
    assert_false(template_client(&t));
    later->client = true; /* as `set $later $uri` further down does */
    assert_true(template_client(&t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(use, setup, teardown),
        cmocka_unit_test_setup_teardown(declare, setup, teardown),
        cmocka_unit_test_setup_teardown(define, setup, teardown),
        cmocka_unit_test_setup_teardown(changeable, setup, teardown),
        cmocka_unit_test_setup_teardown(spread, setup, teardown),
        cmocka_unit_test_setup_teardown(templates, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_templates, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(client, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
