/*
 * What is taken out of requests, and what goes back in a deny page: targets without tracking parameters, sites of
 * Referer, and texts in which nothing of a client is more than text.
 */
#include <stdlib.h>

#include "base/err.h"
#include "forward/deny_text.h"
#include "forward/privacy.h"
#include "h1/test_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void targets(slice target)
{
    char *once = malloc(target.n + 1), *twice = malloc(target.n + 1);
    size_t n = strip_trackers(once, target);
    TEST_CHECK(n <= target.n);
    if (n < target.n) {
        slice left = slice_of(once, n), path, query, before, rest;
        TEST_CHECK(strip_trackers(twice, left) == n); /* nothing is left to take */
        bool had = slice_cut(target, '?', &before, &rest);
        bool has = slice_cut(left, '?', &path, &query);
        TEST_CHECK(had && slice_eq(has ? path : left, before));
    }
    free(once);
    free(twice);
}

static void pages(slice text, slice value)
{
    static const slice two[] = { SLICE("$forward_user"), SLICE("${forward_user}") };
    slice values[DENY_VALUES], bad;
    struct deny_text t;
    struct arena a;
    struct strb b;
    for (enum deny_value v = 0; v < DENY_VALUES; v++)
        values[v] = value;
    arena_init(&a, NULL, 0, 4096, 0);
    strb_init(&b, 1 << 24);
    if (deny_text_compile(&a, text, &t, &bad) == OK)
        deny_text_write(&b, &t, values, DENY_HTML);
    strb_done(&b);
    for (int i = 0; i < 2; i++) {
        strb_init(&b, 0);
        TEST_CHECK(deny_text_compile(&a, two[i], &t, &bad) == OK);
        deny_text_write(&b, &t, values, i ? DENY_ADDRESS : DENY_HTML);
        for (size_t k = 0; k < b.n; k++)
            TEST_CHECK(!strchr("<>\"'`=\\\r\n\t", b.p[k]) || !b.p[k]);
        strb_done(&b);
    }
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice all = slice_of((const char *)data, size), a, b;
    if (size > 20000)
        return 0;
    targets(all);
    if (!slice_cut(all, '\n', &a, &b))
        a = b = all;
    referer_is_foreign(a, b);
    pages(a, b);
    return 0;
}
