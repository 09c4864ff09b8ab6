/*
 * What flows through a TLS transport, however it comes: in single bytes, cut anywhere, more than a peer takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "tls/test_pair.h"

enum { MUCH = 1 << 20, RECORD_HEAD = 5 };

/* The client's words stay in memory, and a case hands them over as it likes. */
static void by_hand(struct pair *p)
{
    SSL_set_bio(p->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

static void client_hears(struct pair *p)
{
    char buf[65536];
    ssize_t n;
    while ((n = recv(p->fd[1], buf, sizeof(buf), 0)) > 0)
        assert_int_equal(BIO_write(SSL_get_rbio(p->client), buf, (int)n), n);
}

static size_t client_says(struct pair *p, char *dst, size_t cap)
{
    int n = BIO_read(SSL_get_wbio(p->client), dst, (int)cap);
    return n > 0 ? (size_t)n : 0;
}

static void deliver(struct pair *p, const char *src, size_t n)
{
    assert_int_equal(send(p->fd[1], src, n, 0), (ssize_t)n);
}

/* Every byte of the client's flights alone: the server waits until the last one. */
static void shake_bytewise(struct pair *p)
{
    char flight[8192], none[1];
    for (int turn = 0; turn < 4 && !(p->io.done && SSL_is_init_finished(p->client)); turn++) {
        SSL_do_handshake(p->client);
        size_t n = client_says(p, flight, sizeof(flight));
        for (size_t i = 0; i < n; i++) {
            deliver(p, flight + i, 1);
            int rc = p->io.done ? (int)tls_io_read(&p->io.t, none, 1) : tls_io_handshake(&p->io.t);
            assert_true(rc == ERR_AGAIN || (rc == OK && i == n - 1));
        }
        client_hears(p);
    }
    assert_true(p->io.done);
    assert_int_equal(tls_io_read(&p->io.t, none, 1), ERR_AGAIN);
    client_hears(p);
    SSL_do_handshake(p->client);
    assert_true(SSL_is_init_finished(p->client));
}

/* Flights come whole, the last one with `words` behind it; what the server has yet to say is not asked for. */
static void shake_at_once(struct pair *p, const char *words)
{
    char flight[8192];
    while (!p->io.done) {
        if (SSL_do_handshake(p->client) == 1 && *words)
            assert_int_equal(SSL_write(p->client, words, (int)strlen(words)), (int)strlen(words));
        size_t n = client_says(p, flight, sizeof(flight));
        assert_true(n > 0);
        deliver(p, flight, n);
        int rc = tls_io_handshake(&p->io.t);
        assert_true(rc == ERR_AGAIN || rc == OK);
        client_hears(p);
    }
}

static void byte_by_byte(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (size_t v = 0; v < 2; v++) {
        struct pair p;
        char wire[256], got[64];
        introduce(&p, versions[v]);
        by_hand(&p);
        shake_bytewise(&p);
        for (int turn = 0; turn < 3; turn++) {
            assert_int_equal(SSL_write(p.client, "a request", 9), 9);
            size_t n = client_says(&p, wire, sizeof(wire));
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_AGAIN);
                deliver(&p, wire + i, 1);
            }
            assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 9);
            assert_memory_equal(got, "a request", 9);
            assert_null(p.io.kept); /* an idle connection keeps nothing */
        }
        part(&p);
    }
}

/* Two records cut in two at every place: what is whole is given at once, and the rest when it is. */
static void cut_anywhere(void **state)
{
    struct pair p;
    char wire[512], got[256];
    introduce(&p, TLS1_3_VERSION);
    by_hand(&p);
    shake_bytewise(&p);
    size_t cut = 0, n = 1, first;
    for (; cut <= n; cut++) {
        assert_int_equal(SSL_write(p.client, "0123456789", 10), 10);
        first = client_says(&p, wire, sizeof(wire));
        assert_int_equal(SSL_write(p.client, "abcdef", 6), 6);
        n = first + client_says(&p, wire + first, sizeof(wire) - first);
        deliver(&p, wire, cut);
        ssize_t a = tls_io_read(&p.io.t, got, sizeof(got));
        assert_int_equal(a, cut == n ? 16 : cut >= first ? 10 : ERR_AGAIN);
        size_t have = a > 0 ? (size_t)a : 0;
        deliver(&p, wire + cut, n - cut);
        if (have < 16)
            assert_int_equal(tls_io_read(&p.io.t, got + have, sizeof(got) - have), (ssize_t)(16 - have));
        assert_memory_equal(got, "0123456789abcdef", 16);
        assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_AGAIN);
    }
    part(&p);
}

static void fill(char *p, size_t n)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (char)(x >> 24);
    }
}

