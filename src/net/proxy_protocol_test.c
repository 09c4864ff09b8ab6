/* PROXY protocol headers: whole, byte by byte, and broken in every way that the specification names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/proxy_protocol.h"

#define BYTES(literal) ((slice){ "" literal, sizeof(literal) - 1 })

/* The whole, byte by byte, and with bytes behind it, must all say the same. */
static ptrdiff_t parse(slice in, struct proxy_header *h)
{
    const char *why = NULL;
    ptrdiff_t whole = proxy_header_parse(in, h, &why), rc = ERR_MORE;
    assert_true((whole == ERR_SYNTAX) == (why != NULL));
    for (size_t n = 0; n <= in.n && rc == ERR_MORE; n++) {
        struct proxy_header part;
        char *copy = malloc(n + 1); /* exactly n bytes may be looked at */
        memcpy(copy, in.p, n);
        copy[n] = '\n';
        rc = proxy_header_parse(slice_of(copy, n), &part, &why);
        free(copy);
        if (rc > 0)
            assert_int_equal(rc, n);
    }
    assert_int_equal(rc, whole);
    return whole;
}

static void expect(slice in, const char *src, const char *dst)
{
    struct proxy_header h;
    char text[ADDR_TEXT_MAX];
    assert_int_equal(parse(in, &h), in.n);
    assert_int_equal(addr_text(text, &h.src), strlen(src));
    assert_string_equal(text, src);
    assert_int_equal(addr_text(text, &h.dst), strlen(dst));
    assert_string_equal(text, dst);
}

static void expect_none(slice in)
{
    struct proxy_header h;
    assert_int_equal(parse(in, &h), in.n);
    assert_int_equal(h.src.len, 0);
    assert_int_equal(h.dst.len, 0);
    assert_int_equal(h.tlvs.n, 0);
}

static void refuse(slice in)
{
    struct proxy_header h;
    assert_int_equal(parse(in, &h), ERR_SYNTAX);
}

static void put(char *at, slice s)
{
    memcpy(at, s.p, s.n);
}

