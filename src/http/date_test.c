/*
 * Dates: the three forms, their limits, and every day of four centuries against what clock_http_date writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "http/date.h"

static void good_forms(void **state)
{
    static const struct {
        const char *text;
        int64_t time;
    } table[] = {
        { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },  { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
        { "Sun Nov  6 08:49:37 1994", 784111777 },       { "Sun Nov 06 08:49:37 1994", 784111777 },
        { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },          { "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648 },
        { "Thu, 29 Feb 2024 23:59:60 GMT", 1709251200 }, { "Friday, 01-Jan-69 00:00:00 GMT", 3124224000 },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        int64_t t = -1;
        assert_int_equal(date_parse(slice_str(table[i].text), &t), OK);
        assert_int_equal(t, table[i].time);
    }
}

static void bad_forms(void **state)
{
    static const char *const table[] = {
        "",
        "Sun",
        "Sun,",
        "x",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 00:60:00 GMT",
        "Sun, 06 Nov 1994 00:00:61 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 ",
        "784111777",
    };
    for (size_t i = 0; i < array_len(table); i++) {
        int64_t t = 7;
        assert_int_equal(date_parse(slice_str(table[i]), &t), ERR_SYNTAX);
        assert_int_equal(t, 7);
    }
}

static void what_is_written_can_be_read(void **state)
{
    char text[32];
    for (int64_t t = 43200; t < 400LL * 365 * 86400; t += 86400 + 1) {
        int64_t back;
        clock_http_date(text, t);
        assert_int_equal(date_parse(slice_of(text, 29), &back), OK);
        assert_int_equal(back, t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_forms),
        cmocka_unit_test(bad_forms),
        cmocka_unit_test(what_is_written_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
