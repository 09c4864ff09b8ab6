/*
 * What is sealed is the same for all, and stays so; what is not sealed is not read.
 */
#include "base/memfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

static void shared(void **state)
{
    int fd;
    slice a, b;
    assert_int_equal(memfile_new("test", &fd), OK);
    assert_int_equal(memfile_map(fd, &a), ERR_SYNTAX);
    assert_int_equal(memfile_put(fd, SLICE("some ")), OK);
    assert_int_equal(memfile_put(fd, SLICE("text")), OK);
    assert_int_equal(memfile_map(fd, &a), ERR_SYNTAX);
    assert_int_equal(memfile_seal(fd), OK);
    assert_int_equal(memfile_map(fd, &a), OK);
    assert_int_equal(memfile_map(fd, &b), OK);
    assert_true(slice_eq(a, SLICE("some text")) && slice_eq(a, b));
    assert_int_equal(memfile_put(fd, SLICE("more")), ERR_SYS);
    assert_int_equal(ftruncate(fd, 1), -1);
    close(fd);
    memfile_unmap(a.p, a.n);
    assert_int_equal(b.p[8], 't');
    memfile_unmap(b.p, b.n);
    memfile_unmap(NULL, 0);
}

static void room(void **state)
{
    int fd;
    char *p;
    slice all;
    assert_int_equal(memfile_new("test", &fd), OK);
    assert_int_equal(memfile_room(fd, 100000, &p), OK);
    p[99999] = 'x';
    assert_int_equal(memfile_seal(fd), ERR_SYS); /* somebody may write yet */
    memfile_unmap(p, 100000);
    assert_int_equal(memfile_seal(fd), OK);
    assert_int_equal(memfile_map(fd, &all), OK);
    assert_int_equal(all.n, 100000);
    assert_int_equal(all.p[0], 0);
    assert_int_equal(all.p[99999], 'x');
    memfile_unmap(all.p, all.n);
    close(fd);
    assert_int_equal(memfile_room(fd, 1, &p), ERR_SYS);
    assert_int_equal(memfile_map(fd, &all), ERR_SYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(shared), cmocka_unit_test(room) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
