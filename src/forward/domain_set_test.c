/*
 * Sets of domains: apex and below, look-alikes, forms of writing, size, and want of memory.
 */
#include "forward/domain_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"

static void scopes(void **state)
{
    struct domain_set s = { 0 };
    slice entry;
    assert_false(domain_set_has(&s, SLICE("a.example"), NULL));
    assert_int_equal(domain_set_add(&s, SLICE(".Both.example."), DOMAIN_BOTH), OK);
    assert_int_equal(domain_set_add(&s, SLICE("self.example"), DOMAIN_SELF), OK);
    assert_int_equal(domain_set_add(&s, SLICE("below.example"), DOMAIN_BELOW), OK);
    assert_true(domain_set_has(&s, SLICE("both.example"), NULL));
    assert_true(domain_set_has(&s, SLICE("A.bOth.Example."), &entry));
    assert_true(slice_eq(entry, SLICE("both.example")));
    assert_false(domain_set_has(&s, SLICE("notboth.example"), NULL));
    assert_false(domain_set_has(&s, SLICE("both.example.org"), NULL));
    assert_false(domain_set_has(&s, SLICE("example"), NULL));
    assert_true(domain_set_has(&s, SLICE("self.example"), NULL));
    assert_false(domain_set_has(&s, SLICE("x.self.example"), NULL));
    assert_false(domain_set_has(&s, SLICE("below.example"), NULL));
    assert_true(domain_set_has(&s, SLICE("x.y.below.example"), NULL));
    assert_int_equal(domain_set_add(&s, SLICE("self.example"), DOMAIN_BELOW), OK);
    assert_true(domain_set_has(&s, SLICE("x.self.example"), NULL));
    assert_int_equal(s.count, 3);
    domain_set_done(&s);
}

static void bad_names(void **state)
{
    static const char *const bad[] = { "", ".", "a..b", "a b", "a/b", "||a" };
    struct domain_set s = { 0 };
    char lengthy[300];
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(domain_set_add(&s, slice_str(bad[i]), DOMAIN_SELF), ERR_SYNTAX);
    memset(lengthy, 'a', sizeof(lengthy));
    assert_int_equal(domain_set_add(&s, slice_of(lengthy, 254), DOMAIN_SELF), ERR_SYNTAX);
    assert_int_equal(domain_set_add(&s, slice_of(lengthy, 253), DOMAIN_SELF), OK);
    assert_true(domain_set_has(&s, slice_of(lengthy, 253), NULL));
    assert_false(domain_set_has(&s, slice_of(lengthy, 254), NULL));
    domain_set_done(&s);
}

/* A million names stay below 60 MB, and each is found. */
static void a_million(void **state)
{
    struct domain_set s = { 0 };
    char name[64];
    for (unsigned i = 0; i < 1000000; i++) {
        int n = snprintf(name, sizeof(name), "host%u.ads%u.example-tracker.com", i, i % 977);
        assert_int_equal(domain_set_add(&s, slice_of(name, (size_t)n), DOMAIN_BOTH), OK);
    }
    domain_set_trim(&s);
    assert_int_equal(s.count, 1000000);
    assert_true(domain_set_memory(&s) < 60u << 20);
    for (unsigned i = 0; i < 1000000; i += 7) {
        int n = snprintf(name, sizeof(name), "www.host%u.ads%u.example-tracker.com", i, i % 977);
        assert_true(domain_set_has(&s, slice_of(name, (size_t)n), NULL));
        name[4] = 'H'; /* and letter case says nothing */
        assert_true(domain_set_has(&s, slice_of(name, (size_t)n), NULL));
        name[4] = 'x';
        assert_false(domain_set_has(&s, slice_of(name, (size_t)n), NULL));
    }
    domain_set_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes),
        cmocka_unit_test(bad_names),
        cmocka_unit_test(a_million),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
