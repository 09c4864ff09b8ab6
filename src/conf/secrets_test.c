/*
 * What is hidden, what is not, and that a caret stays below what it pointed at.
 */
#include "conf/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void words(void **state)
{
    static const struct {
        const char *line, *shown;
    } rows[] = {
        { "server socks5://ann:hush@10.0.0.1:1080 weight=2;", "server socks5://ann:***@10.0.0.1:1080 weight=2;" },
        { "p { server 'http://a:b c@h'; badd x; }", "p { server 'http://a:***@h'; badd x; }" },
        { "server http://a:p@ss@h:80;", "server http://a:***@h:80;" },
        { "server http://a:p/w@h:80;", "server http://a:***@h:80;" },
        { "server http:/a:pw@h:80", "server http:/a:***@h:80" },
        { "server http://a@h:80;", "server http://a@h:80;" },
        { "server http://[::1]:80 http://u:p@x http://v:q@y;",
          "server http://[::1]:80 http://u:***@x http://v:***@y;" },
        { "cache_peer h parent 3128 0 login=u:hush default", "cache_peer h parent 3128 0 login=*** default" },
        { "x LOGIN=a\t\"password=two words\";", "x LOGIN=***\t\"password=***\";" },
        { "invalid parameter \"login=u:hush\"", "invalid parameter \"login=***\"" },
        { "h Authorization Basic aHVzaA==; next 'x';", "h Authorization *** ***; next 'x';" },
        { "h Authorization $auth;", "h Authorization $auth;" },
        { "h X \"Bearer abc\";", "h X \"Bearer ***\";" },
        { "h X \"Bearer abc", "h X \"Bearer ***" },
        { "h X \"Bearer a\\\"bc\" d", "h X \"Bearer ***\" d" },
        { "error_page 404 = @named; proxy_pass http://b:80/x;", "error_page 404 = @named; proxy_pass http://b:80/x;" },
        { "login= secret= \"\" '", "login= secret= \"\" '" },
        { "", "" },
        { "\"", "\"" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct strb b;
        size_t at = 0;
        strb_init(&b, 0);
        secrets_mask(&b, slice_str(rows[i].line), &at);
        if (!slice_eq(strb_slice(&b), slice_str(rows[i].shown)))
            fail_msg("row %zu: %.*s", i, (int)b.n, b.p);
        assert_int_equal(at, 0);
        strb_done(&b);
    }
}

/* For every column of the line: what stands there stands there afterwards too, or it was hidden. */
static void columns(void **state)
{
    const slice line = SLICE("a u:pass@h login=x \"Basic yyyyyy\" end");
    for (size_t i = 0; i <= line.n; i++) {
        struct strb b;
        size_t at = i;
        strb_init(&b, 0);
        strb_lit(&b, "...");
        secrets_mask(&b, line, &at);
        assert_true(at <= b.n - 3);
        char c = at == b.n - 3 ? 0 : b.p[3 + at];
        if (c != '*' && c != (i == line.n ? 0 : line.p[i]))
            fail_msg("column %zu became %zu", i, at);
        strb_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(words), cmocka_unit_test(columns) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
