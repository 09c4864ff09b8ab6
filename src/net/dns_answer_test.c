/* Names and answers: what is taken, what is not, and that no message whatever leads out of its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "net/dns_answer.h"

static void put16(struct strb *b, unsigned v)
{
    strb_char(b, (char)(v >> 8));
    strb_char(b, (char)v);
}

static void put_name(struct strb *b, const char *name)
{
    slice rest = slice_str(name), label;
    while (rest.n) {
        if (!slice_cut(rest, '.', &label, &rest)) {
            label = rest;
            rest.n = 0;
        }
        strb_char(b, (char)label.n);
        strb_add(b, label);
    }
    strb_char(b, 0);
}

static void begin(struct strb *b, const char *name, unsigned type, unsigned rcode, unsigned answers, unsigned authority)
{
    strb_init(b, 0);
    put16(b, 7);
    put16(b, 0x8180 | rcode);
    put16(b, 1);
    put16(b, answers);
    put16(b, authority);
    put16(b, 0);
    put_name(b, name);
    put16(b, type);
    put16(b, 1);
}

static void record(struct strb *b, const char *owner, unsigned type, unsigned ttl, slice data)
{
    put_name(b, owner);
    put16(b, type);
    put16(b, 1);
    put16(b, ttl >> 16);
    put16(b, ttl);
    put16(b, (unsigned)data.n);
    strb_add(b, data);
}

static void alias(struct strb *b, const char *owner, unsigned ttl, const char *to)
{
    struct strb d;
    strb_init(&d, 0);
    put_name(&d, to);
    record(b, owner, DNS_CNAME, ttl, strb_slice(&d));
    strb_done(&d);
}

static int parse(struct strb *b, const char *name, enum dns_type type, struct dns_answer *out)
{
    char *exact = malloc(b->n ? b->n : 1); /* so that a sanitizer sees the end */
    memcpy(exact, b->p, b->n);
    int rc = dns_answer_parse(slice_of(exact, b->n), slice_str(name), type, out);
    free(exact);
    return rc;
}

static const slice one = SLICE("\x01\x02\x03\x04"), two = SLICE("\x05\x06\x07\x08");

static void test_names(void **state)
{
    char out[DNS_NAME_MAX], big[300];
    size_t n;
    static const char *const good[] = { "a",        "a.b",        "EXAMPLE.com.",         "x-y.z_1.org",
                                        "1.2.3.4a", "0x.example", "xn--bcher-kva.example" };
    static const char *const bad[] = { "",           ".",          "a..b",  ".a",         "a b",
                                       "a/b",        "127.0.0.1",  "127.1", "2130706433", "0x7f.1",
                                       "0x7f000001", "0177.0.0.1", "a.0x1", "a.12",       "\xef\xbc\x91\xef\xbc\x92",
                                       "a%2eb",      "::1",        "a,b",   "a\tb",       "1.2.3.4." };
    for (size_t i = 0; i < array_len(good); i++)
        assert_int_equal(dns_name_normal(slice_str(good[i]), out, &n), OK);
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(dns_name_normal(slice_str(bad[i]), out, &n), ERR_SYNTAX);
    assert_int_equal(dns_name_normal(SLICE("A.Example."), out, &n), OK);
    assert_true(slice_eq(slice_of(out, n), SLICE("a.example")));
    memset(big, 'a', sizeof(big));
    assert_int_equal(dns_name_normal(slice_of(big, 63), out, &n), OK);
    assert_int_equal(dns_name_normal(slice_of(big, 64), out, &n), ERR_SYNTAX);
    for (size_t i = 50; i < sizeof(big); i += 50)
        big[i] = '.';
    assert_int_equal(dns_name_normal(slice_of(big, 253), out, &n), OK);
    assert_int_equal(dns_name_normal(slice_of(big, 254), out, &n), ERR_SYNTAX);
}

static void test_addresses(void **state)
{
    struct strb b;
    struct dns_answer a;
    begin(&b, "a.test", DNS_A, 0, 4, 0);
    record(&b, "A.test", DNS_A, 300, one);
    record(&b, "a.test", DNS_A, 60, two);
    record(&b, "a.test", DNS_A, 60, one); /* again */
    record(&b, "b.test", DNS_A, 5, SLICE("\x09\x09\x09\x09"));
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), OK);
    assert_int_equal(a.status, DNS_OK);
    assert_int_equal(a.n, 2);
    assert_int_equal(a.ttl, 60);
    assert_memory_equal(a.v[1].b, two.p, 4);
    assert_int_equal(parse(&b, "b.test", DNS_A, &a), ERR_SYNTAX); /* not what was asked */
    assert_int_equal(parse(&b, "a.test", DNS_AAAA, &a), ERR_SYNTAX);
    strb_done(&b);
}

