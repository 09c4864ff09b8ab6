/* Which protocols may be asked for, and which answers are to that question. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "http/upgrade.h"

static void allowed(const char *wanted, const char *asked, const char *asked_too, const char *want)
{
    struct field v[] = {
        { .name = SLICE("Upgrade"), .value = slice_str(asked), .token = TOK_UPGRADE },
        { .name = SLICE("Upgrade"), .value = slice_str(asked_too), .token = TOK_UPGRADE },
        { .name = SLICE("Other"), .value = SLICE("other"), .token = TOK_NONE },
    };
    struct fields f = { .v = v, .n = array_len(v) };
    struct arena a;
    arena_init(&a, NULL, 0, 4096, 0);
    slice got = upgrade_allowed(&a, slice_str(wanted), &f);
    assert_non_null(got.p);
    if (!slice_eq(got, slice_str(want)))
        fail_msg("%s of %s, %s gives \"%.*s\"", wanted, asked, asked_too, SLICE_FMT(got));
    arena_done(&a);
}

static void test_allowed(void **state)
{
    allowed("websocket", "websocket", "", "websocket");
    allowed("WebSocket", "websocket", "", "WebSocket");
    allowed("websocket", "", "foo, websocket", "websocket");
    allowed("websocket", "foo", "", "");
    allowed("websocket", "websockets", "", "");
    allowed("foo/1, ,websocket", "websocket, foo/1", "", "foo/1,websocket");
    allowed("foo/2", "foo/1", "", "");
    allowed("other", "", "", "");
    allowed("h2c", "h2c", "", "");
    allowed("H2C,websocket", "h2c", "websocket", "websocket");
    allowed("h2", "h2", "", "");
    allowed("HTTP/2.0", "HTTP/2.0", "", "");
    allowed("a b", "a b", "", "");
    allowed("websocket, a\"", "websocket", "a\"", "");
    allowed("foo/", "foo/", "", "");
    allowed("/1", "/1", "", "");
    allowed("", "", "", "");
    allowed(" , ,", "", "", "");
}

static bool within(const char *got, const char *got_too, const char *wanted)
{
    struct field v[] = {
        { .name = SLICE("Upgrade"), .value = slice_str(got), .token = TOK_UPGRADE },
        { .name = SLICE("Connection"), .value = SLICE("upgrade"), .token = TOK_CONNECTION },
        { .name = SLICE("Upgrade"), .value = slice_str(got_too), .token = TOK_UPGRADE },
    };
    return upgrade_within(v, array_len(v), slice_str(wanted));
}

static void test_within(void **state)
{
    assert_true(within("websocket", "", "websocket"));
    assert_true(within("WEBSOCKET", "foo", "foo,websocket"));
    assert_false(within("", "", "websocket"));
    assert_false(within("foo", "", "websocket"));
    assert_false(within("websocket, foo", "", "websocket"));
    assert_false(within("websocket", "h2c", "websocket"));
}

static void test_lists(void **state)
{
    assert_true(list_has(SLICE("keep-alive, Upgrade"), SLICE("upgrade")));
    assert_true(list_has(SLICE(",upgrade"), SLICE("upgrade")));
    assert_false(list_has(SLICE("upgrades"), SLICE("upgrade")));
    assert_false(list_has(SLICE(""), SLICE("upgrade")));
    assert_false(list_has(SLICE("up grade"), SLICE("upgrade")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_within),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
