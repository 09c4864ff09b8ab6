/* Ranges beside a plain array of what each address has. */
#include "net/ip_ranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"

struct row {
    uint32_t first, last;
    const char *value;
    int result;
    const char *clash;
};

static void run(const struct row *rows, size_t n, struct arena *a, struct ip_ranges *out)
{
    struct ip_ranges_build *b = ip_ranges_begin();
    struct ip_range clash;
    assert_non_null(b);
    for (size_t i = 0; i < n; i++) {
        int rc = ip_ranges_add(b, (struct ip_range){ rows[i].first, rows[i].last, rows[i].value }, &clash);
        assert_int_equal(rc, rows[i].result);
        if (rows[i].clash)
            assert_string_equal(clash.value, rows[i].clash);
        else
            assert_null(clash.value);
    }
    assert_int_equal(ip_ranges_finish(b, a, out), OK);
    ip_ranges_free(b);
}

static void rules(void **state)
{
    static const struct row rows[] = {
        { 0x0a000000, 0x0a0000ff, "a", OK, NULL },
        { 0x0a000200, 0x0a0002ff, "b", OK, NULL },
        { 0x0a000000, 0x0a0000ff, "c", OK, "a" },          /* equal: in its place */
        { 0x0a000010, 0x0a00001f, "d", OK, NULL },         /* inside */
        { 0x0a000000, 0x0a000001, "e", OK, NULL },         /* at the front */
        { 0x0a0000f0, 0x0a0000ff, "f", OK, NULL },         /* at the end */
        { 0x0a0000f8, 0x0a000110, "g", ERR_REFUSED, "f" }, /* across the end */
        { 0x0a0001ff, 0x0a000200, "g", ERR_REFUSED, "b" }, /* across the start */
        { 0x0a000100, 0x0a000300, "g", ERR_REFUSED, "b" }, /* around */
        { 0x0a000000, 0x0a000300, "g", ERR_REFUSED, "b" }, /* around several: the last */
        { 0x0b000000, 0x0b02ffff, "h", OK, NULL },         /* three blocks */
        { 0x0b010000, 0x0b01ffff, "i", OK, "h" },          /* a whole one of them is equal */
        { 0x0b00fff0, 0x0b01ffff, "j", OK, "i" },          /* in one inside, in the other equal */
        { 0, 0, "k", OK, NULL },
        { 0xffffffff, 0xffffffff, "l", OK, NULL },
    };
    static const struct {
        uint32_t address;
        const char *value;
    } found[] = {
        { 0x0a000000, "e" }, { 0x0a000002, "c" },  { 0x0a000010, "d" }, { 0x0a00001f, "d" },  { 0x0a000020, "c" },
        { 0x0a0000ff, "f" }, { 0x0a000100, NULL }, { 0x0a000200, "b" }, { 0x0a000300, NULL }, { 0x0b000000, "h" },
        { 0x0b00ffef, "h" }, { 0x0b00fff0, "j" },  { 0x0b01ffff, "j" }, { 0x0b020000, "h" },  { 0x0b030000, NULL },
        { 0, "k" },          { 1, NULL },          { 0xffffffff, "l" }, { 0xfffffffe, NULL },
    };
    struct arena a;
    struct ip_ranges r;
    arena_init(&a, NULL, 0, 4096, 0);
    run(rows, array_len(rows), &a, &r);
    for (size_t i = 0; i < array_len(found); i++)
        assert_ptr_equal(ip_ranges_find(&r, found[i].address), found[i].value);
    arena_done(&a);
}

static void everything_is_one_range(void **state)
{
    static const struct row all[] = { { 0, 0xffffffff, "x", OK, NULL } };
    struct arena a;
    struct ip_ranges r;
    arena_init(&a, NULL, 0, 4096, 0);
    run(all, 1, &a, &r);
    assert_int_equal(r.n, 1);
    assert_string_equal(ip_ranges_find(&r, 0x7f000001), "x");
    arena_done(&a);
}

enum { SPAN = 3 << 16, BASE = 0x0a000000 };

/* Every address of three blocks in an array, by the rules as they stand in the header. */
static int by_hand(const char **array, uint32_t first, uint32_t last, const char *value)
{
    for (uint32_t block = 0; block < SPAN; block += 1 << 16) {
        uint32_t lo = first > block ? first : block, hi = last < (block | 0xffff) ? last : (block | 0xffff);
        if (lo > hi)
            continue;
        uint32_t all = 0, some = 0;
        for (uint32_t i = lo; i <= hi; i++)
            array[i] ? all++ : some++;
        bool one = all == hi - lo + 1;
        for (uint32_t i = lo; one && i <= hi; i++)
            one = array[i] == array[lo];
        if (all && !one)
            return ERR_REFUSED;
        for (uint32_t i = lo; i <= hi; i++)
            array[i] = value;
    }
    return OK;
}

static void random_ranges(void **state)
{
    static char values[300];
    const char **array = calloc(SPAN, sizeof(*array));
    assert_non_null(array);
    srandom(11);
    for (int run = 0; run < 20; run++) {
        struct ip_ranges_build *b = ip_ranges_begin();
        struct arena a;
        struct ip_ranges r;
        struct ip_range clash;
        memset(array, 0, SPAN * sizeof(*array));
        arena_init(&a, NULL, 0, 4096, 0);
        for (size_t i = 0; i < array_len(values); i++) {
            uint32_t x = (uint32_t)random() % SPAN, y = (uint32_t)random() % (random() % 3 ? 3000 : SPAN);
            uint32_t first = x & ~63u, last = (first + y) | 63;
            if (last >= SPAN)
                continue;
            int want = by_hand(array, first, last, &values[i]);
            int got = ip_ranges_add(b, (struct ip_range){ BASE + first, BASE + last, &values[i] }, &clash);
            assert_int_equal(got, want);
        }
        assert_int_equal(ip_ranges_finish(b, &a, &r), OK);
        for (uint32_t i = 0; i < SPAN; i++) {
            if (ip_ranges_find(&r, BASE + i) != array[i])
                fail_msg("run %d, address %u", run, i);
        }
        arena_done(&a);
        ip_ranges_free(b);
    }
    free(array);
}

static void removing(void **state)
{
    struct ip_ranges_build *b = ip_ranges_begin();
    struct ip_range clash;
    struct arena a;
    struct ip_ranges r;
    arena_init(&a, NULL, 0, 4096, 0);
    assert_false(ip_ranges_remove(b, 5, 6));
    assert_int_equal(ip_ranges_add(b, (struct ip_range){ 10, 0x2ffff, "a" }, &clash), OK);
    assert_false(ip_ranges_remove(b, 10, 20));
    assert_true(ip_ranges_remove(b, 0x10000, 0x1ffff)); /* a block of it */
    assert_false(ip_ranges_remove(b, 10, 0x2ffff));     /* the others go, that one was gone */
    assert_int_equal(ip_ranges_finish(b, &a, &r), OK);
    assert_int_equal(r.n, 0);
    arena_done(&a);
    ip_ranges_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),
        cmocka_unit_test(everything_is_one_range),
        cmocka_unit_test(random_ranges),
        cmocka_unit_test(removing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
