/*
 * The codec: every message whole, byte by byte and split at every point; its limits; and that writers and readers
 * agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "socks/socks.h"

/* Feeds a copy of exact size, so that a sanitizer sees its end. */
static int feed(struct socks_reader *r, slice part, size_t *used)
{
    char *copy = malloc(part.n + 1);
    if (part.n)
        memcpy(copy, part.p, part.n);
    int rc = socks_feed(r, slice_of(copy, part.n), used);
    free(copy);
    return rc;
}

static bool same(const struct socks_reader *a, const struct socks_reader *b)
{
    return a->version == b->version && a->command == b->command && a->has_none == b->has_none &&
           a->has_password == b->has_password && a->is_4a == b->is_4a && a->dest.type == b->dest.type &&
           a->dest.port == b->dest.port && memcmp(a->dest.ip, b->dest.ip, 16) == 0 &&
           slice_eq(socks_text(&a->dest.name), socks_text(&b->dest.name)) &&
           slice_eq(socks_text(&a->user), socks_text(&b->user)) &&
           slice_eq(socks_text(&a->password), socks_text(&b->password));
}

/* Reads it whole, with bytes behind it, in two parts at every point, and byte by byte. */
static struct socks_reader read_all(enum socks_kind kind, slice m, int want)
{
    const slice early = SLICE("early");
    struct socks_reader r, s;
    char more[800];
    size_t used, first;
    assert_true(m.n + 5 <= sizeof(more));
    memcpy(more, m.p, m.n);
    memcpy(more + m.n, early.p, early.n);
    socks_read(&r, kind);
    assert_int_equal(feed(&r, slice_of(more, m.n + (want == OK ? 5 : 0)), &used), want);
    assert_int_equal(used, m.n);
    for (size_t cut = 0; cut <= m.n; cut++) {
        socks_read(&s, kind);
        int rc = feed(&s, slice_upto(m, cut), &first);
        assert_int_equal(rc, cut < m.n ? ERR_MORE : want);
        if (cut < m.n) {
            assert_int_equal(feed(&s, slice_from(m, cut), &used), want);
            assert_int_equal(first + used, m.n);
        }
        assert_true(same(&r, &s));
    }
    socks_read(&s, kind);
    for (size_t i = 0; i < m.n; i++)
        assert_int_equal(feed(&s, slice_of(m.p + i, 1), &used), i + 1 < m.n ? ERR_MORE : want);
    assert_true(same(&r, &s));
    int again = feed(&s, SLICE("x"), &used); /* nothing more is taken */
    assert_int_equal(used, 0);
    assert_int_equal(again == OK, want == OK);
    return r;
}

#define BYTES(s) slice_of(s, sizeof(s) - 1)

static void test_greetings(void **state)
{
    struct socks_reader r = read_all(SOCKS_GREETING, BYTES("\5\1\0"), OK);
    assert_true(r.version == 5 && r.has_none && !r.has_password);
    r = read_all(SOCKS_GREETING, BYTES("\5\3\1\2\x80"), OK);
    assert_true(!r.has_none && r.has_password);
    r = read_all(SOCKS_GREETING, BYTES("\5\0"), OK);
    assert_true(!r.has_none && !r.has_password);
    read_all(SOCKS_GREETING, BYTES("G"), ERR_SYNTAX);
    read_all(SOCKS_GREETING, BYTES("\0"), ERR_SYNTAX);
    read_all(SOCKS_GREETING, BYTES("\6"), ERR_SYNTAX);
}

