/* Forwarding lists: read from the right, whatever stands on the left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/forwarded.h"

static struct addr_ip ip_of(const char *text)
{
    struct addr_ip a;
    assert_int_equal(forwarded_address(slice_str(text), &a), OK);
    return a;
}

static void test_addresses(void **state)
{
    static const char *const good[] = { "192.0.2.1", "192.0.2.1:80", "::1", "[::1]", "[2001:db8::1]:8080" };
    static const char *const bad[] = { "",         "a",       "1.2.3",     "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:x",
                                       "[::1",     "::1]",    "[1.2.3.4]", "unix:/x",  "unknown",       "_hidden",
                                       "1.2.3.4 ", "\"::1\"", "[::1]:80x", "::1%lo",   "0x7f.0.0.1" };
    struct addr_ip a;
    for (size_t i = 0; i < array_len(good); i++)
        assert_int_equal(forwarded_address(slice_str(good[i]), &a), OK);
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(forwarded_address(slice_str(bad[i]), &a), ERR_SYNTAX);
    assert_int_equal(ntohs(ip_of("[2001:db8::1]:8080").in6.sin6_port), 8080);
    assert_int_equal(ntohs(ip_of("192.0.2.1").in.sin_port), 0);
}

static void last(slice *list, bool (*take)(slice *, slice *), const char *want)
{
    slice e;
    assert_true(take(list, &e));
    e = slice_trim(e);
    assert_int_equal(e.n, strlen(want));
    assert_memory_equal(e.p, want, e.n);
}

static void test_lists(void **state)
{
    slice list = SLICE(" 1.2.3.4 ,, 5.6.7.8,a b , "), e;
    last(&list, forwarded_last_address, "b");
    last(&list, forwarded_last_address, "a");
    last(&list, forwarded_last_address, "5.6.7.8");
    last(&list, forwarded_last_address, "1.2.3.4");
    assert_false(forwarded_last_address(&list, &e));
    list = SLICE("for=a , for=\"b,c\";proto=http,for=\"d\\\",=\\\"e\"");
    last(&list, forwarded_last_element, "for=\"d\\\",=\\\"e\"");
    last(&list, forwarded_last_element, "for=\"b,c\";proto=http");
    last(&list, forwarded_last_element, "for=a");
    assert_false(forwarded_last_element(&list, &e));
    assert_false(forwarded_last_address(&list, &e));
}

static void put(char *at, slice s)
{
    memcpy(at, s.p, s.n);
}

/* What a client left open cannot swallow what the proxy behind it wrote. */
static void test_open_quotes(void **state)
{
    static const char *const lies[] = {
        "for=\"", "for=\"x\\", "\"", "for=\"1.2.3.4", "=\"", "for=\"a\\\"", "for=a\"b\""
    };
    for (size_t i = 0; i < array_len(lies); i++) {
        char line[128];
        size_t n = strlen(lies[i]);
        put(line, slice_str(lies[i]));
        put(line + n, SLICE(", for=\"[2001:db8::1]:5\""));
        slice list = slice_of(line, n + 23), e;
        struct forwarded f;
        struct addr_ip a;
        assert_true(forwarded_last_element(&list, &e));
        assert_int_equal(forwarded_parse(e, &f), OK);
        assert_int_equal(forwarded_node(f.for_, &a), OK);
        assert_int_equal(a.sa.sa_family, AF_INET6);
    }
}

static void test_elements(void **state)
{
    static const char *const bad[] = { "",
                                       "for",
                                       "for=",
                                       "=a",
                                       "for=a;",
                                       ";for=a",
                                       "for=a for=b",
                                       "for =a",
                                       "for= a",
                                       "for=[::1]",
                                       "for=\"a",
                                       "for=a\"b",
                                       "for=a;for=b",
                                       "FOR=a;for=b",
                                       "by=a;by=b",
                                       "proto=http;;by=a",
                                       "for=\"a\"b" };
    struct forwarded f;
    assert_int_equal(forwarded_parse(SLICE(" For=192.0.2.1;PROTO=https;by=\"_x\";host=\"a:80\";ext=1 "), &f), OK);
    assert_true(slice_eq(f.for_, SLICE("192.0.2.1")) && slice_eq(f.proto, SLICE("https")));
    assert_true(slice_eq(f.by, SLICE("_x")) && slice_eq(f.host, SLICE("a:80")));
    assert_int_equal(forwarded_parse(SLICE("for=\"\""), &f), OK);
    assert_true(f.for_.p && f.for_.n == 0 && !f.by.p);
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(forwarded_parse(slice_str(bad[i]), &f), ERR_SYNTAX);
}

