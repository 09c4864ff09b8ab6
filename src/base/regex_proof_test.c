#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/regex_proof.h"

static bool explodes(const char *pattern)
{
    struct regex *r;
    char attack[REGEX_ATTACK_MAX];
    size_t n = 0;
    assert_int_equal(regex_new(slice_str(pattern), false, &r, NULL, 0, NULL), OK);
    bool yes = regex_explodes(r, slice_str(pattern), attack, &n);
    if (yes) {
        assert_true(n > 0 && n <= REGEX_ATTACK_MAX);
        assert_true(regex_exceeds(r, slice_of(attack, n), 100000));
    }
    regex_free(r);
    return yes;
}

static void what_explodes(void **state)
{
    static const char *const bad[] = {
        "(a+)+$",        "^/(\\w+)*$",        "^/x/(.*)*$",           "^/(a|a)*$",  "^/([a-z]+)+\\.php$",
        "(\\d+|\\w+)+$", "^/(?:[^/]*)*/end$", "^/(([a-z])+.)+[A-Z]$", "^(a+){3,}$",
    };
    for (size_t i = 0; i < array_len(bad); i++) {
        if (!explodes(bad[i]))
            fail_msg("%s was not found to explode", bad[i]);
    }
}

static void what_does_not(void **state)
{
    static const char *const good[] = {
        "",
        "^/",
        "\\.php$",
        "^/u/(\\d+)$",
        "^(/[a-z]+)*$",
        "^/(a|b|c)/x",
        "^/(.*)\\.(jpg|png)$",
        "^/x(/[0-9]{2})+$",
        "^/(?<n>\\w+)/(.*)$",
        "^/(a++)+$",
        "[(+]*[)+]+",
        "^/(?:en|de)/([^/]+)/?$",
        "(ab)+",
        "^/a{2,}$",
        "\\(+\\)+",
        "^/([a-z]{1,3}-)*$",
    };
    for (size_t i = 0; i < array_len(good); i++) {
        if (explodes(good[i]))
            fail_msg("%s was found to explode", good[i]);
    }
}

static bool may_begin(const char *pattern, bool icase, char c)
{
    struct regex *r;
    assert_int_equal(regex_new(slice_str(pattern), icase, &r, NULL, 0, NULL), OK);
    bool yes = regex_may_begin(r, c);
    regex_free(r);
    return yes;
}

static void beginnings(void **state)
{
    assert_false(may_begin("^(http|https)://10\\.", true, '/'));
    assert_false(may_begin("^img/", false, '/'));
    assert_false(may_begin("^[a-z]+/x", false, '/'));
    assert_false(may_begin("^\\w", false, '/'));
    assert_true(may_begin("^/img/", false, '/'));
    assert_true(may_begin("^.?img", false, '/'));
    assert_true(may_begin("img/", false, '/'));
    assert_true(may_begin("^(/a|b)", false, '/'));
    assert_true(may_begin("^a*/", false, '/'));
    assert_true(may_begin("^A", true, 'a'));
}

static void prefix_is(const char *pattern, const char *want)
{
    slice got = regex_literal_prefix(slice_str(pattern));
    assert_int_equal(got.n, slice_str(want).n);
    assert_true(slice_eq(got, slice_str(want)));
}

static void prefixes(void **state)
{
    prefix_is("^/img/(.*)$", "/img/");
    prefix_is("^/img", "/img");
    prefix_is("^/img/?$", "/img");
    prefix_is("^/a{2}", "/");
    prefix_is("^/a\\.b", "/a");
    prefix_is("/img/", "");
    prefix_is("^/a|^/b", "");
    prefix_is("^", "");
}

static void everything(void **state)
{
    assert_true(regex_matches_paths(SLICE("/")));
    assert_true(regex_matches_paths(SLICE("^/(.*)$")));
    assert_true(regex_matches_paths(SLICE_NONE));
    assert_false(regex_matches_paths(SLICE("^/a")));
    assert_false(regex_matches_paths(SLICE("\\.php$")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_explodes), cmocka_unit_test(what_does_not), cmocka_unit_test(beginnings),
        cmocka_unit_test(prefixes),      cmocka_unit_test(everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
