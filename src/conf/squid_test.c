/*
 * squid.conf as text: words, quotes, comments, joined lines, includes, conditions, and faults.
 */
#include "conf/squid.h"
#include "conf/conf_test.h"

static int read_text(struct bench *t, struct strb *b, const char *text)
{
    bench_init(t);
    strb_init(b, 0);
    bench_file(t, "squid.conf", slice_str(text));
    bench_file(t, "more.conf", SLICE("in cluded\ninclude third.conf\nlast\n"));
    bench_file(t, "third.conf", SLICE("third"));
    bench_file(t, "loop.conf", SLICE("include loop.conf\n"));
    bundle_close(t->bundle);
    int rc =
        squid_parse(&t->arena, t->bundle, &t->diag, SLICE("squid.conf"), (struct conf_pos){ 0 }, &t->root, &t->files);
    show_nodes(b, t->root);
    return rc;
}

static void reads(void **state)
{
    static const struct {
        const char *text, *tree;
        int rc;
    } rows[] = {
        { "acl a src 10.0.0.0/8\t# office\r\nhttp_access deny all", "acl[a|src|10.0.0.0/8];http_access[deny|all];",
          OK },
        { "# all\n\n  #\nx", "x;", OK },
        { "acl b dstdomain \"/etc/list\" c", "acl[b|dstdomain|'/etc/list'|c];", OK },
        { "acl r url_regex a\\.b#c d\"e", "acl[r|url_regex|a\\.b#c|d\"e];", OK },
        { "a b \\\n c\\\nd\ne", "a[b|c|d];e;", OK },
        { "# a \\\nb", "b;", OK },
        { "include more.conf\nend", "in[cluded];third;last;end;", OK },
        { "include more.conf third.conf", "in[cluded];third;last;third;", OK },
        { "include loop.conf", "", ERR_SYNTAX },
        { "include absent.conf\nx", "x;", ERR_SYNTAX },
        { "if true\na\nelse\nb\nendif\nc", "a;c;", OK },
        { "if 1 = 2\nif true\na\nendif\nelse\nb\nendif", "b;", OK },
        { "if ${x}\na\nendif", "", ERR_SYNTAX },
        { "if true\na", "a;", ERR_SYNTAX },
        { "else", "", ERR_SYNTAX },
        { "logformat f %>a \"%rm %ru\" # x", "logformat[f|%>a \"%rm %ru\" # x];", OK },
        { "a \"b", "a;", ERR_SYNTAX },
        { "a\\", "a\\;", OK },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bench t;
        struct strb b;
        int rc = read_text(&t, &b, rows[i].text);
        if (rc != rows[i].rc || !slice_eq(strb_slice(&b), slice_str(rows[i].tree)))
            fail_msg("%s: %d %.*s", rows[i].text, rc, SLICE_FMT(strb_slice(&b)));
        strb_done(&b);
        bench_done(&t);
    }
}

/* Where things stand, and a configuration lost behind one `#`. */
static void places(void **state)
{
    struct bench t;
    struct strb b;
    assert_int_equal(read_text(&t, &b, "a \\\n b\n\n  c d\n# Squid acl s dstdomain .x http_access deny s\n"), OK);
    assert_int_equal(t.root->pos.line, 1);
    assert_int_equal(t.root->next->pos.line, 4);
    assert_int_equal(t.root->next->pos.column, 3);
    assert_int_equal(t.root->next->args[0].pos.column, 5);
    assert_int_equal(t.diag.warnings, 1);
    assert_int_equal(t.diag.first->pos.line, 5);
    assert_non_null(t.files);
    strb_done(&b);
    bench_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(reads), cmocka_unit_test(places) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
