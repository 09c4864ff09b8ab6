#include "base/slab.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failmalloc.h"

static void take_and_give(void **state)
{
    struct slab s;
    void *p[10];
    slab_init(&s, 100, 4);
    for (int i = 0; i < 10; i++) {
        p[i] = slab_take(&s);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 64, 0);
        memset(p[i], i, 100);
    }
    assert_int_equal(s.live, 10);
    assert_int_equal(s.total, 12);
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 100; k++)
            assert_int_equal(((unsigned char *)p[i])[k], i);
    }
    /* the hottest comes out first */
    slab_give(&s, p[3]);
    slab_give(&s, p[7]);
    assert_ptr_equal(slab_take(&s), p[7]);
    assert_ptr_equal(slab_take(&s), p[3]);
    for (int i = 0; i < 10; i++)
        slab_give(&s, p[i]);
    assert_int_equal(s.live, 0);
    assert_int_equal(s.total, 12);
    slab_done(&s);
}

static void pages(void **state)
{
    struct slab s;
    slab_init(&s, 4096, 3);
    for (int i = 0; i < 7; i++) {
        char *p = slab_take(&s);
        assert_int_equal((uintptr_t)p % 4096, 0);
        memset(p, i, 4096);
    }
    assert_int_equal(s.total, 9);
    slab_done(&s);
}

static void out_of_memory(void **state)
{
    struct slab s;
    long live = alloc_live();
    slab_init(&s, 64, 0); /* a batch of none is one */
    fail_alloc_at(0, true);
    void *p = slab_take(&s);
    assert_true(fail_alloc_off());
    assert_null(p);
    assert_int_equal(s.live, 0);
    p = slab_take(&s);
    assert_non_null(p);
    assert_int_equal(s.total, 1);
    slab_done(&s); /* with an object out */
    assert_int_equal(alloc_live(), live);
    slab_init(&s, (size_t)-1 - 200, 1000);
    assert_null(slab_take(&s));
    slab_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(take_and_give), cmocka_unit_test(pages),
                                        cmocka_unit_test(out_of_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
