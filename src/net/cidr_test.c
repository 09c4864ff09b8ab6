/* Networks: what is one, and what lies in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/cidr.h"

static struct cidr parse(const char *text, bool want_loose)
{
    struct cidr c;
    bool loose;
    assert_int_equal(cidr_parse(slice_str(text), &c, &loose), OK);
    assert_int_equal(loose, want_loose);
    return c;
}

static bool in(const char *net, const char *ip)
{
    struct cidr c = parse(net, false);
    struct cidr_set s = { .v = &c, .n = 1 };
    struct addr a;
    assert_int_equal(addr_parse_ip(slice_str(ip), 80, &a), OK);
    return cidr_set_has(&s, &a.sa);
}

static void test_parse(void **state)
{
    static const char *const bad[] = { "",        "1.2.3",     "1.2.3.4/",   "1.2.3.4/33", "1.2.3.4/-1",
                                       "::1/129", "[::1]",     "[::1]/128",  "1.2.3.4/a",  "/8",
                                       "unix:",   "a.example", "1.2.3.4/8/", "1.2.3.4 /8", "01.2.3.4/8x" };
    struct cidr c;
    bool loose;
    assert_int_equal(parse("10.0.0.0/8", false).bits, 8);
    assert_int_equal(parse("10.0.0.1/8", true).bits, 8);
    assert_int_equal(parse("10.0.0.1", false).bits, 32);
    assert_int_equal(parse("2001:db8::/32", false).bits, 32);
    assert_int_equal(parse("2001:db8::1/32", true).v6, 1);
    assert_int_equal(parse("0.0.0.0/0", false).bits, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cidr_parse(slice_str(bad[i]), &c, &loose), ERR_SYNTAX);
}

static void test_match(void **state)
{
    assert_true(in("10.0.0.0/8", "10.255.1.2"));
    assert_false(in("10.0.0.0/8", "11.0.0.0"));
    assert_true(in("10.0.0.128/25", "10.0.0.129"));
    assert_false(in("10.0.0.128/25", "10.0.0.127"));
    assert_true(in("127.0.0.1", "127.0.0.1"));
    assert_false(in("127.0.0.1", "127.0.0.2"));
    assert_true(in("0.0.0.0/0", "1.2.3.4"));
    assert_false(in("0.0.0.0/0", "2001:db8::1"));
    assert_false(in("::/0", "1.2.3.4"));
    assert_true(in("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(in("2001:db8::/33", "2001:db8:8000::"));
}

static void test_mapped(void **state)
{
    assert_true(in("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_false(in("10.0.0.0/8", "::ffff:11.1.2.3"));
    assert_false(in("10.0.0.0/8", "::10.1.2.3"));
    assert_true(in("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"));
    assert_true(in("::/0", "::ffff:10.1.2.3"));
}

static void test_unix(void **state)
{
    struct addr a;
    struct cidr_set none = { 0 }, some = { .unix_domain = true };
    assert_int_equal(addr_parse(SLICE("unix:/x"), &a), OK);
    assert_false(cidr_set_has(&none, &a.sa));
    assert_true(cidr_set_has(&some, &a.sa));
    assert_int_equal(addr_parse_ip(SLICE("1.2.3.4"), 1, &a), OK);
    assert_false(cidr_set_has(&some, &a.sa));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_unix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
