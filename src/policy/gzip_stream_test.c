/* Compressors: what goes in comes out again, however it is cut; flushing; the store and its limit. */
#include "policy/gzip_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "failmalloc.h"
#include "proxy/policy.h"

const struct policy_entry policy_table[1];
const size_t policy_count;

enum { TEXT = 300000 };

static char text[TEXT], packed[2 * TEXT + 4096], plain[TEXT + 1];

static int make_text(void **state)
{
    uint32_t r = 12345;
    for (size_t i = 0; i < TEXT; i++) {
        r = r * 1664525 + 1013904223;
        text[i] = i % 5000 < 3000 ? "the quick brown fox jumps over"[(r >> 20) % 30] : (char)(r >> 24);
    }
    return 0;
}

/* Inflates all of it and checks that it is the first n bytes of the text; `whole`: with its end and checksum. */
static void unpacks_to(size_t size, size_t n, bool whole)
{
    z_stream z = {
        .next_in = (Bytef *)packed, .avail_in = (uInt)size, .next_out = (Bytef *)plain, .avail_out = TEXT + 1
    };
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    int rc = inflate(&z, Z_SYNC_FLUSH);
    assert_int_equal(rc, whole ? Z_STREAM_END : Z_OK);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, n);
    assert_memory_equal(plain, text, n);
    inflateEnd(&z);
}

/* Until the goal is reached; `cap` bytes of room a call. */
static size_t feed(struct gzip_stream *z, slice in, size_t at, size_t cap, enum gzip_goal goal)
{
    bool done = false;
    for (size_t calls = 0; !done; calls++) {
        assert_true(calls < 1000000);
        assert_true(at + cap <= sizeof(packed));
        at += gzip_stream_run(z, &in, packed + at, cap, goal, &done);
    }
    assert_int_equal(in.n, 0);
    return at;
}

static void every_level_in_any_cut(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 100, 4096, 70000, TEXT }, steps[] = { 1, 7, 1000, 65536, TEXT },
                        caps[] = { 20, 333, 32768 };
    struct gzip_store st = { 0 };
    for (unsigned level = 1; level < GZIP_LEVELS; level++) {
        for (size_t s = 0; s < array_len(sizes) * array_len(steps) * array_len(caps); s++) {
            size_t size = sizes[s % array_len(sizes)], step = steps[s / array_len(sizes) % array_len(steps)];
            size_t cap = caps[s / array_len(sizes) / array_len(steps)], at = 0, in = 0;
            if (size / step > 70000)
                continue;
            struct gzip_stream *z = gzip_stream_take(&st, level, SIZE_MAX);
            assert_non_null(z);
            for (; size - in > step; in += step)
                at = feed(z, slice_of(text + in, step), at, cap, GZIP_MORE);
            at = feed(z, slice_of(text + in, size - in), at, cap, GZIP_END);
            unpacks_to(at, size, true);
            gzip_stream_give(&st, z);
        }
    }
    assert_int_equal(st.busy, 0);
    gzip_store_done(&st);
    assert_int_equal(st.used, 0);
}

static void what_is_flushed_can_be_read(void **state)
{
    struct gzip_store st = { 0 };
    for (unsigned level = 1; level < GZIP_LEVELS; level++) {
        struct gzip_stream *z = gzip_stream_take(&st, level, SIZE_MAX);
        size_t at = 0, in = 0;
        for (size_t n = 0; in + n < 60000; in += n, n = n * 2 + 1) {
            at = feed(z, slice_of(text + in, n), at, 32768, GZIP_MORE);
            at = feed(z, SLICE_NONE, at, n % 3 ? 64 : 32768, GZIP_FLUSH);
            if (in + n)
                unpacks_to(at, in + n, false);
        }
        at = feed(z, SLICE_NONE, at, 32768, GZIP_END);
        unpacks_to(at, in, true);
        gzip_stream_give(&st, z);
    }
    gzip_store_done(&st);
}

static void one_can_be_given_back_at_any_time(void **state)
{
    struct gzip_store st = { 0 };
    for (unsigned level = 1; level < GZIP_LEVELS; level++) {
        for (size_t n = 0; n < 5; n++) {
            struct gzip_stream *z = gzip_stream_take(&st, level, SIZE_MAX);
            feed(z, slice_of(text, n * 20000), 0, 32768, GZIP_MORE);
            gzip_stream_give(&st, z);
        }
        struct gzip_stream *z = gzip_stream_take(&st, level, SIZE_MAX);
        unpacks_to(feed(z, slice_of(text, 5000), 0, 32768, GZIP_END), 5000, true);
        gzip_stream_give(&st, z);
    }
    gzip_store_done(&st);
}

static void the_limit_holds_for_all(void **state)
{
    struct gzip_store st = { 0 };
    struct gzip_stream *z[10] = { NULL };
    size_t n = 0, limit = 1 << 20;
    while (n < array_len(z) && (z[n] = gzip_stream_take(&st, 1, limit)) != NULL)
        n++;
    assert_true(n >= 3 && n < array_len(z));
    assert_true(st.used <= limit && st.busy == n);
    size_t used = st.used;
    gzip_stream_give(&st, z[--n]);
    assert_int_equal(st.used, used); /* kept for the next */
    assert_non_null(z[n] = gzip_stream_take(&st, 1, limit));
    assert_int_equal(st.used, used);
    while (n)
        gzip_stream_give(&st, z[n--]);
    gzip_stream_give(&st, z[0]);
    assert_non_null(z[0] = gzip_stream_take(&st, 9, limit)); /* what is idle makes room */
    assert_true(st.used <= limit);
    gzip_stream_give(&st, z[0]);
    assert_null(gzip_stream_take(&st, 1, 1000));
    gzip_store_done(&st);
}

static void without_memory(void **state)
{
    for (unsigned level = 1; level < GZIP_LEVELS; level++) {
        bool failed = true;
        for (size_t n = 0; failed; n++) {
            struct gzip_store st = { 0 };
            fail_alloc_at(n, false);
            struct gzip_stream *z = gzip_stream_take(&st, level, SIZE_MAX);
            failed = fail_alloc_off();
            assert_true(!z == failed);
            if (z)
                gzip_stream_give(&st, z);
            gzip_store_done(&st);
            assert_int_equal(st.used, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_in_any_cut),
        cmocka_unit_test(what_is_flushed_can_be_read),
        cmocka_unit_test(one_can_be_given_back_at_any_time),
        cmocka_unit_test(the_limit_holds_for_all),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, make_text, NULL);
}
