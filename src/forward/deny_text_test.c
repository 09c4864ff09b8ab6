/*
 * Pages and addresses: what is a variable, and that no value is more than text in either.
 */
#include "forward/deny_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/err.h"

struct desk {
    struct arena a;
    slice values[DENY_VALUES];
};

static int open_desk(void **state)
{
    static struct desk d;
    d = (struct desk){ 0 };
    arena_init(&d.a, NULL, 0, 1024, 0);
    d.values[DENY_HOST] = SLICE("a.example");
    d.values[DENY_USER] = SLICE("<b>\"o'brien\"&\n`=\\\xc3\xa9");
    d.values[DENY_REASON] = SLICE("because (so)");
    *state = &d;
    return 0;
}

static int close_desk(void **state)
{
    arena_done(&((struct desk *)*state)->a);
    return 0;
}

static void is(struct desk *d, const char *text, enum deny_escape how, const char *wanted)
{
    struct deny_text t;
    struct strb b;
    slice bad;
    assert_int_equal(deny_text_compile(&d->a, slice_str(text), &t, &bad), OK);
    strb_init(&b, 0);
    deny_text_write(&b, &t, d->values, how);
    if (!slice_eq(strb_slice(&b), slice_str(wanted)))
        fail_msg("%s: %.*s", text, SLICE_FMT(strb_slice(&b)));
    strb_done(&b);
}

static void texts(void **state)
{
    struct desk *d = *state;
    is(d, "", DENY_HTML, "");
    is(d, "no variable", DENY_HTML, "no variable");
    is(d, "$forward_host", DENY_HTML, "a.example");
    is(d, "x${forward_host}y$forward_host", DENY_HTML, "xa.exampleya.example");
    is(d, "$forward_host$forward_reason$", DENY_HTML, "a.examplebecause (so)$");
    is(d, "$('#a') $5 ${x} ${forward_host $other $$forward_host", DENY_HTML,
       "$('#a') $5 ${x} ${forward_host $other $a.example");
    is(d, "[$forward_entry]", DENY_HTML, "[]");
}

static void values_are_text(void **state)
{
    struct desk *d = *state;
    is(d, "$forward_user", DENY_HTML, "&#60;b&#62;&#34;o&#39;brien&#34;&#38; &#96;&#61;&#92;\xc3\xa9");
    is(d, "http://p/?u=$forward_user&h=$forward_host", DENY_ADDRESS,
       "http://p/?u=%3Cb%3E%22o%27brien%22%26%0A%60%3D%5C%C3%A9&h=a.example");
}

static void names(void **state)
{
    struct desk *d = *state;
    struct deny_text t;
    slice bad = SLICE_NONE;
    char text[64];
    assert_int_equal(deny_text_compile(&d->a, SLICE("x $forward_hosts y"), &t, &bad), ERR_SYNTAX);
    assert_true(slice_eq(bad, SLICE("forward_hosts")));
    for (enum deny_value v = 0; v < DENY_VALUES; v++) {
        struct strb b;
        strb_init_fixed(&b, text, sizeof(text));
        strb_printf(&b, "$%s", deny_value_name(v));
        assert_int_equal(deny_text_compile(&d->a, strb_slice(&b), &t, &bad), OK);
        assert_int_equal(t.first->value, v);
    }
    assert_null(deny_value_name(DENY_LITERAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(texts, open_desk, close_desk),
        cmocka_unit_test_setup_teardown(values_are_text, open_desk, close_desk),
        cmocka_unit_test_setup_teardown(names, open_desk, close_desk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
