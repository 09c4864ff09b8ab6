/* Requests for listening addresses, and the sockets that come of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/listen.h"
#include "net/socket.h"

static struct listen_opts at(const char *text)
{
    struct listen_opts o = { 0 };
    assert_int_equal(addr_parse(slice_str(text), &o.addr), OK);
    return o;
}

static void request(struct bundle *b, const struct listen_opts *o, int rc)
{
    assert_int_equal(listen_request(b, o, NULL), rc);
}

static struct bundle *sealed(struct bundle *b)
{
    int fd, *fds;
    size_t n;
    struct bundle *closed;
    assert_int_equal(bundle_seal(b, &fd, &fds, &n), OK);
    assert_int_equal(n, 0);
    assert_int_equal(bundle_load(fd, fds, n, &closed), OK);
    close(fd);
    free(fds);
    return closed;
}

static void test_options_join(void **state)
{
    struct bundle *b = bundle_new(SLICE("/"));
    struct listen_opts plain = at("1.2.3.4:80"), one = plain, two = plain, other = plain, got;
    one.set = LISTEN_BACKLOG | LISTEN_RCVBUF;
    one.backlog = 100;
    one.rcvbuf = 8192;
    two.set = LISTEN_DEFERRED;
    two.deferred = 1;
    other.set = LISTEN_BACKLOG;
    other.backlog = 200;
    request(b, &plain, OK);
    assert_int_equal(listen_options(b, SLICE("1.2.3.4:80"), &got), OK);
    assert_int_equal(got.backlog, 511);
    request(b, &one, OK);
    request(b, &two, OK);
    request(b, &plain, OK);
    request(b, &one, OK);
    request(b, &other, ERR_REFUSED);
    assert_int_equal(listen_options(b, SLICE("1.2.3.4:80"), &got), OK);
    assert_int_equal(got.set, LISTEN_BACKLOG | LISTEN_RCVBUF | LISTEN_DEFERRED);
    assert_int_equal(got.backlog, 100);
    assert_int_equal(got.rcvbuf, 8192);
    assert_int_equal(got.deferred, 1);
    assert_true(addr_eq(&got.addr, &plain.addr));
    bundle_free(b);
}

/* The same text compiled again in the engine asks for the same, and for nothing that the master has not opened. */
static void test_closed_bundle(void **state)
{
    struct bundle *b = bundle_new(SLICE("/"));
    struct listen_opts o = at("1.2.3.4:80"), got, absent = at("1.2.3.4:81");
    o.set = LISTEN_FASTOPEN;
    o.fastopen = 3;
    request(b, &o, OK);
    struct bundle *closed = sealed(b);
    struct bundle_entry *e = NULL;
    assert_int_equal(listen_request(closed, &o, &e), OK);
    assert_int_equal(slice_eq(e->key, SLICE("1.2.3.4:80")), true);
    assert_int_equal(listen_options(closed, e->key, &got), OK);
    assert_int_equal(got.fastopen, 3);
    request(closed, &absent, ERR_NOTFOUND);
    bundle_free(closed);
    bundle_free(b);
}

static void test_hostile_option_text(void **state)
{
    static const char *const texts[] = { "backlog",     "backlog= ", "backlog=1", "nonsense=1 ", "backlog=99999999999 ",
                                         "backlog=-1 ", "=1 " };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct bundle *b = bundle_new(SLICE("/"));
        struct listen_opts got;
        assert_int_equal(bundle_option_set(b, SLICE("listen 1.2.3.4:80"), slice_str(texts[i])), OK);
        assert_int_equal(listen_options(b, SLICE("1.2.3.4:80"), &got), ERR_SYNTAX);
        assert_int_equal(listen_options(b, SLICE("no address"), &got), ERR_SYNTAX);
        bundle_free(b);
    }
}

/* ---- sockets ---- */

static char reported[4096];

static void report(void *ctx, enum log_level level, const char *text)
{
    size_t n = strlen(reported);
    (void)ctx;
    snprintf(reported + n, sizeof(reported) - n, "%s: %s\n", log_level_name(level), text);
}

static int open_all(struct bundle *b, unsigned workers, struct bundle *previous, bool test)
{
    struct listen_how how = { .workers = workers, .previous = previous, .tries = 1, .test = test, .report = report };
    reported[0] = 0;
    return listen_open_all(b, &how);
}

static struct listen_opts free_address(const char *host)
{
    struct listen_opts o = { 0 };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(addr_parse(slice_str(host), &o.addr), OK);
    assert_int_equal(bind(fd, &o.addr.sa, o.addr.len), 0);
    assert_int_equal(socket_local(fd, &o.addr), OK);
    close(fd);
    return o;
}

static struct bundle *asking_for(const struct listen_opts *o, struct bundle_entry **e)
{
    struct bundle *b = bundle_new(SLICE("/"));
    assert_int_equal(listen_request(b, o, e), OK);
    return b;
}

