/*
 * What a filter holds back PCRE2 does not match either: by a table, and for thousands of patterns made of pieces by
 * chance.
 */
#include "base/regex_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/regex.h"

static bool passes(const struct regex_filter *f, slice subject, unsigned i)
{
    uint64_t possible[REGEX_FILTER_WORDS];
    assert_true(regex_filter_run(f, subject, possible) > i / 64);
    return possible[i / 64] >> (i % 64) & 1;
}

/* Texts that pass, and texts that do not, each list ended by NULL. */
static void table(void **state)
{
    static const struct {
        const char *pattern;
        bool icase;
        const char *pass[4], *held[4];
    } rows[] = {
        { "^/a/(.*)$", false, { "/a/", "/a/x" }, { "/b/", "/a", "" } },
        { "\\.php$", false, { ".php", "/x.php", "x.php\n" }, { ".phq", "php", "/x.php/" } },
        { "^/x\\.php$", false, { "/x.php" }, { "/x.phpx", "/y.php" } },
        { "^/A", true, { "/a", "/A" }, { "/b" } },
        { "\\.(gif|jpe?g|png)$", true, { "/x.gif", "/x.JPEG", "x.jpg" }, { "/x.html", "/xgif/", "/x.gi" } },
        { "^/(images|css)/", false, { "/images/", "/css/x" }, { "/js/", "/imgs", "/c" } },
        { "^/(?:a|bc)\\.t$", false, { "/a.t", "/bc.t" }, { "/d.t", "/a.u" } },
        { "^/ab?c", false, { "/ac", "/abc" }, { "/", "b" } },
        { "^/ab*", false, { "/a", "/abb" }, { "/b" } },
        { "^/ab{2}", false, { "/abb", "/a" }, { "/b" } },
        { "^/ab+c", false, { "/abbc" }, { "/ac" } },
        { "^/a\\d", false, { "/a1" }, { "/b1" } },
        { "^/a[^/]+/x$", false, { "/a1/x" }, { "/a1/y", "/b/x" } },
        { "^/a[]/]+x$", false, { "/a]x" }, { "/a]y" } },
        { "^/a[[:alpha:]]x$", false, { "/abx" }, { "/aby" } },
        { "^/a|b$", false, { "/a", "b", "/c" }, { NULL } },
        { "(?i)^/a", false, { "/A", "x" }, { NULL } },
        { "^/a(?i)b$", false, { "/aB", "x" }, { NULL } },
        { "^/a(?<n>b|c)d$", false, { "/abd", "/acd" }, { "/abe", "/b" } },
        { "^\\Qa.b\\E$", false, { "a.b", "x" }, { NULL } },
        { "^a\\x41b$", false, { "aAb" }, { "b" } },
        { "\\x41bcdefghijklmnopq$", false, { "Abcdefghijklmnopq", "x" }, { NULL } },
        { "a\\$", false, { "a$b", "x" }, { NULL } },
        { "(*ACCEPT)a$", false, { "x" }, { NULL } },
        { "^", false, { "", "x" }, { NULL } },
        { "$", false, { "", "x" }, { NULL } },
        { "", false, { "", "x" }, { NULL } },
        { "^/0123456789abcdefgh$", false, { "/0123456789abcdefgh" }, { "/0123456789abcde", "/0123456789abcXefgh" } },
    };
    struct regex_pattern all[array_len(rows)];
    struct arena a;
    arena_init(&a, NULL, 0, 4096, 0);
    for (unsigned i = 0; i < array_len(rows); i++)
        all[i] = (struct regex_pattern){ slice_str(rows[i].pattern), rows[i].icase };
    const struct regex_filter *f = regex_filter_new(&a, all, array_len(rows));
    assert_non_null(f);
    for (unsigned i = 0; i < array_len(rows); i++) {
        for (unsigned k = 0; k < 4 && rows[i].pass[k]; k++) {
            if (!passes(f, slice_str(rows[i].pass[k]), i))
                fail_msg("%s holds \"%s\"", rows[i].pattern, rows[i].pass[k]);
        }
        for (unsigned k = 0; k < 4 && rows[i].held[k]; k++) {
            if (passes(f, slice_str(rows[i].held[k]), i))
                fail_msg("%s lets \"%s\" pass", rows[i].pattern, rows[i].held[k]);
        }
    }
    arena_done(&a);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static size_t compose(uint32_t *seed, const char *const *pieces, size_t n, unsigned max, char *out)
{
    unsigned count = next_random(seed) % max;
    size_t len = 0;
    for (unsigned i = 0; i < count; i++) {
        slice s = slice_str(pieces[next_random(seed) % n]);
        memcpy(out + len, s.p, s.n);
        len += s.n;
    }
    return len;
}

/* A handful of patterns at a time, so that every row of a filter has several bits. */
static void never_holds_back_a_match(void **state)
{
    static const char *const pieces[] = {
        "^",    "^",     "^/",    "$",     "$",         "$",      "a",         "b",           "ab",   "/",
        "\\.",  ".",     "*",     "+",     "?",         "{2}",    "{1,2}",     "{",           "}",    "(",
        ")",    "(?:",   "(?i)",  "(?<n>", "(?=",       "|",      "[ab]",      "[^/]",        "[",    "]",
        "[]a]", "\\",    "\\\\",  "\\$",   "\\x41",     "\\x",    "\\d",       "\\b",         "\\Q",  "\\E",
        "\\1",  "41",    "1",     "A",     "B",         "(?",     "(*F)",      "[[:alpha:]]", "\\cA", "\\n",
        "\n",   "\\101", "(a|b)", "(ab|)", "(a|b+|/)$", "^(a|/)", "(a|(b|A))", "\\k<n>",      "\\g1"
    };
    static const char *const texts[] = {
        "a", "b", "ab", "/", ".", "A", "B", "41", "1", "\n", "$", "{2}", "\\", "2", "x"
    };
    enum { AT_ONCE = 70 };
    uint32_t seed = 12345;
    unsigned matched = 0, held = 0;
    for (unsigned round = 0; round < 400; round++) {
        char memory[AT_ONCE][160], text[64];
        struct regex_pattern patterns[AT_ONCE];
        struct regex *compiled[AT_ONCE];
        struct arena a;
        unsigned n = 0;
        while (n < AT_ONCE) {
            bool icase = next_random(&seed) & 1;
            slice p = slice_of(memory[n], compose(&seed, pieces, array_len(pieces), 9, memory[n]));
            if (regex_new(p, icase, &compiled[n], NULL, 0, NULL) == OK)
                patterns[n++] = (struct regex_pattern){ p, icase };
        }
        arena_init(&a, NULL, 0, 4096, 0);
        const struct regex_filter *f = regex_filter_new(&a, patterns, n);
        assert_non_null(f);
        for (unsigned k = 0; k < 40; k++) {
            slice t = slice_of(text, compose(&seed, texts, array_len(texts), 6, text));
            for (unsigned i = 0; i < n; i++) {
                bool match = regex_match(compiled[i], t, NULL, 0) >= 0, possible = passes(f, t, i);
                if (match && !possible)
                    fail_msg("\"%.*s\" (%d) matches \"%.*s\"", SLICE_FMT(patterns[i].text), patterns[i].icase,
                             SLICE_FMT(t));
                matched += match;
                held += !possible;
            }
        }
        arena_done(&a);
        for (unsigned i = 0; i < n; i++)
            regex_free(compiled[i]);
    }
    assert_true(matched > 10000 && held > 10000); /* else nothing was tried */
}

static void no_memory(void **state)
{
    struct regex_pattern p = { SLICE("^/a$"), false };
    struct arena small;
    arena_init(&small, NULL, 0, 256, 64); /* its first chunk is over the limit */
    assert_null(regex_filter_new(&small, &p, 1));
    arena_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(never_holds_back_a_match),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
