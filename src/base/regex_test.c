#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/regex.h"

static struct regex *compiled(const char *pattern, bool icase)
{
    struct regex *r = NULL;
    assert_int_equal(regex_new(slice_str(pattern), icase, &r, NULL, 0, NULL), OK);
    return r;
}

static void captures_and_unset_groups(void **state)
{
    slice c[REGEX_CAPTURES];
    struct regex *r = compiled("^/(a)|/(b+)$", false);
    assert_int_equal(regex_match(r, SLICE("/x/bbb"), c, REGEX_CAPTURES), 3);
    assert_true(slice_eq(c[0], SLICE("/bbb")));
    assert_null(c[1].p);
    assert_true(slice_eq(c[2], SLICE("bbb")));
    assert_int_equal(regex_match(r, SLICE("/x/bbb"), c, 1), 1);
    assert_int_equal(regex_match(r, SLICE("/x/c"), c, REGEX_CAPTURES), ERR_NOTFOUND);
    regex_free(r);
}

static void more_groups_than_kept(void **state)
{
    slice c[REGEX_CAPTURES];
    struct regex *r = compiled("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)", false);
    assert_int_equal(regex_match(r, SLICE("abcdefghijk"), c, REGEX_CAPTURES), REGEX_CAPTURES);
    assert_true(slice_eq(c[9], SLICE("i")));
    regex_free(r);
}

static void letter_case_and_bytes(void **state)
{
    struct regex *r = compiled("\\.PHP$", true);
    assert_int_equal(regex_match(r, SLICE("/a.php"), NULL, 0), 1);
    assert_int_equal(regex_match(r, SLICE_NONE, NULL, 0), ERR_NOTFOUND);
    regex_free(r);
    r = compiled("a.b", false);
    assert_int_equal(regex_match(r,
                                 SLICE("a\xff"
                                       "b"),
                                 NULL, 0),
                     1);
    regex_free(r);
}

static void names(void **state)
{
    slice name;
    unsigned group;
    struct regex *r = compiled("^(x)(?<user>.+)$", false);
    assert_true(regex_name(r, 0, &name, &group));
    assert_true(slice_eq(name, SLICE("user")));
    assert_int_equal(group, 2);
    assert_false(regex_name(r, 1, &name, &group));
    regex_free(r);
}

static void errors(void **state)
{
    char why[120];
    size_t at = 0;
    struct regex *r = NULL;
    assert_int_equal(regex_new(SLICE("a(b"), false, &r, why, sizeof(why), &at), ERR_SYNTAX);
    assert_null(r);
    assert_non_null(strstr(why, "parenthesis"));
    assert_int_equal(at, 3);
}

static void runaway_is_bounded(void **state)
{
    char subject[64];
    struct regex *r = compiled("^(([a-z])+.)+[A-Z]([a-z])+$", false);
    memset(subject, 'a', sizeof(subject));
    assert_int_equal(regex_match(r, slice_of(subject, sizeof(subject)), NULL, 0), ERR_LIMIT);
    regex_free(r);
}

static void *match_in_thread(void *p)
{
    return regex_match(p, SLICE("xxab"), NULL, 0) == 1 ? p : NULL;
}

/* Each thread makes match data of its own and gives it back (a leak checker would tell). */
static void threads(void **state)
{
    struct regex *r;
    assert_int_equal(regex_new(SLICE("a(b)"), false, &r, NULL, 0, NULL), OK);
    for (int i = 0; i < 4; i++) {
        pthread_t t;
        void *result = NULL;
        assert_int_equal(pthread_create(&t, NULL, match_in_thread, r), 0);
        assert_int_equal(pthread_join(t, &result), 0);
        assert_ptr_equal(result, r);
    }
    regex_free(r);
}

static void *match_once(void *r)
{
    return regex_match(r, SLICE("xay"), NULL, 0) == 1 ? r : NULL;
}

/* Under AddressSanitizer this also shows that a thread that ends leaves nothing behind. */
static void threads_share_the_code(void **state)
{
    struct regex *r = compiled("a", false);
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        void *got = NULL;
        assert_int_equal(pthread_create(&t, NULL, match_once, r), 0);
        assert_int_equal(pthread_join(t, &got), 0);
        assert_ptr_equal(got, r);
    }
    regex_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captures_and_unset_groups),
        cmocka_unit_test(more_groups_than_kept),
        cmocka_unit_test(letter_case_and_bytes),
        cmocka_unit_test(names),
        cmocka_unit_test(errors),
        cmocka_unit_test(runaway_is_bounded),
        cmocka_unit_test(threads_share_the_code),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
