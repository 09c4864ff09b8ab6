#include "base/pack.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { WORDS = 512 };

/* There and back, in two parts; how small it was. */
static size_t there_and_back(const uint64_t *words, size_t n, size_t part)
{
    static uint8_t small[WORDS * 9 + 64];
    static uint64_t back[WORDS];
    struct pack p = { .next = 0 }, q = { .next = 0 };
    assert_true(n <= WORDS && part <= n);
    memset(small, 0xa5, sizeof(small));
    memset(back, 0x5a, sizeof(back));
    size_t k = pack_add(&p, small, words, part * 8);
    assert_true(k <= pack_bound(part * 8));
    size_t m = pack_add(&p, small + k, words + part, (n - part) * 8);
    assert_true(m <= pack_bound((n - part) * 8));
    assert_int_equal(small[k + m], 0xa5);
    assert_int_equal(pack_take(&q, back, part * 8, small), k);
    assert_int_equal(pack_take(&q, back + part, (n - part) * 8, small + k), m);
    assert_memory_equal(back, words, n * 8);
    return k + m;
}

static void kinds(void **state)
{
    const uint64_t words[] = { 0,
                               0,
                               0,
                               1,
                               255,
                               256,
                               65535,
                               65536,
                               0x7f6512345678,
                               0x7f6512345678,
                               0x7f6512341234,
                               0x7f6512340000,
                               0x10000,
                               0xffffffffffff,
                               0x1000000000000,
                               UINT64_MAX,
                               UINT64_MAX,
                               0,
                               0x6f77206f6c6c6568,
                               3 };
    size_t n = sizeof(words) / 8;
    for (size_t part = 0; part <= n; part++)
        there_and_back(words, n, part);
    assert_int_equal(there_and_back(words, 0, 0), 0);
    assert_int_equal(there_and_back(words, 3, 3), 1);
    assert_int_equal(there_and_back(words + 8, 3, 3), 7 + 1 + 3); /* whole, the same, near to it */
}

static void runs(void **state)
{
    uint64_t words[WORDS];
    for (size_t n = 0; n <= 40; n++) {
        memset(words, 0, sizeof(words));
        assert_int_equal(there_and_back(words, n, 0), (n + 15) / 16);
        memset(words, 0xff, sizeof(words));
        assert_int_equal(there_and_back(words, n, 0), n * 8 + (n + 15) / 16);
    }
}

/* Words as structs have them, and any others. */
static void chance(void **state)
{
    uint64_t words[WORDS];
    srand(7);
    for (int turn = 0; turn < 2000; turn++) {
        size_t n = (size_t)rand() % (WORDS + 1);
        for (size_t i = 0; i < n; i++) {
            uint64_t r = (uint64_t)rand() << 31 ^ (uint64_t)rand() << 62 ^ (uint64_t)rand();
            unsigned kind = (unsigned)rand() % 6;
            words[i] = kind == 0   ? 0
                       : kind == 1 ? r & 0xff
                       : kind == 2 ? 0x7f6500000000 + (r & 0xffff8)
                       : kind == 3 ? r >> (rand() % 64)
                       : kind == 4 ? r & 0xffffff
                                   : r;
        }
        there_and_back(words, n, n ? (size_t)rand() % n : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(kinds), cmocka_unit_test(runs), cmocka_unit_test(chance) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