static void test_v1(void **state)
{
    expect(SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r\n"), "192.0.2.1:1234", "198.51.100.2:80");
    expect(SLICE("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"), "[2001:db8::1]:65535", "[::1]:0");
    expect_none(SLICE("PROXY UNKNOWN\r\n"));
    expect_none(SLICE("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"));
}

static void test_v1_refused(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n",
        "PROXY\r\n",
        "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        "PROXY \n",
        "PROXY \r\n",
        "PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 ::1%lo ::1 1 2\r\n",
        "PROXY TCP4 unix:/x 5.6.7.8 1 2\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuse(slice_str(bad[i]));
    char line[200];
    memset(line, 'a', sizeof(line));
    put(line, SLICE("PROXY UNKNOWN "));
    refuse(slice_of(line, sizeof(line)));
    put(line + PROXY_HEADER_V1_MAX - 2, SLICE("\r\n"));
    expect_none(slice_of(line, PROXY_HEADER_V1_MAX));
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4           \
    "\300\0\2\1"     \
    "\306\063\144\2" \
    "\4\322"         \
    "\0\120"

static void test_v2(void **state)
{
    expect(BYTES(SIGNATURE "\x21\x11\0\x0c" V4), "192.0.2.1:1234", "198.51.100.2:80");
    expect(BYTES(SIGNATURE "\x21\x21\0\x24"
                           "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
                           "\4\322\0\120"),
           "[2001:db8::1]:1234", "[::1]:80");
    expect_none(BYTES(SIGNATURE "\x20\x11\0\x0c" V4)); /* LOCAL */
    expect_none(BYTES(SIGNATURE "\x20\xff\0\x02xx"));  /* LOCAL: the rest is ignored, whatever it is */
    expect_none(BYTES(SIGNATURE "\x21\0\0\0"));        /* UNSPEC */
    expect_none(BYTES(SIGNATURE "\x21\0\0\x03zzz"));
    expect_none(BYTES(SIGNATURE "\x21\x12\0\x0c" V4)); /* a datagram */
    expect_none(BYTES(SIGNATURE "\x21\x10\0\x0c" V4));
}

static void test_v2_unix(void **state)
{
    char in[16 + 216 + 1] = SIGNATURE "\x21\x31\0\xd8";
    put(in + 16, SLICE("/run/a"));
    memset(in + 16 + 108, 'x', 108); /* a path of full length has no NUL */
    char dst[ADDR_TEXT_MAX] = "unix:";
    memset(dst + 5, 'x', 108);
    dst[113] = 0;
    expect(slice_of(in, 232), "unix:/run/a", dst);
    in[15] = '\xd7';
    refuse(slice_of(in, 231));
}

static void test_v2_refused(void **state)
{
    refuse(BYTES(SIGNATURE "\x11\x11\0\x0c" V4));
    refuse(BYTES(SIGNATURE "\x22\x11\0\x0c" V4));
    refuse(BYTES(SIGNATURE "\x21\x41\0\x0c" V4));
    refuse(BYTES(SIGNATURE "\x21\x13\0\x0c" V4));
    refuse(BYTES(SIGNATURE "\x21\x11\0\x0b" V4));
    refuse(BYTES(SIGNATURE "\x21\x21\0\x0c" V4));
    refuse(BYTES(SIGNATURE "\x21\x11\x0f\xf1" V4)); /* 4096 + 1 */
    refuse(BYTES("\r\n\r\nGET / HTTP/1.1\r\n"));
    struct proxy_header h;
    assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\0\x0d" V4), &h), ERR_MORE);
    assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\x0f\xf0" V4), &h), ERR_MORE);
}

static void test_tlvs(void **state)
{
    struct proxy_header h;
    slice v;
    uint32_t verify;
    slice in = BYTES(SIGNATURE "\x21\x11\0\x2b" V4 "\1\0\2h2"
                               "\2\0\1a"
                               "\2\0\1b"
                               "\5\0\0"
                               "\x20\0\x0c"
                               "\1\0\0\1\2"
                               "\x21\0\4TLS1");
    assert_int_equal(in.n, 16 + 0x2b);
    assert_int_equal(parse(in, &h), in.n);
    assert_true(proxy_tlv_find(h.tlvs, PROXY_TLV_ALPN, &v) && slice_eq(v, SLICE("h2")));
    assert_true(proxy_tlv_find(h.tlvs, PROXY_TLV_AUTHORITY, &v) && slice_eq(v, SLICE("a")));
    assert_true(proxy_tlv_find(h.tlvs, PROXY_TLV_UNIQUE_ID, &v) && v.n == 0);
    assert_false(proxy_tlv_find(h.tlvs, PROXY_TLV_NETNS, &v));
    assert_true(proxy_tlv_ssl(h.tlvs, &verify, &v) && verify == 258);
    assert_true(proxy_tlv_find(v, PROXY_TLV_SSL_VERSION, &v) && slice_eq(v, SLICE("TLS1")));
    assert_false(proxy_tlv_ssl(SLICE_NONE, &verify, &v));
}

static void test_broken_tlvs(void **state)
{
    refuse(BYTES(SIGNATURE "\x21\x11\0\x0e" V4 "\1\0"));
    refuse(BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\1\0\2h"));
    refuse(BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\1\xff\xff"
                           "h"));
    refuse(BYTES(SIGNATURE "\x21\x11\0\x13" V4 "\x20\0\4"
                           "\1\0\0\0"));
    refuse(BYTES(SIGNATURE "\x21\x11\0\x16" V4 "\x20\0\7"
                           "\1\0\0\0\0"
                           "\x21\0"));
    refuse(BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\3\0\1x"));
}

/* The checksum was computed with an implementation of its own (Castagnoli, reflected). */
static uint32_t slow_crc(const char *p, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint32_t mix = (crc ^ ((unsigned)(uint8_t)p[i] >> bit)) & 1;
            crc >>= 1;
            if (mix)
                crc ^= 0x82f63b78u;
        }
    }
    return ~crc;
}

static void test_checksum(void **state)
{
    char in[] = SIGNATURE "\x21\x11\0\x17" V4 "\3\0\4\0\0\0\0"
                          "\5\0\1z";
    size_t n = sizeof(in) - 1;
    assert_int_equal(slow_crc("123456789", 9), 0xe3069283u); /* RFC 3720 and everybody's check value */
    uint32_t crc = slow_crc(in, n);
    for (unsigned i = 0; i < 4; i++)
        in[16 + 12 + 3 + i] = (char)(crc >> (24 - 8 * i));
    expect(slice_of(in, n), "192.0.2.1:1234", "198.51.100.2:80");
    for (size_t i = 16; i < n; i++) {
        struct proxy_header h;
        if (i == 16 + 12)
            continue; /* its type: then there is no checksum */
        in[i] ^= 0x40;
        assert_int_not_equal(parse(slice_of(in, n), &h), n);
        in[i] ^= 0x40;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1),          cmocka_unit_test(test_v1_refused), cmocka_unit_test(test_v2),
        cmocka_unit_test(test_v2_unix),     cmocka_unit_test(test_v2_refused), cmocka_unit_test(test_tlvs),
        cmocka_unit_test(test_broken_tlvs), cmocka_unit_test(test_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
