#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "http/msg.h"

static struct field field_of(const char *name, const char *value)
{
    slice n = slice_str(name);
    return (struct field){ .name = n, .value = slice_str(value), .token = (uint16_t)token_find(n) };
}

static void test_fields(void **state)
{
    struct arena a;
    struct fields f = { 0 };
    arena_init(&a, NULL, 0, 1024, 0);
    assert_null(fields_find(&f, TOK_COOKIE));
    for (int i = 0; i < 50; i++) {
        assert_true(fields_add(&a, &f, field_of("X-Other", "o")));
        assert_true(fields_add(&a, &f, field_of("Cookie", i ? "later" : "first")));
    }
    assert_int_equal(f.n, 100);
    assert_true(slice_eq(fields_find(&f, TOK_COOKIE)->value, SLICE("first")));
    assert_ptr_equal(fields_named(&f, SLICE("x-oTHER")), &f.v[0]);
    assert_ptr_equal(fields_named(&f, SLICE("cookie")), &f.v[1]);
    assert_null(fields_named(&f, SLICE("x-othe")));
    fields_remove(&f, TOK_COOKIE);
    assert_int_equal(f.n, 50);
    assert_null(fields_find(&f, TOK_COOKIE));
    for (uint32_t i = 0; i < f.n; i++)
        assert_true(slice_eq(f.v[i].name, SLICE("X-Other")));
    arena_done(&a);
}

/* A list that a codec filled exactly grows when something is added. */
static void test_fields_full(void **state)
{
    struct arena a;
    struct field lent[2] = { field_of("Accept", "1"), field_of("Age", "2") };
    struct fields f = { .v = lent, .n = 2, .cap = 2 };
    arena_init(&a, NULL, 0, 1024, 0);
    assert_true(fields_add(&a, &f, field_of("Via", "3")));
    assert_ptr_not_equal(f.v, lent);
    assert_int_equal(f.n, 3);
    assert_true(slice_eq(f.v[0].value, SLICE("1")) && slice_eq(f.v[2].value, SLICE("3")));
    arena_done(&a);
}

static void test_no_memory(void **state)
{
    struct arena a;
    struct fields f = { 0 };
    arena_init(&a, NULL, 0, 1024, 1);
    assert_false(fields_add(&a, &f, field_of("Via", "3")));
    assert_int_equal(f.n, 0);
    arena_done(&a);
}

static void test_methods(void **state)
{
    for (unsigned m = METHOD_OTHER + 1; m < METHOD_COUNT; m++) {
        assert_true(method_name(m).n > 0);
        assert_int_equal(method_find(method_name(m)), m);
    }
    assert_int_equal(method_find(SLICE("get")), METHOD_OTHER);
    assert_int_equal(method_find(SLICE("GE")), METHOD_OTHER);
    assert_int_equal(method_find(SLICE("GETT")), METHOD_OTHER);
    assert_int_equal(method_find(SLICE("")), METHOD_OTHER);
    assert_int_equal(method_name(METHOD_OTHER).n, 0);
    assert_true(method_idempotent(METHOD_GET) && method_idempotent(METHOD_PUT) && method_idempotent(METHOD_DELETE));
    assert_false(method_idempotent(METHOD_POST) || method_idempotent(METHOD_PATCH) || method_idempotent(METHOD_LOCK));
    assert_false(method_idempotent(METHOD_CONNECT) || method_idempotent(METHOD_OTHER));
}

static void test_reasons(void **state)
{
    assert_true(slice_eq(status_reason(200), SLICE("OK")));
    assert_true(slice_eq(status_reason(502), SLICE("Bad Gateway")));
    assert_int_equal(status_reason(299).n, 0);
    assert_int_equal(status_reason(0).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_fields_full), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_methods), cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
