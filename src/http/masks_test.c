/* Host masks: what each form means, who wins, what is refused; beside a plain reading of the same rules. */
#include "http/masks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <strings.h>

#include "base/attr.h"
#include "base/err.h"

static void forms(void **state)
{
    static const struct {
        const char *text, *key;
        enum mask_kind kind;
    } good[] = { { "a.b", "a.b", MASK_EXACT },   { "", "", MASK_EXACT },        { ".", ".", MASK_EXACT },
                 { "*.a.b", "a.b", MASK_HEAD },  { ".a.b", "a.b", MASK_BOTH },  { "a.b.*", "a.b", MASK_TAIL },
                 { "*.com", "com", MASK_HEAD },  { "www.*", "www", MASK_TAIL }, { "a.", "a.", MASK_EXACT },
                 { "*.a.b.", "a.b.", MASK_HEAD } };
    static const char *const bad[] = { "*",     "*.", "**",   "*.*",  "a*.b", "a.*.b", "*a.b",
                                       "*.a.*", ".*", ".a.*", "a..b", "..a",  "*..a" };
    enum mask_kind kind;
    slice key;
    for (size_t i = 0; i < array_len(good); i++) {
        assert_int_equal(mask_parse(slice_str(good[i].text), &kind, &key), OK);
        assert_int_equal(kind, good[i].kind);
        assert_true(slice_eq(key, slice_str(good[i].key)));
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (mask_parse(slice_str(bad[i]), &kind, &key) != ERR_SYNTAX)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(mask_parse(slice_of("a\0b", 3), &kind, &key), ERR_SYNTAX);
}

static int put(struct masks *m, const char *text)
{
    enum mask_kind kind;
    slice key;
    assert_int_equal(mask_parse(slice_str(text), &kind, &key), OK);
    return masks_put(m, kind, key, (void *)text);
}

static void twice(void **state)
{
    static const struct {
        const char *first, *second;
        int result;
    } table[] = {
        { "a.b", "A.b", ERR_REFUSED },  { "*.a.b", "*.A.B", ERR_REFUSED }, { "a.*", "a.*", ERR_REFUSED },
        { "a.b", "*.a.b", OK },         { ".a.b", "a.b", ERR_REFUSED },    { ".a.b", "*.a.b", ERR_REFUSED },
        { "a.b", ".a.b", ERR_REFUSED }, { "*.a.b", ".a.b", ERR_REFUSED },  { "a.b", "a.b.*", OK },
        { ".a.b", ".c.a.b", OK },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct masks m;
        masks_init(&m);
        assert_int_equal(put(&m, table[i].first), OK);
        if (put(&m, table[i].second) != table[i].result)
            fail_msg("%s, %s", table[i].first, table[i].second);
        masks_done(&m);
    }
    struct masks m; /* a mask that is refused leaves neither of its halves */
    masks_init(&m);
    assert_int_equal(put(&m, "*.a.b"), OK);
    assert_int_equal(put(&m, ".a.b"), ERR_REFUSED);
    assert_null(masks_find(&m, SLICE("a.b")));
    masks_done(&m);
}

/* How well a mask fits: 0 not at all; exact beats head beats tail, and the longer the better. */
static unsigned fits(const char *mask, const char *host)
{
    size_t m = strlen(mask), h = strlen(host);
    if (mask[0] == '*' || mask[0] == '.') {
        const char *rest = mask + (mask[0] == '*' ? 2 : 1);
        size_t n = strlen(rest);
        if (mask[0] == '.' && strcasecmp(rest, host) == 0)
            return 10000;
        return h > n && host[h - n - 1] == '.' && strcasecmp(host + h - n, rest) == 0 ? 1000 + (unsigned)n : 0;
    }
    if (m > 2 && mask[m - 1] == '*')
        return h > m - 1 && strncasecmp(host, mask, m - 1) == 0 ? 1 + (unsigned)m : 0;
    return strcasecmp(mask, host) == 0 ? 10000 : 0;
}

static void finding(void **state)
{
    static const char *const masks[] = { "a.b",   "*.a.b", ".b.c",   "www.*", "www.a.*", "x.www.*", "*.y.a.b",
                                         "c.a.b", "*.com", "mail.*", "",      "b",       "*.c",     ".z" };
    static const char *const labels[] = { "a", "b", "c", "www", "x", "y", "z", "com", "MAIL", "A" };
    struct masks m;
    masks_init(&m);
    for (size_t i = 0; i < array_len(masks); i++)
        assert_int_equal(put(&m, masks[i]), OK);
    srandom(3);
    for (unsigned run = 0; run < 20000; run++) {
        char host[64] = "";
        unsigned n = (unsigned)random() % 5, at = 0;
        for (unsigned i = 0; i < n; i++) {
            const char *l = labels[(size_t)random() % array_len(labels)];
            if (i)
                host[at++] = '.';
            memcpy(host + at, l, strlen(l) + 1);
            at += (unsigned)strlen(l);
        }
        const char *want = NULL;
        unsigned best = 0;
        for (size_t i = 0; i < array_len(masks); i++) {
            unsigned fit = fits(masks[i], host);
            if (fit > best) {
                best = fit;
                want = masks[i];
            }
        }
        if (masks_find(&m, slice_str(host)) != want)
            fail_msg("%s: %s", host, want ? want : "none");
    }
    masks_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(twice),
        cmocka_unit_test(finding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
