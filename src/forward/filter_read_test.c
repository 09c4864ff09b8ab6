/*
 * Lines of every form mean the same names however their bytes come.
 */
#include "forward/filter_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/err.h"
#include "forward/punycode.h"

static int note(void *ctx, slice name, unsigned marks)
{
    strb_printf(ctx, "%.*s %u\n", SLICE_FMT(name), marks);
    return OK;
}

static const slice text = SLICE("\xef\xbb\xbf# comment\n! other\n[Adblock Plus 2.0]\n\n"
                                "Plain.Example.\r\n*.below.example\n"
                                "0.0.0.0 host.example other.example # two\n127.0.0.1 localhost\n"
                                "||rule.example^\n@@||good.rule.example^\n||x.example^$third-party\n"
                                "/banner/*\nb\xc3\xbc"
                                "cher.example\n\tlast.example ");
static const slice names_of_text = SLICE("plain.example 3\nbelow.example 2\nhost.example 1\nother.example 1\n"
                                         "rule.example 3\ngood.rule.example 12\nxn--bcher-kva.example 3\n"
                                         "last.example 3\n");

static void pieces(void **state)
{
    for (size_t cut = 0; cut <= text.n + 1; cut++) { /* the last round: byte by byte */
        struct strb got;
        struct filter_reader r;
        strb_init(&got, 0);
        filter_reader_init(&r, note, &got);
        if (cut <= text.n) {
            assert_int_equal(filter_reader_piece(&r, slice_upto(text, cut)), OK);
            assert_int_equal(filter_reader_piece(&r, slice_from(text, cut)), OK);
        } else {
            for (size_t i = 0; i < text.n; i++)
                assert_int_equal(filter_reader_piece(&r, slice_of(text.p + i, 1)), OK);
        }
        assert_int_equal(filter_reader_end(&r), OK);
        if (!slice_eq(strb_slice(&got), names_of_text))
            fail_msg("cut at %zu: %.*s", cut, (int)got.n, got.p);
        assert_int_equal(r.skipped, 2);
        assert_int_equal(r.first_skipped, 11);
        assert_int_equal(r.first_file, 0);
        filter_reader_done(&r);
        strb_done(&got);
    }
}

/* A line does not go on in the next file, and lines are counted from its first. */
static void files(void **state)
{
    struct strb got;
    struct filter_reader r;
    strb_init(&got, 0);
    filter_reader_init(&r, note, &got);
    assert_int_equal(filter_reader_piece(&r, SLICE("a.exam")), OK);
    assert_int_equal(filter_reader_end(&r), OK);
    assert_int_equal(filter_reader_end(&r), OK);
    assert_int_equal(filter_reader_piece(&r, SLICE("ple.test\n/x\n/y\n")), OK);
    assert_int_equal(filter_reader_end(&r), OK);
    assert_true(slice_eq(strb_slice(&got), SLICE("a.exam 3\nple.test 3\n")));
    assert_int_equal(r.files, 3);
    assert_int_equal(r.skipped, 2);
    assert_int_equal(r.first_skipped, 2);
    assert_int_equal(r.first_file, 2);
    filter_reader_done(&r);
    strb_done(&got);
}

static int refuse(void *ctx, slice name, unsigned marks)
{
    return ERR_AGAIN;
}

static void ended(void **state)
{
    struct filter_reader r;
    filter_reader_init(&r, refuse, NULL);
    assert_int_equal(filter_reader_piece(&r, SLICE("# x\na.exam")), OK);
    assert_int_equal(filter_reader_piece(&r, SLICE("ple\n")), ERR_AGAIN);
    assert_int_equal(filter_reader_piece(&r, SLICE("127.0.0.1 localhost x")), OK);
    assert_int_equal(filter_reader_end(&r), ERR_AGAIN);
    filter_reader_done(&r);
}

static void names(void **state)
{
    static const struct {
        const char *name, *form;
    } rows[] = {
        { "b\xc3\xbc"
          "cher",
          "xn--bcher-kva" },
        { "B\xc3\x9c"
          "CHER.Example",
          "xn--bcher-kva.example" },
        { "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80", "xn--e1afmkfd" },
        { "\xe4\xbe\x8b\xe5\xad\x90", "xn--fsqu00a" },
        { "plain", "plain" },
        { "\xc3", "" },
        { "\xc0\xaf", "" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char form[100];
        size_t n = punycode_name(form, sizeof(form), slice_str(rows[i].name));
        if (!slice_eq(slice_of(form, n), slice_str(rows[i].form)))
            fail_msg("row %zu: %.*s", i, (int)n, form);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pieces), cmocka_unit_test(files), cmocka_unit_test(ended),
                                        cmocka_unit_test(names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
