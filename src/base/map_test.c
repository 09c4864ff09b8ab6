#include "base/map.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "failmalloc.h"

static void put_and_get(void **state)
{
    enum { COUNT = 5000 };
    static char keys[COUNT][16];
    struct map m;
    map_init(&m, false);
    assert_null(map_get(&m, SLICE("nothing")));
    for (int i = 0; i < COUNT; i++) {
        int n = snprintf(keys[i], sizeof(keys[i]), "key-%d", i);
        assert_int_equal(map_put(&m, slice_of(keys[i], (size_t)n), keys[i]), OK);
    }
    assert_int_equal(m.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        char copy[16];
        memcpy(copy, keys[i], sizeof(copy));
        assert_ptr_equal(map_get(&m, slice_str(copy)), keys[i]);
    }
    assert_null(map_get(&m, SLICE("key-")));
    assert_null(map_get(&m, SLICE("KEY-1")));
    assert_int_equal(map_put(&m, SLICE("key-1"), &m), ERR_REFUSED);
    assert_ptr_equal(map_get(&m, SLICE("key-1")), keys[1]);
    assert_int_equal(m.count, COUNT);
    map_done(&m);
    assert_null(map_get(&m, SLICE("key-1")));
}

static void letter_case(void **state)
{
    struct map m;
    int a, b;
    map_init(&m, true);
    assert_int_equal(map_put(&m, SLICE("Content-Length"), &a), OK);
    assert_int_equal(map_put(&m, SLICE("CONTENT-length"), &b), ERR_REFUSED);
    assert_ptr_equal(map_get(&m, SLICE("content-LENGTH")), &a);
    assert_int_equal(map_put(&m, SLICE("@[]`{}"), &b), OK);
    assert_null(map_get(&m, SLICE("`{}@[]")));
    assert_int_equal(map_put(&m, SLICE(""), &b), OK);
    assert_ptr_equal(map_get(&m, SLICE_NONE), &b);
    map_done(&m);
}

static void hashes(void **state)
{
    slice s = SLICE("ABCDEFGHIJKLMNOPQRSTUVWXYZ@[`{-/09\x80\xc0\xff"),
          l = SLICE("abcdefghijklmnopqrstuvwxyz@[`{-/09\x80\xc0\xff");
    for (size_t n = 0; n <= s.n; n++) {
        slice a = slice_upto(s, n), b = slice_upto(l, n);
        assert_int_equal(hash_bytes(a, true), hash_bytes(b, true));
        assert_int_equal(hash_bytes(b, true), hash_bytes(b, false));
        if (n)
            assert_int_not_equal(hash_bytes(a, false), hash_bytes(b, false));
    }
    assert_int_not_equal(hash_bytes(slice_of("\0\0", 1), false), hash_bytes(slice_of("\0\0", 2), false));
    assert_int_not_equal(hash_bytes(SLICE("\xc0"), true), hash_bytes(SLICE("\xe0"), true));
}

static void out_of_memory(void **state)
{
    struct map m;
    char keys[20];
    map_init(&m, false);
    for (size_t fail = 0; fail < 2; fail++) {
        fail_alloc_at(0, false);
        int r = OK;
        size_t i = m.count;
        for (; r == OK && i < sizeof(keys); i++) {
            keys[i] = (char)('a' + i);
            r = map_put(&m, slice_of(&keys[i], 1), &keys[i]);
        }
        assert_true(fail_alloc_off());
        assert_int_equal(r, ERR_NOMEM);
        assert_int_equal(m.count, i - 1);
        for (size_t k = 0; k < m.count; k++) /* what was in it still is */
            assert_ptr_equal(map_get(&m, slice_of(&keys[k], 1)), &keys[k]);
        keys[i - 1] = (char)('a' + i - 1);
        assert_int_equal(map_put(&m, slice_of(&keys[i - 1], 1), &keys[i - 1]), OK);
    }
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_and_get),
        cmocka_unit_test(letter_case),
        cmocka_unit_test(hashes),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
