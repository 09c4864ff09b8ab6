/* The error log: form, levels, targets, what peers cannot do to it, and that nobody waits for its reader. */
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static int file(void)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static const char *text_of(int fd)
{
    static char text[64 << 10];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = 0;
    return text;
}

static void test_form(void **state)
{
    struct log l = { 0 };
    int fd = file();
    char want[256];
    regex_t re;
    assert_true(log_add(&l, fd, LEVEL_NOTICE));
    log_line(&l, LEVEL_NOTICE, 7, "hello %s", "world");
    snprintf(want, sizeof(want),
             "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} \\[notice\\] %d#%d: \\*7 hello world\n$", getpid(),
             gettid());
    assert_int_equal(regcomp(&re, want, REG_EXTENDED | REG_NOSUB), 0);
    assert_int_equal(regexec(&re, text_of(fd), 0, NULL, 0), 0);
    regfree(&re);
    close(fd);
}

/* After a fork the line says who writes it, also when the parent has written before. */
static void test_a_child_has_its_own_number(void **state)
{
    struct log l = { 0 };
    int fd = file(), status = 0;
    unsigned pid = 0, tid = 0;
    assert_true(log_add(&l, fd, LEVEL_NOTICE));
    log_line(&l, LEVEL_NOTICE, 0, "parent");
    pid_t child = fork();
    if (child == 0) {
        log_line(&l, LEVEL_NOTICE, 0, "child");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    const char *line = strchr(text_of(fd), '\n');
    assert_non_null(line);
    assert_int_equal(sscanf(strchr(line, ']'), "] %u#%u: child", &pid, &tid), 2);
    assert_int_equal(pid, child);
    assert_int_equal(tid, child);
    close(fd);
}

static void test_levels_filter_each_target(void **state)
{
    struct log l = { 0 };
    int few = file(), many = file();
    log_add(&l, few, LEVEL_ERROR);
    log_add(&l, many, LEVEL_INFO);
    assert_int_equal(l.level, LEVEL_INFO);
    assert_false(log_on(&l, LEVEL_DEBUG));
    log_line(&l, LEVEL_DEBUG, 0, "debug");
    log_line(&l, LEVEL_INFO, 0, "info");
    log_line(&l, LEVEL_CRIT, 0, "crit");
    assert_null(strstr(text_of(few), "info"));
    assert_non_null(strstr(text_of(few), "[crit]"));
    assert_non_null(strstr(text_of(many), "[info]"));
    assert_null(strstr(text_of(many), "debug"));
    close(few);
    close(many);
}

static void test_nothing_forges_a_line(void **state)
{
    struct log l = { 0 };
    int fd = file();
    log_add(&l, fd, LEVEL_DEBUG);
    log_text(&l, LEVEL_ERROR, 0, slice_of("a\nb\r\0\x1b[2J\x7f\xff", 11), SLICE(", client: \n"));
    const char *text = text_of(fd);
    assert_non_null(strstr(text, ": a\\x0ab\\x0d\\x00\\x1b[2J\\x7f\\xff, client: \\x0a\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    close(fd);
}

static void test_long_lines_are_cut(void **state)
{
    struct log l = { 0 };
    int fd = file();
    char big[3 * LOG_LINE_MAX];
    log_add(&l, fd, LEVEL_DEBUG);
    memset(big, 'x', sizeof(big));
    log_text(&l, LEVEL_ERROR, 0, slice_of(big, sizeof(big)), SLICE("suffix"));
    memset(big, '\n', sizeof(big));
    log_text(&l, LEVEL_ERROR, 0, slice_of(big, sizeof(big)), SLICE_NONE);
    log_line(&l, LEVEL_ERROR, 0, "%.*s", (int)sizeof(big), big);
    const char *text = text_of(fd);
    int lines = 0;
    for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1, lines++)
        assert_true(end - p < LOG_LINE_MAX);
    assert_int_equal(lines, 3);
    close(fd);
}

static void test_targets_are_bounded(void **state)
{
    struct log l = { 0 };
    for (int i = 0; i < LOG_TARGETS_MAX; i++)
        assert_true(log_add(&l, 2, LEVEL_EMERG));
    assert_false(log_add(&l, 2, LEVEL_EMERG));
}

static void test_a_stuck_reader_stops_nobody(void **state)
{
    struct log l = { 0 };
    int p[2];
    uint64_t before = log_lost();
    assert_int_equal(pipe(p), 0);
    log_add(&l, p[1], LEVEL_ERROR);
    for (int i = 0; i < 5000; i++)
        log_line(&l, LEVEL_ERROR, 0, "line %d", i);
    assert_true(log_lost() > before);
    close(p[0]);
    close(p[1]);
}

static void test_main_log_outlives_its_source(void **state)
{
    struct log l = { 0 }, other = { 0 };
    int a = file(), b = file(), keep_a = dup(a), keep_b = dup(b);
    log_add(&l, a, LEVEL_ERROR);
    assert_true(log_main_set(&l));
    close(a);
    log_line(log_main, LEVEL_ERROR, 0, "first");
    log_add(&other, b, LEVEL_ERROR);
    struct log *before = log_main;
    assert_true(log_main_set(&other));
    close(b);
    log_line(before, LEVEL_ERROR, 0, "second"); /* by a thread that has not looked again */
    log_line(log_main, LEVEL_ERROR, 0, "third");
    assert_non_null(strstr(text_of(keep_a), "first"));
    assert_null(strstr(text_of(keep_a), "second"));
    assert_non_null(strstr(text_of(keep_b), "second"));
    assert_non_null(strstr(text_of(keep_b), "third"));
    close(keep_a);
    close(keep_b);
}

static void test_level_names(void **state)
{
    for (int i = LEVEL_EMERG; i <= LEVEL_DEBUG; i++)
        assert_int_equal(log_level_find(slice_str(log_level_name((enum log_level)i))), i);
    assert_int_equal(log_level_find(SLICE("")), 0);
    assert_int_equal(log_level_find(SLICE("warning")), 0);
    assert_int_equal(log_level_find(SLICE("Error")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_a_child_has_its_own_number),
        cmocka_unit_test(test_levels_filter_each_target),
        cmocka_unit_test(test_nothing_forges_a_line),
        cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_targets_are_bounded),
        cmocka_unit_test(test_a_stuck_reader_stops_nobody),
        cmocka_unit_test(test_main_log_outlives_its_source),
        cmocka_unit_test(test_level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
