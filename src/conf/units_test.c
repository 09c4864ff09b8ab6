#include "conf/conf_test.h"

#include "conf/units.h"

static void ok(int (*fn)(slice, uint64_t *), const char *s, uint64_t want)
{
    uint64_t got = ~want;
    assert_int_equal(fn(slice_str(s), &got), OK);
    assert_int_equal(got, want);
}

static void no(int (*fn)(slice, uint64_t *), const char *s, int code)
{
    uint64_t got = 4711;
    assert_int_equal(fn(slice_str(s), &got), code);
    assert_int_equal(got, 4711);
}

static void sizes(void **state)
{
    ok(conf_size, "0", 0);
    ok(conf_size, "8192", 8192);
    ok(conf_size, "8k", 8192);
    ok(conf_size, "8K", 8192);
    ok(conf_size, "1m", 1048576);
    ok(conf_size, "9223372036854775807", INT64_MAX);
    no(conf_size, "", ERR_SYNTAX);
    no(conf_size, "k", ERR_SYNTAX);
    no(conf_size, "1g", ERR_SYNTAX);
    no(conf_size, "-1", ERR_SYNTAX);
    no(conf_size, "1.5k", ERR_SYNTAX);
    no(conf_size, "1 k", ERR_SYNTAX);
    no(conf_size, "9223372036854775808", ERR_RANGE);
    no(conf_size, "9007199254740992k", ERR_RANGE);
    no(conf_size, "99999999999999999999999m", ERR_RANGE);
    ok(conf_offset, "2g", 2147483648u);
    ok(conf_offset, "2G", 2147483648u);
    ok(conf_offset, "10k", 10240);
    no(conf_offset, "g", ERR_SYNTAX);
    no(conf_offset, "9000000000g", ERR_RANGE);
}

static void times(void **state)
{
    ok(conf_msec, "60", 60000);
    ok(conf_msec, "0", 0);
    ok(conf_msec, "500ms", 500);
    ok(conf_msec, "1h 30m", 5400000);
    ok(conf_msec, "1h30m", 5400000);
    ok(conf_msec, "1h30", 3630000);
    ok(conf_msec, "1s 5ms", 1005);
    ok(conf_msec, "1m1s", 61000);
    ok(conf_msec, "1M", 2592000000u);
    ok(conf_msec, "1y1M1w1d1h1m1s1ms", 31536000000u + 2592000000u + 604800000u + 86400000u + 3661001u);
    ok(conf_msec, "30 ", 30000);
    no(conf_msec, "", ERR_SYNTAX);
    no(conf_msec, "s", ERR_SYNTAX);
    no(conf_msec, " 1s", ERR_SYNTAX);
    no(conf_msec, "1m1h", ERR_SYNTAX);
    no(conf_msec, "1s1s", ERR_SYNTAX);
    no(conf_msec, "30 1m", ERR_SYNTAX);
    no(conf_msec, "1x", ERR_SYNTAX);
    no(conf_msec, "1H", ERR_SYNTAX);
    no(conf_msec, "-1s", ERR_SYNTAX);
    no(conf_msec, "9223372036854775807", ERR_RANGE);
    no(conf_msec, "300000000y", ERR_RANGE);
    no(conf_msec, "99999999999999999999s", ERR_RANGE);
    ok(conf_sec, "1h 30m", 5400);
    ok(conf_sec, "60", 60);
    no(conf_sec, "500ms", ERR_SYNTAX);
    no(conf_sec, "1s 500ms", ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sizes), cmocka_unit_test(times) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
