#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"

struct item {
    int value;
    struct list link;
};

static int nth(const struct list *head, int n)
{
    const struct list *l = head->next;
    while (n-- > 0)
        l = l->next;
    return list_entry(l, struct item, link)->value;
}

static void ring(void **state)
{
    struct list head;
    struct item a = { .value = 1 }, b = { .value = 2 }, c = { .value = 3 };
    list_init(&head);
    list_init(&a.link);
    assert_true(list_empty(&head));
    assert_false(list_linked(&a.link));
    list_add(&head, &a.link);
    list_add(&head, &b.link);
    list_add_tail(&head, &c.link);
    assert_true(list_linked(&a.link));
    assert_int_equal(nth(&head, 0), 2);
    assert_int_equal(nth(&head, 1), 1);
    assert_int_equal(nth(&head, 2), 3);
    assert_ptr_equal(head.prev, &c.link);
    list_del(&a.link);
    assert_false(list_linked(&a.link));
    list_del(&a.link); /* of a node that is in no ring: nothing */
    assert_int_equal(nth(&head, 0), 2);
    assert_int_equal(nth(&head, 1), 3);
    list_del(&b.link);
    list_del(&c.link);
    assert_true(list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ring) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
