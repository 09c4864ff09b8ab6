#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/escape.h"

static void check(void (*fn)(struct strb *, slice), slice in, const char *want)
{
    struct strb b;
    strb_init(&b, 0);
    fn(&b, in);
    assert_false(b.failed);
    assert_int_equal(b.n, strlen(want));
    assert_memory_equal(b.p, want, b.n);
    strb_done(&b);
}

static void log_lines_cannot_be_forged(void **state)
{
    check(escape_log, SLICE("GET /a b"), "GET /a b");
    check(escape_log, SLICE("a\"b\\c\n\x1b[1m\xc3\xbf\x7f"), "a\\x22b\\x5Cc\\x0A\\x1B[1m\\xC3\\xBF\\x7F");
    check(escape_log, SLICE("\0x"), "\\x00x");
    check(escape_log, SLICE("\""), "\\x22");
}

static void json_strings(void **state)
{
    check(escape_json, SLICE("a\"b\\\n\r\t\b\f\x01z\xc3\xbf"), "a\\\"b\\\\\\n\\r\\t\\b\\f\\u0001z\xc3\xbf");
    check(escape_json_ascii, SLICE("\xc3\xbf\x7f"), "\\u00C3\\u00BF\\u007F");
}

/* What fits is cut at a whole byte of the source, never inside of an escape. */
static void escapes_are_cut_whole(void **state)
{
    static const slice text = { "ab\"cd\n", 6 };
    static const size_t fits[] = { 0, 1, 2, 2, 2, 2, 3, 4, 5, 5, 5, 5, 6, 6 };
    for (size_t room = 0; room < array_len(fits); room++) {
        slice got = escape_log_upto(text, room);
        assert_ptr_equal(got.p, text.p);
        assert_int_equal(got.n, fits[room]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(log_lines_cannot_be_forged), cmocka_unit_test(json_strings),
                                        cmocka_unit_test(escapes_are_cut_whole) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
