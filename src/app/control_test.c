/* Messages between master and engine: what arrives, what is refused, and that no descriptor is lost on the way. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/control.h"
#include "base/err.h"

static int pair[2];
static struct control_msg msg;

static int open_pair(void **state)
{
    return control_pair(pair);
}

static int close_pair(void **state)
{
    close(pair[0]);
    return close(pair[1]);
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_round_trip(void **state)
{
    int fds[2] = { 0, 1 };
    assert_int_equal(control_recv(pair[1], &msg), ERR_AGAIN);
    assert_int_equal(control_send(pair[0], CONTROL_LOG, 42, SLICE("/a/path"), fds, 2), OK);
    assert_int_equal(control_send(pair[0], CONTROL_QUIT, 0, SLICE_NONE, NULL, 0), OK);
    assert_int_equal(control_recv(pair[1], &msg), OK);
    assert_int_equal(msg.type, CONTROL_LOG);
    assert_int_equal(msg.id, 42);
    assert_true(slice_eq(msg.payload, SLICE("/a/path")));
    assert_int_equal(msg.nfds, 2);
    assert_int_equal(fcntl(msg.fds[0], F_GETFD), FD_CLOEXEC);
    control_close(&msg);
    assert_int_equal(control_recv(pair[1], &msg), OK);
    assert_int_equal(msg.type, CONTROL_QUIT);
    assert_int_equal(msg.payload.n, 0);
    assert_int_equal(msg.nfds, 0);
}

static void test_limits(void **state)
{
    static char big[CONTROL_TEXT_MAX + 1];
    int fds[CONTROL_FDS_MAX + 1] = { 0 };
    int before = descriptors();
    assert_int_equal(control_send(pair[0], CONTROL_LOG, 0, slice_of(big, sizeof(big)), NULL, 0), ERR_LIMIT);
    assert_int_equal(control_send(pair[0], CONTROL_LOG, 0, SLICE_NONE, fds, CONTROL_FDS_MAX + 1), ERR_LIMIT);
    assert_int_equal(control_send(pair[0], CONTROL_LOG, 0, slice_of(big, CONTROL_TEXT_MAX), fds, CONTROL_FDS_MAX), OK);
    assert_int_equal(control_recv(pair[1], &msg), OK);
    assert_int_equal(msg.nfds, CONTROL_FDS_MAX);
    assert_int_equal(msg.payload.n, CONTROL_TEXT_MAX);
    control_close(&msg);
    assert_int_equal(descriptors(), before);
}

static void test_the_other_side_is_gone(void **state)
{
    int fd[2];
    assert_int_equal(control_pair(fd), OK);
    close(fd[0]);
    assert_int_equal(control_recv(fd[1], &msg), ERR_CLOSED);
    assert_int_equal(control_send(fd[1], CONTROL_QUIT, 0, SLICE_NONE, NULL, 0), ERR_CLOSED);
    close(fd[1]);
}

/* Every byte of a message's head counts, and so does its length. */
static void test_forged_messages(void **state)
{
    char good[512];
    int before = descriptors();
    assert_int_equal(control_send(pair[0], CONTROL_LOG, 7, SLICE("abc"), NULL, 0), OK);
    ssize_t n = recv(pair[1], good, sizeof(good), 0);
    assert_true(n > 3);
    for (ssize_t cut = 1; cut < n; cut++) {
        assert_int_equal(send(pair[0], good, (size_t)cut, 0), cut);
        assert_int_equal(control_recv(pair[1], &msg), ERR_SYNTAX);
    }
    for (ssize_t i = 0; i < n - 3; i++) {
        bool id = i >= 8 && i < 16;
        good[i] ^= 0x40;
        assert_int_equal(send(pair[0], good, (size_t)n, 0), n);
        assert_int_equal(control_recv(pair[1], &msg), id ? OK : ERR_SYNTAX);
        good[i] ^= 0x40;
    }
    memset(good + n, 0, sizeof(good) - (size_t)n);
    assert_int_equal(send(pair[0], good, (size_t)n + 1, 0), n + 1);
    assert_int_equal(control_recv(pair[1], &msg), ERR_SYNTAX);
    assert_int_equal(descriptors(), before);
}

