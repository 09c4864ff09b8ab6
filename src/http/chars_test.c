#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/attr.h"
#include "http/chars.h"

static bool one_of(const char *set, int c)
{
    return c && strchr(set, c) != NULL;
}

/* The classes written down a second time, from the text of the RFCs. */
static void test_classes(void **state)
{
    for (int c = 0; c < 256; c++) {
        bool digit = c >= '0' && c <= '9', alpha = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool visible = c > 0x20 && c < 0x7f;
        assert_int_equal(ch_is((char)c, CH_TOKEN), digit || alpha || one_of("!#$%&'*+-.^_`|~", c));
        assert_int_equal(ch_is((char)c, CH_PLAIN), digit || alpha || c == '-');
        assert_int_equal(ch_is((char)c, CH_VALUE), visible || c == ' ' || c == '\t' || c >= 0x80);
        assert_int_equal(ch_is((char)c, CH_TARGET), visible && c != '#' && c != '\\');
        assert_int_equal(ch_is((char)c, CH_UNRESERVED), digit || alpha || one_of("-._~", c));
        assert_int_equal(ch_is((char)c, CH_PCHAR), digit || alpha || one_of("-._~!$&'()*+,;=:@/", c));
    }
}

typedef const char *scanner(const char *p, const char *end);

/* Every byte at every place of runs shorter and longer than a vector, in a block of exactly that size. */
static void check_scanner(scanner *scan, unsigned cls, char filler)
{
    for (size_t n = 0; n <= 40; n++) {
        char *mem = malloc(n + 1);
        assert_non_null(mem);
        char *p = mem + 1; /* unaligned */
        memset(p, filler, n);
        assert_ptr_equal(scan(p, p + n), p + n);
        for (size_t at = 0; at < n; at++) {
            for (int c = 0; c < 256; c++) {
                p[at] = (char)c;
                assert_ptr_equal(scan(p, p + n), ch_is((char)c, cls) ? p + n : p + at);
            }
            p[at] = filler;
        }
        free(mem);
    }
}

static void test_scanners(void **state)
{
    check_scanner(scan_value, CH_VALUE, 'v');
    check_scanner(scan_target, CH_TARGET, '/');
    check_scanner(scan_plain, CH_PLAIN, 'n');
}

static void test_whole_slices(void **state)
{
    assert_true(http_is_token(SLICE("X-Some_Field!with.more|chars~")));
    assert_false(http_is_token(SLICE("")));
    assert_false(http_is_token(SLICE("a b")));
    assert_false(http_is_token(SLICE("a:")));
    assert_false(http_is_token(SLICE("a-name-that-is-longer-than-a-vector\n")));
    assert_true(http_is_value(SLICE("")));
    assert_true(http_is_value(SLICE("a\tvalue, \"quoted\", \x80\xff")));
    assert_false(http_is_value(SLICE("a\r\nb: c")));
    assert_false(http_is_value(SLICE("a value that is longer than a vector\0")));
    assert_false(http_is_value(SLICE("\x7f")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_scanners),
        cmocka_unit_test(test_whole_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
