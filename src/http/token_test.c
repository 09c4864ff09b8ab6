#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "http/token.h"

static char upper(char c)
{
    return ascii_alpha(c) ? (char)(c & ~0x20) : c;
}

static void test_every_name(void **state)
{
    for (unsigned t = 1; t < TOK_COUNT; t++) {
        slice name = token_name(t);
        char *copy = malloc(name.n); /* exact: a read over its end is seen */
        assert_non_null(copy);
        memcpy(copy, name.p, name.n);
        assert_int_equal(token_find(slice_of(copy, name.n)), t);
        for (size_t i = 0; i < name.n; i++) {
            assert_true(ascii_lower(name.p[i]) == name.p[i]);
            copy[i] = upper(copy[i]);
            assert_int_equal(token_find(slice_of(copy, name.n)), t);
        }
        free(copy);
    }
}

/* One byte changed to anything: the same letter in the other case, or not the same name. */
static void test_near_misses(void **state)
{
    for (unsigned t = 1; t < TOK_COUNT; t++) {
        char copy[40];
        slice name = token_name(t);
        memcpy(copy, name.p, name.n);
        for (size_t i = 0; i < name.n; i++) {
            for (int c = 0; c < 256; c++) {
                copy[i] = (char)c;
                enum token found = token_find(slice_of(copy, name.n));
                if (ascii_lower((char)c) == name.p[i])
                    assert_int_equal(found, t);
                else
                    assert_int_not_equal(found, t);
            }
            copy[i] = name.p[i];
        }
        assert_int_not_equal(token_find(slice_upto(name, name.n - 1)), t);
        copy[name.n] = 'x';
        assert_int_not_equal(token_find(slice_of(copy, name.n + 1)), t);
    }
}

static void test_unknown(void **state)
{
    char longest[64] = "content-length-and-more-than-any-known-name-has-0123456789";
    assert_int_equal(token_find(SLICE("")), TOK_NONE);
    assert_int_equal(token_find(SLICE("t")), TOK_NONE);
    assert_int_equal(token_find(SLICE("x-unknown")), TOK_NONE);
    assert_int_equal(token_find(SLICE("content_length")), TOK_NONE);
    assert_int_equal(token_find(SLICE("content\rlength")), TOK_NONE);
    assert_int_equal(token_find(slice_str(longest)), TOK_NONE);
}

static void test_flags(void **state)
{
    assert_int_equal(token_flags(TOK_NONE), 0);
    assert_int_equal(token_flags(TOK_HOST), T_PROT | T_ONE | T_NOTRAIL);
    assert_int_equal(token_flags(TOK_TRANSFER_ENCODING), T_HOP | T_NOTRAIL);
    for (unsigned t = 1; t < TOK_COUNT; t++) {
        /* what frames or routes a message, or belongs to a hop, is never a trailer */
        if (token_flags(t) & (T_HOP | T_PROT | T_ONE))
            assert_true(token_flags(t) & T_NOTRAIL);
    }
}

static void test_set(void **state)
{
    struct token_set s = { { 0, 0 } };
    token_set_add(&s, TOK_HOST);
    token_set_add(&s, TOK_X_REQUEST_ID);
    for (unsigned t = 0; t < TOK_COUNT; t++)
        assert_int_equal(token_set_has(&s, t), t == TOK_HOST || t == TOK_X_REQUEST_ID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name), cmocka_unit_test(test_near_misses), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_flags),      cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
