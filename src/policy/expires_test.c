/* expires: what its values mean, and what the two fields say at a certain second. */
#include "policy/expires.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"

const struct policy_entry policy_table[1];
const size_t policy_count;

enum { NOW = 1700000000 }; /* 22:13:20 UTC */

static void values(void **state)
{
    static const struct {
        const char *text;
        bool modified;
        enum expires_kind kind; /* of those that are refused: EXPIRES_OFF and why */
        int64_t seconds;
        const char *why;
    } table[] = {
        { "off", false, EXPIRES_OFF, 0, NULL },
        { "epoch", false, EXPIRES_EPOCH, 0, NULL },
        { "max", false, EXPIRES_MAX, 0, NULL },
        { "30", false, EXPIRES_ACCESS, 30, NULL },
        { "+1h 30m", false, EXPIRES_ACCESS, 5400, NULL },
        { "-1", false, EXPIRES_ACCESS, -1, NULL },
        { "0", false, EXPIRES_ACCESS, 0, NULL },
        { "1d", true, EXPIRES_MODIFIED, 86400, NULL },
        { "-1d", true, EXPIRES_MODIFIED, -86400, NULL },
        { "@15h30m", false, EXPIRES_DAILY, 55800, NULL },
        { "@0", false, EXPIRES_DAILY, 0, NULL },
        { "@24h", false, EXPIRES_OFF, 0, "daily time value must be less than 24 hours" },
        { "@1h", true, EXPIRES_OFF, 0, "daily time cannot be used with \"modified\" parameter" },
        { "epoch", true, EXPIRES_OFF, 0, "invalid value" },
        { "off", true, EXPIRES_OFF, 0, "invalid value" },
        { "", false, EXPIRES_OFF, 0, "invalid value" },
        { "-", false, EXPIRES_OFF, 0, "invalid value" },
        { "+-1", false, EXPIRES_OFF, 0, "invalid value" },
        { "1x", false, EXPIRES_OFF, 0, "invalid value" },
        { "100ms", false, EXPIRES_OFF, 0, "invalid value" },
        { "99999999999", false, EXPIRES_OFF, 0, "invalid value" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct expires_time e = { EXPIRES_OFF, 0 };
        const char *why = NULL;
        int rc = expires_parse(slice_str(table[i].text), table[i].modified, &e, &why);
        if (rc != (table[i].why ? ERR_SYNTAX : OK) || e.kind != table[i].kind || e.seconds != table[i].seconds)
            fail_msg("%s: %d, kind %d, %lld", table[i].text, rc, (int)e.kind, (long long)e.seconds);
        if (table[i].why)
            assert_string_equal(why, table[i].why);
    }
}

static void seconds(void **state)
{
    static const struct {
        struct expires_time e;
        int64_t changed, expires, age;
    } table[] = {
        { { EXPIRES_EPOCH, 0 }, -1, 1, -1 },
        { { EXPIRES_MAX, 0 }, -1, 2145916555, 315360000 },
        { { EXPIRES_ACCESS, 60 }, 5, NOW + 60, 60 },
        { { EXPIRES_ACCESS, 0 }, 5, NOW, 0 },
        { { EXPIRES_ACCESS, -60 }, 5, NOW - 60, -1 },
        { { EXPIRES_MODIFIED, 60 }, -1, NOW + 60, 60 },
        { { EXPIRES_MODIFIED, 60 }, NOW - 20, NOW + 40, 40 },
        { { EXPIRES_MODIFIED, 60 }, NOW - 100, NOW - 40, -40 },
        { { EXPIRES_MODIFIED, 0 }, NOW - 100, NOW, 0 },
        { { EXPIRES_MODIFIED, -60 }, NOW + 100, NOW + 40, -1 },
        { { EXPIRES_DAILY, 22 * 3600 + 13 * 60 + 21 }, -1, NOW + 1, 1 },
        { { EXPIRES_DAILY, 22 * 3600 + 13 * 60 + 20 }, -1, NOW + 86400, 86400 },
        { { EXPIRES_DAILY, 0 }, -1, NOW + 6400, 6400 },
    };
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < array_len(table); i++) {
        int64_t at, age;
        expires_at(&table[i].e, NOW, table[i].changed, &at, &age);
        if (at != table[i].expires || age != table[i].age)
            fail_msg("line %zu: %lld, %lld", i, (long long)at, (long long)age);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(seconds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