/* A reader that wants little gets little, and all of it. */
static void short_reads(void **state)
{
    static const size_t caps[] = { 1, 7, 1000, 16384, 70000 };
    char *much = malloc(MUCH), *got = malloc(MUCH);
    fill(much, MUCH);
    for (size_t c = 0; c < sizeof(caps) / sizeof(*caps); c++) {
        struct pair p;
        size_t total = caps[c] == 1 ? 40000 : MUCH, sent = 0, have = 0;
        meet(&p, TLS1_3_VERSION);
        SSL_set_mode(p.client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        while (have < total) {
            size_t done;
            if (sent < total && SSL_write_ex(p.client, much + sent, total - sent, &done) == 1)
                sent += done;
            ssize_t n = tls_io_read(&p.io.t, got + have, caps[c] < total - have ? caps[c] : total - have);
            assert_true(n > 0 || n == ERR_AGAIN);
            have += n > 0 ? (size_t)n : 0;
        }
        assert_memory_equal(got, much, total);
        part(&p);
    }
    free(much);
    free(got);
}

/* Reads what is there; the size of every record is noted. */
struct record_log {
    size_t sizes[512], n;
};

static void note_records(struct record_log *l, const unsigned char *wire, size_t n)
{
    size_t at = 0;
    for (; at + RECORD_HEAD <= n && l->n < 512; l->n++) {
        l->sizes[l->n] = (size_t)wire[at + 3] << 8 | wire[at + 4];
        at += RECORD_HEAD + l->sizes[l->n];
    }
    assert_int_equal(at, n);
}

static ssize_t write_all(struct pair *p, const char *src, size_t n, int pieces)
{
    struct iovec iov[8];
    size_t each = n / (size_t)pieces;
    for (int i = 0; i < pieces; i++)
        iov[i] = (struct iovec){ (char *)(uintptr_t)src + each * (size_t)i,
                                 i == pieces - 1 ? n - each * (size_t)(pieces - 1) : each };
    return tls_io_write(&p->io.t, iov, pieces, false);
}

/* Writes the pieces, lets the client have them, and says in `log` what records they came in. */
static void pass(struct pair *p, const struct iovec *iov, int pieces, struct record_log *log)
{
    static char wire[200000], got[160000], sent[160000];
    size_t total = 0, have = 0;
    ssize_t n = 0, k;
    for (int i = 0; i < pieces; i++) {
        if (iov[i].iov_len)
            memcpy(sent + total, iov[i].iov_base, iov[i].iov_len);
        total += iov[i].iov_len;
    }
    assert_int_equal(tls_io_write(&p->io.t, iov, pieces, false), (ssize_t)total);
    while (tls_io_flush(&p->io.t) == ERR_AGAIN || poll(&(struct pollfd){ p->fd[1], POLLIN, 0 }, 1, 0) > 0) {
        k = recv(p->fd[1], wire + n, sizeof(wire) - (size_t)n, 0);
        assert_true(k > 0);
        n += k;
    }
    log->n = 0;
    note_records(log, (unsigned char *)wire, (size_t)n);
    BIO_write(SSL_get_rbio(p->client), wire, (int)n);
    int r;
    while (have < total && (r = SSL_read(p->client, got + have, (int)(total - have))) > 0)
        have += (size_t)r;
    assert_int_equal(have, total);
    assert_memory_equal(got, sent, total);
}

enum { SEAL = 17 /* the kind, and the tag of AES-GCM */, SMALL = 1369, FULL = 16384 };

/* A few records that a segment holds, then large ones; pieces that are smaller than a record share one. */
static void sizes_of_records(void **state)
{
    struct pair p;
    struct record_log log = { .n = 0 };
    struct iovec iov[7];
    char *much = malloc(100000);
    fill(much, 100000);
    introduce(&p, TLS1_3_VERSION);
    by_hand(&p);
    shake_bytewise(&p);
    for (size_t i = 0; i < 7; i++)
        iov[i] = (struct iovec){ much + i * 14285, i == 6 ? 100000 - 6 * 14285 : 14285 };
    pass(&p, iov, 7, &log);
    assert_int_equal(log.n, 4 + (100000 - 4 * SMALL + FULL - 1) / FULL);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(log.sizes[i], SMALL + SEAL);
    assert_int_equal(log.sizes[4], (100000 - 4 * SMALL) % FULL + SEAL);
    for (size_t i = 5; i < log.n; i++)
        assert_int_equal(log.sizes[i], FULL + SEAL);

    /* a head and a body: the body's full records are sealed where they lie */
    static const struct {
        size_t head, body, first, n;
    } answers[] = { { 214, 65536, 214, 5 }, { 214, 20000, 3830, 2 }, { 214, 16300, 214, 2 }, { 214, 100, 314, 1 },
                    { 0, 65536, FULL, 4 },  { 214, 0, 214, 1 },      { FULL, 5, FULL, 2 } };
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        iov[0] = (struct iovec){ much, answers[i].head };
        iov[1] = (struct iovec){ much + 20000, answers[i].body };
        pass(&p, iov, 2, &log);
        assert_int_equal(log.sizes[0], answers[i].first + SEAL);
        assert_int_equal(log.n, answers[i].n);
    }
    part(&p);
    free(much);
}

