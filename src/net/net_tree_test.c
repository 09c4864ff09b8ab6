/* The tree of networks beside a list of them, of which each is looked at. */
#include "net/net_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"

static struct cidr net_of(const char *text)
{
    struct cidr c;
    bool loose;
    assert_int_equal(cidr_parse(slice_str(text), &c, &loose), OK);
    return c;
}

static const char *find(const struct net_tree *t, const char *text)
{
    struct cidr c = net_of(text);
    const char *found = net_tree_find(t, &c);
    return found ? found : "none";
}

static void put(struct net_tree *t, const char *text, const char *old)
{
    struct cidr c = net_of(text);
    const void *before;
    assert_int_equal(net_tree_put(t, &c, text, &before), OK);
    assert_string_equal(before ? (const char *)before : "none", old);
}

static void longest(void **state)
{
    struct arena a;
    struct net_tree t;
    arena_init(&a, NULL, 0, 4096, 0);
    net_tree_init(&t, &a);
    assert_string_equal(find(&t, "10.0.0.1"), "none");
    static const char *const nets[] = { "10.1.0.0/16", "0.0.0.0/0", "10.0.0.0/8",    "10.1.2.3",
                                        "10.1.2.0/24", "::/0",      "2001:db8::/32", "2001:db8::1/128" };
    for (size_t i = 0; i < array_len(nets); i++)
        put(&t, nets[i], "none");
    static const struct {
        const char *address, *net;
    } table[] = {
        { "10.1.2.3", "10.1.2.3" },         { "10.1.2.4", "10.1.2.0/24" },
        { "10.1.3.4", "10.1.0.0/16" },      { "10.2.2.3", "10.0.0.0/8" },
        { "11.1.2.3", "0.0.0.0/0" },        { "2001:db8::1", "2001:db8::1/128" },
        { "2001:db8::2", "2001:db8::/32" }, { "::1", "::/0" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        assert_string_equal(find(&t, table[i].address), table[i].net);
    put(&t, "10.0.0.0/8", "10.0.0.0/8");
    assert_int_equal(t.count, array_len(nets));
    struct cidr c = net_of("10.1.2.0/24");
    assert_true(net_tree_remove(&t, &c));
    assert_false(net_tree_remove(&t, &c));
    assert_string_equal(find(&t, "10.1.2.4"), "10.1.0.0/16");
    assert_string_equal(find(&t, "10.1.2.3"), "10.1.2.3");
    c = net_of("10.1.2.0/23");
    assert_false(net_tree_remove(&t, &c));
    put(&t, "10.1.2.0/24", "none");
    assert_string_equal(find(&t, "10.1.2.4"), "10.1.2.0/24");
    arena_done(&a);
}

enum { NETS = 400 };

static struct cidr random_net(bool v6)
{
    struct cidr c = { .v6 = v6, .bits = (uint8_t)((unsigned)random() % (v6 ? 129 : 33)) };
    for (unsigned i = 0; i < (v6 ? 16u : 4u); i++)
        c.ip[i] = (uint8_t)(random() & 0x81); /* few values, so that many are nested or equal */
    for (unsigned i = c.bits; i < 128; i++)
        c.ip[i / 8] = (uint8_t)(c.ip[i / 8] & ~(0x80 >> i % 8));
    return c;
}

static bool holds(const struct cidr *c, const struct cidr *address)
{
    for (unsigned i = 0; i < c->bits; i++) {
        if ((c->ip[i / 8] ^ address->ip[i / 8]) & 0x80 >> i % 8)
            return false;
    }
    return c->v6 == address->v6;
}

static bool equal(const struct cidr *a, const struct cidr *b)
{
    return a->bits == b->bits && holds(a, b);
}

static void random_trees(void **state)
{
    srandom(5);
    for (int run = 0; run < 60; run++) {
        struct arena a;
        struct net_tree t;
        struct cidr nets[NETS];
        size_t n = 0;
        bool v6 = run & 1;
        arena_init(&a, NULL, 0, 4096, 0);
        net_tree_init(&t, &a);
        for (unsigned step = 0; step < NETS; step++) {
            struct cidr c = random_net(v6);
            size_t at = 0;
            const void *old;
            while (at < n && !equal(&nets[at], &c))
                at++;
            if (random() % 4) {
                nets[at] = c; /* equal ones keep their place, which is their value */
                assert_int_equal(net_tree_put(&t, &c, &nets[at], &old), OK);
                assert_ptr_equal(old, at < n ? &nets[at] : NULL);
                n += at == n;
            } else if (at == n) {
                assert_false(net_tree_remove(&t, &c));
            } else if (at == n - 1) { /* only the last one, so that places stay */
                assert_true(net_tree_remove(&t, &c));
                n--;
            }
            assert_int_equal(t.count, n);
            struct cidr address = random_net(v6);
            address.bits = v6 ? 128 : 32;
            const struct cidr *best = NULL;
            for (size_t i = 0; i < n; i++) {
                if (holds(&nets[i], &address) && (!best || nets[i].bits > best->bits))
                    best = &nets[i];
            }
            assert_ptr_equal(net_tree_find(&t, &address), best);
        }
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(longest),
        cmocka_unit_test(random_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
