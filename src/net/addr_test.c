/* Addresses: what is one, what is none, and that text and address agree. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "net/addr.h"

static void test_text(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "127.0.0.1:80", "127.0.0.1:80" },
        { "0.0.0.0", "0.0.0.0:0" },
        { "255.255.255.255:65535", "255.255.255.255:65535" },
        { "[::1]:8080", "[::1]:8080" },
        { "[::]", "[::]:0" },
        { "::1", "[::1]:0" },
        { "2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:0" },
        { "[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1" },
        { "unix:/run/x.sock", "unix:/run/x.sock" },
        { "UNIX:/run/x.sock", "unix:/run/x.sock" },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct addr a, b;
        char text[ADDR_TEXT_MAX];
        assert_int_equal(addr_parse(slice_str(rows[i].in), &a), OK);
        size_t n = addr_text(text, &a);
        assert_string_equal(text, rows[i].out);
        assert_int_equal(n, strlen(text));
        assert_int_equal(addr_parse(slice_str(text), &b), OK);
        assert_true(addr_eq(&a, &b));
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *in;
        int rc;
    } rows[] = {
        { "", ERR_SYNTAX },
        { "localhost", ERR_SYNTAX },
        { "1.2.3", ERR_SYNTAX },
        { "1.2.3.4.5", ERR_SYNTAX },
        { "01.2.3.4", ERR_SYNTAX },
        { "1.2.3.256", ERR_SYNTAX },
        { "0x7f.1", ERR_SYNTAX },
        { "127.1", ERR_SYNTAX },
        { "2130706433", ERR_SYNTAX },
        { "1.2.3.4:", ERR_SYNTAX },
        { "1.2.3.4:x", ERR_SYNTAX },
        { "1.2.3.4:65536", ERR_RANGE },
        { "1.2.3.4:-1", ERR_SYNTAX },
        { "1.2.3.4: 80", ERR_SYNTAX },
        { " 1.2.3.4", ERR_SYNTAX },
        { "[1.2.3.4]", ERR_SYNTAX },
        { "[::1", ERR_SYNTAX },
        { "::1]", ERR_SYNTAX },
        { "[::1]80", ERR_SYNTAX },
        { "[::1]:99999", ERR_RANGE },
        { "[]", ERR_SYNTAX },
        { "::1%lo", ERR_SYNTAX },
        { "1:2:3:4:5:6:7:8:9", ERR_SYNTAX },
        { "unix:", ERR_SYNTAX },
        { ":80", ERR_SYNTAX },
        { "[::1]:80:90", ERR_SYNTAX },
        { "1.2.3.4:1:2", ERR_SYNTAX },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct addr a = { .len = 77 };
        if (addr_parse(slice_str(rows[i].in), &a) != rows[i].rc)
            fail_msg("\"%s\" is not refused as it should be", rows[i].in);
        assert_int_equal(a.len, 77); /* untouched */
    }
}

static void test_nul_inside(void **state)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of("1.2.3.4\0x", 9), &a), ERR_SYNTAX);
    assert_int_equal(addr_parse(slice_of("unix:/a\0b", 9), &a), ERR_SYNTAX);
}

static void test_unix_length(void **state)
{
    char path[256] = "unix:/";
    struct addr a;
    char text[ADDR_TEXT_MAX];
    size_t max = sizeof(a.un.sun_path) - 1;
    memset(path + 6, 'x', sizeof(path) - 7);
    assert_int_equal(addr_parse(slice_of(path, 5 + max), &a), OK);
    assert_int_equal(addr_text(text, &a), 5 + max);
    assert_int_equal(addr_parse(slice_of(path, 5 + max + 1), &a), ERR_RANGE);
}

/* The kernel gives unix peers without a name, and names that fill the whole field without a NUL. */
static void test_kernel_forms(void **state)
{
    struct addr a;
    char text[ADDR_TEXT_MAX];
    memset(&a, 0, sizeof(a));
    a.un.sun_family = AF_UNIX;
    a.len = sizeof(sa_family_t);
    addr_text(text, &a);
    assert_string_equal(text, "unix:");
    memset(a.un.sun_path, 'y', sizeof(a.un.sun_path));
    a.len = sizeof(a.un);
    assert_int_equal(addr_text(text, &a), 5 + sizeof(a.un.sun_path));
    assert_int_equal(addr_text_ip(text, &a), 5);
}

/* Every number of digits in every place, as the library has it. */
static void test_text_of_ipv4(void **state)
{
    static const uint8_t numbers[] = { 0, 9, 10, 99, 100, 199, 200, 255 };
    struct addr a = { .len = sizeof(a.in) };
    a.sa.sa_family = AF_INET;
    for (unsigned i = 0; i < 8 * 8 * 8 * 8; i++) {
        uint8_t b[4] = { numbers[i & 7], numbers[i >> 3 & 7], numbers[i >> 6 & 7], numbers[i >> 9] };
        char text[ADDR_TEXT_MAX], want[INET_ADDRSTRLEN];
        memcpy(&a.in.sin_addr, b, sizeof(b));
        assert_non_null(inet_ntop(AF_INET, b, want, sizeof(want)));
        assert_int_equal(addr_text_ip(text, &a), strlen(want));
        assert_string_equal(text, want);
    }
}

static void test_equality(void **state)
{
    struct addr a, b;
    assert_int_equal(addr_parse(SLICE("1.2.3.4:5"), &a), OK);
    b = a;
    assert_true(addr_eq(&a, &b));
    addr_set_port(&b, 6);
    assert_int_equal(addr_port(&b), 6);
    assert_false(addr_eq(&a, &b));
    assert_int_equal(addr_parse(SLICE("[::ffff:1.2.3.4]:5"), &b), OK);
    assert_false(addr_eq(&a, &b));
    assert_int_equal(addr_parse(SLICE("unix:/x"), &b), OK);
    assert_int_equal(addr_port(&b), 0);
    assert_false(addr_eq(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),        cmocka_unit_test(test_refused),      cmocka_unit_test(test_nul_inside),
        cmocka_unit_test(test_unix_length), cmocka_unit_test(test_kernel_forms), cmocka_unit_test(test_text_of_ipv4),
        cmocka_unit_test(test_equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
