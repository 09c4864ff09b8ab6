/* Which User-Agents are taken for browsers that break kept connections. */
#include "http/old_browser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"

static const struct {
    const char *agent;
    uint32_t is; /* OLD_* */
} rows[] = {
    { "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0)", OLD_MSIE6 },
    { "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", 0 },
    { "Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)", OLD_MSIE6 },
    { "Mozilla/4.0 (compatible; MSIE 4.01; Windows 95; SV1)", OLD_MSIE6 },
    { "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1)", 0 },
    { "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2)", 0 },
    { "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1) Opera 7.54", 0 },
    { "MSIE 6.0", OLD_MSIE6 },
    { "MSIE 6.", 0 },
    { "MSIE ", 0 },
    { "MSIE", 0 },
    { "", 0 },
    { "Mozilla/5.0 (Macintosh; U; PPC Mac OS X; en) AppleWebKit/125.2 (KHTML, like Gecko) Safari/125.8", OLD_SAFARI },
    { "Mozilla/5.0 (iPhone; CPU iPhone OS 8_0 like Mac OS X) AppleWebKit/600.1 (KHTML, like Gecko) Safari/600.1",
      OLD_SAFARI },
    { "Mozilla/5.0 (Windows; U; Windows NT 6.1) AppleWebKit/533.19 (KHTML, like Gecko) Safari/533.19", 0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0 Safari/537.36",
      0 },
    { "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:90.0) Gecko/20100101 Firefox/90.0 Safari/1", 0 },
    { "Opera Mac OS X Safari/1", 0 },
    { "MSIE 7.0 Mac OS X Safari/1", 0 },
    { "curl/7.88.1", 0 },
};

static bool breaks(const char *agent, enum method m, uint32_t browsers)
{
    struct field f[] = {
        { .name = SLICE("Accept"), .value = SLICE("MSIE 6.0; Mac OS X Safari/1"), .token = TOK_ACCEPT },
        { .name = SLICE("User-Agent"), .value = slice_str(agent), .token = TOK_USER_AGENT },
    };
    const struct request r = { .method = m, .fields = { .v = f, .n = agent ? 2 : 1, .cap = 2 } };
    return old_browser_breaks(&r, browsers);
}

static void browsers_are_known_by_their_agent(void **state)
{
    for (size_t i = 0; i < array_len(rows); i++) {
        print_message("%s\n", rows[i].agent);
        assert_int_equal(breaks(rows[i].agent, METHOD_POST, OLD_MSIE6), rows[i].is == OLD_MSIE6);
        assert_int_equal(breaks(rows[i].agent, METHOD_POST, OLD_SAFARI), rows[i].is == OLD_SAFARI);
        assert_int_equal(breaks(rows[i].agent, METHOD_POST, OLD_MSIE6 | OLD_SAFARI), rows[i].is != 0);
        assert_false(breaks(rows[i].agent, METHOD_POST, 0));
    }
}

static void msie_breaks_posts_alone(void **state)
{
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_false(breaks(rows[i].agent, METHOD_GET, OLD_MSIE6));
        assert_int_equal(breaks(rows[i].agent, METHOD_GET, OLD_SAFARI), rows[i].is == OLD_SAFARI);
    }
}

static void no_agent_is_no_browser(void **state)
{
    assert_false(breaks(NULL, METHOD_POST, OLD_MSIE6 | OLD_SAFARI));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(browsers_are_known_by_their_agent),
        cmocka_unit_test(msie_breaks_posts_alone),
        cmocka_unit_test(no_agent_is_no_browser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
