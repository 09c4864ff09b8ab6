/* The command line: words of letters, values beside or behind them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/cli.h"
#include "base/err.h"

enum { WORDS = 16 };

static int parse(struct cli *c, const char *line)
{
    static char text[128];
    char *argv[WORDS] = { (char *)"hinge" };
    int argc = 1;
    size_t n = strlen(line);
    assert_true(n < sizeof(text));
    memcpy(text, line, n + 1);
    for (char *p = text; *p && argc < WORDS;) {
        argv[argc++] = p;
        p += strcspn(p, " ");
        if (*p)
            *p++ = 0;
    }
    return cli_parse(c, argc, argv);
}

static void test_values(void **state)
{
    struct cli c;
    assert_int_equal(parse(&c, "-p /a/ -c b.conf -e stderr -s reload"), OK);
    assert_string_equal(c.prefix, "/a/");
    assert_string_equal(c.conf, "b.conf");
    assert_string_equal(c.error_log, "stderr");
    assert_string_equal(c.signal, "reload");
    assert_null(c.globals);
    assert_int_equal(parse(&c, "-tqc/b.conf"), OK);
    assert_true(c.test && c.quiet && !c.dump);
    assert_string_equal(c.conf, "/b.conf");
    assert_int_equal(parse(&c, "-T -g -x"), OK);
    assert_true(c.test && c.dump);
    assert_string_equal(c.globals, "-x");
}

static void test_flags(void **state)
{
    struct cli c;
    assert_int_equal(parse(&c, ""), OK);
    assert_false(c.help || c.version || c.version_long || c.docs || c.test || c.demo || c.strict);
    assert_int_equal(parse(&c, "-?"), OK);
    assert_true(c.help);
    assert_int_equal(parse(&c, "-vV"), OK);
    assert_true(c.version && c.version_long);
    assert_int_equal(parse(&c, "--strict --docs"), OK);
    assert_true(c.strict && c.docs);
}

static void test_demo(void **state)
{
    struct cli c;
    assert_int_equal(parse(&c, "--demo"), OK);
    assert_int_equal(c.demo_port, 8080);
    assert_int_equal(parse(&c, "--demo 9090"), OK);
    assert_int_equal(c.demo_port, 9090);
    assert_int_equal(parse(&c, "--demo -e x"), OK);
    assert_int_equal(c.demo_port, 8080);
    assert_int_equal(parse(&c, "--demo 0"), ERR_SYNTAX);
    assert_int_equal(parse(&c, "--demo 65532"), ERR_SYNTAX);
    assert_int_equal(parse(&c, "--demo http"), ERR_SYNTAX);
}

static void test_refused(void **state)
{
    static const char *const lines[] = { "x",  "-",  "-x", "-tx", "--",          "--nothing", "-p",
                                         "-c", "-e", "-g", "-s",  "-s nonsense", "-s stopp",  "-tc" };
    struct cli c;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_int_equal(parse(&c, lines[i]), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_demo),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
