#include "conf/conf_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The text parses without a word and gives this tree. */
static void good(slice text, const char *tree)
{
    struct bench t;
    bench_init(&t);
    assert_int_equal(bench_parse(&t, text), OK);
    expect_messages(&t, "");
    expect_tree(&t, tree);
    bench_done(&t);
}

/* The text has exactly these errors, and what is left of it is this tree. */
static void bad(slice text, const char *messages, const char *tree)
{
    struct bench t;
    bench_init(&t);
    assert_int_equal(bench_parse(&t, text), ERR_SYNTAX);
    expect_messages(&t, messages);
    expect_tree(&t, tree);
    bench_done(&t);
}

static void plain(void **state)
{
    good(SLICE(""), "");
    good(SLICE(" \r\n\t# only a comment"), "");
    good(SLICE("a;"), "a;");
    good(SLICE("a b  c\n d;e{}"), "a[b|c|d];e{}");
    good(SLICE("a { b { c d; } e; } f;"), "a{b{c[d];}e;}f;");
    good(SLICE("a\r\nb;\r\nc {\r\n}\r\n"), "a[b];c{}");
    good(SLICE("a#b c#d; # e;\nf;"), "a#b[c#d];f;");
    good(SLICE("a{b;}c;"), "a{b;}c;");
    good(SLICE("a b}c;"), "a[b}c];");
    good(SLICE("a \xff\xfe\xc3;"), "a[\xff\xfe\xc3];");
}

static void quotes(void **state)
{
    good(SLICE("a \"b c\" 'd;e{f}' \"\";"), "a['b c'|'d;e{f}'|''];");
    good(SLICE("a \"b\nc\";"), "a['b\nc'];");
    good(SLICE("a b\"c d'e;"), "a[b\"c|d'e];");
    good(SLICE("a \"it's\" 'say \"x\"';"), "a['it's'|'say \"x\"'];");
    good(SLICE("if (\"x\") {}"), "if[(\"x\")]{}");
    good(SLICE("if ($a = \"x\") {}"), "if[($a|=|'x'|)]{}");
    good(SLICE("a \"b\"{}"), "a['b']{}");
    good(SLICE("a 'b # c' d;"), "a['b # c'|d];");
}

static void escapes(void **state)
{
    good(SLICE("a \"\\\"\\'\\\\\\t\\r\\n\\d\\.\";"), "a['\"'\\\t\r\n\\d\\.'];");
    good(SLICE("a b\\;c \\{ d\\ e;"), "a[b\\;c|\\{|d\\ e];");
    good(SLICE("a \\\"b\\\";"), "a[\"b\"];");
    good(SLICE("location ~ ^/(\\d+)\\.php$ {}"), "location[~|^/(\\d+)\\.php$]{}");
    good(SLICE("a \\#b;"), "a[\\#b];");
}

static void variables(void **state)
{
    good(SLICE("a ${b}c;"), "a[${b}c];");
    good(SLICE("a x${b}{c;}"), "a[x${b}]{c;}");
    good(SLICE("a $b{c;}"), "a[$b]{c;}");
    good(SLICE("a \"${b}\" $;"), "a['${b}'|$];");
    good(SLICE("a ${{b;"), "a[${{b];");
    good(SLICE("a $${b};"), "a[$${b}];");
}

static void positions(void **state)
{
    struct bench t;
    bench_init(&t);
    assert_int_equal(bench_parse(&t, SLICE("a;\n\tb \"c\nd\" e;\n")), OK);
    const struct conf_node *b = t.root->children->next;
    assert_int_equal(b->pos.line, 2);
    assert_int_equal(b->pos.column, 2);
    assert_int_equal(b->args[0].pos.line, 2);
    assert_int_equal(b->args[0].pos.column, 4);
    assert_int_equal(b->args[1].pos.line, 3);
    assert_int_equal(b->args[1].pos.column, 4);
    assert_ptr_equal(b->parent, t.root);
    assert_int_equal(b->args[0].text.p[b->args[0].text.n], '\0');
    assert_string_equal(b->pos.file->path.p, "/p/main.conf");
    bench_done(&t);
}