static void test_descriptors_of_a_forged_message_are_closed(void **state)
{
    char junk[64] = "junk";
    int fd = 0, before = descriptors();
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } space;
    struct iovec iov = { junk, sizeof(junk) };
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space.bytes, .msg_controllen = sizeof(space.bytes)
    };
    memset(&space, 0, sizeof(space));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    assert_int_equal(sendmsg(pair[0], &m, 0), sizeof(junk));
    assert_int_equal(control_recv(pair[1], &msg), ERR_SYNTAX);
    assert_int_equal(descriptors(), before);
}

static int gather(struct control_transfer *t)
{
    int rc = control_recv(pair[1], &msg);
    return rc == OK ? control_gather(t, &msg) : rc;
}

static void test_a_bundle_in_chunks(void **state)
{
    enum { MANY = CONTROL_FDS_MAX * 2 + 3 };
    int fds[MANY] = { 0 }, before = descriptors();
    struct control_transfer t = { .memfd = -1 };
    assert_int_equal(control_send_bundle(pair[0], 9, 0, fds, MANY), OK);
    assert_int_equal(gather(&t), ERR_MORE);
    assert_int_equal(gather(&t), ERR_MORE);
    assert_int_equal(gather(&t), ERR_MORE);
    assert_int_equal(gather(&t), OK);
    assert_int_equal(t.id, 9);
    assert_int_equal(t.have, MANY);
    control_transfer_done(&t);
    assert_int_equal(control_send_bundle(pair[0], 10, 0, NULL, 0), OK);
    assert_int_equal(gather(&t), OK);
    control_transfer_done(&t);
    assert_int_equal(descriptors(), before);
}

static void test_a_bundle_that_is_none(void **state)
{
    int fds[3] = { 0, 0, 0 }, before = descriptors();
    struct control_transfer t = { .memfd = -1 };
    struct control_bundle two = { .nfds = 2 };
    slice head = slice_of((const char *)&two, sizeof(two));
    control_send(pair[0], CONTROL_FDS, 1, SLICE_NONE, fds, 1); /* of nothing */
    assert_int_equal(gather(&t), ERR_SYNTAX);
    control_send(pair[0], CONTROL_BUNDLE, 1, head, NULL, 0); /* without its text */
    assert_int_equal(gather(&t), ERR_SYNTAX);
    control_send(pair[0], CONTROL_BUNDLE, 1, SLICE("x"), fds, 1);
    assert_int_equal(gather(&t), ERR_SYNTAX);
    control_send(pair[0], CONTROL_BUNDLE, 1, head, fds, 1);
    assert_int_equal(gather(&t), ERR_MORE);
    control_send(pair[0], CONTROL_FDS, 2, SLICE_NONE, fds, 1); /* of another one */
    assert_int_equal(gather(&t), ERR_SYNTAX);
    control_send(pair[0], CONTROL_FDS, 1, SLICE_NONE, fds, 3); /* more than announced */
    assert_int_equal(gather(&t), ERR_SYNTAX);
    control_send(pair[0], CONTROL_FDS, 1, SLICE_NONE, NULL, 0);
    assert_int_equal(gather(&t), ERR_SYNTAX);
    control_send(pair[0], CONTROL_FDS, 1, SLICE_NONE, fds, 2);
    assert_int_equal(gather(&t), OK);
    control_send(pair[0], CONTROL_BUNDLE, 3, head, fds, 1); /* a new one voids the old one */
    assert_int_equal(gather(&t), ERR_MORE);
    control_transfer_done(&t);
    assert_int_equal(descriptors(), before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pair, close_pair)
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_limits),
        TEST(test_the_other_side_is_gone),
        TEST(test_forged_messages),
        TEST(test_descriptors_of_a_forged_message_are_closed),
        TEST(test_a_bundle_in_chunks),
        TEST(test_a_bundle_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
