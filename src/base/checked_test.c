#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void sums(void **state)
{
    size_t v = 4711;
    uint64_t w = 4711;
    assert_true(checked_add(1, 2, &v));
    assert_int_equal(v, 3);
    assert_true(checked_add(SIZE_MAX, 0, &v));
    assert_int_equal(v, SIZE_MAX);
    assert_false(checked_add(SIZE_MAX, 1, &v));
    assert_int_equal(v, SIZE_MAX);
    assert_true(checked_add_u64(UINT64_MAX - 1, 1, &w));
    assert_int_equal(w, UINT64_MAX);
    assert_false(checked_add_u64(UINT64_MAX, UINT64_MAX, &w));
    assert_int_equal(w, UINT64_MAX);
}

static void products(void **state)
{
    size_t v = 4711;
    assert_true(checked_mul(6, 7, &v));
    assert_int_equal(v, 42);
    assert_true(checked_mul(SIZE_MAX, 0, &v));
    assert_int_equal(v, 0);
    assert_false(checked_mul(SIZE_MAX / 2 + 1, 2, &v));
    assert_int_equal(v, 0);
    uint64_t w = 0;
    assert_true(checked_mul_u64(UINT64_MAX, 1, &w));
    assert_false(checked_mul_u64(UINT64_MAX / 2 + 1, 2, &w));
    assert_int_equal(w, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums), cmocka_unit_test(products) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