static void errors(void **state)
{
    bad(SLICE("}"), "1:1 unexpected \"}\"", "");
    bad(SLICE(";"), "1:1 unexpected \";\"", "");
    bad(SLICE("{a;}b;"), "1:1 unexpected \"{\"", "b;");
    bad(SLICE("a { b }c;"), "1:7 unexpected \"}\"", "a{}c;");
    bad(SLICE("a"), "1:2 unexpected end of file, expecting \";\" or \"}\"", "");
    bad(SLICE("a {\nb;"), "2:3 unexpected end of file, expecting \"}\"", "a{b;}");
    bad(SLICE("a \"b"), "1:5 unexpected end of file, expecting \";\" or \"}\"", "");
    bad(SLICE("a \"b\"c; d;"), "1:6 unexpected \"c\"", "d;");
    bad(SLICE("a \"b\"} d;"), "1:6 unexpected \"}\"", "d;");
    bad(SLICE("include a {}b;"), "1:1 directive \"include\" is not terminated by \";\"", "b;");
    bad(SLICE("include; a;"), "1:1 invalid number of arguments in \"include\" directive", "a;");
    bad(SLICE("a b\0c; d;"), "1:4 unexpected NUL byte", "");
    bad(SLICE("a;\n\0"), "2:1 unexpected NUL byte", "a;");
    bad(SLICE("\xef\xbb\xbf"
              "a;"),
        "1:1 unexpected byte order mark", "a;");
}

/* One error does not hide the next, and does not bring others with it. */
static void recovery(void **state)
{
    bad(SLICE("a \"b\"c;\nd { e \"f\"g; h; }\n;\ni;"),
        "1:6 unexpected \"c\"|2:10 unexpected \"g\"|3:1 unexpected \";\"", "d{h;}i;");
    bad(SLICE("a { b \"c\"x { d; } e; } f;"), "1:10 unexpected \"x\"", "a{e;}f;");
    /* the usual mistake: a quote that is not closed */
    bad(SLICE("a \"b;\nc \"d\";\ne;\n"), "2:4 unexpected \"d\"", "e;");
}

static void unclosed_quote_hint(void **state)
{
    struct bench t;
    bench_init(&t);
    assert_int_equal(bench_parse(&t, SLICE("x;\n a \"b;\nc;\n")), ERR_SYNTAX);
    assert_string_equal(t.diag.first->hint.p, "the quote opened in line 2, column 4 is never closed");
    bench_done(&t);
}

/* `n` times `unit` in the heap, for files that are too large for a literal. */
static slice repeat(const char *unit, size_t n)
{
    struct strb b;
    strb_init(&b, 0);
    for (size_t i = 0; i < n; i++)
        strb_add(&b, slice_str(unit));
    assert_false(b.failed);
    return strb_slice(&b);
}

static void depth(void **state)
{
    struct bench t;
    slice deep = repeat("a{", 100000);
    bench_init(&t);
    assert_int_equal(bench_parse(&t, deep), ERR_SYNTAX);
    expect_messages(&t, "1:130 blocks are nested deeper than 64|1:200001 unexpected end of file, expecting \"}\"");
    bench_done(&t);
    free((char *)deep.p);
    deep = repeat("a{", 66);
    struct strb b = { .p = (char *)deep.p, .n = deep.n, .cap = deep.n };
    for (int i = 0; i < 66; i++)
        strb_char(&b, '}');
    strb_lit(&b, "z;");
    bench_init(&t);
    assert_int_equal(bench_parse(&t, strb_slice(&b)), ERR_SYNTAX);
    expect_messages(&t, "1:130 blocks are nested deeper than 64");
    assert_true(slice_eq(t.root->children->next->name, SLICE("z")));
    bench_done(&t);
    strb_done(&b);
}

static void huge_tokens(void **state)
{
    struct bench t;
    slice x = repeat("x", CONF_MAX_TOKEN);
    struct strb b;
    strb_init(&b, 0);
    strb_printf(&b, "a %.*s; b %.*sy; c \"%.*sy\"; d;", SLICE_FMT(x), SLICE_FMT(x), SLICE_FMT(x));
    bench_init(&t);
    assert_int_equal(bench_parse(&t, strb_slice(&b)), ERR_SYNTAX);
    assert_int_equal(t.diag.errors, 2);
    assert_string_equal(t.diag.first->text.p, "too long parameter \"xxxxxxxxxx...\" started");
    assert_string_equal(t.diag.first->next->text.p,
                        "too long parameter, probably missing terminating \"\"\" character");
    assert_int_equal(t.root->children->args[0].text.n, CONF_MAX_TOKEN);
    assert_true(slice_eq(t.root->children->next->name, SLICE("d")));
    bench_done(&t);
    strb_done(&b);
    free((char *)x.p);
}

