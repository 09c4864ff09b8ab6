/*
 * Trees: opened when named, remembered when absent, renewed under the same number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "conf/trees.h"

static char dir[] = "/tmp/hinge-trees-XXXXXX";

static bool holds(const struct bundle_entry *e, const char *name)
{
    return faccessat(e->fds[0], name, F_OK, 0) == 0;
}

static void make(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    close(fd);
}

static int setup(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return rmdir(dir);
}

static void one_entry_for_one_directory(void **state)
{
    struct bundle_entry *a, *b;
    struct bundle *bundle = bundle_new(slice_str(dir));
    assert_int_equal(tree_entry(bundle, SLICE("/tmp"), &a), OK);
    assert_int_equal(tree_entry(bundle, SLICE("/tmp//"), &b), OK);
    assert_ptr_equal(a, b);
    assert_int_equal(a->nfds, 1);
    assert_int_equal(tree_entry(bundle, SLICE("/"), &b), OK);
    assert_true(holds(b, "tmp"));
    bundle_close(bundle);
    assert_int_equal(tree_entry(bundle, SLICE("/var"), &b), ERR_NOTFOUND);
    assert_int_equal(tree_entry(bundle, SLICE("/tmp"), &b), OK);
    bundle_free(bundle);
}

static void what_appears_takes_the_place_of_nothing(void **state)
{
    struct bundle_entry *e;
    struct bundle *bundle = bundle_new(slice_str(dir));
    char sub[64], file[80];
    snprintf(sub, sizeof(sub), "%s/sub", dir);
    snprintf(file, sizeof(file), "%s/f", sub);
    assert_int_equal(tree_entry(bundle, SLICE("sub"), &e), OK);
    assert_int_equal(e->error, ENOENT);
    int fd = e->fds[0];
    assert_false(holds(e, "f"));
    assert_int_equal(mkdir(sub, 0755), 0);
    make(file);
    tree_renew(e);
    assert_int_equal(e->fds[0], fd);
    assert_true(holds(e, "f"));
    unlink(file);
    rmdir(sub);
    tree_renew(e);
    assert_false(holds(e, "f"));
    assert_int_equal(openat(fd, "f", O_RDONLY), -1);
    assert_int_equal(errno, ENOTDIR);
    bundle_free(bundle);
}

static void a_path_with_a_nul_is_none(void **state)
{
    struct bundle_entry *e;
    struct bundle *bundle = bundle_new(slice_str(dir));
    assert_int_equal(tree_entry(bundle, slice_of("/tmp\0x", 6), &e), OK);
    assert_int_equal(e->error, ENOENT);
    bundle_free(bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_entry_for_one_directory),
        cmocka_unit_test(what_appears_takes_the_place_of_nothing),
        cmocka_unit_test(a_path_with_a_nul_is_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