static void test_a_socket_a_worker(void **state)
{
    struct listen_opts o = free_address("127.0.0.1:0");
    struct bundle_entry *e, *e2, *e3;
    struct bundle *b = asking_for(&o, &e);
    assert_int_equal(open_all(b, 3, NULL, false), OK);
    assert_int_equal(e->nfds, 3);

    /* another instance cannot slip in, although it would ask for SO_REUSEPORT too */
    struct bundle *rival = asking_for(&o, &e2);
    assert_int_equal(open_all(rival, 1, NULL, false), ERR_SYS);
    assert_non_null(strstr(reported, "emerg: bind() to 127.0.0.1:"));
    assert_non_null(strstr(reported, "failed (98: Address already in use)"));
    assert_int_equal(open_all(rival, 1, NULL, true), OK); /* -t beside a running server */
    assert_int_equal(e2->nfds, 0);
    bundle_free(rival);

    /* a reload with more workers adds, one with fewer takes nothing away */
    struct bundle *more = asking_for(&o, &e2);
    assert_int_equal(open_all(more, 5, b, false), OK);
    assert_int_equal(e2->nfds, 5);
    bundle_free(b);
    struct bundle *fewer = asking_for(&o, &e3);
    assert_int_equal(open_all(fewer, 1, more, false), OK);
    assert_int_equal(e3->nfds, 5);
    bundle_free(more);
    bundle_free(fewer);
}

static void test_a_connection_waits_through_a_takeover(void **state)
{
    struct listen_opts o = free_address("127.0.0.1:0");
    struct bundle_entry *e, *e2;
    struct bundle *b = asking_for(&o, &e);
    int client, server = -1;
    assert_int_equal(open_all(b, 2, NULL, false), OK);
    int rc = socket_connect(&o.addr, NULL, &client);
    assert_true(rc == OK || rc == ERR_AGAIN);
    struct bundle *next = asking_for(&o, &e2);
    assert_int_equal(open_all(next, 2, b, false), OK);
    bundle_free(b);
    for (int i = 0; i < 1000 && server < 0; i++) {
        for (uint32_t k = 0; k < e2->nfds && server < 0; k++)
            server = accept(e2->fds[k], NULL, NULL);
        usleep(1000);
    }
    assert_true(server >= 0);
    assert_int_equal(socket_error(client), 0);
    close(server);
    close(client);
    bundle_free(next);
}

/* A wildcard and an address of it are both ours: the one does not make the other look taken. */
static void test_wildcard_beside_address(void **state)
{
    struct listen_opts one = free_address("127.0.0.1:0"), any = { 0 };
    assert_int_equal(addr_parse_ip(SLICE("0.0.0.0"), addr_port(&one.addr), &any.addr), OK);
    struct bundle_entry *e, *e2;
    struct bundle *b = asking_for(&one, &e);
    assert_int_equal(listen_request(b, &any, &e2), OK);
    assert_int_equal(open_all(b, 2, NULL, false), OK);
    assert_int_equal(e->nfds, 2);
    assert_int_equal(e2->nfds, 2);
    bundle_free(b);
}

static void test_what_cannot_be_bound(void **state)
{
    struct listen_opts o = at("192.0.2.1:80");
    struct bundle_entry *e;
    struct bundle *b = asking_for(&o, &e);
    assert_int_equal(open_all(b, 1, NULL, false), ERR_SYS);
    assert_non_null(strstr(reported, "emerg: bind() to 192.0.2.1:80 failed (99: Cannot assign requested address)"));
    assert_int_equal(open_all(b, 1, NULL, true), ERR_SYS);
    bundle_free(b);
}

static void test_unix_sockets(void **state)
{
    char dir[] = "/tmp/hinge-listen-XXXXXX", text[64];
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof(text), "unix:%s/s", dir);
    struct listen_opts o = at(text);
    struct bundle_entry *e, *e2;
    struct bundle *b = asking_for(&o, &e), *rival = asking_for(&o, &e2);
    assert_int_equal(open_all(b, 4, NULL, false), OK);
    assert_int_equal(e->nfds, 1);
    assert_int_equal(open_all(rival, 1, NULL, false), ERR_SYS); /* somebody listens */
    assert_int_equal(open_all(rival, 1, NULL, true), OK);
    assert_int_equal(access(text + 5, F_OK), 0);
    bundle_free(b); /* without listen_unlink: as after a crash */
    assert_int_equal(open_all(rival, 1, NULL, false), OK);
    listen_unlink(rival, rival);
    assert_int_equal(access(text + 5, F_OK), 0);
    listen_unlink(rival, NULL);
    assert_int_equal(access(text + 5, F_OK), -1);
    bundle_free(rival);

    FILE *f = fopen(text + 5, "w"); /* whatever is no socket is left alone */
    fclose(f);
    b = asking_for(&o, &e);
    assert_int_equal(open_all(b, 1, NULL, false), ERR_SYS);
    assert_int_equal(access(text + 5, F_OK), 0);
    bundle_free(b);
    unlink(text + 5);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_join),
        cmocka_unit_test(test_closed_bundle),
        cmocka_unit_test(test_hostile_option_text),
        cmocka_unit_test(test_a_socket_a_worker),
        cmocka_unit_test(test_a_connection_waits_through_a_takeover),
        cmocka_unit_test(test_wildcard_beside_address),
        cmocka_unit_test(test_what_cannot_be_bound),
        cmocka_unit_test(test_unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