static void many_arguments(void **state)
{
    struct bench t;
    for (size_t n = CONF_MAX_ARGS; n <= CONF_MAX_ARGS + 2; n++) {
        slice x = repeat(" x", n);
        struct strb b;
        strb_init(&b, 0);
        strb_printf(&b, "a%.*s; d;", SLICE_FMT(x));
        bench_init(&t);
        assert_int_equal(bench_parse(&t, strb_slice(&b)), n <= CONF_MAX_ARGS ? OK : ERR_SYNTAX);
        assert_int_equal(t.diag.errors, n > CONF_MAX_ARGS);
        if (n > CONF_MAX_ARGS)
            assert_string_equal(t.diag.first->text.p, "too many arguments in \"a\" directive");
        bench_done(&t);
        strb_done(&b);
        free((char *)x.p);
    }
}

static void includes(void **state)
{
    struct bench t;
    bench_init(&t);
    bench_file(&t, "/p/a.conf", SLICE("x y;"));
    bench_file(&t, "/p/sub/b.conf", SLICE("include a.conf; z;"));
    assert_int_equal(bench_parse(&t, SLICE("1; include a.conf; b { include sub/b.conf; 2; } include /p/a.conf;")), OK);
    expect_tree(&t, "1;x[y];b{x[y];z;2;}x[y];");
    assert_string_equal(t.files->path.p, "/p/main.conf");
    assert_string_equal(t.files->next->path.p, "/p/a.conf");
    assert_string_equal(t.files->next->next->path.p, "/p/sub/b.conf");
    assert_null(t.files->next->next->next);
    const struct conf_node *b = t.root->children->next->next;
    assert_ptr_equal(b->children->parent, b);
    bench_done(&t);
}

static void include_errors(void **state)
{
    struct bench t;
    bench_init(&t);
    bench_file(&t, "loop.conf", SLICE("l; include main.conf;"));
    bench_file(&t, "open.conf", SLICE("o {"));
    bench_file(&t, "close.conf", SLICE("c; }"));
    bench_file(&t, "cut.conf", SLICE("c d"));
    assert_int_equal(bench_parse(&t, SLICE("include none.conf;\ninclude loop.conf;\ninclude open.conf;\n"
                                           "a { include close.conf; }\ninclude cut.conf;\nz;")),
                     ERR_SYNTAX);
    expect_messages(&t, "1:9 open() \"/p/none.conf\" failed (2: No such file or directory)|"
                        "1:12 \"/p/main.conf\" includes itself|1:4 unexpected end of file, expecting \"}\"|"
                        "1:4 unexpected \"}\"|1:4 unexpected end of file, expecting \";\" or \"}\"");
    expect_tree(&t, "l;o{}a{c;}z;");
    bench_done(&t);
}

static void include_depth(void **state)
{
    struct bench t;
    char name[32], text[32];
    bench_init(&t);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "%d.conf", i);
        int n = snprintf(text, sizeof(text), "include %d.conf;d%d;", i + 1, i);
        bench_file(&t, name, slice_of(text, (size_t)n));
    }
    assert_int_equal(bench_parse(&t, SLICE("include 0.conf;")), ERR_SYNTAX);
    expect_messages(&t, "1:9 includes are nested deeper than 16");
    expect_tree(&t, "d14;d13;d12;d11;d10;d9;d8;d7;d6;d5;d4;d3;d2;d1;d0;");
    bench_done(&t);
}

