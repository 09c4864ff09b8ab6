/* resolv.conf and hosts, as the C library reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/resolver_conf.h"

struct world {
    struct arena a;
    struct map hosts;
    struct resolver_conf c;
};

static void read_texts(struct world *w, const char *resolv, const char *hosts)
{
    arena_init(&w->a, NULL, 0, 4096, 0);
    map_init(&w->hosts, false);
    assert_int_equal(resolver_conf_parse(&w->a, slice_str(resolv), slice_str(hosts), &w->hosts, &w->c), OK);
}

static void done(struct world *w)
{
    map_done(&w->hosts);
    arena_done(&w->a);
}

static void test_resolv(void **state)
{
    struct world w;
    char text[ADDR_TEXT_MAX];
    read_texts(&w,
               "# comment\n; other\nnameserver 192.0.2.1 # behind\nnameserver 2001:db8::5\nnameserver bad\n"
               "domain first.test\nsearch A.test. b.test not/one\noptions ndots:3 timeout:2 attempts:9 "
               "rotate\nodd\nnameserver\n",
               "");
    assert_int_equal(w.c.nservers, 2);
    assert_string_equal((text[addr_text(text, &w.c.servers[0])] = 0, text), "192.0.2.1:53");
    assert_string_equal((text[addr_text(text, &w.c.servers[1])] = 0, text), "[2001:db8::5]:53");
    assert_int_equal(w.c.nsearch, 2);
    assert_true(slice_eq(w.c.search[0], SLICE("a.test")) && slice_eq(w.c.search[1], SLICE("b.test")));
    assert_int_equal(w.c.ndots, 3);
    assert_int_equal(w.c.try_ms, 2000);
    assert_int_equal(w.c.tries, 5);
    done(&w);
}

static void test_nothing(void **state)
{
    struct world w;
    read_texts(&w, "", "");
    assert_int_equal(w.c.nservers, 1);
    assert_true(addr_is_loopback(&w.c.servers[0]));
    done(&w);
}

static void test_hosts(void **state)
{
    struct world w;
    read_texts(&w, "",
               "127.0.0.1 localhost Local.Example. # not.this\n::1\tlocalhost\n#9.9.9.9 x\nbad y\n192.0.2.9 "
               "many\n192.0.2.8 many\n192.0.2.7 many");
    const struct hosts_entry *e = map_get(&w.hosts, SLICE("localhost"));
    assert_non_null(e);
    assert_int_equal(e->n, 2);
    e = map_get(&w.hosts, SLICE("many"));
    assert_int_equal(e->n, 3);
    assert_non_null(map_get(&w.hosts, SLICE("local.example")));
    assert_null(map_get(&w.hosts, SLICE("not.this")));
    assert_null(map_get(&w.hosts, SLICE("x")));
    assert_null(map_get(&w.hosts, SLICE("y")));
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolv),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