static void test_aliases(void **state)
{
    struct strb b;
    struct dns_answer a;
    begin(&b, "a.test", DNS_A, 0, 3, 0);
    record(&b, "c.test", DNS_A, 300, one); /* the order is not a server's to break */
    alias(&b, "b.test", 20, "c.test");
    alias(&b, "a.test", 30, "b.test");
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), OK);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.ttl, 20);
    strb_done(&b);

    begin(&b, "a.test", DNS_A, 0, 2, 0);
    alias(&b, "a.test", 30, "b.test");
    alias(&b, "b.test", 30, "a.test");
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), ERR_LIMIT);
    strb_done(&b);
}

static void chain(unsigned links, int want)
{
    struct strb b;
    struct dns_answer a;
    char from[16], to[16];
    begin(&b, "n0", DNS_A, 0, links + 1, 0);
    for (unsigned i = 0; i < links; i++) {
        snprintf(from, sizeof(from), "n%u", i);
        snprintf(to, sizeof(to), "n%u", i + 1);
        alias(&b, from, 30, to);
    }
    snprintf(to, sizeof(to), "n%u", links);
    record(&b, to, DNS_A, 30, one);
    assert_int_equal(parse(&b, "n0", DNS_A, &a), want);
    strb_done(&b);
}

static void test_long_chains(void **state)
{
    chain(1, OK);
    chain(DNS_CHAIN_MAX, OK);
    chain(DNS_CHAIN_MAX + 1, ERR_LIMIT);
    chain(100, ERR_LIMIT);
}

static void test_nothing(void **state)
{
    struct strb b, d;
    struct dns_answer a;
    strb_init(&d, 0);
    put_name(&d, "ns.test");
    put_name(&d, "root.test");
    strb_add(&d, slice_of("\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\x2a", 20));
    begin(&b, "a.test", DNS_A, DNS_NXDOMAIN, 0, 1);
    record(&b, "test", DNS_SOA, 600, strb_slice(&d));
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), OK);
    assert_int_equal(a.status, DNS_NXDOMAIN);
    assert_int_equal(a.ttl, 42);
    strb_done(&b);
    strb_done(&d);

    begin(&b, "a.test", DNS_A, DNS_NXDOMAIN, 1, 0); /* refused names have no addresses, whatever comes along */
    record(&b, "a.test", DNS_A, 60, one);
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), OK);
    assert_int_equal(a.n, 0);
    assert_int_equal(a.ttl, 0);
    strb_done(&b);
}

static void test_bounds(void **state)
{
    struct strb b;
    struct dns_answer a;
    begin(&b, "a.test", DNS_A, 0, 500, 0);
    for (unsigned i = 0; i < 500; i++) {
        char ip[4] = { 1, 2, (char)(i >> 8), (char)i };
        record(&b, "a.test", DNS_A, 60, slice_of(ip, 4));
    }
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), OK);
    assert_int_equal(a.n, DNS_ADDRS_MAX);
    strb_done(&b);

    begin(&b, "a.test", DNS_A, 0, 1, 0);
    record(&b, "a.test", DNS_A, 0x80000001u, one);
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), OK);
    assert_int_equal(a.ttl, 0);
    strb_done(&b);

    begin(&b, "a.test", DNS_A, 0, 1, 0);
    put16(&b, 0xc000 | (unsigned)b.n); /* a name that is itself */
    strb_add(&b, slice_of("\0\1\0\1\0\0\0\1\0\4abcd", 14));
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), ERR_SYNTAX);
    strb_done(&b);
}

/* Every cut is an error or an answer; with every byte changed it stays within its memory. */
static void test_cut_and_changed(void **state)
{
    struct strb b;
    struct dns_answer a;
    begin(&b, "a.test", DNS_A, 0, 2, 0);
    alias(&b, "a.test", 30, "b.test");
    record(&b, "b.test", DNS_A, 30, one);
    size_t whole = b.n;
    for (b.n = 0; b.n < whole; b.n++)
        assert_int_not_equal(parse(&b, "a.test", DNS_A, &a), OK);
    for (size_t i = 0; i < whole; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b.p[i] = (char)(b.p[i] ^ (1 << bit));
            parse(&b, "a.test", DNS_A, &a);
            b.p[i] = (char)(b.p[i] ^ (1 << bit));
        }
    }
    assert_int_equal(parse(&b, "a.test", DNS_A, &a), OK);
    strb_done(&b);
}

static void test_words(void **state)
{
    assert_string_equal(dns_status_text(3), "Host not found");
    assert_string_equal(dns_status_text(110), "Operation timed out");
    assert_string_equal(dns_status_text(9), "Unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),           cmocka_unit_test(test_addresses), cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_long_chains),     cmocka_unit_test(test_nothing),   cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_cut_and_changed), cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
