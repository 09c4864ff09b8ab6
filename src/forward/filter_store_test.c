/*
 * Equal contents are one list for as long as somebody holds it, whoever asks and from which thread.
 */
#include "forward/filter_store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"

static void sharing(void **state)
{
    const slice two[] = { SLICE("a.example\n"), SLICE("b.example\n") };
    const slice other[] = { SLICE("a.example\nb.exam"), SLICE("ple\n") }; /* the same bytes, cut elsewhere */
    const struct filter_list *a, *b, *c;
    uint32_t refs;
    assert_int_equal(filter_store_get(two, 2, &a), OK);
    assert_int_equal(filter_store_get(two, 2, &b), OK);
    assert_int_equal(filter_store_get(other, 2, &c), OK);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(filter_store_count(&refs), 2);
    assert_int_equal(refs, 3);
    filter_store_drop(a);
    assert_true(filter_list_blocks(b, SLICE("b.example"), NULL));
    assert_false(filter_list_blocks(c, SLICE("b.example"), NULL));
    filter_store_drop(b);
    filter_store_drop(c);
    assert_int_equal(filter_store_count(&refs), 0);
}

static void *loader(void *arg)
{
    const slice text = SLICE("x.example\ny.example\n");
    for (int i = 0; i < 200; i++) {
        const struct filter_list *l;
        if (filter_store_get(&text, 1, &l) != OK)
            return arg;
        if (!filter_list_blocks(l, SLICE("x.example"), NULL))
            return arg;
        filter_store_drop(l);
    }
    return NULL;
}

static void threads(void **state)
{
    pthread_t t[3];
    uint32_t refs;
    void *failed;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, loader, t), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(filter_store_count(&refs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sharing), cmocka_unit_test(threads) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
