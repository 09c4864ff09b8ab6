/*
 * The Range field, and the dates that go with it. The first eight bytes are the length of the body and the most ranges
 * allowed; whatever is answered in parts lies within the body, is no more than it, and no more parts than allowed.
 */
#include "base/clock.h"
#include "base/err.h"
#include "h1/test_feed.h"
#include "http/date.h"
#include "http/range.h"

static void check_range(slice value, uint64_t length, uint64_t max)
{
    struct arena a;
    struct ranges got = { 0 };
    uint64_t sum = 0;
    arena_init(&a, NULL, 0, 1024, 1 << 20);
    int rc = range_parse(&a, value, length, max, &got);
    TEST_CHECK(rc == OK || rc == ERR_RANGE || rc == ERR_UNSUPPORTED || rc == ERR_NOMEM);
    TEST_CHECK((rc == OK) == (got.n > 0) && got.n <= max);
    for (uint32_t i = 0; i < got.n; i++) {
        TEST_CHECK(got.v[i].start < got.v[i].end && got.v[i].end <= length);
        sum += got.v[i].end - got.v[i].start;
        TEST_CHECK(sum <= length);
    }
    arena_done(&a);
}

static void check_date(slice text)
{
    char back[32];
    int64_t t, again;
    if (date_parse(text, &t) != OK)
        return;
    TEST_CHECK(t >= 0);
    clock_http_date(back, t);
    TEST_CHECK(date_parse(slice_of(back, 29), &again) == OK && again == t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t length = 0;
    if (size < 8 || size > 4000)
        return 0;
    for (size_t i = 0; i < 7; i++)
        length = length << 8 | data[i];
    slice value = slice_of((const char *)data + 8, size - 8);
    check_range(value, length, data[7]);
    check_range(value, INT64_MAX, data[7]);
    check_range(value, length % 32, 16);
    check_date(value);
    return 0;
}
