#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

static void compare(void **state)
{
    assert_true(slice_eq(SLICE_NONE, SLICE("")));
    assert_true(slice_eq(SLICE("abc"), SLICE("abc")));
    assert_false(slice_eq(SLICE("abc"), SLICE("abd")));
    assert_false(slice_eq(SLICE("abc"), SLICE("ab")));
    assert_true(slice_ieq(SLICE("AbC-[@\xc0"), SLICE("aBc-[@\xc0")));
    assert_false(slice_ieq(SLICE("["), SLICE("{"))); /* differ in bit 0x20, but are no letters */
    assert_false(slice_ieq(SLICE("@"), SLICE("`")));
    assert_false(slice_ieq(SLICE("\xc0"), SLICE("\xe0")));
}

static void ends(void **state)
{
    assert_true(slice_starts(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts(SLICE("abc"), SLICE_NONE));
    assert_false(slice_starts(SLICE("a"), SLICE("ab")));
    assert_true(slice_istarts(SLICE("ABc"), SLICE("ab")));
    assert_true(slice_ends(SLICE("abc"), SLICE("bc")));
    assert_false(slice_ends(SLICE("c"), SLICE("bc")));
}

static void cut(void **state)
{
    slice head = SLICE("kept"), tail = SLICE("kept too");
    assert_false(slice_cut(SLICE("abc"), ':', &head, &tail));
    assert_true(slice_eq(head, SLICE("kept")));
    assert_true(slice_eq(tail, SLICE("kept too")));
    assert_true(slice_cut(SLICE("a:b:c"), ':', &head, &tail));
    assert_true(slice_eq(head, SLICE("a")));
    assert_true(slice_eq(tail, SLICE("b:c")));
    assert_true(slice_cut(SLICE(":"), ':', &head, &tail));
    assert_int_equal(head.n + tail.n, 0);
    assert_int_equal(slice_find(SLICE("aba"), 'a'), 0);
    assert_int_equal(slice_rfind(SLICE("aba"), 'a'), 2);
    assert_int_equal(slice_find(SLICE_NONE, 'a'), -1);
    assert_int_equal(slice_rfind(SLICE_NONE, 'a'), -1);
}

static void parts(void **state)
{
    assert_true(slice_eq(slice_from(SLICE("abc"), 1), SLICE("bc")));
    assert_int_equal(slice_from(SLICE("abc"), 9).n, 0);
    assert_int_equal(slice_from(SLICE_NONE, 0).n, 0);
    assert_true(slice_eq(slice_upto(SLICE("abc"), 2), SLICE("ab")));
    assert_true(slice_eq(slice_upto(SLICE("abc"), 9), SLICE("abc")));
    assert_true(slice_eq(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
    assert_true(slice_eq(slice_trim(SLICE("\r\na")), SLICE("\r\na"))); /* OWS alone */
    assert_int_equal(slice_trim(SLICE(" \t")).n, 0);
    assert_int_equal(slice_trim(SLICE_NONE).n, 0);
}

static void number(slice s, int code, uint64_t want)
{
    uint64_t v = 4711;
    assert_int_equal(slice_to_u64(s, &v), code);
    assert_int_equal(v, code == OK ? want : 4711);
}

static void hex(slice s, int code, uint64_t want)
{
    uint64_t v = 4711;
    assert_int_equal(slice_hex_to_u64(s, &v), code);
    assert_int_equal(v, code == OK ? want : 4711);
}

static void numbers(void **state)
{
    number(SLICE("0"), OK, 0);
    number(SLICE("00042"), OK, 42);
    number(SLICE("18446744073709551615"), OK, UINT64_MAX);
    number(SLICE("18446744073709551616"), ERR_RANGE, 0);
    number(SLICE("99999999999999999999999x"), ERR_SYNTAX, 0); /* not a number before it is a large one */
    number(SLICE(""), ERR_SYNTAX, 0);
    number(SLICE("+1"), ERR_SYNTAX, 0);
    number(SLICE("-1"), ERR_SYNTAX, 0);
    number(SLICE(" 1"), ERR_SYNTAX, 0);
    number(SLICE("1 "), ERR_SYNTAX, 0);
    number(SLICE("0x1"), ERR_SYNTAX, 0);
    hex(SLICE("fF"), OK, 255);
    hex(SLICE("ffffffffffffffff"), OK, UINT64_MAX);
    hex(SLICE("0000000000000000000001"), OK, 1);
    hex(SLICE("10000000000000000"), ERR_RANGE, 0);
    hex(SLICE(""), ERR_SYNTAX, 0);
    hex(SLICE("0x1"), ERR_SYNTAX, 0);
    hex(SLICE("g"), ERR_SYNTAX, 0);
}

static void digits(void **state)
{
    char d[20];
    assert_true(slice_eq(slice_of(d, u64_to_dec(d, 0)), SLICE("0")));
    assert_true(slice_eq(slice_of(d, u64_to_dec(d, UINT64_MAX)), SLICE("18446744073709551615")));
    assert_true(slice_eq(slice_of(d, u64_to_hex(d, 0)), SLICE("0")));
    assert_true(slice_eq(slice_of(d, u64_to_hex(d, 0x10)), SLICE("10")));
    assert_true(slice_eq(slice_of(d, u64_to_hex(d, UINT64_MAX)), SLICE("ffffffffffffffff")));
    for (uint64_t v = 1; v; v <<= 1) {
        uint64_t back;
        assert_int_equal(slice_to_u64(slice_of(d, u64_to_dec(d, v)), &back), OK);
        assert_int_equal(back, v);
        assert_int_equal(slice_hex_to_u64(slice_of(d, u64_to_hex(d, v)), &back), OK);
        assert_int_equal(back, v);
    }
    for (int c = 0; c < 256; c++) {
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        assert_int_equal(ascii_alpha((char)c), letter);
        assert_int_equal(ascii_digit((char)c), c >= '0' && c <= '9');
        assert_int_equal((unsigned char)ascii_lower((char)c), c >= 'A' && c <= 'Z' ? c + 32 : c);
        assert_int_equal(ascii_hex((char)c) >= 0,
                         (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare), cmocka_unit_test(ends),    cmocka_unit_test(cut),
        cmocka_unit_test(parts),   cmocka_unit_test(numbers), cmocka_unit_test(digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
