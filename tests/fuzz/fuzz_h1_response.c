/*
 * Response heads, as fuzz_h1_request.c does it: cuts do not matter, and what was accepted and written again is the same
 * response. The first input byte chooses the rules, the second how the reads are cut.
 */
#include "h1/test_feed.h"
#include "h1/write.h"

static struct h1_head first, second;

static void check_cuts(slice in, size_t cut, const struct h1_rules *rules)
{
    struct h1_scan scan = { 0 };
    struct strb whole;
    strb_init(&whole, 0);
    test_read(&first, &scan, in, in.n, rules, true, &whole);
    test_feed_step(in, 1, 1 + in.n / 200, rules, true, &first, strb_slice(&whole));
    test_feed_step(in, cut, cut + 1, rules, true, &first, strb_slice(&whole));
    strb_done(&whole);
}

static void check_bodies(const struct h1_head *h)
{
    for (unsigned m = METHOD_OTHER; m < METHOD_COUNT; m++) {
        struct body_fact b = h1_response_body(h, m);
        bool never = m == METHOD_HEAD || h->status < 200 || h->status == 204 || h->status == 304;
        TEST_CHECK(!never || b.kind == BODY_NONE);
        TEST_CHECK(b.kind != BODY_LENGTH || (h->has_length && !h->chunked));
        TEST_CHECK(b.kind != BODY_NONE || never || (m == METHOD_CONNECT && h->status < 300));
        TEST_CHECK(b.kind == BODY_LENGTH || b.length == 0);
    }
}

static void check_round_trip(const struct response *r, bool chunked)
{
    struct h1_rules rules = { .max_fields = 1000, .max_line = 1 << 20, .max_name = 1 << 20, .max_head = 1 << 20 };
    enum h1_framing framing = r->body.kind == BODY_NONE     ? H1_FRAME_NONE
                              : r->body.kind == BODY_LENGTH ? H1_FRAME_LENGTH
                              : chunked                     ? H1_FRAME_CHUNKED
                                                            : H1_FRAME_CLOSE;
    struct h1_scan scan = { 0 };
    struct strb text;
    strb_init(&text, 0);
    TEST_CHECK(h1_write_response(&text, r->status, r->reason, &r->fields, framing, r->body.length,
                                 r->keep_alive ? H1_CONN_KEEP_ALIVE : H1_CONN_CLOSE) == OK);
    ptrdiff_t n = h1_parse_response(&second, &scan, text.p, text.n, &rules);
    TEST_CHECK(n > 0 && (size_t)n == text.n && second.ndropped == 0);
    TEST_CHECK(second.status == r->status && second.keep_alive == r->keep_alive);
    TEST_CHECK(slice_eq(second.reason, r->reason.n ? r->reason : status_reason(r->status)));
    TEST_CHECK(second.body.kind == r->body.kind && second.body.length == r->body.length);
    TEST_CHECK(second.nfields == r->fields.n);
    for (uint32_t i = 0; i < r->fields.n; i++) {
        TEST_CHECK(slice_eq(second.fields[i].name, r->fields.v[i].name));
        TEST_CHECK(slice_eq(second.fields[i].value, r->fields.v[i].value));
        TEST_CHECK(second.fields[i].token == r->fields.v[i].token);
    }
    strb_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4000)
        return 0;
    slice in = slice_of((const char *)data + 2, size - 2);
    struct h1_rules rules = test_rules();
    struct h1_scan scan = { 0 };
    struct response r;
    struct arena a;
    rules.bare_lf = data[0] & 1;
    rules.underscores = data[0] & 4;
    rules.ignore_invalid = data[0] & 8;
    if (data[0] & 16) {
        rules.max_fields = 4;
        rules.max_line = 60;
        rules.max_name = 12;
        rules.max_head = 200;
    }
    check_cuts(in, data[1], &rules);
    ptrdiff_t n = h1_parse_response(&first, &scan, in.p, in.n, &rules);
    if (n <= 0)
        return 0;
    check_bodies(&first);
    arena_init(&a, NULL, 0, 16384, 0);
    TEST_CHECK(h1_head_response(&first, slice_upto(in, (size_t)n), &a, &r) == OK);
    check_round_trip(&r, first.chunked);
    arena_done(&a);
    return 0;
}
