/*
 * The Range field: what is answered in parts, what whole, and what not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/range.h"

struct one {
    const char *value;
    uint64_t length;
    int rc;
    const char *ranges;
};

static const struct one table[] = {
    { "bytes=0-0", 10, OK, "0-1" },
    { "bytes=0-9", 10, OK, "0-10" },
    { "bytes=0-10", 10, OK, "0-10" },
    { "bytes=0-99999999999999", 10, OK, "0-10" },
    { "bytes=3-", 10, OK, "3-10" },
    { "BYTES=3-", 10, OK, "3-10" },
    { "bytes=-3", 10, OK, "7-10" },
    { "bytes=-30", 10, OK, "0-10" },
    { "bytes=1-2,4-5", 10, OK, "1-3 4-6" },
    { "bytes=4-5,1-2", 10, OK, "4-6 1-3" },
    { "bytes= 1 - 2 , 4 - 5 , -1", 10, OK, "1-3 4-6 9-10" },
    { "bytes=1-2,20-30,4-5", 10, OK, "1-3 4-6" },
    { "bytes=10-", 10, ERR_RANGE, "" },
    { "bytes=10-20", 10, ERR_RANGE, "" },
    { "bytes=-0", 10, ERR_RANGE, "" },
    { "bytes=5-4", 10, ERR_RANGE, "" },
    { "bytes=", 10, ERR_UNSUPPORTED, "" },
    { "bytes=-", 10, ERR_RANGE, "" },
    { "bytes=a-b", 10, ERR_RANGE, "" },
    { "bytes=1", 10, ERR_RANGE, "" },
    { "bytes=1-2-3", 10, ERR_RANGE, "" },
    { "bytes=1-2x", 10, ERR_RANGE, "" },
    { "bytes=--1", 10, ERR_RANGE, "" },
    { "bytes=1-2,", 10, ERR_RANGE, "" },
    { "bytes=1-2,,3-4", 10, ERR_RANGE, "" },
    { "bytes=9223372036854775807-", 10, ERR_RANGE, "" },
    { "bytes=9223372036854775808-", 10, ERR_RANGE, "" },
    { "bytes=0-9223372036854775807", 10, OK, "0-10" },
    { "bytes=0-9223372036854775808", 10, ERR_RANGE, "" },
    { "bytes=-9223372036854775808", 10, ERR_RANGE, "" },
    { "bytes=-9223372036854775807", 10, OK, "0-10" },
    { "bytes=99999999999999999999999-", 10, ERR_RANGE, "" },
    { "bytes=0-5,3-9", 10, ERR_UNSUPPORTED, "" },
    { "bytes=0-9,0-9", 10, ERR_UNSUPPORTED, "" },
    { "bytes=0-4,5-9", 10, OK, "0-5 5-10" },
    { "bytes=0-0,0-0,0-0", 10, OK, "0-1 0-1 0-1" },
    { "bytes=0-0,1-1,2-2,3-3,4-4", 10, ERR_UNSUPPORTED, "" },
    { "bytes=0-0,1-1,2-2,3-3", 10, OK, "0-1 1-2 2-3 3-4" },
    { "bytes=0-0,1-1,2-2,3-3,20-", 10, OK, "0-1 1-2 2-3 3-4" },
    { "bytes=0-", 0, ERR_UNSUPPORTED, "" },
    { "bytes=-1", 0, ERR_UNSUPPORTED, "" },
    { "bytes=1-", 0, ERR_RANGE, "" },
    { "items=0-1", 10, ERR_UNSUPPORTED, "" },
    { "bytes", 10, ERR_UNSUPPORTED, "" },
    { "", 10, ERR_UNSUPPORTED, "" },
    { "bytes=0-0", INT64_MAX, OK, "0-1" },
    { "bytes=1-,0-", INT64_MAX, ERR_UNSUPPORTED, "" },
};

static void values(void **state)
{
    for (size_t i = 0; i < array_len(table); i++) {
        struct arena a;
        struct ranges got = { 0 };
        slice text = SLICE("");
        arena_init(&a, NULL, 0, 1024, 0);
        int rc = range_parse(&a, slice_str(table[i].value), table[i].length, 4, &got);
        for (uint32_t k = 0; k < got.n; k++)
            text = arena_printf(&a, "%.*s%s%llu-%llu", SLICE_FMT(text), k ? " " : "",
                                (unsigned long long)got.v[k].start, (unsigned long long)got.v[k].end);
        if (rc != table[i].rc || !slice_eq(text, slice_str(table[i].ranges)))
            fail_msg("%s: %s, %.*s", table[i].value, err_name(rc), SLICE_FMT(text));
        arena_done(&a);
    }
}

static void none_are_allowed(void **state)
{
    struct arena a;
    struct ranges got = { 0 };
    arena_init(&a, NULL, 0, 1024, 0);
    assert_int_equal(range_parse(&a, SLICE("bytes=0-0"), 10, 0, &got), ERR_UNSUPPORTED);
    assert_int_equal(range_parse(&a, SLICE("bytes=0-0,1-1"), 10, 1, &got), ERR_UNSUPPORTED);
    assert_int_equal(got.n, 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(none_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
