#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failmalloc.h"

static void alignment(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 256, 0);
    for (size_t n = 1; n < 600; n++) {
        assert_non_null(arena_bytes(&a, n % 7 + 1));
        char *p = arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 0xa5, n); /* a sanitizer sees an overlap with the chunk's end */
    }
    arena_done(&a);
    assert_int_equal(a.used, 0);
}

/* Nothing handed out is handed out again: every byte keeps what was written. */
static void no_overlap(void **state)
{
    enum { COUNT = 500 };
    unsigned char *p[COUNT];
    struct arena a;
    arena_init(&a, NULL, 0, 512, 0);
    for (size_t i = 0; i < COUNT; i++) {
        size_t n = i * 37 % 300 + 1;
        p[i] = i % 3 ? arena_alloc(&a, n) : (void *)arena_bytes(&a, n);
        assert_non_null(p[i]);
        memset(p[i], (int)(i & 0xff), n);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < i * 37 % 300 + 1; k++)
            assert_int_equal(p[i][k], i & 0xff);
    }
    arena_done(&a);
}

static void lent_chunk(void **state)
{
    _Alignas(16) char first[256];
    struct arena a;
    long live = alloc_live();
    arena_init(&a, first, sizeof(first), 256, 0);
    char *p = arena_alloc(&a, 100), *q = arena_alloc(&a, 100);
    assert_ptr_equal(p, first);
    assert_true(q >= first && q + 100 <= first + sizeof(first));
    assert_int_equal(alloc_live(), live);
    assert_non_null(arena_alloc(&a, 100));
    assert_int_equal(alloc_live(), live + 1);
    arena_done(&a);
    assert_int_equal(alloc_live(), live);
}

static void limits(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 256, 1024);
    size_t got = 0;
    while (arena_alloc(&a, 64))
        got += 64;
    assert_true(got > 256 && got <= 1024);
    assert_true(a.used <= 1024);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 8));
    assert_null(arena_bytes(&a, SIZE_MAX));
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    arena_done(&a);
}

static void zeroed(void **state)
{
    struct arena a;
    char first[512];
    memset(first, 0xff, sizeof(first));
    arena_init(&a, first, sizeof(first), 256, 0);
    const char *p = arena_zalloc(&a, 100), *q = arena_array(&a, 10, 5);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(q[i], 0);
    arena_done(&a);
}

static void text(void **state)
{
    struct arena a;
    slice s;
    arena_init(&a, NULL, 0, 256, 0);
    assert_true(arena_dup(&a, SLICE_NONE, &s));
    assert_non_null(s.p);
    assert_int_equal(s.p[0], 0);
    assert_true(arena_dup(&a, SLICE("a\0b"), &s));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    s = arena_printf(&a, "%s-%d", "x", 42);
    assert_string_equal(s.p, "x-42");
    /* around the size of the stack buffer */
    for (int n = 250; n < 260; n++) {
        s = arena_printf(&a, "%*d", n, 7);
        assert_int_equal(s.n, n);
        assert_int_equal(s.p[n - 1], '7');
        assert_int_equal(s.p[n], 0);
    }
    arena_done(&a);
}

static void out_of_memory(void **state)
{
    struct arena a;
    slice s = SLICE("kept");
    arena_init(&a, NULL, 0, 256, 0);
    fail_alloc_at(0, true);
    void *p = arena_alloc(&a, 16), *q = arena_zalloc(&a, 16);
    bool dup = arena_dup(&a, SLICE("x"), &s);
    slice printed = arena_printf(&a, "%300d", 1);
    assert_true(fail_alloc_off());
    assert_null(p);
    assert_null(q);
    assert_false(dup);
    assert_true(slice_eq(s, SLICE("kept")));
    assert_null(printed.p);
    assert_non_null(arena_alloc(&a, 16)); /* and goes on when there is memory again */
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment),     cmocka_unit_test(no_overlap), cmocka_unit_test(lent_chunk),
        cmocka_unit_test(limits),        cmocka_unit_test(zeroed),     cmocka_unit_test(text),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
