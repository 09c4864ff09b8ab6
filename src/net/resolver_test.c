/*
 * The resolver on a real loop, against a server of this test: what is asked, joined, remembered, bridged and dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "net/resolver.h"

/* ---- a server ---- */

struct fake {
    struct io io;
    struct addr addr;
    unsigned asked, rcode, ttl;
    bool silent;
};

static void reply(struct fake *f, const uint8_t *q, size_t n, const struct sockaddr_in *to)
{
    uint8_t m[600];
    size_t name = 12;
    while (q[name])
        name += q[name] + 1u;
    bool a = q[name + 2] == 1 && f->rcode == 0;
    memcpy(m, q, n);
    m[2] = 0x81;
    m[3] = (uint8_t)(0x80 | f->rcode);
    m[7] = a;
    if (a) {
        const uint8_t record[] = { 0xc0, 12, 0,   1, 0, 1, 0, 0, (uint8_t)(f->ttl >> 8), (uint8_t)f->ttl,
                                   0,    4,  192, 0, 2, 1 };
        memcpy(m + n, record, sizeof(record));
        n += sizeof(record);
    }
    sendto(f->io.fd, m, n, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void on_question(struct io *io, unsigned events)
{
    struct fake *f = container_of(io, struct fake, io);
    uint8_t q[512];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(io->fd, q, sizeof(q), MSG_DONTWAIT, (struct sockaddr *)&from, &len)) > 16) {
        f->asked++;
        if (!f->silent)
            reply(f, q, (size_t)n, &from);
    }
}

/* ---- askers ---- */

struct world {
    struct loop loop;
    struct fake fake;
    struct resolvers *rs;
    struct resolver_conf conf;
};

static unsigned told;

static void on_done(struct resolve *r)
{
    told++;
}

static void setup(struct world *w)
{
    assert_int_equal(loop_init(&w->loop), OK);
    memset(&w->fake, 0, sizeof(w->fake));
    w->fake.ttl = 600;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(addr_parse_ip(SLICE("127.0.0.1"), 0, &w->fake.addr), OK);
    assert_int_equal(bind(fd, &w->fake.addr.sa, w->fake.addr.len), 0);
    assert_int_equal(getsockname(fd, &w->fake.addr.sa, &w->fake.addr.len), 0);
    io_init(&w->fake.io, fd, on_question);
    assert_int_equal(io_watch(&w->loop, &w->fake.io), OK);
    struct resolver_counts none = { 0 };
    w->rs = resolvers_new(&w->loop, &none);
    w->conf = (struct resolver_conf){ .identity = SLICE("test"),
                                      .servers = &w->fake.addr,
                                      .nservers = 1,
                                      .try_ms = 200,
                                      .tries = 1,
                                      .ipv4 = true,
                                      .ndots = 1,
                                      .stale = 60000 };
    told = 0;
}

static void teardown(struct world *w)
{
    resolvers_free(w->rs);
    io_close(&w->loop, &w->fake.io);
    loop_reap_now(&w->loop);
    loop_done(&w->loop);
}

static int ask(struct world *w, const char *name, struct resolve *r)
{
    const struct resolve_terms terms = { .timeout = 5000 };
    return resolver_ask(w->rs, &w->conf, slice_str(name), &terms, r, on_done);
}

static int ask_for(struct world *w, const char *client, const char *name, struct resolve *r)
{
    static struct addr a; /* one at a time */
    const struct resolve_terms terms = { .timeout = 5000, .client = &a.sa, .share = 2 };
    if (slice_eq(slice_str(client), SLICE("unix:")))
        a = (struct addr){ .sa = { .sa_family = AF_UNIX } };
    else
        assert_int_equal(addr_parse_ip(slice_str(client), 0, &a), OK);
    return resolver_ask(w->rs, &w->conf, slice_str(name), &terms, r, on_done);
}

static void until_told(struct world *w, unsigned n)
{
    for (unsigned turns = 0; told < n && turns < 2000; turns++)
        loop_turn(&w->loop, 20);
    assert_int_equal(told, n);
}

