#include "net/net_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"

static net_number number(const char *text)
{
    unsigned char p[16];
    if (inet_pton(AF_INET, text, p) == 1)
        return net_number_of4(p);
    assert_int_equal(inet_pton(AF_INET6, text, p), 1);
    return net_number_of6(p);
}

static void entries(void **state)
{
    static const struct {
        const char *text, *first, *last;
    } table[] = {
        { "192.0.2.1", "192.0.2.1", "192.0.2.1" },
        { "192.0.2.0/24", "192.0.2.0", "192.0.2.255" },
        { "0.0.0.0/0", "0.0.0.0", "255.255.255.255" },
        { "::1", "::1", "::1" },
        { "2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
        { "2001:db8::/127", "2001:db8::", "2001:db8::1" },
        { "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct cidr c;
        bool loose;
        assert_int_equal(cidr_parse(slice_str(table[i].text), &c, &loose), OK);
        struct net_entry e = net_entry_of(&c, 7);
        assert_true(e.first == number(table[i].first) && e.last == number(table[i].last) && e.value == 7);
    }
}

/* The lowest number of a network that holds the address, found by looking at each. */
static uint32_t by_hand(const struct net_entry *v, size_t n, net_number at)
{
    uint32_t best = NET_NONE;
    for (size_t i = 0; i < n; i++) {
        if (v[i].first <= at && at <= v[i].last && v[i].value < best)
            best = v[i].value;
    }
    return best;
}

static void check(struct net_entry *v, size_t n)
{
    struct arena a;
    struct net_table t;
    arena_init(&a, NULL, 0, 4096, 0);
    assert_int_equal(net_table_build(&a, v, n, &t), OK);
    assert_int_equal(net_table_find(&t, 0), by_hand(v, n, 0));
    assert_int_equal(net_table_find(&t, ~(net_number)0), by_hand(v, n, ~(net_number)0));
    for (size_t i = 0; i < n; i++) {
        net_number at[] = { v[i].first, v[i].last, v[i].first - 1, v[i].last + 1,
                            v[i].first + (v[i].last - v[i].first) / 2 };
        for (size_t k = 0; k < array_len(at); k++)
            assert_int_equal(net_table_find(&t, at[k]), by_hand(v, n, at[k]));
    }
    arena_done(&a);
}

static void tables(void **state)
{
    static const struct net_table none = { NULL, 0 };
    struct net_entry v[300];
    assert_int_equal(net_table_find(&none, 5), NET_NONE);
    check(v, 0);
    srandom(7);
    for (int run = 0; run < 200; run++) {
        size_t n = (size_t)random() % array_len(v);
        bool wide = run & 1;
        for (size_t i = 0; i < n; i++) {
            /* few bits, so that many are nested or equal */
            unsigned width = wide ? 128 : 32, bits = (unsigned)random() % (width + 1);
            net_number all = wide ? ~(net_number)0 : (net_number)UINT32_MAX;
            net_number host = bits == width ? 0 : all >> bits;
            net_number at = (net_number)(random() & 3) << (width - 2) | (net_number)(random() & 15) << (width - 9) |
                            (net_number)(random() & 7);
            v[i] = (struct net_entry){ at & ~host & all, (at | host) & all, (uint32_t)random() % 50 };
        }
        check(v, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(entries), cmocka_unit_test(tables) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
