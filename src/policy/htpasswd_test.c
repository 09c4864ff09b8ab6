#include "policy/htpasswd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "failmalloc.h"

struct faults {
    uint32_t n, lines[32];
};

static void note(void *ctx, struct htpasswd_fault f)
{
    struct faults *all = ctx;
    assert_non_null(f.why);
    if (all->n < array_len(all->lines))
        all->lines[all->n] = f.line;
    all->n++;
}

static const slice file = SLICE("# users\n"
                                "tom:{PLAIN}one\r\n"
                                "\n"
                                "eve:{PLAIN}two:a comment: with colons\n"
                                "tom:{PLAIN}later\n"
                                "no colon\n"
                                ":{PLAIN}nobody\n"
                                "empty:\n"
                                "bare:secret\n"
                                " sp ace:{PLAIN}three\n"
                                "nul:{PLAIN}x\0y\n"
                                "\xc3\xa4:{PLAIN}four\n"
                                "last:{PLAIN}no newline");

static void reading(void **state)
{
    static const uint32_t bad[] = { 6, 7, 8, 9, 11, 5 };
    struct arena a;
    struct htpasswd h = { 0 };
    struct faults f = { 0 };
    bool known;
    arena_init(&a, NULL, 0, 1024, 0);
    assert_int_equal(htpasswd_parse(&a, file, note, &f, &h), OK);
    assert_int_equal(f.n, array_len(bad));
    assert_memory_equal(f.lines, bad, sizeof(bad));
    const struct htpasswd_user *u = htpasswd_find(&h, SLICE("tom"), &known);
    assert_true(known && slice_eq(u->stored, SLICE("{PLAIN}one")) && u->line == 2);
    u = htpasswd_find(&h, SLICE("eve"), &known);
    assert_true(known && slice_eq(u->stored, SLICE("{PLAIN}two")));
    u = htpasswd_find(&h, SLICE(" sp ace"), &known);
    assert_true(known && slice_eq(u->stored, SLICE("{PLAIN}three")));
    assert_true(htpasswd_find(&h, SLICE("\xc3\xa4"), &known) && known);
    assert_true(htpasswd_find(&h, SLICE("last"), &known) && known);
    htpasswd_done(&h);
    arena_done(&a);
}

/* A name that nobody has is given somebody's password to be checked against: always the same. */
static void unknown_names(void **state)
{
    struct arena a;
    struct htpasswd h = { 0 }, none = { 0 };
    struct faults f = { 0 };
    bool known, several = false;
    arena_init(&a, NULL, 0, 1024, 0);
    assert_int_equal(htpasswd_parse(&a, file, note, &f, &h), OK);
    const struct htpasswd_user *first = NULL;
    for (int i = 0; i < 200; i++) {
        char name[16];
        slice s = slice_of(name, (size_t)snprintf(name, sizeof(name), "nobody%d", i));
        const struct htpasswd_user *u = htpasswd_find(&h, s, &known);
        assert_false(known);
        assert_non_null(u);
        assert_ptr_equal(u, htpasswd_find(&h, s, &known));
        first = first ? first : u;
        several |= u != first;
    }
    assert_true(several);
    htpasswd_find(&h, SLICE("bare"), &known);
    assert_false(known);
    assert_int_equal(htpasswd_parse(&a, SLICE("# nobody"), note, &f, &none), OK);
    assert_null(htpasswd_find(&none, SLICE("tom"), &known));
    assert_false(known);
    htpasswd_done(&none);
    htpasswd_done(&h);
    arena_done(&a);
}

static void many_users_and_no_memory(void **state)
{
    char *text = malloc(64 * 3000);
    size_t n = 0;
    assert_non_null(text);
    for (int i = 0; i < 3000; i++)
        n += (size_t)snprintf(text + n, 64, "user%d:{PLAIN}%d\n", i, i);
    bool failed = true;
    for (size_t at = 0; failed; at++) {
        struct arena a;
        struct htpasswd h = { 0 };
        struct faults f = { 0 };
        bool known;
        arena_init(&a, NULL, 0, 1024, 0);
        fail_alloc_at(at, false);
        int rc = htpasswd_parse(&a, slice_of(text, n), note, &f, &h);
        failed = fail_alloc_off();
        assert_int_equal(rc, failed ? ERR_NOMEM : OK);
        if (rc == OK) {
            assert_int_equal(h.n, 3000);
            assert_true(slice_eq(htpasswd_find(&h, SLICE("user2999"), &known)->stored, SLICE("{PLAIN}2999")) && known);
        }
        htpasswd_done(&h);
        arena_done(&a);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(many_users_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
