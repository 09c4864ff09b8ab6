/*
 * The frame reader: whole, byte by byte, and cut at every point, with the same events.
 */
#include "h2/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/strb.h"

static void add(struct strb *b, enum h2_type type, unsigned flags, uint32_t stream, const char *payload, size_t n)
{
    char head[H2_HEAD];
    h2_put_head(head, n, type, flags, stream);
    strb_add(b, slice_of(head, sizeof(head)));
    strb_add(b, slice_of(payload, n));
}

#define ADD(b, type, flags, stream, literal) add(b, type, flags, stream, literal, sizeof(literal) - 1)

/* Events as text; runs of one frame are joined, so that cuts do not show. */
static int read_all(struct h2_reader *r, slice in, struct strb *out)
{
    while (true) {
        struct h2_event e;
        size_t used;
        int rc = h2_read(r, in, &used, &e);
        assert_true(used <= in.n);
        in = slice_from(in, used);
        if (rc != OK)
            return rc;
        if (e.first)
            strb_printf(out, "[%u %u %u:", e.type, e.stream, e.flags);
        strb_add(out, e.run);
        if (e.last)
            strb_printf(out, "%s]", e.soft ? "!" : "");
    }
}

static void sample(struct strb *b)
{
    strb_init(b, 0);
    ADD(b, H2_SETTINGS, 0, 0, "\0\3\0\0\0\1");
    ADD(b, H2_HEADERS, H2_END_STREAM, 1, "abc");
    ADD(b, H2_CONTINUATION, H2_END_HEADERS, 1, "def");
    ADD(b, H2_HEADERS, H2_END_HEADERS | H2_PADDED | H2_PRIO, 3, "\2\0\0\0\0\5ghi..");
    ADD(b, H2_DATA, H2_PADDED, 3, "\3xyz___");
    ADD(b, H2_DATA, H2_END_STREAM, 3, "");
    ADD(b, H2_PING, 0, 0, "12345678");
    ADD(b, (enum h2_type)200, 0, 7, "unknown");
    ADD(b, H2_PRIORITY, 0, 5, "1234");
    ADD(b, H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0debug");
}

static void test_cuts(void **state)
{
    struct strb in, whole, cut;
    struct h2_reader r;
    sample(&in);
    strb_init(&whole, 0);
    h2_reader_init(&r);
    assert_int_equal(read_all(&r, strb_slice(&in), &whole), ERR_MORE);
    assert_int_equal(slice_find(strb_slice(&whole), '!') > 0, 1);
    for (size_t at = 0; at <= in.n; at++) {
        strb_init(&cut, 0);
        h2_reader_init(&r);
        assert_int_equal(read_all(&r, slice_upto(strb_slice(&in), at), &cut), ERR_MORE);
        assert_int_equal(read_all(&r, slice_from(strb_slice(&in), at), &cut), ERR_MORE);
        assert_true(slice_eq(strb_slice(&cut), strb_slice(&whole)));
        strb_done(&cut);
    }
    strb_init(&cut, 0);
    h2_reader_init(&r);
    for (size_t i = 0; i < in.n; i++)
        assert_int_equal(read_all(&r, slice_of(in.p + i, 1), &cut), ERR_MORE);
    assert_true(slice_eq(strb_slice(&cut), strb_slice(&whole)));
    strb_done(&cut);
    strb_done(&whole);
    strb_done(&in);
}

struct bad {
    enum h2_type type;
    unsigned flags;
    uint32_t stream;
    size_t n;
    enum h2_error error;
};

static void test_refused(void **state)
{
    static const char zeros[H2_FRAME_MAX + 1];
    static const struct bad rows[] = {
        { H2_PING, 0, 0, 7, H2_FRAME_SIZE_ERROR },
        { H2_PING, 0, 1, 8, H2_PROTOCOL_ERROR },
        { H2_RST_STREAM, 0, 1, 5, H2_FRAME_SIZE_ERROR },
        { H2_RST_STREAM, 0, 0, 4, H2_PROTOCOL_ERROR },
        { H2_WINDOW_UPDATE, 0, 1, 3, H2_FRAME_SIZE_ERROR },
        { H2_SETTINGS, 0, 0, 5, H2_FRAME_SIZE_ERROR },
        { H2_SETTINGS, H2_ACK, 0, 6, H2_FRAME_SIZE_ERROR },
        { H2_SETTINGS, 0, 1, 6, H2_PROTOCOL_ERROR },
        { H2_SETTINGS, 0, 0, 33 * 6, H2_ENHANCE_YOUR_CALM },
        { H2_DATA, 0, 0, 1, H2_PROTOCOL_ERROR },
        { H2_DATA, 0, 1, H2_FRAME_MAX + 1, H2_FRAME_SIZE_ERROR },
        { H2_DATA, H2_PADDED, 1, 0, H2_FRAME_SIZE_ERROR },
        { H2_HEADERS, 0, 0, 1, H2_PROTOCOL_ERROR },
        { H2_HEADERS, H2_PRIO, 1, 4, H2_FRAME_SIZE_ERROR },
        { H2_CONTINUATION, 0, 1, 1, H2_PROTOCOL_ERROR },
        { H2_PUSH_PROMISE, 0, 1, 4, H2_PROTOCOL_ERROR },
        { H2_GOAWAY, 0, 0, 7, H2_FRAME_SIZE_ERROR },
        { H2_PRIORITY_UPDATE, 0, 1, 4, H2_PROTOCOL_ERROR },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct h2_reader r;
        struct strb in, out;
        strb_init(&in, 0);
        strb_init(&out, 0);
        h2_reader_init(&r);
        r.no_push = true;
        add(&in, rows[i].type, rows[i].flags, rows[i].stream, zeros, rows[i].n);
        assert_int_equal(read_all(&r, strb_slice(&in), &out), ERR_SYNTAX);
        assert_int_equal(r.error, rows[i].error);
        strb_done(&in);
        strb_done(&out);
    }
}

static void refused_sequence(struct strb *in, enum h2_error error)
{
    struct h2_reader r;
    struct strb out;
    strb_init(&out, 0);
    h2_reader_init(&r);
    assert_int_equal(read_all(&r, strb_slice(in), &out), ERR_SYNTAX);
    assert_int_equal(r.error, error);
    strb_done(&out);
    strb_done(in);
}

static void test_blocks(void **state)
{
    struct strb in;
    strb_init(&in, 0);
    ADD(&in, H2_HEADERS, 0, 1, "a");
    ADD(&in, H2_PING, 0, 0, "12345678");
    refused_sequence(&in, H2_PROTOCOL_ERROR);
    strb_init(&in, 0);
    ADD(&in, H2_HEADERS, 0, 1, "a");
    ADD(&in, H2_CONTINUATION, 0, 3, "a");
    refused_sequence(&in, H2_PROTOCOL_ERROR);
    strb_init(&in, 0);
    ADD(&in, H2_HEADERS, 0, 1, "a");
    for (int i = 0; i <= H2_CONTINUATIONS; i++)
        ADD(&in, H2_CONTINUATION, 0, 1, "");
    refused_sequence(&in, H2_ENHANCE_YOUR_CALM);
    strb_init(&in, 0);
    ADD(&in, H2_HEADERS, H2_PADDED, 1, "\2a"); /* more padding than there is */
    refused_sequence(&in, H2_PROTOCOL_ERROR);
}

static void test_settings(void **state)
{
    struct h2_settings s;
    char b[6];
    h2_settings_init(&s);
    h2_put_setting(b, H2_SET_WINDOW, 0x80000000u);
    assert_int_equal(h2_settings_read(&s, slice_of(b, 6)), H2_FLOW_CONTROL_ERROR);
    assert_int_equal(s.window, H2_WINDOW);
    h2_put_setting(b, H2_SET_MAX_FRAME, 16383);
    assert_int_equal(h2_settings_read(&s, slice_of(b, 6)), H2_PROTOCOL_ERROR);
    h2_put_setting(b, H2_SET_ENABLE_PUSH, 2);
    assert_int_equal(h2_settings_read(&s, slice_of(b, 6)), H2_PROTOCOL_ERROR);
    h2_put_setting(b, H2_SET_TABLE_SIZE, 0);
    assert_int_equal(h2_settings_read(&s, slice_of(b, 6)), H2_NO_ERROR);
    assert_int_equal(s.table_size, 0);
}

static void test_priority(void **state)
{
    struct h2_priority p = { 3, false };
    h2_priority_read(SLICE("u=1, i"), &p);
    assert_int_equal(p.urgency, 1);
    assert_true(p.incremental);
    h2_priority_read(SLICE("u=9, i=?0, x=y"), &p);
    assert_int_equal(p.urgency, 1);
    assert_false(p.incremental);
    h2_priority_read(SLICE(""), &p);
    assert_int_equal(p.urgency, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),     cmocka_unit_test(test_refused),  cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_settings), cmocka_unit_test(test_priority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