/* However it is cut into pieces: everything arrives, in no more records than it must. */
static void pieces_of_any_size(void **state)
{
    struct pair p;
    struct record_log log = { .n = 0 };
    struct iovec iov[8];
    char *much = malloc(131072);
    uint32_t x = 77;
    fill(much, 131072);
    introduce(&p, TLS1_3_VERSION);
    by_hand(&p);
    shake_bytewise(&p);
    p.io.small = 0;
    for (int turn = 0; turn < 300; turn++) {
        size_t total = 0;
        for (int i = 0; i < 8; i++) {
            x = x * 1664525 + 1013904223;
            size_t n = (x >> 8) % ((x >> 28) < 5 ? 20 : (x >> 28) < 12 ? 5000 : 16386);
            iov[i] = (struct iovec){ much + total, n };
            total += n;
        }
        if (!total || total <= 4 * SMALL)
            continue;
        pass(&p, iov, 8, &log);
        assert_int_equal(log.n, (total + FULL - 1) / FULL);
    }
    part(&p);
    free(much);
}

/* A peer that does not read: what is sealed is kept, nothing more is taken, and all arrives when it reads. */
static void blocked_writes(void **state)
{
    struct pair p;
    char *much = malloc(MUCH), *got = malloc(MUCH);
    size_t sent = 0, have = 0, refused = 0;
    fill(much, MUCH);
    meet(&p, TLS1_3_VERSION);
    setsockopt(p.fd[0], SOL_SOCKET, SO_SNDBUF, &(int){ 8192 }, sizeof(int));
    while (have < MUCH) {
        while (sent < MUCH) {
            ssize_t n = write_all(&p, much + sent, MUCH - sent, 3);
            if (n < 0) {
                assert_int_equal(errno, EAGAIN);
                refused++;
                assert_true(p.io.blocked && p.io.out_n <= TLS_OUT);
                assert_int_equal(tls_io_flush(&p.io.t), ERR_AGAIN);
                break;
            }
            assert_true(n > 0);
            sent += (size_t)n;
        }
        int r = SSL_read(p.client, got + have, 5000);
        if (r > 0)
            have += (size_t)r;
        else
            assert_true(tls_io_flush(&p.io.t) != ERR_SYS);
    }
    assert_true(refused > 0);
    assert_memory_equal(got, much, MUCH);
    assert_int_equal(tls_io_flush(&p.io.t), OK);
    assert_null(p.io.out); /* and nothing is kept when all is out */
    part(&p);
    free(much);
    free(got);
}

/* Both ways at once: neither side's blocked output stops its input. */
static void while_blocked(void **state)
{
    struct pair p;
    char *much = malloc(MUCH), got[16];
    fill(much, MUCH);
    meet(&p, TLS1_3_VERSION);
    setsockopt(p.fd[0], SOL_SOCKET, SO_SNDBUF, &(int){ 8192 }, sizeof(int));
    while (write_all(&p, much, MUCH, 1) > 0)
        ;
    assert_int_equal(SSL_write(p.client, "hello", 5), 5);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 5);
    part(&p);
    free(much);
}

/* The end that the protocol has, and the one that anybody on the way can make. */
static void ends(void **state)
{
    struct pair p;
    char got[16];
    meet(&p, TLS1_3_VERSION);
    assert_int_equal(SSL_write(p.client, "bye", 3), 3);
    SSL_shutdown(p.client);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 3);
    assert_true(p.io.t.more || tls_io_read(&p.io.t, got, sizeof(got)) == ERR_CLOSED);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_CLOSED);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_CLOSED);
    tls_io_end_write(&p.io.t);
    assert_int_equal(tls_io_write(&p.io.t, &(struct iovec){ got, 1 }, 1, false), -1);
    assert_int_equal(SSL_read(p.client, got, sizeof(got)), 0);
    assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
    part(&p);

    meet(&p, TLS1_3_VERSION);
    shutdown(p.fd[1], SHUT_WR);
    assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
    assert_int_equal(errno, ECONNRESET);
    part(&p);
}

