/*
 * HPACK through our wrapper: what goes in comes out, and nobody makes much of little.
 */
#include "h2/hpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/err.h"

struct seen {
    uint32_t n;
    char text[256];
    size_t len;
};

static bool note(void *arg, slice name, slice value)
{
    struct seen *s = arg;
    s->n++;
    if (s->len + name.n + value.n + 2 < sizeof(s->text)) {
        memcpy(s->text + s->len, name.p, name.n);
        s->len += name.n;
        s->text[s->len++] = '=';
        memcpy(s->text + s->len, value.p, value.n);
        s->len += value.n;
        s->text[s->len++] = ';';
    }
    return true;
}

static const struct field fields[] = {
    { .name = { ":status", 7 }, .value = { "200", 3 } },
    { .name = { "x-a", 3 }, .value = { "b", 1 } },
    { .name = { "authorization", 13 }, .value = { "secret", 6 }, .token = TOK_AUTHORIZATION },
};

static void test_round_trip(void **state)
{
    struct h2_hpack h;
    char block[256];
    const struct h2_limits limits = { 4096, 10 };
    size_t first = 0;
    assert_int_equal(h2_hpack_init(&h), OK);
    for (int i = 0; i < 3; i++) {
        struct seen s = { 0 };
        size_t bytes;
        ptrdiff_t n = h2_hpack_encode(&h, fields, 3, block, sizeof(block));
        assert_true(n > 0 && (size_t)n <= h2_hpack_bound(&h, fields, 3));
        assert_int_equal(h2_hpack_decode(&h, slice_of(block, (size_t)n), &limits, note, &s, &bytes), OK);
        assert_true(slice_eq(slice_of(s.text, s.len), SLICE(":status=200;x-a=b;authorization=secret;")));
        assert_int_equal(bytes, 7 + 3 + 3 + 1 + 13 + 6 + 3 * 32);
        if (i == 0)
            first = (size_t)n;
        else
            assert_true((size_t)n < first); /* the table is used */
        assert_int_equal(h2_hpack_table(&h, i ? 4096 : 64), OK);
        if (i == 1)
            first = 1000;
    }
    h2_hpack_done(&h);
}

/* Row A8: one large value in the table, and then one byte for each time that it is meant. */
static void test_bomb(void **state)
{
    struct h2_hpack h;
    char block[8192];
    size_t at = 0, bytes = 77;
    const struct h2_limits limits = { 64 << 10, 1000 };
    struct seen s = { 0 };
    assert_int_equal(h2_hpack_init(&h), OK);
    block[at++] = 0x40; /* literal with indexing, new name */
    block[at++] = 1;
    block[at++] = 'x';
    block[at++] = 0x7f; /* length 3000 = 127 + 2873 */
    block[at++] = (char)(2873 % 128 + 128);
    block[at++] = (char)(2873 / 128);
    memset(block + at, 'y', 3000);
    at += 3000;
    memset(block + at, 0x80 | 62, 200);
    assert_int_equal(h2_hpack_decode(&h, slice_of(block, at + 200), &limits, note, &s, &bytes), ERR_LIMIT);
    assert_true(s.n < 30);
    assert_int_equal(bytes, 77);
    h2_hpack_done(&h);
}

static void test_refused(void **state)
{
    static const slice bad[] = {
        SLICE("\x80"),             /* index 0 */
        SLICE("\xff\xff\xff\xff"), /* an index that does not end */
        SLICE("\xbf"),             /* nothing there */
        SLICE("\x40\x05xy"),       /* cut off */
        SLICE("\x3f\xe2\x1f"),     /* a table larger than ours */
    };
    const struct h2_limits limits = { 4096, 10 };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct h2_hpack h;
        struct seen s = { 0 };
        size_t bytes;
        assert_int_equal(h2_hpack_init(&h), OK);
        assert_int_equal(h2_hpack_decode(&h, bad[i], &limits, note, &s, &bytes), ERR_SYNTAX);
        h2_hpack_done(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