/* Twice itself at each of many levels: the number of files ends it, not the patience of the reader. */
static void include_bomb(void **state)
{
    struct bench t;
    char name[32], text[64];
    bench_init(&t);
    for (int i = 0; i < 14; i++) {
        snprintf(name, sizeof(name), "%d.conf", i);
        int n = snprintf(text, sizeof(text), "include %d.conf;include %d.conf;", i + 1, i + 1);
        bench_file(&t, name, slice_of(text, (size_t)n));
    }
    bench_file(&t, "14.conf", SLICE("x;"));
    assert_int_equal(bench_parse(&t, SLICE("include 0.conf;")), ERR_SYNTAX);
    assert_true(slice_starts(t.diag.first->text, SLICE("too many files or too much text are included, with")));
    bench_done(&t);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void remove_file(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(remove(path), 0);
}

/* From the disk: globs in order, a pattern without a match, a directory, a FIFO that nobody writes to. */
static void disk(void **state)
{
    char dir[] = "/tmp/hinge-tree-XXXXXX", path[256];
    struct bench t;
    assert_non_null(mkdtemp(dir));
    write_file(dir, "b.inc", "b;");
    write_file(dir, "a.inc", "a;");
    snprintf(path, sizeof(path), "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    write_file(dir, "main.conf", "include *.inc; include no*.inc; include fifo;\ninclude .;");
    bench_init(&t);
    snprintf(path, sizeof(path), "%s/main.conf", dir);
    assert_int_equal(conf_parse(&t.arena, t.bundle, &t.diag, slice_str(path), &t.root, &t.files), ERR_SYNTAX);
    expect_tree(&t, "a;b;");
    assert_int_equal(t.diag.errors, 1);
    assert_non_null(strstr(t.diag.first->text.p, "/.\" failed (21: Is a directory)"));
    bench_done(&t);
    remove_file(dir, "a.inc");
    remove_file(dir, "b.inc");
    remove_file(dir, "fifo");
    remove_file(dir, "main.conf");
    assert_int_equal(rmdir(dir), 0);
}

static void given_text(void **state)
{
    struct bench t;
    bench_init(&t);
    assert_int_equal(conf_parse_text(&t.arena, t.bundle, &t.diag, SLICE("command line"), SLICE("a b; c"), &t.root),
                     ERR_SYNTAX);
    expect_tree(&t, "a[b];");
    slice text = conf_message_text(&t.arena, t.diag.first);
    assert_non_null(strstr(text.p, "[emerg] unexpected end of parameter, expecting \";\" in command line\n"));
    bench_done(&t);
}

static void missing_main(void **state)
{
    struct bench t;
    bench_init(&t);
    bundle_close(t.bundle);
    assert_int_equal(conf_parse(&t.arena, t.bundle, &t.diag, SLICE("x.conf"), &t.root, &t.files), ERR_SYNTAX);
    slice text = conf_message_text(&t.arena, t.diag.first);
    assert_string_equal(text.p, "[emerg] open() \"/p/x.conf\" failed (2: No such file or directory)");
    bench_done(&t);
}

/* Every prefix of a text that uses the whole grammar ends in a tree or in errors, never in a crash. */
static void every_prefix(void **state)
{
    slice text = SLICE("a \"b\\\"c\" ${d}e 'f';\ng ~ \\.x$ { # i\n h \"\" ; k { l \"m\"n; } }\n} o;");
    for (size_t n = 0; n <= text.n; n++) {
        struct bench t;
        char *copy = malloc(n + 1); /* exact, so that a read beyond it is seen */
        assert_non_null(copy);
        memcpy(copy, text.p, n);
        bench_init(&t);
        conf_parse_text(&t.arena, t.bundle, &t.diag, SLICE("text"), slice_of(copy, n), &t.root);
        bench_done(&t);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),          cmocka_unit_test(quotes),
        cmocka_unit_test(escapes),        cmocka_unit_test(variables),
        cmocka_unit_test(positions),      cmocka_unit_test(errors),
        cmocka_unit_test(recovery),       cmocka_unit_test(unclosed_quote_hint),
        cmocka_unit_test(depth),          cmocka_unit_test(huge_tokens),
        cmocka_unit_test(many_arguments), cmocka_unit_test(includes),
        cmocka_unit_test(include_errors), cmocka_unit_test(include_depth),
        cmocka_unit_test(include_bomb),   cmocka_unit_test(disk),
        cmocka_unit_test(given_text),     cmocka_unit_test(missing_main),
        cmocka_unit_test(every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
