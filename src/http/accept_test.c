/* Accept-Encoding: which values take gzip. */
#include "http/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"

static void taken(void **state)
{
    static const char *const values[] = {
        "gzip",         "GZip",        "gzip, deflate",        "deflate, gzip", "deflate,gzip", "br;q=1.0, gzip;q=0.8",
        "gzip;q=1",     "gzip;q=1.",   "gzip;q=1.000",         "gzip;q=0.001",  "gzip ; q=0.5", "gzip;Q=0.5",
        "gzip;",        "gzip; ",      "gzip;q=0.5, identity", "x-gzip, gzip",  ",gzip",        " gzip ",
        "gzip;q=0.010", "*;q=0, gzip", "identity;q=0,gzip",    "gzipped, gzip", "a b c, gzip",  "\tgzip\t;q=1",
    };
    for (size_t i = 0; i < array_len(values); i++) {
        if (!accept_coding(slice_str(values[i]), SLICE("gzip")))
            fail_msg("%s", values[i]);
    }
}

static void not_taken(void **state)
{
    static const char *const values[] = {
        "",
        "*",
        "identity",
        "x-gzip",
        "gzi",
        "gzipped",
        "gzip;q=0",
        "gzip;q=0.",
        "gzip;q=0.0",
        "gzip;q=0.000",
        "gzip;q=2",
        "gzip;q=1.001",
        "gzip;q=0.0001",
        "gzip;q=",
        "gzip;q",
        "gzip;q=a",
        "gzip;q =1",
        "gzip;q= 1",
        "gzip;level=1",
        "gzip;q=1;x",
        "gzip x",
        "gzip=1",
        "gzip;;q=1",
        "gzip/1",
        "gzip;q=0, gzip",
        "deflate;gzip",
        "gzip;q=-1",
        "gzip;q=01",
        "\"gzip\"",
        "gzip;q=1.0.0",
        "gzip;q=0x1",
    };
    for (size_t i = 0; i < array_len(values); i++) {
        if (accept_coding(slice_str(values[i]), SLICE("gzip")))
            fail_msg("%s", values[i]);
    }
}

static void any_field_of_a_request(void **state)
{
    struct field v[] = { { SLICE("Accept"), SLICE("gzip"), TOK_ACCEPT, false },
                         { SLICE("Accept-Encoding"), SLICE("br"), TOK_ACCEPT_ENCODING, false },
                         { SLICE("accept-encoding"), SLICE("gzip"), TOK_ACCEPT_ENCODING, false } };
    assert_true(accepts_coding(&(struct fields){ v, 3, 3 }, SLICE("gzip")));
    assert_false(accepts_coding(&(struct fields){ v, 2, 2 }, SLICE("gzip")));
    assert_true(accepts_coding(&(struct fields){ v, 2, 2 }, SLICE("br")));
    assert_false(accepts_coding(&(struct fields){ NULL, 0, 0 }, SLICE("gzip")));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(taken), cmocka_unit_test(not_taken),
                                        cmocka_unit_test(any_field_of_a_request) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