static void test_asked_once_and_remembered(void **state)
{
    struct world w;
    struct resolve r[3];
    struct addr v[4];
    setup(&w);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ask(&w, i ? "A.test" : "a.test.", &r[i]), ERR_AGAIN);
    resolver_drop(&r[1]); /* its asker is gone */
    until_told(&w, 2);
    assert_int_equal(w.fake.asked, 1);
    assert_int_equal(r[0].status, DNS_OK);
    assert_int_equal(resolver_addresses(&r[2], 81, v, 4), 1);
    assert_int_equal(addr_port(&v[0]), 81);
    resolver_drop(&r[0]);
    resolver_drop(&r[2]);
    assert_int_equal(ask(&w, "a.test", &r[0]), OK);
    assert_int_equal(w.fake.asked, 1);
    resolver_drop(&r[0]);
    teardown(&w);
}

static void test_ttl_zero_is_not_remembered(void **state)
{
    struct world w;
    struct resolve r;
    setup(&w);
    w.fake.ttl = 0;
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(ask(&w, "a.test", &r), ERR_AGAIN);
        until_told(&w, i);
        assert_int_equal(r.status, DNS_OK);
        resolver_drop(&r);
        assert_int_equal(w.fake.asked, i);
    }
    teardown(&w);
}

static void test_an_old_answer_bridges_a_failure(void **state)
{
    struct world w;
    struct resolve r;
    setup(&w);
    w.fake.ttl = 0;
    assert_int_equal(ask(&w, "a.test", &r), ERR_AGAIN);
    until_told(&w, 1);
    resolver_drop(&r);
    w.fake.rcode = DNS_SERVFAIL;
    assert_int_equal(ask(&w, "a.test", &r), ERR_AGAIN);
    until_told(&w, 2);
    assert_true(r.status == DNS_OK && r.stale);
    resolver_drop(&r);
    assert_int_equal(ask(&w, "a.test", &r), OK); /* and servers are left alone for a while */
    assert_true(r.stale);
    resolver_drop(&r);
    assert_int_equal(ask(&w, "b.test", &r), ERR_AGAIN);
    until_told(&w, 3);
    assert_int_equal(r.status, DNS_SERVFAIL);
    teardown(&w);
}

static void test_silence(void **state)
{
    struct world w;
    struct resolve r;
    setup(&w);
    w.fake.silent = true;
    assert_int_equal(ask(&w, "a.test", &r), ERR_AGAIN);
    until_told(&w, 1);
    assert_int_equal(r.status, DNS_TIMEDOUT);
    assert_null(r.addrs);
    teardown(&w);
}

static void test_what_is_no_name_is_not_asked_for(void **state)
{
    struct world w;
    struct resolve r;
    static const char *const bad[] = { "", "a b", "127.1", "2130706433", "0x7f.1", "a..b", "[::1]" };
    setup(&w);
    for (size_t i = 0; i < array_len(bad); i++) {
        assert_int_equal(ask(&w, bad[i], &r), OK);
        assert_int_equal(r.status, DNS_NXDOMAIN);
    }
    teardown(&w);
}

static void test_search_list(void **state)
{
    struct world w;
    struct resolve r;
    setup(&w);
    w.conf.search[0] = SLICE("one.test");
    w.conf.search[1] = SLICE("two.test");
    w.conf.nsearch = 2;
    w.fake.rcode = DNS_NXDOMAIN;
    assert_int_equal(ask(&w, "host", &r), ERR_AGAIN); /* host.one.test, host.two.test, host */
    until_told(&w, 1);
    assert_int_equal(r.status, DNS_NXDOMAIN);
    assert_int_equal(w.fake.asked, 3);
    assert_int_equal(ask(&w, "host.", &r), ERR_AGAIN);
    until_told(&w, 2);
    assert_int_equal(w.fake.asked, 4);
    teardown(&w);
}

static void test_hosts_come_first(void **state)
{
    struct world w;
    struct resolve r;
    struct addr v[2];
    struct map hosts;
    struct hosts_entry e = { v, 2 };
    setup(&w);
    addr_parse_ip(SLICE("192.0.2.7"), 0, &v[0]);
    addr_parse_ip(SLICE("2001:db8::7"), 0, &v[1]);
    map_init(&hosts, false);
    assert_int_equal(map_put(&hosts, SLICE("here"), &e), OK);
    w.conf.hosts = &hosts;
    assert_int_equal(ask(&w, "HERE", &r), OK);
    struct addr out[4];
    assert_int_equal(resolver_addresses(&r, 80, out, 4), 2);
    assert_int_equal(out[1].sa.sa_family, AF_INET6);
    resolver_drop(&r);
    assert_int_equal(w.fake.asked, 0);
    map_done(&hosts);
    teardown(&w);
}

