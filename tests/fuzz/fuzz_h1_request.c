/*
 * Request heads. However the bytes are cut into reads, the outcome is the same; and what was accepted, written by the
 * writer and parsed again, is the same request.
 *
 * The first input byte chooses the rules, the second how the reads are cut.
 */
#include "h1/test_feed.h"
#include "h1/write.h"

static struct h1_head first, second;

static struct h1_rules rules_of(uint8_t flags)
{
    struct h1_rules r = test_rules();
    r.bare_lf = flags & 1;
    r.fragment = flags & 2;
    r.underscores = flags & 4;
    r.ignore_invalid = !(flags & 8);
    if (flags & 16) {
        r.max_fields = 4;
        r.max_line = 60;
        r.max_name = 12;
        r.max_head = 200;
    }
    return r;
}

static void check_cuts(slice in, size_t cut, const struct h1_rules *rules)
{
    struct h1_scan scan = { 0 };
    struct strb whole;
    strb_init(&whole, 0);
    test_read(&first, &scan, in, in.n, rules, false, &whole);
    test_feed_step(in, 1, 1 + in.n / 200, rules, false, &first, strb_slice(&whole));
    test_feed_step(in, cut, cut + 1, rules, false, &first, strb_slice(&whole));
    strb_done(&whole);
}

static void same_fields(const struct fields *a, const struct fields *b)
{
    TEST_CHECK(a->n == b->n);
    for (uint32_t i = 0; i < a->n; i++) {
        TEST_CHECK(slice_eq(a->v[i].name, b->v[i].name));
        TEST_CHECK(slice_eq(a->v[i].value, b->v[i].value));
        TEST_CHECK(a->v[i].token == b->v[i].token);
    }
}

/* Writes r with this target and parses that, strictly. */
static void again(const struct request *r, slice target, struct arena *a, struct request *out)
{
    struct h1_rules rules = { .max_fields = 1000, .max_line = 1 << 20, .max_name = 1 << 20, .max_head = 1 << 20 };
    struct h1_scan scan = { 0 };
    struct strb text;
    enum h1_error error = H1_OK;
    slice host = r->authority.n ? r->authority : SLICE_NONE;
    enum h1_connection conn = !r->keep_alive ? H1_CONN_CLOSE : r->minor ? H1_CONN_NONE : H1_CONN_KEEP_ALIVE;
    strb_init(&text, 0);
    TEST_CHECK(h1_write_request(&text, r->method_text, target, r->minor, host, &r->fields, &r->body, conn) == OK);
    ptrdiff_t n = h1_parse_request(&second, &scan, text.p, text.n, &rules);
    TEST_CHECK(n > 0 && (size_t)n == text.n && second.ndropped == 0);
    TEST_CHECK(h1_head_request(&second, strb_slice(&text), a, true, false, out, &error) == OK);
    strb_done(&text);
}

static void check_round_trip(const struct request *r, struct arena *a)
{
    struct request s;
    again(r, r->target, a, &s);
    TEST_CHECK(s.method == r->method && slice_eq(s.method_text, r->method_text) && s.minor == r->minor);
    TEST_CHECK(s.form == r->form && slice_eq(s.target, r->target) && slice_eq(s.scheme, r->scheme));
    TEST_CHECK(slice_eq(s.authority, r->authority) && slice_eq(s.host, r->host) && s.port == r->port);
    TEST_CHECK(slice_eq(s.raw_path, r->raw_path) && slice_eq(s.path, r->path) && s.path_changed == r->path_changed);
    TEST_CHECK(slice_eq(s.query, r->query) && s.has_query == r->has_query);
    TEST_CHECK(s.body.kind == r->body.kind && s.body.length == r->body.length && s.keep_alive == r->keep_alive);
    same_fields(&r->fields, &s.fields);
    if (r->form == TARGET_AUTHORITY || r->form == TARGET_ASTERISK)
        return;
    /* the path that goes out is the path that rules matched */
    again(r, r->normal_path, a, &s);
    TEST_CHECK(slice_eq(s.path, r->path) && !s.path_changed && s.form == TARGET_ORIGIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4000)
        return 0;
    slice in = slice_of((const char *)data + 2, size - 2);
    struct h1_rules rules = rules_of(data[0]);
    struct h1_scan scan = { 0 };
    struct request r;
    struct arena a;
    enum h1_error error = H1_OK;
    check_cuts(in, data[1], &rules);
    ptrdiff_t n = h1_parse_request(&first, &scan, in.p, in.n, &rules);
    if (n <= 0)
        return 0;
    arena_init(&a, NULL, 0, 16384, 0);
    int rc = h1_head_request(&first, slice_upto(in, (size_t)n), &a, true, rules.fragment, &r, &error);
    TEST_CHECK(rc == OK ? error == H1_OK : rc == ERR_SYNTAX && error != H1_OK);
    if (rc == OK)
        check_round_trip(&r, &a);
    arena_done(&a);
    return 0;
}
