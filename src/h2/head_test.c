/*
 * Composing a head: in lower case, without what HTTP/2 has no place for, and nothing that would be two fields.
 */
#include "h2/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "h2/hpack.h"

static int compose(struct arena *a, bool response, const char *name, const char *value, struct h2_head *h)
{
    struct field f = { .name = slice_str(name),
                       .value = slice_str(value),
                       .token = (uint16_t)token_find(slice_str(name)) };
    struct fields fields = { .v = &f, .n = 1, .cap = 1 };
    assert_int_equal(h2_head_begin(h, a, 4), OK);
    return h2_head_fields(h, &fields, response);
}

static void what_is_written(void **state)
{
    static const struct {
        const char *name, *value, *out, *as; /* out NULL: left out */
    } rows[] = {
        { "X-Own", "1", "x-own", "1" },
        { "x-own", " 1\t", "x-own", "1" },
        { "Content-Type", "text/html", "content-type", "text/html" },
        { "Set-Cookie", "", "set-cookie", "" },
        { "Keep-Alive", "5", NULL, NULL },
        { "Proxy-Connection", "x", NULL, NULL },
        { "Upgrade", "x", NULL, NULL },
        { "TE", "gzip", NULL, NULL },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct arena a;
        struct h2_head h;
        arena_init(&a, NULL, 0, 1024, 0);
        assert_int_equal(compose(&a, true, rows[i].name, rows[i].value, &h), OK);
        assert_int_equal(h.n, rows[i].out ? 1 : 0);
        if (rows[i].out) {
            assert_true(slice_eq(h.v[0].name, slice_str(rows[i].out)));
            assert_true(slice_eq(h.v[0].value, slice_str(rows[i].as)));
        }
        arena_done(&a);
    }
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *name, *value;
        bool response;
    } rows[] = {
        { "Connection", "close", true },
        { "Transfer-Encoding", "chunked", true },
        { "Content-Length", "1", true },
        { "Host", "a", false },
        { "x a", "1", true },
        { "", "1", true },
        { "x", "a\r\nb: c", true },
        { "x", "a\nb", false },
        { ":status", "200", true },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct arena a;
        struct h2_head h;
        arena_init(&a, NULL, 0, 1024, 0);
        if (compose(&a, rows[i].response, rows[i].name, rows[i].value, &h) != ERR_SYNTAX)
            fail_msg("%s: %s", rows[i].name, rows[i].value);
        arena_done(&a);
    }
}

static void pseudo_fields(void **state)
{
    struct arena a;
    struct h2_head h;
    arena_init(&a, NULL, 0, 1024, 0);
    assert_int_equal(h2_head_begin(&h, &a, 3), OK);
    assert_int_equal(h2_head_status(&h, 99), ERR_SYNTAX);
    assert_int_equal(h2_head_status(&h, 1000), ERR_SYNTAX);
    assert_int_equal(h2_head_status(&h, 204), OK);
    assert_int_equal(h2_head_length(&h, UINT64_MAX), OK);
    assert_int_equal(h2_head_pseudo(&h, SLICE(":path"), SLICE("/a\nb")), ERR_SYNTAX);
    assert_int_equal(h2_head_pseudo(&h, SLICE(":path"), SLICE("/")), OK);
    assert_int_equal(h2_head_pseudo(&h, SLICE(":more"), SLICE("/")), ERR_NOMEM); /* as many as were said */
    assert_true(slice_eq(h.v[0].value, SLICE("204")));
    assert_true(slice_eq(h.v[1].value, SLICE("18446744073709551615")));
    assert_int_equal(h2_head_begin(&h, &a, H2_ENCODE_MAX + 1), ERR_LIMIT);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(pseudo_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
