/*
 * Equal contents are one table for as long as somebody holds it; files that change between the two readings.
 */
#include "forward/filter_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/err.h"
#include "forward/filter.h"

struct texts {
    const slice *v;
    uint32_t n;
    unsigned readings;
    bool grows; /* the second reading has a name more */
    bool once;  /* what was read is gone */
    int fails;
};

static int read_texts(void *files, const struct filter_sink *to)
{
    struct texts *t = files;
    int rc = OK;
    for (uint32_t i = 0; i < t->n && rc == OK; i++) {
        rc = to->piece(to->ctx, t->v[i]);
        rc = rc == OK ? to->end(to->ctx) : rc;
    }
    if (rc == OK && t->readings++ && t->grows)
        rc = to->piece(to->ctx, SLICE("late.example\n"));
    t->n = t->once ? 0 : t->n;
    return rc == OK ? t->fails : rc;
}

static int get(const slice *v, uint32_t n, struct filter_held **out)
{
    struct texts t = { .v = v, .n = n };
    return filter_store_get(read_texts, &t, out);
}

static bool blocks(const struct filter_held *h, slice host)
{
    struct filter_list l;
    assert_int_equal(filter_list_open(&l, filter_held_fd(h)), OK);
    bool yes = filter_list_blocks(&l, host, NULL);
    filter_list_close(&l);
    return yes;
}

static void sharing(void **state)
{
    const slice two[] = { SLICE("a.example\n"), SLICE("b.example\n") };
    const slice other[] = { SLICE("a.example\nb.exam"), SLICE("ple\n") }; /* the same bytes, cut elsewhere */
    struct filter_held *a, *b, *c;
    uint32_t refs;
    assert_int_equal(get(two, 2, &a), OK);
    assert_int_equal(get(two, 2, &b), OK);
    assert_int_equal(get(other, 2, &c), OK);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(filter_store_count(&refs), 2);
    assert_int_equal(refs, 3);
    filter_store_drop(a);
    assert_true(blocks(b, SLICE("b.example")));
    assert_false(blocks(c, SLICE("b.example")));
    filter_store_drop(b);
    filter_store_drop(c);
    assert_int_equal(filter_store_count(&refs), 0);
}

static void changing(void **state)
{
    const slice one = SLICE("a.example\n");
    struct texts t = { .v = &one, .n = 1, .grows = true };
    struct filter_held *h;
    uint32_t refs;
    assert_int_equal(filter_store_get(read_texts, &t, &h), ERR_AGAIN);
    t = (struct texts){ .v = &one, .n = 1, .once = true };
    assert_int_equal(filter_store_get(read_texts, &t, &h), ERR_AGAIN);
    t = (struct texts){ .v = &one, .n = 1, .fails = ERR_SYNTAX };
    assert_int_equal(filter_store_get(read_texts, &t, &h), ERR_SYNTAX);
    assert_int_equal(filter_store_count(&refs), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sharing), cmocka_unit_test(changing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
