#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failmalloc.h"

static void references(void **state)
{
    struct buf_budget budget = { .limit = 1000 };
    long live = alloc_live();
    struct buf *b = buf_new(&budget, 600);
    assert_non_null(b);
    assert_int_equal(b->len, 0);
    assert_int_equal(budget.used, 600);
    assert_ptr_equal(buf_ref(b), b);
    buf_unref(b);
    assert_int_equal(budget.used, 600);
    buf_unref(b);
    assert_int_equal(budget.used, 0);
    assert_int_equal(alloc_live(), live);
}

static void budget_holds(void **state)
{
    struct buf_budget budget = { .limit = 1000 };
    struct buf *a = buf_new(&budget, 600), *b = buf_new(&budget, 400);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(buf_new(&budget, 1));
    assert_int_equal(budget.refused, 1);
    buf_unref(a);
    a = buf_new(&budget, 600);
    assert_non_null(a);
    assert_null(buf_new(&budget, SIZE_MAX));
    buf_unref(a);
    buf_unref(b);
    assert_int_equal(budget.used, 0);
}

static void out_of_memory(void **state)
{
    struct buf_budget budget = { 0 };
    fail_alloc_at(0, true);
    struct buf *b = buf_new(&budget, 10);
    assert_true(fail_alloc_off());
    assert_null(b);
    assert_int_equal(budget.used, 0);
    assert_null(buf_new(&budget, SIZE_MAX));
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references),
        cmocka_unit_test(budget_holds),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