static void test_memory_is_bounded(void **state)
{
    struct world w;
    struct resolve r;
    char name[32];
    setup(&w);
    for (unsigned i = 0; i < RESOLVER_LOOKUPS_MAX + 5; i++) { /* at once */
        static struct resolve many[RESOLVER_LOOKUPS_MAX + 5];
        snprintf(name, sizeof(name), "n%u.test", i);
        int rc = ask(&w, name, &many[i]);
        assert_int_equal(rc, i < RESOLVER_LOOKUPS_MAX ? ERR_AGAIN : OK);
    }
    assert_int_equal(ask(&w, "late.test", &r), OK);
    assert_int_equal(r.status, DNS_SERVFAIL);
    teardown(&w); /* with everything under way */
}

/* A client has its share and no more, by its address or its network; it counts until the question is over. */
static void shares(void **state)
{
    static const struct {
        const char *client, *name;
        int rc;
    } rows[] = {
        { "192.0.2.1", "a1.test", ERR_AGAIN },
        { "::ffff:192.0.2.1", "a2.test", ERR_AGAIN },
        { "192.0.2.1", "a3.test", OK },
        { "192.0.2.1", "a2.test", ERR_AGAIN }, /* it is being asked for */
        { "192.0.2.2", "a3.test", ERR_AGAIN },
        { "192.0.2.1", "a3.test", ERR_AGAIN }, /* by somebody else */
        { "2001:db8:0:1::1", "b1.test", ERR_AGAIN },
        { "2001:db8:0:1:ffff::1", "b2.test", ERR_AGAIN },
        { "2001:db8:0:1::2", "b3.test", OK },
        { "2001:db8:0:2::1", "b3.test", ERR_AGAIN },
        { "unix:", "c1.test", ERR_AGAIN },
        { "unix:", "c2.test", ERR_AGAIN },
        { "unix:", "c3.test", OK },
    };
    struct world w;
    struct resolve r[array_len(rows)], other;
    unsigned waiting = 0;
    setup(&w);
    w.fake.silent = true;
    for (size_t i = 0; i < array_len(rows); i++) {
        if (ask_for(&w, rows[i].client, rows[i].name, &r[i]) != rows[i].rc)
            fail_msg("row %zu", i);
        if (rows[i].rc == OK)
            assert_int_equal(r[i].status, DNS_SHARE);
        waiting += rows[i].rc == ERR_AGAIN;
    }
    assert_int_equal(ask(&w, "d1.test", &other), ERR_AGAIN); /* for nobody */
    for (size_t i = 0; i < 2; i++)
        resolver_drop(&r[i]); /* its asker has left, the question goes on */
    assert_int_equal(ask_for(&w, "192.0.2.1", "a4.test", &r[0]), OK);
    assert_int_equal(r[0].status, DNS_SHARE);
    until_told(&w, waiting - 2 + 1);
    assert_int_equal(ask_for(&w, "192.0.2.1", "a4.test", &r[0]), ERR_AGAIN);
    assert_int_equal(ask_for(&w, "192.0.2.1", "a5.test", &r[1]), ERR_AGAIN);
    assert_int_equal(ask_for(&w, "192.0.2.1", "a6.test", &other), OK);
    teardown(&w);
}

/* More ways of asking than are remembered, all of them in use: none goes, least of all the newest. */
static void many_ways(void **state)
{
    struct world w;
    struct resolve r[40];
    char names[40][8];
    setup(&w);
    w.fake.silent = true;
    for (unsigned i = 0; i < array_len(r); i++) {
        snprintf(names[i], sizeof(names[i]), "way%u", i);
        w.conf.identity = slice_str(names[i]);
        assert_int_equal(ask(&w, "a.test", &r[i]), ERR_AGAIN);
    }
    until_told(&w, array_len(r));
    for (unsigned i = 0; i < array_len(r); i++)
        resolver_drop(&r[i]);
    teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_ways),
        cmocka_unit_test(shares),
        cmocka_unit_test(test_asked_once_and_remembered),
        cmocka_unit_test(test_ttl_zero_is_not_remembered),
        cmocka_unit_test(test_an_old_answer_bridges_a_failure),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_what_is_no_name_is_not_asked_for),
        cmocka_unit_test(test_search_list),
        cmocka_unit_test(test_hosts_come_first),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
