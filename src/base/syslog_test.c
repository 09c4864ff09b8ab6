#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/syslog.h"

static void names(void **state)
{
    assert_int_equal(syslog_facility(SLICE("kern")), 0);
    assert_int_equal(syslog_facility(SLICE("authpriv")), 10);
    assert_int_equal(syslog_facility(SLICE("local0")), 16);
    assert_int_equal(syslog_facility(SLICE("local7")), 23);
    assert_int_equal(syslog_facility(SLICE("local8")), -1);
    assert_int_equal(syslog_facility(SLICE("")), -1);
    assert_int_equal(syslog_severity(SLICE("emerg")), 0);
    assert_int_equal(syslog_severity(SLICE("debug")), 7);
    assert_int_equal(syslog_severity(SLICE("INFO")), -1);
}

static struct syslog_to destination(const char *host)
{
    struct syslog_to to = { .facility = 23, .severity = 6 };
    memcpy(to.tag, "nginx", 6);
    memcpy(to.host, host, strlen(host) + 1);
    return to;
}

static slice header(const struct syslog_to *to, const char *when, char dst[SYSLOG_HEADER_MAX])
{
    struct clock c = { 0 };
    memcpy(c.err, when, strlen(when) + 1);
    return slice_of(dst, syslog_header(to, to->severity, &c, dst));
}

static void headers(void **state)
{
    char dst[SYSLOG_HEADER_MAX];
    struct syslog_to to = destination("edge");
    slice h = header(&to, "1994/11/06 08:49:37", dst);
    assert_true(slice_eq(h, SLICE("<190>Nov  6 08:49:37 edge nginx: ")));
    h = header(&to, "2026/01/31 23:59:00", dst);
    assert_true(slice_eq(h, SLICE("<190>Jan 31 23:59:00 edge nginx: ")));
    h = header(&to, "2026/12/01 00:00:00", dst);
    assert_true(slice_eq(h, SLICE("<190>Dec  1 00:00:00 edge nginx: ")));
    to = destination("");
    h = header(&to, "2026/12/10 00:00:00", dst);
    assert_true(slice_eq(h, SLICE("<190>Dec 10 00:00:00 nginx: ")));
}

/* The longest of everything fits. */
static void long_names(void **state)
{
    char dst[SYSLOG_HEADER_MAX];
    struct syslog_to to = destination("");
    memset(to.tag, 't', SYSLOG_TAG_MAX);
    memset(to.host, 'h', SYSLOG_HOST_MAX);
    slice h = header(&to, "2026/12/10 00:00:00", dst);
    assert_true(h.n < SYSLOG_HEADER_MAX - 1);
    assert_int_equal(h.p[h.n - 1], ' ');
}

static void sends(void **state)
{
    int fds[2];
    char got[256];
    struct clock c = { 0 };
    struct syslog_to to = destination("edge");
    memcpy(c.err, "2026/12/10 01:02:03", 20);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    assert_true(syslog_send(&to, fds[0], 3, &c, SLICE("a line")));
    ssize_t n = recv(fds[1], got, sizeof(got), 0);
    assert_true(slice_eq(slice_of(got, (size_t)n), SLICE("<187>Dec 10 01:02:03 edge nginx: a line")));
    close(fds[1]);
    assert_false(syslog_send(&to, fds[0], 3, &c, SLICE("nobody")));
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(headers),
        cmocka_unit_test(long_names),
        cmocka_unit_test(sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
