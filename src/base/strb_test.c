#include "base/strb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failmalloc.h"

static void grows(void **state)
{
    struct strb b;
    strb_init(&b, 0);
    for (int i = 0; i < 1000; i++) {
        strb_lit(&b, "ab");
        strb_char(&b, 'c');
        strb_dec(&b, 7);
    }
    assert_false(b.failed);
    assert_int_equal(b.n, 4000);
    for (int i = 0; i < 1000; i++)
        assert_memory_equal(b.p + 4 * i, "abc7", 4);
    strb_printf(&b, "%s:%d", "x", 5);
    assert_true(slice_ends(strb_slice(&b), SLICE("7x:5")));
    strb_add(&b, SLICE_NONE);
    assert_int_equal(b.n, 4003);
    strb_done(&b);
}

static void limit(void **state)
{
    struct strb b;
    strb_init(&b, 10);
    strb_lit(&b, "1234567890");
    assert_false(b.failed);
    strb_char(&b, 'x');
    assert_true(b.failed);
    strb_add(&b, SLICE("y")); /* once failed, always failed, and unchanged */
    assert_true(slice_eq(strb_slice(&b), SLICE("1234567890")));
    strb_done(&b);
}

static void fixed(void **state)
{
    char mem[8] = "........";
    struct strb b;
    strb_init_fixed(&b, mem, 4);
    strb_lit(&b, "abc");
    strb_lit(&b, "de"); /* does not fit: nothing of it is written */
    assert_true(b.failed);
    assert_memory_equal(mem, "abc.....", 8);
    strb_init_fixed(&b, mem, 4);
    strb_lit(&b, "wxyz");
    assert_false(b.failed);
    assert_memory_equal(mem, "wxyz....", 8);
    strb_init_fixed(&b, mem, 4);
    strb_printf(&b, "%d", 12345);
    assert_true(b.failed);
    assert_memory_equal(mem + 4, "....", 4);
    strb_done(&b);
    strb_init_fixed(&b, NULL, 0);
    strb_add(&b, SLICE_NONE);
    assert_false(b.failed);
}

static void out_of_memory(void **state)
{
    struct strb b;
    strb_init(&b, 0);
    strb_lit(&b, "kept");
    fail_alloc_at(0, true);
    for (int i = 0; i < 100; i++)
        strb_lit(&b, "0123456789");
    assert_true(fail_alloc_off());
    assert_true(b.failed);
    assert_true(slice_starts(strb_slice(&b), SLICE("kept0123456789")));
    assert_false(strb_room(&b, 1));
    strb_done(&b);
    strb_init(&b, 0);
    assert_false(strb_room(&b, SIZE_MAX));
    assert_true(b.failed);
    strb_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(limit),
        cmocka_unit_test(fixed),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