/* Tickets, the last bytes and the end are one write: the peer has all three before the stream is closed. */
static void the_end_goes_along(void **state)
{
    struct pair p;
    char got[16], wire[2048];
    introduce(&p, TLS1_3_VERSION);
    by_hand(&p);
    shake_at_once(&p, "");
    assert_true(p.io.out_n > 0);
    assert_int_equal(tls_io_flush(&p.io.t), OK);
    assert_true(p.io.out_n > 0); /* what nobody waits for is not sent alone */
    assert_int_equal(tls_io_write(&p.io.t, &(struct iovec){ (char *)"bye", 3 }, 1, true), 3);
    assert_int_equal(p.io.out_n, 0);
    assert_int_equal(tls_io_write(&p.io.t, &(struct iovec){ (char *)"more", 4 }, 1, false), -1);
    assert_int_equal(errno, EPIPE);
    ssize_t n = recv(p.fd[1], wire, sizeof(wire), 0);
    assert_true(n > 0);
    tls_io_end_write(&p.io.t);
    assert_int_equal(recv(p.fd[1], wire + n, 1, 0), 0); /* it adds nothing */
    BIO_write(SSL_get_rbio(p.client), wire, (int)n);
    assert_int_equal(SSL_read(p.client, got, sizeof(got)), 3);
    assert_memory_equal(got, "bye", 3);
    assert_int_equal(SSL_read(p.client, got, sizeof(got)), 0);
    assert_int_equal(SSL_get_error(p.client, 0), SSL_ERROR_ZERO_RETURN);
    part(&p);
}

/* A request that came with the end of the handshake is read without asking the kernel, unless a turn has passed. */
static void request_behind_the_handshake(void **state)
{
    for (int turned = 0; turned < 2; turned++) {
        struct pair p;
        char got[16];
        introduce(&p, TLS1_3_VERSION);
        by_hand(&p);
        shake_at_once(&p, "a request");
        assert_true(p.io.feed_n > 0);
        deliver(&p, "\x17", 1);
        if (turned)
            loop_turn(&p.loop, 0);
        assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 9);
        assert_false(p.io.t.more);
        assert_int_equal(recv(p.fd[0], got, 1, 0), turned ? -1 : 1);
        part(&p);
    }
}

/* What is no handshake fails it, once and for all, with a reason. */
static void no_handshake(void **state)
{
    static const char *const said[] = { "GET / HTTP/1.1\r\n\r\n", "\x17\x03\x03\x00\x05hello",
                                        "\x16\x03\x01\x00\x02\x09\x00" };
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        struct pair p;
        introduce(&p, TLS1_3_VERSION);
        deliver(&p, said[i], i == 0 ? 18 : i == 1 ? 10 : 7);
        if (i == 2)
            deliver(&p, "\x16\x03\x01\x00\x02\x00\x00", 7);
        assert_int_equal(tls_io_handshake(&p.io.t), ERR_SYNTAX);
        assert_true(strlen(tls_io_why(&p.io.t)) > 5);
        assert_false(p.io.done);
        part(&p);
    }
}

/* A transport below that has read its stream's end with the last bytes: nothing else will tell of that. */
static ssize_t last_read(struct transport *t, char *dst, size_t cap)
{
    struct pair *p = container_of(t, struct pair, below);
    ssize_t n = recv(p->fd[0], dst, cap, 0);
    t->more = n > 0;
    return n > 0 ? n : ERR_CLOSED;
}

static ssize_t take_all(struct transport *t, const struct iovec *iov, int n, bool last)
{
    return (ssize_t)iov->iov_len;
}

static int nothing_waits(struct transport *t)
{
    return OK;
}

static void let_be(struct transport *t)
{
}

static const struct transport_ops ended_ops = {
    .name = "ended", .read = last_read, .write = take_all, .flush = nothing_waits, .free = let_be
};

static void end_of_what_is_below(void **state)
{
    for (int whole = 0; whole < 2; whole++) {
        struct pair p;
        char got[16];
        meet(&p, TLS1_3_VERSION);
        p.below.ops = &ended_ops;
        p.io.below = &p.below;
        if (whole)
            assert_int_equal(SSL_write(p.client, "hello", 5), 5);
        else
            assert_int_equal(write(p.fd[1], "\x17\x03", 2), 2); /* of a record's head */
        if (whole) {
            assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), 5);
            assert_true(p.io.t.more);
        }
        assert_int_equal(tls_io_read(&p.io.t, got, sizeof(got)), ERR_SYS);
        part(&p);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_by_byte),       cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(short_reads),        cmocka_unit_test(sizes_of_records),
        cmocka_unit_test(pieces_of_any_size), cmocka_unit_test(blocked_writes),
        cmocka_unit_test(while_blocked),      cmocka_unit_test(ends),
        cmocka_unit_test(the_end_goes_along), cmocka_unit_test(request_behind_the_handshake),
        cmocka_unit_test(no_handshake),       cmocka_unit_test(end_of_what_is_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
