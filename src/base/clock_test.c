#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void http_dates(void **state)
{
    char d[30];
    clock_http_date(d, 784111777); /* RFC 9110 §5.6.7 */
    assert_string_equal(d, "Sun, 06 Nov 1994 08:49:37 GMT");
    clock_http_date(d, 0);
    assert_string_equal(d, "Thu, 01 Jan 1970 00:00:00 GMT");
    clock_http_date(d, 951782400);
    assert_string_equal(d, "Tue, 29 Feb 2000 00:00:00 GMT");
    clock_http_date(d, 253402300799);
    assert_string_equal(d, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void zone(const char *tz)
{
    setenv("TZ", tz, 1);
    tzset();
}

static void texts(void **state)
{
    struct clock c = { 0 };
    zone("UTC");
    clock_set(&c, 5, 784111777999);
    assert_int_equal(c.mono, 5);
    assert_true(slice_eq(clock_http(&c), SLICE("Sun, 06 Nov 1994 08:49:37 GMT")));
    assert_string_equal(c.log, "06/Nov/1994:08:49:37 +0000");
    assert_string_equal(c.iso, "1994-11-06T08:49:37+00:00");
    assert_string_equal(c.err, "1994/11/06 08:49:37");
    clock_set(&c, 6, 784111778000);
    assert_string_equal(c.err, "1994/11/06 08:49:38");
    memset(&c, 0, sizeof(c));
    zone("XXX+3:30"); /* west of Greenwich */
    clock_set(&c, 0, 784111777000);
    assert_string_equal(c.log, "06/Nov/1994:05:19:37 -0330");
    assert_string_equal(c.iso, "1994-11-06T05:19:37-03:30");
    assert_true(slice_eq(clock_http(&c), SLICE("Sun, 06 Nov 1994 08:49:37 GMT")));
    memset(&c, 0, sizeof(c));
    zone("XXX-5:45");
    clock_set(&c, 0, 784111777000);
    assert_string_equal(c.log, "06/Nov/1994:14:34:37 +0545");
    zone("UTC");
}

static void first_second(void **state)
{
    struct clock c = { 0 }; /* second 0 is a second like any other */
    clock_set(&c, 0, 0);
    assert_true(slice_eq(clock_http(&c), SLICE("Thu, 01 Jan 1970 00:00:00 GMT")));
}

static void update(void **state)
{
    struct clock c = { 0 };
    clock_update(&c);
    uint64_t mono = c.mono;
    assert_true(c.wall_ms > 1700000000000u);
    assert_int_equal(c.sec, c.wall_ms / 1000);
    clock_update(&c);
    assert_true(c.mono >= mono);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_dates),
        cmocka_unit_test(texts),
        cmocka_unit_test(first_second),
        cmocka_unit_test(update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
