#include "conf/conf_test.h"

#include <stdlib.h>

#include "conf/nearest.h"

/* The first message of a text, printed. */
static void expect_first(slice text, const char *want)
{
    struct bench t;
    bench_init(&t);
    assert_int_equal(bench_parse(&t, text), ERR_SYNTAX);
    slice got = conf_message_text(&t.arena, t.diag.first);
    assert_string_equal(got.p, want);
    bench_done(&t);
}

static void caret(void **state)
{
    expect_first(SLICE("a;\n  \"b\"c;\n"), "[emerg] unexpected \"c\" in /p/main.conf:2\n"
                                           "     2:6 |   \"b\"c;\n"
                                           "         |      ^");
    /* a tab stays a tab above and below, a character of two bytes is one column wide, CR is not shown */
    expect_first(SLICE("\t\xc3\xa4 \"b\"c;\r\n"), "[emerg] unexpected \"c\" in /p/main.conf:1\n"
                                                  "     1:8 | \t\xc3\xa4 \"b\"c;\n"
                                                  "         | \t     ^");
    expect_first(SLICE("a {"), "[emerg] unexpected end of file, expecting \"}\" in /p/main.conf:1\n"
                               "     1:4 | a {\n"
                               "         |    ^\n"
                               "           the block \"a\" opened in line 1 is not closed");
}

static void hostile_bytes(void **state)
{
    /* an escape sequence must not reach the terminal, neither in the text nor in the source line */
    expect_first(SLICE("\"\"\x1b[2J;"), "[emerg] unexpected \"\\x1b\" in /p/main.conf:1\n"
                                        "     1:3 | \"\"?[2J;\n"
                                        "         |   ^");
    /* nor in a hint */
    expect_first(SLICE("\x1b[2J\n{"), "[emerg] unexpected end of file, expecting \"}\" in /p/main.conf:2\n"
                                      "     2:2 | {\n"
                                      "         |  ^\n"
                                      "           the block \"\\x1b[2J\" opened in line 1 is not closed");
}

static void long_line(void **state)
{
    struct strb b;
    struct bench t;
    strb_init(&b, 0);
    for (int i = 0; i < 2000; i++)
        strb_lit(&b, "\xc3\xa4");
    strb_lit(&b, " \"b\"c");
    for (int i = 0; i < 2000; i++)
        strb_lit(&b, "\xc3\xb6");
    bench_init(&t);
    assert_int_equal(bench_parse(&t, strb_slice(&b)), ERR_SYNTAX);
    const struct conf_message *m = t.diag.first;
    assert_true(m->source.n < 140);
    assert_true(slice_starts(m->source, SLICE("...\xc3\xa4")));
    assert_true(slice_ends(m->source, SLICE("\xc3\xb6...")));
    assert_int_equal(m->source.p[m->caret], 'c');
    bench_done(&t);
    strb_done(&b);
}

static void outlives(void **state)
{
    struct arena a;
    struct conf_diag d;
    struct conf_node *root;
    arena_init(&a, NULL, 0, 4096, 0);
    conf_diag_init(&d, &a);
    struct bundle *b = bundle_new(SLICE("/p"));
    struct arena other;
    arena_init(&other, NULL, 0, 4096, 0);
    assert_int_equal(bundle_file_set(b, SLICE("x"), SLICE("a;\n};\n")), OK);
    assert_int_equal(conf_parse(&other, b, &d, SLICE("x"), &root, NULL), ERR_SYNTAX);
    bundle_free(b);
    arena_done(&other);
    slice text = conf_message_text(&a, d.first);
    assert_string_equal(text.p, "[emerg] unexpected \"}\" in /p/x:2\n     2:1 | };\n         | ^");
    arena_done(&a);
}

static void counting(void **state)
{
    struct arena a;
    struct conf_diag d;
    arena_init(&a, NULL, 0, 4096, 0);
    conf_diag_init(&d, &a);
    struct conf_pos none = { 0 };
    for (int i = 0; i < 300; i++)
        conf_diag_add(&d, i % 2 ? CONF_WARN : CONF_EMERG, none, SLICE_NONE, "number %d", i);
    assert_int_equal(d.kept, CONF_MAX_MESSAGES);
    assert_int_equal(d.errors, 150);
    assert_int_equal(d.warnings, 150);
    assert_int_equal(d.dropped, 100);
    conf_diag_init(&d, &a);
    conf_diag_add(&d, CONF_WARN, none, SLICE_NONE, "same");
    conf_diag_add(&d, CONF_WARN, none, SLICE_NONE, "same");
    assert_int_equal(d.warnings, 1);
    conf_diag_init(&d, &a);
    d.strict = true;
    conf_diag_add(&d, CONF_WARN, none, SLICE("why\nand how"), "strict");
    assert_int_equal(d.errors, 1);
    assert_int_equal(d.warnings, 0);
    assert_string_equal(conf_message_text(&a, d.first).p, "[warn] strict\n           why\n           and how");
    arena_done(&a);
}

static void long_text(void **state)
{
    struct arena a;
    struct conf_diag d;
    char big[5000];
    memset(big, '\x01', sizeof(big));
    arena_init(&a, NULL, 0, 4096, 0);
    conf_diag_init(&d, &a);
    conf_diag_add(&d, CONF_EMERG, (struct conf_pos){ 0 }, SLICE_NONE, "%.*s", (int)sizeof(big), big);
    assert_int_equal(d.first->text.n, 4 * 1024 + 3);
    assert_true(slice_ends(d.first->text, SLICE("\\x01...")));
    arena_done(&a);
}

static unsigned dist(const char *a, const char *b)
{
    unsigned d = name_distance(slice_str(a), slice_str(b), 3), back = name_distance(slice_str(b), slice_str(a), 3);
    assert_int_equal(d, back);
    return d;
}

static void distance(void **state)
{
    assert_int_equal(dist("", ""), 0);
    assert_int_equal(dist("abc", "abc"), 0);
    assert_int_equal(dist("abc", "ABC"), 0);
    assert_int_equal(dist("abc", "acb"), 1);
    assert_int_equal(dist("abc", "ab"), 1);
    assert_int_equal(dist("abc", "axc"), 1);
    assert_int_equal(dist("abc", "xyz"), 3);
    assert_int_equal(dist("abcd", "wxyz"), 4);
    assert_int_equal(dist("proxy_pas", "proxy_pass"), 1);
    assert_int_equal(dist("lsiten", "listen"), 1);
    assert_int_equal(dist("a", "abcdefgh"), 4);
}

static void nearest(void **state)
{
    struct nearest n;
    nearest_init(&n, SLICE("proxy_pas"));
    nearest_offer(&n, SLICE("proxy_bind"));
    nearest_offer(&n, SLICE("proxy_pass"));
    nearest_offer(&n, SLICE("proxy_passs"));
    assert_true(slice_eq(n.best, SLICE("proxy_pass")));
    nearest_init(&n, SLICE("ab"));
    nearest_offer(&n, SLICE("ac"));
    assert_int_equal(n.best.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caret),    cmocka_unit_test(hostile_bytes), cmocka_unit_test(long_line),
        cmocka_unit_test(outlives), cmocka_unit_test(counting),      cmocka_unit_test(long_text),
        cmocka_unit_test(distance), cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
