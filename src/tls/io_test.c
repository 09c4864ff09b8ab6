#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tls/test_pair.h"

/* Input that a call has left over moves out of the buffer that all connections share, wherever the heap put either. */
static void leftovers(void **state)
{
    struct tls_worker w = { .out_n = 0 };
    char *a = malloc(TLS_IN), *b = malloc(TLS_IN), *shared = a > b ? a : b;
    struct tls_io io = { .w = &w, .kept = a > b ? b : a };
    w.in = shared;
    memset(shared, 'x', TLS_IN);
    io.feed = shared + 100;
    io.feed_n = 10;
    assert_true(tls_io_keep(&io));
    memset(shared, 'y', TLS_IN); /* another connection's */
    assert_int_equal(io.feed_n, 10);
    assert_memory_equal(io.feed, "xxxxxxxxxx", 10);
    io.feed++;
    io.feed_n--;
    const char *at = io.feed;
    assert_true(tls_io_keep(&io)); /* it is out already */
    assert_ptr_equal(io.feed, at);
    free(io.kept);
    free(shared);
}

/* New keys once in a while are the client's right. */
static void some_keys(void **state)
{
    struct pair p;
    char got[16];
    meet(&p, TLS1_3_VERSION);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(p.client), 1);
    }
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 5);
    part(&p);
}

/* A client that sends nothing else has a worker derive keys for ever. */
static void flood(void **state)
{
    struct pair p;
    char got[16];
    meet(&p, TLS1_3_VERSION);
    for (int i = 0; i < 17; i++) {
        assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(p.client), 1);
    }
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
    part(&p);
}

/* What stands before a broken record is given; then it is an error, and no wait for more. */
static void broken_record(void **state)
{
    struct pair p;
    char got[16];
    meet(&p, TLS1_3_VERSION);
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    assert_int_equal(write(p.fd[1],
                           "\x17\x03\x03\0\x20"
                           "0123456789abcdef0123456789abcdef",
                           37),
                     37);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 5);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
    part(&p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(leftovers),
        cmocka_unit_test(some_keys),
        cmocka_unit_test(flood),
        cmocka_unit_test(broken_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
