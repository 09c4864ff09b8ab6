/*
 * For the tests and fuzzers of this room: feeds a head whole, byte by byte and split at every point, and insists on the
 * same outcome. Every read is a heap block of exactly its size, so that a sanitizer sees any step over its end.
 */
#ifndef H1_TEST_FEED_H
#define H1_TEST_FEED_H

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/strb.h"
#include "h1/parse.h"

#define TEST_CHECK(cond)                                               \
    do {                                                               \
        if (!(cond)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                   \
        }                                                              \
    } while (0)

static inline struct h1_rules test_rules(void)
{
    return (struct h1_rules){
        .ignore_invalid = true, .max_fields = 100, .max_line = 8192, .max_name = 128, .max_head = 32768
    };
}

static inline void test_dump_fields(struct strb *out, const char *what, const struct field *f, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        strb_printf(out, "%s %u [%.*s] [%.*s]\n", what, f[i].token, SLICE_FMT(f[i].name), SLICE_FMT(f[i].value));
}

/* Everything a parse says, as text. */
static inline void test_dump(struct strb *out, const struct h1_head *h, ptrdiff_t rc)
{
    strb_printf(out, "rc %td error %s\n", rc, h1_error_text(h->error));
    if (rc <= 0)
        return;
    strb_printf(out, "minor %u method %u status %u [%.*s] [%.*s] [%.*s] [%.*s]\n", h->minor, h->method, h->status,
                SLICE_FMT(h->line), SLICE_FMT(h->method_text), SLICE_FMT(h->target), SLICE_FMT(h->reason));
    strb_printf(out, "body %d %llu ka %d chunked %d len %d expect %d te %d upgrade %d host %d [%.*s] dropped %u\n",
                h->body.kind, (unsigned long long)h->body.length, h->keep_alive, h->chunked, h->has_length,
                h->expect_continue, h->te_trailers, h->has_upgrade, h->host.p != NULL, SLICE_FMT(h->host), h->ndropped);
    test_dump_fields(out, "field", h->fields, h->nfields);
    test_dump_fields(out, "hop", h->hop, h->nhop);
}

static inline ptrdiff_t test_parse(struct h1_head *h, struct h1_scan *scan, slice in, const struct h1_rules *rules,
                                   bool response)
{
    return response ? h1_parse_response(h, scan, in.p, in.n, rules) : h1_parse_request(h, scan, in.p, in.n, rules);
}

/* One read of the first n bytes, in memory of its own; the outcome is appended to `dump`. */
static inline ptrdiff_t test_read(struct h1_head *h, struct h1_scan *scan, slice in, size_t n,
                                  const struct h1_rules *rules, bool response, struct strb *dump)
{
    char *mem = malloc(n ? n : 1);
    TEST_CHECK(mem);
    if (n)
        memcpy(mem, in.p, n);
    ptrdiff_t rc = test_parse(h, scan, slice_of(mem, n), rules, response);
    TEST_CHECK(rc > 0 ? (size_t)rc <= n && h->error == H1_OK : rc == ERR_MORE || rc == ERR_SYNTAX);
    TEST_CHECK((rc == ERR_SYNTAX) == (h->error != H1_OK));
    dump->n = 0;
    test_dump(dump, h, rc);
    free(mem);
    return rc;
}

/* An error in a head that has no end yet may be found only when the head has doubled; what comes does not matter. */
static inline void test_find_late(slice in, struct h1_scan *scan, const struct h1_rules *rules, bool response,
                                  struct h1_head *h, struct strb *dump)
{
    struct strb more;
    strb_init(&more, 0);
    strb_add(&more, in);
    while (more.n < 2 * in.n + 2)
        strb_char(&more, 'x');
    TEST_CHECK(!more.failed);
    test_read(h, scan, strb_slice(&more), more.n, rules, response, dump);
    strb_done(&more);
}

/* Reads that end at multiples of `step` from `first` on, and at the end, must come to what one read comes to. */
static inline void test_feed_step(slice in, size_t first, size_t step, const struct h1_rules *rules, bool response,
                                  struct h1_head *h, slice expected)
{
    struct h1_scan scan = { 0 };
    struct strb dump;
    strb_init(&dump, 0);
    ptrdiff_t rc = ERR_MORE;
    for (size_t n = first < in.n ? first : in.n;; n = in.n - n < step ? in.n : n + step) {
        rc = test_read(h, &scan, in, n, rules, response, &dump);
        if (rc != ERR_MORE || n == in.n)
            break;
    }
    if (rc == ERR_MORE && !slice_eq(strb_slice(&dump), expected))
        test_find_late(in, &scan, rules, response, h, &dump);
    if (!slice_eq(strb_slice(&dump), expected)) {
        fprintf(stderr, "first %zu step %zu: [%.*s]\n--- in one read:\n%.*s--- in pieces:\n%.*s", first, step,
                SLICE_FMT(in), SLICE_FMT(expected), SLICE_FMT(strb_slice(&dump)));
        abort();
    }
    strb_done(&dump);
}

/* The outcome of one read, after all other ways were found to agree; h holds the whole parse, over `in`. */
static inline ptrdiff_t test_feed(slice in, const struct h1_rules *rules, bool response, struct h1_head *h)
{
    struct h1_scan scan = { 0 };
    struct strb whole;
    strb_init(&whole, 0);
    test_read(h, &scan, in, in.n, rules, response, &whole);
    slice expected = strb_slice(&whole);
    test_feed_step(in, 1, 1, rules, response, h, expected);
    for (size_t k = 1; k < in.n; k++)
        test_feed_step(in, k, in.n, rules, response, h, expected);
    strb_done(&whole);
    scan = (struct h1_scan){ 0 };
    return test_parse(h, &scan, in, rules, response);
}

#endif
