/*
 * HTTP/2 frames: however the bytes are cut, the events are the same, and runs lie within what was given.
 */
#include "base/err.h"
#include "h1/test_feed.h"
#include "h2/frame.h"

struct outcome {
    int rc;
    enum h2_error error;
    uint64_t sum;
    uint32_t events;
};

static void mix(struct outcome *o, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        o->sum = (o->sum ^ (uint8_t)p[i]) * 0x100000001b3u;
}

static void feed(struct h2_reader *r, slice in, struct outcome *o)
{
    while (o->rc == OK) {
        struct h2_event e;
        size_t used;
        int rc = h2_read(r, in, &used, &e);
        TEST_CHECK(used <= in.n);
        if (rc == ERR_MORE) {
            TEST_CHECK(used == in.n);
            return;
        }
        if (rc != OK) {
            o->rc = rc;
            o->error = r->error;
            return;
        }
        in = slice_from(in, used);
        TEST_CHECK(e.length <= H2_FRAME_MAX && e.run.n <= e.length);
        if (e.first)
            mix(o, (const char *)&e.stream, sizeof(e.stream));
        mix(o, e.run.p, e.run.n);
        if (e.last) {
            o->events++;
            mix(o, (const char *)&e.type, 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    slice in = slice_of((const char *)data + 1, size - 1);
    struct h2_reader one, two;
    struct outcome whole = { 0 }, cut = { 0 }, drops = { 0 };
    h2_reader_init(&one);
    one.no_push = data[0] & 1;
    two = one;
    feed(&one, in, &whole);
    size_t at = data[0] * in.n / 256;
    feed(&two, slice_upto(in, at), &cut);
    feed(&two, slice_from(in, at), &cut);
    h2_reader_init(&one);
    one.no_push = data[0] & 1;
    for (size_t i = 0; i < in.n; i++)
        feed(&one, slice_of(in.p + i, 1), &drops);
    TEST_CHECK(whole.rc == cut.rc && whole.error == cut.error && whole.sum == cut.sum && whole.events == cut.events);
    TEST_CHECK(whole.rc == drops.rc && whole.sum == drops.sum && whole.events == drops.events);
    struct h2_settings s;
    h2_settings_init(&s);
    h2_settings_read(&s, in);
    TEST_CHECK(s.window <= H2_WINDOW_MAX && s.max_frame >= H2_FRAME_MAX && s.max_frame <= 0xffffff);
    struct h2_priority p = { 3, false };
    h2_priority_read(in, &p);
    TEST_CHECK(p.urgency < 8);
    return 0;
}
