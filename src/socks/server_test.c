/*
 * What a client is told of the outcome of its exchange, and destinations as text.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "socks/dest.h"
#include "socks/server.h"

static void every_outcome_has_its_code(void **state)
{
    static const struct {
        unsigned status, why;
        int error;
        enum socks_reply code;
    } rows[] = {
        { 403, WHY_NONE, 0, SOCKS_NOT_ALLOWED },
        { 407, WHY_NONE, 0, SOCKS_NOT_ALLOWED },
        { 508, WHY_NONE, 0, SOCKS_NOT_ALLOWED },
        { 302, WHY_NONE, 0, SOCKS_NOT_ALLOWED },
        { 405, WHY_NONE, 0, SOCKS_BAD_COMMAND },
        { 502, WHY_NONE, 0, SOCKS_HOST_UNREACHABLE },
        { 502, WHY_CONNECT, ECONNREFUSED, SOCKS_REFUSED },
        { 502, WHY_CONNECT, ENETUNREACH, SOCKS_NET_UNREACHABLE },
        { 502, WHY_CONNECT, EHOSTUNREACH, SOCKS_HOST_UNREACHABLE },
        { 502, WHY_CONNECT, ETIMEDOUT, SOCKS_TTL_EXPIRED },
        { 502, WHY_CONNECT, EACCES, SOCKS_FAILURE },
        { 502, WHY_CLOSED, 0, SOCKS_FAILURE },
        { 504, WHY_CONNECT_TIMEOUT, 0, SOCKS_TTL_EXPIRED },
        { 400, WHY_NONE, 0, SOCKS_FAILURE },
        { 500, WHY_NONE, 0, SOCKS_FAILURE },
        { 503, WHY_NOMEM, 0, SOCKS_FAILURE },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct exchange x = { .back_why = (uint8_t)rows[i].why, .back_errno = rows[i].error };
        x.resp.status = (uint16_t)rows[i].status;
        assert_int_equal(socks_reply_of(&x), rows[i].code);
        assert_int_equal(socks4_reply_of(socks_reply_of(&x)), SOCKS4_REJECTED);
    }
}

static struct socks_dest named(const char *name, uint16_t port)
{
    struct socks_dest d = { .type = SOCKS_NAME, .port = port };
    d.name.n = (uint8_t)strlen(name);
    memcpy(d.name.p, name, d.name.n);
    return d;
}

static void same_text(const struct socks_dest *d, const char *want)
{
    char text[SOCKS_DEST_TEXT];
    slice got = socks_dest_text(d, text);
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void destinations_are_authorities(void **state)
{
    struct socks_dest four = { .type = SOCKS_IPV4, .ip = { 10, 0, 0, 1 }, .port = 80 };
    struct socks_dest six = { .type = SOCKS_IPV6, .ip = { [15] = 1 }, .port = 443 };
    same_text(&four, "10.0.0.1:80");
    same_text(&six, "[::1]:443");
    struct socks_dest d = named("Example.test.", 1);
    same_text(&d, "Example.test.:1");
    d = named("127.0.0.1", 65535);
    same_text(&d, "127.0.0.1:65535");
    d = named("0:0::1", 5);
    same_text(&d, "[::1]:5");
    d = named("a:b/c", 0);
    same_text(&d, "a:b/c:0");
}

static void the_longest_name_has_room(void **state)
{
    struct socks_dest d = { .type = SOCKS_NAME, .port = 65535, .name.n = SOCKS_TEXT_MAX };
    char text[SOCKS_DEST_TEXT];
    memset(d.name.p, 'x', sizeof(d.name.p));
    assert_int_equal(socks_dest_text(&d, text).n, SOCKS_TEXT_MAX + 6);
}

static void addresses_are_destinations(void **state)
{
    static const char *const rows[][2] = { { "10.1.2.3:9", "10.1.2.3:9" },
                                           { "[2001:db8::1]:9", "[2001:db8::1]:9" },
                                           { "[::ffff:10.1.2.3]:9", "10.1.2.3:9" } };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct addr a;
        struct socks_dest d;
        assert_int_equal(addr_parse(slice_str(rows[i][0]), &a), OK);
        socks_dest_of(&a, &d);
        same_text(&d, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_outcome_has_its_code),
        cmocka_unit_test(destinations_are_authorities),
        cmocka_unit_test(the_longest_name_has_room),
        cmocka_unit_test(addresses_are_destinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