static void test_requests(void **state)
{
    struct socks_reader r = read_all(SOCKS_REQUEST, BYTES("\5\1\0\1\xc0\0\2\7\1\xbb"), OK);
    assert_int_equal(r.command, SOCKS_CONNECT);
    assert_int_equal(r.dest.type, SOCKS_IPV4);
    assert_memory_equal(r.dest.ip, "\xc0\0\2\7", 4);
    assert_int_equal(r.dest.port, 443);
    r = read_all(SOCKS_REQUEST,
                 BYTES("\5\3\0\4"
                       "0123456789abcdef"
                       "\0\x35"),
                 OK);
    assert_int_equal(r.command, SOCKS_UDP_ASSOCIATE);
    assert_memory_equal(r.dest.ip, "0123456789abcdef", 16);
    r = read_all(SOCKS_REQUEST,
                 BYTES("\5\1\0\3\7"
                       "a.b.c.d"
                       "\0\x50"),
                 OK);
    assert_true(slice_eq(socks_text(&r.dest.name), SLICE("a.b.c.d")));
    read_all(SOCKS_REQUEST, BYTES("\5\1\0\3\0"), ERR_SYNTAX);
    read_all(SOCKS_REQUEST, BYTES("\5\1\1"), ERR_SYNTAX);
    read_all(SOCKS_REQUEST, BYTES("\4"), ERR_SYNTAX);
    read_all(SOCKS_REQUEST, BYTES("\5\1\0\2"), ERR_UNSUPPORTED);
}

static void test_socks4(void **state)
{
    struct socks_reader r = read_all(SOCKS_GREETING,
                                     BYTES("\4\1\0\x50\xc0\0\2\7"
                                           "tom\0"),
                                     OK);
    assert_true(r.version == 4 && r.command == SOCKS_CONNECT && !r.is_4a && r.dest.port == 80);
    assert_int_equal(r.dest.type, SOCKS_IPV4);
    assert_true(slice_eq(socks_text(&r.user), SLICE("tom")));
    r = read_all(SOCKS_GREETING,
                 BYTES("\4\1\0\x50\0\0\0\1\0"
                       "name.test\0"),
                 OK);
    assert_true(r.is_4a && r.dest.type == SOCKS_NAME);
    assert_true(slice_eq(socks_text(&r.dest.name), SLICE("name.test")));
    r = read_all(SOCKS_GREETING, BYTES("\4\1\0\x50\0\0\0\0\0"), OK); /* 0.0.0.0 is an address, not 4a */
    assert_true(!r.is_4a && r.dest.type == SOCKS_IPV4);
    read_all(SOCKS_GREETING, BYTES("\4\1\0\x50\0\0\0\1\0\0"), ERR_SYNTAX);
}

static void test_limits_of_socks4(void **state)
{
    char m[700] = { 4, 1, 0, 80, 0, 0, 0, 9 };
    memset(m + 8, 'u', 255);
    memset(m + 8 + 256, 'n', 256);
    read_all(SOCKS_GREETING, slice_of(m, 8 + 256 + 256), ERR_LIMIT);
    m[8 + 256 + 255] = 0;
    struct socks_reader r = read_all(SOCKS_GREETING, slice_of(m, 8 + 256 + 256), OK);
    assert_int_equal(r.user.n, 255);
    assert_int_equal(r.dest.name.n, 255);
    memset(m + 8, 'u', 256);
    read_all(SOCKS_GREETING, slice_of(m, 8 + 256), ERR_LIMIT);
}

static void test_logins(void **state)
{
    struct socks_reader r = read_all(SOCKS_LOGIN, BYTES("\1\3tom\5s:cr\0"), OK);
    assert_true(slice_eq(socks_text(&r.user), SLICE("tom")));
    assert_true(slice_eq(socks_text(&r.password), BYTES("s:cr\0")));
    read_all(SOCKS_LOGIN, BYTES("\1\0\0"), OK);
    read_all(SOCKS_LOGIN, BYTES("\5"), ERR_SYNTAX);
}

static void test_answers(void **state)
{
    struct socks_reader r = read_all(SOCKS_CHOICE, BYTES("\5\xff"), OK);
    assert_int_equal(r.command, SOCKS_NONE_GOOD);
    r = read_all(SOCKS_LOGIN_ANSWER, BYTES("\1\0"), OK);
    assert_int_equal(r.command, 0);
    r = read_all(SOCKS_ANSWER, BYTES("\5\5\0\1\0\0\0\0\0\0"), OK);
    assert_int_equal(r.command, SOCKS_REFUSED);
    r = read_all(SOCKS4_ANSWER, BYTES("\0\x5a\0\x50\1\2\3\4"), OK);
    assert_int_equal(r.command, SOCKS4_GRANTED);
    read_all(SOCKS4_ANSWER, BYTES("\4"), ERR_SYNTAX);
}

