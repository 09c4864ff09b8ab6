/*
 * Password checks with the job pool turned by hand: who shares a hash, who waits for whom, who is refused, what is
 * remembered; and with its threads, while clients leave and the worker ends.
 */
#include "policy/auth_checks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "failmalloc.h"
#include "loop/job_pool.h"

enum { CLIENTS = 12 };

struct fixture {
    struct worker w;
    struct generation gen;
    struct gen_ref ref;
    struct client client[CLIENTS];
    struct end front[CLIENTS];
    struct exchange *x[CLIENTS];
    struct auth_wait wait[CLIENTS];
    struct auth_limits limits;
};

static const struct end_ops ops = { .name = "test" };
static unsigned woken;

static void on_exchange(struct exchange *x)
{
    woken += (x->events & X_WAKE) != 0;
    x->events = 0;
}

static void idle(struct gen_ref *r)
{
}

static const struct htpasswd_user slow = { SLICE("tom"),
                                           SLICE("$2y$04$cMYWAa/ZBIDhF2N9pRtsLejvj5NBtdmJlczczrMDzyNOcBWTpk4d."), 1 },
                                  quick = { SLICE("eve"), SLICE("{PLAIN}secret"), 2 };

static struct fixture *fixture_new(unsigned threads)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    woken = 0;
    exchange_run = on_exchange;
    job_pool_set(threads, JOB_QUEUE);
    assert_int_equal(loop_init(&f->w.loop), OK);
    f->w.loop.owner = &f->w;
    clock_set(&f->w.loop.clock, 1000, 784111777000);
    slab_init(&f->w.pages, EXCHANGE_PAGE, 1);
    f->gen.id = 7;
    f->ref = (struct gen_ref){ .gen = &f->gen, .current = true, .idle = idle };
    f->limits = (struct auth_limits){ .running = 2, .address = 1, .waiting = 16, .remember = 1000 };
    assert_int_equal(auth_room.init(&f->w), OK);
    for (unsigned i = 0; i < CLIENTS; i++) {
        f->client[i].peer.in.sin_family = AF_INET;
        f->client[i].peer.in.sin_addr.s_addr = htonl(0xc0000200 + i);
        end_init(&f->front[i], &ops);
        f->x[i] = exchange_new(&f->w, &f->ref, &f->front[i], &f->client[i]);
        assert_non_null(f->x[i]);
    }
    return f;
}

static void leave(struct fixture *f, unsigned i)
{
    if (!f->x[i])
        return;
    assert_true(exchange_let_go(f->x[i]));
    end_detach(&f->front[i]);
    exchange_free(f->x[i]);
    f->x[i] = NULL;
}

static void fixture_free(struct fixture *f)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        leave(f, i);
    auth_room.done(&f->w);
    job_leave(&f->w.loop);
    job_pool_done();
    assert_int_equal(f->w.pages.live, 0);
    loop_done(&f->w.loop);
    slab_done(&f->w.pages);
    free(f);
}

static enum auth_result ask_as(struct fixture *f, unsigned i, const struct htpasswd_user *u, bool known,
                               const char *password)
{
    const struct basic given = { u->name, slice_str(password) };
    return auth_check(f->x[i], &f->wait[i], &f->limits, u, known, &given);
}

static enum auth_result ask(struct fixture *f, unsigned i, const char *password)
{
    return ask_as(f, i, &slow, true, password);
}

/* One job runs and comes back. */
static void turn(struct fixture *f)
{
    assert_true(job_pool_step(0));
    loop_turn(&f->w.loop, 0);
}

static uint64_t hashes(const struct fixture *f)
{
    return f->w.count[COUNT_AUTH_HASHES];
}

