/*
 * URLs of hops: what they come to, what is refused, and that credentials show nowhere but where they are sent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "proxy/parent.h"
#include "proxy/policy.h"
#include "unit.h"

/* No policies: the program's table is of a higher room. */
const struct policy_entry policy_table[1];
const size_t policy_count;

static void check(slice got, const char *want)
{
    same(got, slice_str(want));
}

static void test_urls(void **state)
{
    static const struct {
        const char *url;
        enum hop_kind kind;
        bool tls;
        const char *text, *host, *user, *password, *basic;
        uint16_t port;
    } table[] = {
        { "http://a.test:3128", HOP_HTTP, false, "http://a.test:3128", "a.test", "", "", "", 3128 },
        { "HTTPS://a.test:1/", HOP_HTTP, true, "https://a.test:1", "a.test", "", "", "", 1 },
        { "connect://tom:s:c@a.test:8", HOP_CONNECT, false, "connect://a.test:8", "a.test", "tom", "s:c",
          "Basic dG9tOnM6Yw==", 8 },
        { "connect+tls://tom@a.test:8", HOP_CONNECT, true, "connect+tls://a.test:8", "a.test", "tom", "",
          "Basic dG9tOg==", 8 },
        { "socks5://a%40b:x%2Fy%3a@[::1]:65535", HOP_SOCKS5, false, "socks5://[::1]:65535", "::1", "a@b", "x/y:", "",
          65535 },
        { "socks5+tls://u:p@q@10.0.0.1:9", HOP_SOCKS5, true, "socks5+tls://10.0.0.1:9", "10.0.0.1", "u", "p@q", "", 9 },
        { "socks4a://me@10.0.0.1:9", HOP_SOCKS4A, false, "socks4a://10.0.0.1:9", "10.0.0.1", "me", "", "", 9 },
        { "socks5://unix:/run/tor/socks", HOP_SOCKS5, false, "socks5://unix:/run/tor/socks", "/run/tor/socks", "", "",
          "", 0 },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct hop h = { 0 };
        const char *why = "";
        if (hop_parse(&arena, slice_str(table[i].url), &h, &why) != OK)
            fail_msg("%s: %s", table[i].url, why);
        assert_int_equal(h.kind, table[i].kind);
        assert_int_equal(h.tls, table[i].tls);
        assert_int_equal(h.at.port, table[i].port);
        check(h.text, table[i].text);
        check(h.host, table[i].host);
        check(h.user, table[i].user);
        check(h.password, table[i].password);
        check(h.basic, table[i].basic);
    }
}

static void test_refused(void **state)
{
    static const char *const table[] = {
        "",
        "http:",
        "http://",
        "a.test:1",
        "ftp://a.test:1",
        "http:a.test:1",
        "http://a.test",
        "http://a.test:0",
        "http://a.test:65536",
        "http://a.test:1/x",
        "http://@a.test:1",
        "http://:x@a.test:1",
        "http://a:%4@a.test:1",
        "http://a:%zz@a.test:1",
        "http://a:%00@a.test:1",
        "http://a%3Ab:c@a.test:1",
        "socks5://a@a.test:1",
        "socks5://a:@a.test:1",
        "socks4a://a:b@a.test:1",
        "socks5+ssl://a.test:1",
        "http://a b.test:1",
        "http://127.1:1",
        "http://[::1:1",
        "socks5://unix:",
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct hop h = { .kind = HOP_SOCKS4A };
        const char *why = NULL;
        if (hop_parse(&arena, slice_str(table[i]), &h, &why) != ERR_SYNTAX || !why)
            fail_msg("\"%s\" is taken", table[i]);
        assert_int_equal(h.kind, HOP_SOCKS4A);
    }
}

/* RFC 1929 has a byte for each length. */
static void test_long_credentials(void **state)
{
    static const unsigned lengths[] = { 255, 256 };
    for (size_t i = 0; i < array_len(lengths); i++) {
        char url[600], text[300];
        struct hop h;
        const char *why;
        memset(text, 'x', lengths[i]);
        text[lengths[i]] = '\0';
        snprintf(url, sizeof(url), "socks5://u:%s@a.test:1", text);
        assert_int_equal(hop_parse(&arena, slice_str(url), &h, &why), lengths[i] > 255 ? ERR_SYNTAX : OK);
    }
}

static void test_chains(void **state)
{
    static const struct {
        const char *urls[4];
        const char *text; /* NULL: refused */
        bool absolute;
    } table[] = {
        { { "http://a.test:1" }, "http://a.test:1", true },
        { { "connect://a.test:1" }, "connect://a.test:1", false },
        { { "socks5://u:p@a.test:1", "https://u:p@b.test:2" }, "socks5://a.test:1 -> https://b.test:2", true },
        { { "http://a.test:1", "socks4a://b.test:2", "socks5://c.test:3" },
          "http://a.test:1 -> socks4a://b.test:2 -> socks5://c.test:3",
          false },
        { { "socks5://unix:/a", "http://b.test:1" }, "socks5://unix:/a -> http://b.test:1", true },
        { { "http://a.test:1", "socks5://unix:/a" }, NULL, false },
        { { "https://a.test:1", "socks5+tls://b.test:2" }, "https://a.test:1 -> socks5+tls://b.test:2", false },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct hop hops[4];
        struct chain c = { .hops = hops };
        const char *why = NULL;
        while (c.n < 4 && table[i].urls[c.n]) {
            assert_int_equal(hop_parse(&arena, slice_str(table[i].urls[c.n]), &hops[c.n], &why), OK);
            c.n++;
        }
        if (!table[i].text) {
            assert_int_equal(chain_finish(&arena, &c, &why), ERR_SYNTAX);
            assert_non_null(why);
            continue;
        }
        assert_int_equal(chain_finish(&arena, &c, &why), OK);
        check(c.text, table[i].text);
        assert_int_equal(c.absolute, table[i].absolute);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_urls, arena_setup, arena_teardown),
        cmocka_unit_test_setup_teardown(test_refused, arena_setup, arena_teardown),
        cmocka_unit_test_setup_teardown(test_long_credentials, arena_setup, arena_teardown),
        cmocka_unit_test_setup_teardown(test_chains, arena_setup, arena_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