static slice written(const uint8_t *p, size_t n)
{
    return slice_of((const char *)p, n);
}

static void test_writers_and_readers_agree(void **state)
{
    uint8_t out[SOCKS_WRITE_MAX];
    struct socks_dest d = { .type = SOCKS_NAME, .port = 8443 };
    memset(d.name.p, 'x', 255);
    d.name.n = 255;
    struct socks_reader r = read_all(SOCKS_REQUEST, written(out, socks_write_request(out, SOCKS_CONNECT, &d)), OK);
    assert_true(slice_eq(socks_text(&r.dest.name), socks_text(&d.name)) && r.dest.port == 8443);
    r = read_all(SOCKS_GREETING, written(out, socks4_write_request(out, SOCKS_CONNECT, &d, SLICE("me"))), OK);
    assert_true(r.is_4a && r.dest.name.n == 255 && r.user.n == 2);
    d = (struct socks_dest){ .type = SOCKS_IPV6, .ip = { [15] = 1 }, .port = 1 };
    r = read_all(SOCKS_ANSWER, written(out, socks_write_answer(out, SOCKS_DONE, &d)), OK);
    assert_true(r.dest.type == SOCKS_IPV6 && r.dest.ip[15] == 1);
    assert_int_equal(socks4_write_request(out, SOCKS_CONNECT, &d, SLICE_NONE), 0);
    read_all(SOCKS_ANSWER, written(out, socks_write_answer(out, SOCKS_FAILURE, NULL)), OK);
    read_all(SOCKS4_ANSWER, written(out, socks4_write_answer(out, SOCKS4_REJECTED, &d)), OK);
    read_all(SOCKS_CHOICE, written(out, socks_write_choice(out, SOCKS_PASSWORD)), OK);
    read_all(SOCKS_GREETING, written(out, socks_write_greeting(out, true)), OK);
    r = read_all(SOCKS_LOGIN, written(out, socks_write_login(out, SLICE("u"), SLICE("p"))), OK);
    assert_true(slice_eq(socks_text(&r.user), SLICE("u")));
    r = read_all(SOCKS_LOGIN_ANSWER, written(out, socks_write_login_answer(out, false)), OK);
    assert_int_not_equal(r.command, 0);
    assert_int_equal(socks_write_login(out, SLICE(""), SLICE("p")), 0);
    char big[256] = { 0 };
    assert_int_equal(socks_write_login(out, slice_of(big, 256), SLICE("p")), 0);
    assert_int_equal(socks4_reply_of(SOCKS_DONE), SOCKS4_GRANTED);
    assert_int_equal(socks4_reply_of(SOCKS_NOT_ALLOWED), SOCKS4_REJECTED);
}

static void test_datagrams(void **state)
{
    uint8_t out[SOCKS_WRITE_MAX + 8];
    struct socks_dest d = { .type = SOCKS_IPV4, .ip = { 8, 8, 4, 4 }, .port = 53 }, got;
    slice data;
    size_t n = socks_udp_write(out, &d);
    memcpy(out + n, "payload", 7);
    assert_int_equal(socks_udp_read(written(out, n + 7), &got, &data), OK);
    assert_true(slice_eq(data, SLICE("payload")) && got.port == 53);
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(socks_udp_read(written(out, cut), &got, &data), ERR_SYNTAX);
    assert_int_equal(socks_udp_read(written(out, n), &got, &data), OK);
    assert_int_equal(data.n, 0);
    out[2] = 1;
    assert_int_equal(socks_udp_read(written(out, n), &got, &data), ERR_UNSUPPORTED);
    out[2] = 0;
    out[0] = 1;
    assert_int_equal(socks_udp_read(written(out, n), &got, &data), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greetings),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_socks4),
        cmocka_unit_test(test_limits_of_socks4),
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_writers_and_readers_agree),
        cmocka_unit_test(test_datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