static void quick_ones(void **state)
{
    struct fixture *f = fixture_new(0);
    assert_int_equal(ask_as(f, 0, &quick, true, "secret"), AUTH_GOOD);
    assert_int_equal(ask_as(f, 0, &quick, true, "secre"), AUTH_BAD);
    assert_int_equal(ask_as(f, 0, &quick, false, "secret"), AUTH_BAD);
    assert_int_equal(job_pool_waiting(), 0);
    char longest[PASSWORD_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[PASSWORD_MAX + 1] = '\0';
    assert_int_equal(ask(f, 0, longest), AUTH_BAD);
    assert_int_equal(hashes(f), 0);
    fixture_free(f);
}

static void good_and_remembered(void **state)
{
    struct fixture *f = fixture_new(0);
    assert_int_equal(ask(f, 0, "secret"), AUTH_PENDING);
    assert_int_equal(f->wait[0].result, AUTH_PENDING);
    turn(f);
    uint64_t then = loop_now(&f->w.loop);
    assert_int_equal(f->wait[0].result, AUTH_GOOD);
    assert_int_equal(woken, 1);
    assert_int_equal(ask(f, 1, "secret"), AUTH_GOOD); /* whoever asks */
    assert_int_equal(hashes(f), 1);
    assert_int_equal(ask(f, 1, "secre"), AUTH_PENDING);
    turn(f);
    assert_int_equal(f->wait[1].result, AUTH_BAD);
    assert_int_equal(ask(f, 1, "secre"), AUTH_PENDING); /* what was bad is not remembered */
    turn(f);
    assert_int_equal(hashes(f), 3);
    clock_set(&f->w.loop.clock, then + 999, 0);
    assert_int_equal(ask(f, 2, "secret"), AUTH_GOOD);
    clock_set(&f->w.loop.clock, then + 1000, 0);
    assert_int_equal(ask(f, 2, "secret"), AUTH_PENDING);
    turn(f);
    f->gen.id = 8; /* another configuration */
    assert_int_equal(ask(f, 3, "secret"), AUTH_PENDING);
    turn(f);
    assert_int_equal(ask(f, 3, "secret"), AUTH_GOOD);
    auth_room.gen_changed(&f->w);
    assert_int_equal(ask(f, 3, "secret"), AUTH_PENDING);
    turn(f);
    f->limits.remember = 0;
    auth_room.gen_changed(&f->w);
    assert_int_equal(ask(f, 4, "secret"), AUTH_PENDING);
    turn(f);
    assert_int_equal(ask(f, 4, "secret"), AUTH_PENDING);
    turn(f);
    fixture_free(f);
}

/* The right password for somebody else's name is bad, is never remembered, and costs the same. */
static void unknown_names(void **state)
{
    struct fixture *f = fixture_new(0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask_as(f, 0, &slow, false, "secret"), AUTH_PENDING);
        turn(f);
        assert_int_equal(f->wait[0].result, AUTH_BAD);
    }
    assert_int_equal(hashes(f), 2);
    assert_int_equal(ask(f, 0, "secret"), AUTH_PENDING);
    turn(f);
    assert_int_equal(f->wait[0].result, AUTH_GOOD);
    assert_int_equal(ask_as(f, 0, &slow, false, "secret"), AUTH_PENDING); /* though the name with it is remembered */
    turn(f);
    assert_int_equal(f->wait[0].result, AUTH_BAD);
    fixture_free(f);
}

static void equal_ones_share(void **state)
{
    struct fixture *f = fixture_new(0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(ask(f, i, "secret"), AUTH_PENDING);
    assert_int_equal(ask(f, 5, "other"), AUTH_PENDING);
    assert_int_equal(ask_as(f, 6, &slow, false, "secret"), AUTH_PENDING);
    assert_int_equal(job_pool_waiting(), 2);
    leave(f, 0); /* the one that began it */
    turn(f);
    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(f->wait[i].result, AUTH_GOOD);
    assert_int_equal(f->wait[5].result, AUTH_PENDING);
    assert_int_equal(woken, 4);
    turn(f);
    turn(f);
    assert_int_equal(f->wait[5].result, AUTH_BAD);
    assert_int_equal(f->wait[6].result, AUTH_BAD);
    assert_int_equal(hashes(f), 3);
    fixture_free(f);
}

static void from(struct fixture *f, unsigned i, const char *address)
{
    struct client *cl = &f->client[i];
    memset(&cl->peer, 0, sizeof(cl->peer));
    if (inet_pton(AF_INET, address, &cl->peer.in.sin_addr) == 1)
        cl->peer.sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, address, &cl->peer.in6.sin6_addr) == 1)
        cl->peer.sa.sa_family = AF_INET6;
    else
        cl->peer.sa.sa_family = AF_UNIX;
}

/* Many of one address, then one of another: it need not stand behind them. */
static void addresses_take_turns(void **state)
{
    static const char *const same[][2] = { { "192.0.2.1", "192.0.2.1" },
                                           { "192.0.2.1", "::ffff:192.0.2.1" },
                                           { "2001:db8::1", "2001:db8::ffff" },
                                           { "unix", "unix" } };
    for (size_t k = 0; k < array_len(same); k++) {
        struct fixture *f = fixture_new(0);
        char password[8];
        f->limits.waiting = 40;
        for (unsigned i = 0; i < 10; i++) {
            from(f, i, same[k][i & 1]);
            snprintf(password, sizeof(password), "p%u", i);
            assert_int_equal(ask(f, i, password), AUTH_PENDING);
        }
        from(f, 10, "2001:db8:0:1::1");
        assert_int_equal(job_pool_waiting(), 1); /* one of an address at once */
        assert_int_equal(ask(f, 10, "q"), AUTH_PENDING);
        assert_int_equal(job_pool_waiting(), 2);
        turn(f);
        turn(f);
        assert_int_equal(f->wait[10].result, AUTH_BAD);
        assert_int_equal(f->wait[0].result, AUTH_BAD);
        assert_int_equal(f->wait[2].result, AUTH_PENDING);
        while (job_pool_waiting())
            turn(f);
        for (unsigned i = 0; i < 10; i++)
            assert_int_equal(f->wait[i].result, AUTH_BAD);
        assert_int_equal(hashes(f), 11);
        fixture_free(f);
    }
}

