/*
 * HPACK through our wrapper: a block is within its limits or refused, and what was decoded comes out the same when it
 * is encoded and decoded once more.
 */
#include "base/err.h"
#include "h1/test_feed.h"
#include "h2/hpack.h"

struct seen {
    struct arena a;
    struct fields fields;
    size_t bytes;
};

static bool note(void *arg, slice name, slice value)
{
    struct seen *s = arg;
    struct field f = { 0 };
    s->bytes += name.n + value.n + 32;
    return arena_dup(&s->a, name, &f.name) && arena_dup(&s->a, value, &f.value) && fields_add(&s->a, &s->fields, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char block[256 << 10];
    const struct h2_limits limits = { .bytes = 32 << 10, .fields = 100 };
    struct h2_hpack h, again;
    struct seen one = { 0 }, two = { 0 };
    size_t bytes = 0;
    TEST_CHECK(h2_hpack_init(&h) == OK && h2_hpack_init(&again) == OK);
    arena_init(&one.a, NULL, 0, 4096, 1 << 20);
    arena_init(&two.a, NULL, 0, 4096, 1 << 20);
    int rc = h2_hpack_decode(&h, slice_of((const char *)data, size), &limits, note, &one, &bytes);
    TEST_CHECK(one.bytes <= limits.bytes && one.fields.n <= limits.fields);
    if (rc == OK) {
        TEST_CHECK(bytes == one.bytes);
        TEST_CHECK(h2_hpack_bound(&again, one.fields.v, one.fields.n) <= sizeof(block));
        ptrdiff_t n = h2_hpack_encode(&again, one.fields.v, one.fields.n, block, sizeof(block));
        TEST_CHECK(n >= 0);
        TEST_CHECK(h2_hpack_decode(&again, slice_of(block, (size_t)n), &limits, note, &two, &bytes) == OK);
        TEST_CHECK(two.fields.n == one.fields.n);
        for (uint32_t i = 0; i < one.fields.n; i++) {
            TEST_CHECK(slice_eq(one.fields.v[i].name, two.fields.v[i].name));
            TEST_CHECK(slice_eq(one.fields.v[i].value, two.fields.v[i].value));
        }
    }
    arena_done(&one.a);
    arena_done(&two.a);
    h2_hpack_done(&h);
    h2_hpack_done(&again);
    return 0;
}
