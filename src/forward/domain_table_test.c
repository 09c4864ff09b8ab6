/*
 * Every name that was added is found with its marks, no other is; the table travels as a file; damaged ones are
 * refused.
 */
#include "forward/domain_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/memfile.h"

static const uint32_t no_notes[4];

static slice name_of(char dst[64], const char *kind, unsigned i)
{
    return slice_of(dst, (size_t)snprintf(dst, 64, "%s%u.zone%u.example", kind, i, i % 7));
}

static void many(void **state)
{
    enum { N = 20000 };
    struct domain_build b;
    struct domain_table t;
    const uint32_t notes[4] = { 1, 2, 3, 4 };
    char text[64];
    int fd;
    assert_int_equal(domain_build_begin(&b, N), OK);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(domain_build_add(&b, name_of(text, "a", i), 1 + i % DOMAIN_MARKS), OK);
    assert_int_equal(domain_build_add(&b, SLICE("one.more"), 1), ERR_LIMIT);
    assert_int_equal(domain_build_add(&b, name_of(text, "a", 7), 1), OK); /* it is there */
    assert_int_equal(domain_build_end(&b, notes, &fd), OK);
    assert_int_equal(domain_table_open(&t, fd), OK);
    close(fd);
    assert_int_equal(t.head->count, N);
    assert_memory_equal(t.head->notes, notes, sizeof(notes));
    assert_true(domain_table_size(&t) < N * 19);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(domain_table_get(&t, name_of(text, "a", i)), i == 7 ? 9 : 1 + i % DOMAIN_MARKS);
        assert_int_equal(domain_table_get(&t, name_of(text, "b", i)), 0);
    }
    domain_table_close(&t);
    assert_int_equal(domain_table_size(&t), 0);
}

/* Room for names that came again is given back; marks add up. */
static void again(void **state)
{
    struct domain_build b;
    struct domain_table t;
    char text[64];
    int fd;
    assert_int_equal(domain_build_begin(&b, 5000), OK);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(domain_build_add(&b, name_of(text, "a", i % 1000), i < 1000 ? 1 : 4), OK);
    assert_int_equal(domain_build_end(&b, no_notes, &fd), OK);
    assert_int_equal(domain_table_open(&t, fd), OK);
    close(fd);
    assert_true(domain_table_size(&t) < 1000 * 20);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(domain_table_get(&t, name_of(text, "a", i)), 5);
    assert_int_equal(domain_table_get(&t, name_of(text, "a", 1000)), 0);
    domain_table_close(&t);
}

static void none(void **state)
{
    struct domain_build b;
    struct domain_table t;
    int fd;
    assert_int_equal(domain_build_begin(&b, 0), OK);
    assert_int_equal(domain_build_add(&b, SLICE("a.example"), 1), ERR_LIMIT);
    assert_int_equal(domain_build_end(&b, no_notes, &fd), OK);
    assert_int_equal(domain_table_open(&t, fd), OK);
    close(fd);
    assert_int_equal(domain_table_get(&t, SLICE("a.example")), 0);
    assert_int_equal(domain_table_get(&t, SLICE("")), 0);
    domain_table_close(&t);
    domain_table_close(&t);
    assert_int_equal(domain_build_begin(&b, UINT32_MAX), ERR_LIMIT);
    assert_int_equal(domain_build_begin(&b, 3), OK);
    domain_build_drop(&b);
}

static int sealed(slice bytes)
{
    int fd;
    assert_int_equal(memfile_new("test", &fd), OK);
    assert_int_equal(memfile_put(fd, bytes), OK);
    assert_int_equal(memfile_seal(fd), OK);
    return fd;
}

static void refused(void **state)
{
    struct domain_build b;
    struct domain_table t;
    char text[64], copy[4096];
    slice all;
    int fd, other;
    assert_int_equal(domain_build_begin(&b, 20), OK);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(domain_build_add(&b, name_of(text, "a", i), 1), OK);
    assert_int_equal(domain_table_open(&t, b.fd), ERR_SYNTAX); /* not sealed */
    assert_int_equal(domain_build_end(&b, no_notes, &fd), OK);
    assert_int_equal(memfile_map(fd, &all), OK);
    assert_true(all.n < sizeof(copy));
    for (size_t n = 1; n < all.n; n++) {
        other = sealed(slice_upto(all, n));
        assert_int_equal(domain_table_open(&t, other), ERR_SYNTAX);
        close(other);
    }
    for (size_t at = 0; at < 16; at++) { /* what it is, its size, its count */
        memcpy(copy, all.p, all.n);
        copy[at] = (char)(copy[at] ^ 0x40);
        other = sealed(slice_of(copy, all.n));
        assert_int_equal(domain_table_open(&t, other), ERR_SYNTAX);
        close(other);
    }
    memfile_unmap(all.p, all.n);
    close(fd);
    assert_int_equal(domain_table_open(&t, -1), ERR_SYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(many), cmocka_unit_test(again), cmocka_unit_test(none),
                                        cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