static void too_many(void **state)
{
    struct fixture *f = fixture_new(0);
    char password[8];
    f->limits = (struct auth_limits){ .running = 1, .address = 1, .waiting = 8, .remember = 0 };
    for (unsigned i = 0; i < 5; i++) {
        from(f, i, "192.0.2.1");
        snprintf(password, sizeof(password), "p%u", i);
        /* one under way, two (a quarter of 8) in line */
        assert_int_equal(ask(f, i, password), i < 3 ? AUTH_PENDING : AUTH_BUSY);
    }
    assert_int_equal(f->w.count[COUNT_AUTH_REFUSED], 2);
    assert_int_equal(ask(f, 3, "p1"), AUTH_PENDING); /* shares one that is in line */
    for (unsigned i = 5; i < CLIENTS; i++) {
        snprintf(password, sizeof(password), "p%u", i);
        assert_int_equal(ask(f, i, password), i < 11 ? AUTH_PENDING : AUTH_BUSY);
    }
    leave(f, 7); /* its place in the line is free */
    assert_int_equal(ask(f, 11, "again"), AUTH_PENDING);
    while (job_pool_waiting())
        turn(f);
    assert_int_equal(f->wait[11].result, AUTH_BAD);
    assert_int_equal(f->wait[3].result, AUTH_BAD);
    fixture_free(f);
}

static void no_pool_and_no_memory(void **state)
{
    struct fixture *f = fixture_new(0);
    job_pool_set(0, 0);
    assert_int_equal(ask(f, 0, "secret"), AUTH_BUSY);
    job_pool_set(0, 1);
    assert_int_equal(ask(f, 0, "secret"), AUTH_PENDING);
    assert_int_equal(ask(f, 1, "other"), AUTH_PENDING); /* in line until the pool has room */
    assert_int_equal(job_pool_waiting(), 1);
    turn(f);
    assert_int_equal(f->wait[0].result, AUTH_GOOD);
    assert_int_equal(job_pool_waiting(), 1);
    turn(f);
    assert_int_equal(f->wait[1].result, AUTH_BAD);
    fail_alloc_at(0, false);
    assert_int_equal(ask(f, 2, "third"), AUTH_BUSY);
    assert_true(fail_alloc_off());
    fixture_free(f);
}

static void those_in_line_leave(void **state)
{
    struct fixture *f = fixture_new(0);
    char password[8];
    for (unsigned i = 0; i < CLIENTS; i++) {
        snprintf(password, sizeof(password), "p%u", i);
        ask(f, i, password);
    }
    for (unsigned i = CLIENTS; i-- > 0;)
        leave(f, i);
    assert_int_equal(job_pool_waiting(), 2);
    turn(f);
    turn(f);
    assert_int_equal(job_pool_waiting(), 0);
    assert_int_equal(hashes(f), 2);
    fixture_free(f);
}

/* The worker ends with hashes under way, and whoever brings them home finds nobody. */
static void threads(void **state)
{
    for (int run = 0; run < 5; run++) {
        struct fixture *f = fixture_new(3);
        char password[8];
        for (unsigned i = 0; i < CLIENTS; i++) {
            snprintf(password, sizeof(password), "p%u", i % 7);
            assert_int_equal(ask(f, i, i == 3 ? "secret" : password), AUTH_PENDING);
        }
        while (run && f->wait[3].result == AUTH_PENDING)
            loop_turn(&f->w.loop, 10);
        leave(f, 5);
        assert_int_equal(f->wait[3].result, run ? AUTH_GOOD : AUTH_PENDING);
        fixture_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_ones),
        cmocka_unit_test(good_and_remembered),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(equal_ones_share),
        cmocka_unit_test(addresses_take_turns),
        cmocka_unit_test(too_many),
        cmocka_unit_test(no_pool_and_no_memory),
        cmocka_unit_test(those_in_line_leave),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
