/* The egress rules: which line decides, every form that hides an address, our own listeners, and whom a socket leads
 * to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "net/egress.h"
#include "net/socket.h"

static struct addr at(const char *text, uint16_t port)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(slice_str(text), port, &a), OK);
    return a;
}

static const char *judge(const struct egress *e, const char *text)
{
    struct addr a = at(text, 80);
    const char *why = egress_refuses(e, &a);
    return why ? why : "";
}

static void build(struct arena *a, const char *const *lines, size_t n, struct egress *e)
{
    struct egress_line *first = NULL;
    for (size_t i = 0; i < n; i++) {
        struct egress_line *l = arena_new(a, struct egress_line);
        bool loose;
        l->deny = lines[i][0] == '-';
        assert_int_equal(cidr_parse(slice_str(lines[i] + 1), &l->net, &loose), OK);
        l->next = first;
        first = l;
    }
    assert_int_equal(egress_build(a, first, e), OK);
}

static void test_without_lines(void **state)
{
    static const char *const refused[] = {
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:7f00:1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "::ffff:0:127.0.0.1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "2002:a00:1::5",
        "64:ff9b:1::a00:1",
        "2a00::5efe:a00:1",
        "::ffff:169.254.169.254",
    };
    for (size_t i = 0; i < array_len(refused); i++)
        assert_string_not_equal(judge(NULL, refused[i]), "");
    assert_string_equal(judge(NULL, "8.8.8.8"), "");
    assert_string_equal(judge(NULL, "2a00:1450::1"), "");
    assert_string_equal(judge(NULL, "::ffff:8.8.8.8"), "");
    struct addr zero = at("8.8.8.8", 0);
    assert_string_equal(egress_refuses(NULL, &zero), "port 0");
}

static void test_the_most_specific_line_decides(void **state)
{
    static const char *const lines[] = { "+10.0.0.0/8", "-10.1.0.0/16", "+10.1.2.0/24", "-8.8.8.8",   "+9.9.9.9",
                                         "-9.9.9.9",    "+fd00::/8",    "-fd01::/16",   "-2a00::/16", "+64:ff9b::/96" };
    struct arena a;
    struct egress e;
    arena_init(&a, NULL, 0, 4096, 0);
    build(&a, lines, array_len(lines), &e);
    assert_string_equal(judge(&e, "10.9.9.9"), "");
    assert_string_equal(judge(&e, "10.1.9.9"), "egress_deny");
    assert_string_equal(judge(&e, "10.1.2.9"), "");
    assert_string_equal(judge(&e, "8.8.8.8"), "egress_deny");
    assert_string_equal(judge(&e, "8.8.4.4"), "");
    assert_string_equal(judge(&e, "9.9.9.9"), "egress_deny");
    assert_string_equal(judge(&e, "127.0.0.1"), "loopback");
    assert_string_equal(judge(&e, "fd00::1"), "");
    assert_string_equal(judge(&e, "fd01::1"), "egress_deny");
    assert_string_equal(judge(&e, "2a00::1"), "egress_deny");
    /* an IPv4 address in disguise is what it is */
    assert_string_equal(judge(&e, "::ffff:10.9.9.9"), "");
    assert_string_equal(judge(&e, "::ffff:10.1.9.9"), "egress_deny");
    assert_string_equal(judge(&e, "2002:808:808::1"), "egress_deny");
    assert_string_equal(judge(&e, "64:ff9b::8.8.8.8"), "egress_deny");
    assert_string_equal(judge(&e, "2002:a09:909::1"), "private"); /* to let in the one is not to let in the other */
    arena_done(&a);
}

static void test_everything(void **state)
{
    static const char *const lines[] = { "-0.0.0.0/0", "-::/0", "+192.168.0.0/16" };
    struct arena a;
    struct egress e;
    arena_init(&a, NULL, 0, 4096, 0);
    build(&a, lines, array_len(lines), &e);
    assert_string_equal(judge(&e, "8.8.8.8"), "egress_deny");
    assert_string_equal(judge(&e, "2a00::1"), "egress_deny");
    assert_string_equal(judge(&e, "192.168.3.4"), "");
    arena_done(&a);
}

static void test_own_listeners(void **state)
{
    struct addr v[] = { at("192.0.2.7", 3128), at("0.0.0.0", 8080), at("::", 8081) };
    struct egress_own own = { v, array_len(v) };
    static const struct {
        const char *ip;
        uint16_t port;
        bool own;
    } rows[] = {
        { "192.0.2.7", 3128, true }, { "192.0.2.7", 3129, false },       { "192.0.2.8", 3128, false },
        { "127.0.0.1", 8080, true }, { "127.9.9.9", 8080, true },        { "0.0.0.0", 8080, true },
        { "8.8.8.8", 8080, false },  { "::ffff:127.0.0.1", 8080, true }, { "::1", 8081, true },
        { "0.0.0.0", 3128, true },   { "2a00::1", 8081, false },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct addr a = at(rows[i].ip, rows[i].port);
        assert_int_equal(egress_is_own(&own, &a), rows[i].own);
    }
}

static void test_whom_a_socket_leads_to(void **state)
{
    struct addr local, other;
    int fd, l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct addr any = at("127.0.0.1", 0);
    assert_true(l >= 0);
    assert_int_equal(bind(l, &any.sa, any.len), 0);
    assert_int_equal(listen(l, 4), 0);
    assert_int_equal(socket_local(l, &local), OK);
    int rc = socket_connect(&local, NULL, &fd);
    assert_true(rc == OK || rc == ERR_AGAIN);
    assert_true(egress_verify(fd, &local));
    other = local;
    other.in.sin_addr.s_addr ^= htonl(1);
    assert_false(egress_verify(fd, &other));
    assert_false(egress_verify(l, &local)); /* not connected */
    close(fd);
    close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_lines),
        cmocka_unit_test(test_the_most_specific_line_decides),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_own_listeners),
        cmocka_unit_test(test_whom_a_socket_leads_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