static void test_nodes(void **state)
{
    static const char *const none[] = { "unknown", "_gazonk", "::1", "1.2.3.4:_port", "[::1", "" };
    struct addr_ip a;
    for (size_t i = 0; i < array_len(none); i++)
        assert_int_equal(forwarded_node(slice_str(none[i]), &a), ERR_SYNTAX);
    assert_int_equal(forwarded_node(SLICE("[::1]"), &a), OK);
    assert_int_equal(forwarded_node(SLICE("1.2.3.4:47011"), &a), OK);
}

/* Trusted are 10.0.0.0/8; who is found from the peer 10.0.0.1 on. */
static void walk(enum forwarded_form form, bool recursive, const char *first, const char *second, const char *want)
{
    struct cidr ten;
    bool loose;
    char text[ADDR_TEXT_MAX];
    assert_int_equal(cidr_parse(SLICE("10.0.0.0/8"), &ten, &loose), OK);
    struct cidr_set set = { .v = &ten, .n = 1 };
    struct forwarded_walk w = { .addr = ip_of("10.0.0.1"), .trusted = &set, .recursive = recursive };
    forwarded_walk(&w, form, slice_str(first));
    if (!w.over && second)
        forwarded_walk(&w, form, slice_str(second));
    struct addr a = { .len = sizeof(a.in6) };
    memcpy(&a.in6, &w.addr.in6, sizeof(a.in6));
    text[addr_text_ip(text, &a)] = 0;
    assert_string_equal(text, want);
    assert_int_equal(w.found, strcmp(want, "10.0.0.1") != 0);
}

static void test_walk(void **state)
{
    walk(FORWARDED_ADDRESSES, false, "192.0.2.1, 10.0.0.2", NULL, "10.0.0.2");
    walk(FORWARDED_ADDRESSES, true, "192.0.2.1, 10.0.0.2", NULL, "192.0.2.1");
    walk(FORWARDED_ADDRESSES, true, "198.51.100.1, 192.0.2.1, 10.0.0.2", NULL, "192.0.2.1");
    walk(FORWARDED_ADDRESSES, true, "10.0.0.3, 10.0.0.2", NULL, "10.0.0.3");
    walk(FORWARDED_ADDRESSES, true, "10.0.0.3, rubbish, 10.0.0.2", NULL, "10.0.0.2");
    walk(FORWARDED_ADDRESSES, true, "10.0.0.2", "192.0.2.1", "192.0.2.1");
    walk(FORWARDED_ADDRESSES, false, "10.0.0.2", "192.0.2.1", "10.0.0.2");
    walk(FORWARDED_ADDRESSES, true, "rubbish", "192.0.2.1", "10.0.0.1");
    walk(FORWARDED_ADDRESSES, true, "", "192.0.2.1", "10.0.0.1");
    walk(FORWARDED_ELEMENTS, true, "for=192.0.2.1, for=10.0.0.2", NULL, "192.0.2.1");
    walk(FORWARDED_ELEMENTS, true, "for=192.0.2.1, for=unknown, for=10.0.0.2", NULL, "10.0.0.2");
    walk(FORWARDED_ELEMENTS, true, "for=192.0.2.1, proto=http", NULL, "10.0.0.1");
    walk(FORWARDED_ELEMENTS, true, "for=10.0.0.2", "for=\"[2001:db8::1]\"", "2001:db8::1");
}

static void test_fields(void **state)
{
    static const char *const yes[] = { "x-forwarded-for", "X-Forwarded-Anything", "Forwarded",        "X_Forwarded_For",
                                       "X-Real-IP",       "true-client-ip",       "CF_Connecting_IP", "X-Original-URL",
                                       "Forwarded-For",   "x-forwarded" };
    static const char *const no[] = { "Forwarded-Form", "X-Forwardedx", "X-Real-IPs", "Via", "Host", "X-Realip" };
    for (size_t i = 0; i < array_len(yes); i++)
        assert_true(forwarded_is_field(&(struct field){ .name = slice_str(yes[i]) }));
    for (size_t i = 0; i < array_len(no); i++)
        assert_false(forwarded_is_field(&(struct field){ .name = slice_str(no[i]) }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_lists), cmocka_unit_test(test_open_quotes),
        cmocka_unit_test(test_elements),  cmocka_unit_test(test_nodes), cmocka_unit_test(test_walk),
        cmocka_unit_test(test_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
