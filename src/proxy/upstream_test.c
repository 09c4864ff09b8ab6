/*
 * Balancing: the sequence is nginx's and exact, failures open and close as nginx's do, driven by a clock in the hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "proxy/balance/balance.h"
#include "proxy/upstream.h"

struct fixture {
    struct arena arena;
    struct conf_ctx cf;
    struct upstream u;
};

static unsigned made;

static void peers_init(struct peer_set *set, const uint32_t *weights, uint32_t n, slice name, bool backup)
{
    set->n = n;
    set->peers = calloc(n, sizeof(*set->peers));
    assert_non_null(set->peers);
    for (uint32_t i = 0; i < n; i++) {
        char text[32];
        int len = snprintf(text, sizeof(text), "10.0.%d.%u:80", backup, i);
        set->peers[i] = (struct peer){ .weight = weights[i],
                                       .max_fails = 1,
                                       .fail_timeout = 10000,
                                       .backup = backup,
                                       .state = registry_peer(name, slice_of(text, (size_t)len)) };
    }
    set->cursor = registry_cursor(name, backup);
    assert_non_null(set->cursor);
}

/* An upstream of its own name, so that tests do not meet in the registry. */
static struct fixture *fixture_new(const struct balance_ops *ops, const uint32_t *weights, uint32_t n,
                                   const uint32_t *backup, uint32_t nbackup)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    arena_init(&f->arena, NULL, 0, 4096, 0);
    f->cf.arena = &f->arena;
    f->u.name = arena_printf(&f->arena, "u%u", made++);
    f->u.balance = ops;
    peers_init(&f->u.primary, weights, n, f->u.name, false);
    if (nbackup)
        peers_init(&f->u.backup, backup, nbackup, f->u.name, true);
    f->u.npeers = n + nbackup;
    assert_int_equal(ops->init(&f->cf, &f->u), OK);
    return f;
}

static void fixture_free(struct fixture *f)
{
    free(f->u.primary.peers);
    free(f->u.backup.peers);
    arena_done(&f->arena);
    free(f);
}

/* Index of the next pick (backups from 100), released at once; -1: none. */
static int next(struct fixture *f, uint64_t now)
{
    struct tried t = { 0 };
    const struct peer *p = upstream_pick(&f->u, &t, now);
    if (!p)
        return -1;
    peer_release(p);
    return p->backup ? 100 + (int)(p - f->u.backup.peers) : (int)(p - f->u.primary.peers);
}

static void test_smooth(void **state)
{
    /* nginx's own example: weights 5, 1, 1 give a a b a c a a */
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 5, 1, 1 }, 3, NULL, 0);
    static const int want[] = { 0, 0, 1, 0, 2, 0, 0, 0, 0, 1 };
    for (size_t i = 0; i < array_len(want); i++)
        assert_int_equal(next(f, 0), want[i]);
    fixture_free(f);
}

static void test_gcd(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 300, 100, 200 }, 3, NULL, 0);
    assert_int_equal(f->u.primary.nsequence, 6);
    unsigned count[3] = { 0 };
    for (int i = 0; i < 600; i++)
        count[next(f, 0)]++;
    assert_int_equal(count[0], 300);
    assert_int_equal(count[1], 100);
    assert_int_equal(count[2], 200);
    fixture_free(f);
}

static void test_long_period(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 1000000, 999999, 1 }, 3, NULL, 0);
    struct peer_set *s = &f->u.primary;
    assert_true(s->nsequence >= 4000 && s->nsequence <= 4200);
    unsigned count[3] = { 0 };
    for (uint32_t i = 0; i < s->nsequence; i++)
        count[s->sequence[i]]++;
    assert_int_equal(count[2], 1);
    assert_in_range(count[0] - count[1] + 1, 0, 2);
    fixture_free(f);
}

static void test_many_equal(void **state)
{
    enum { N = 6000 };
    static uint32_t w[N];
    for (uint32_t i = 0; i < N; i++)
        w[i] = 7;
    struct fixture *f = fixture_new(&balance_round_robin, w, N, NULL, 0);
    assert_int_equal(f->u.primary.nsequence, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(next(f, 0), i);
    fixture_free(f);
}

static void test_fail_window(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 1, 1, 1 }, 3, NULL, 0);
    const struct peer *b = &f->u.primary.peers[1];
    uint64_t t = 5000;
    assert_int_equal(next(f, t), 0);
    assert_int_equal(next(f, t), 1);
    assert_true(peer_failed(b, t));
    /* out for fail_timeout; what it would have got is shared evenly */
    unsigned count[3] = { 0 };
    for (int i = 0; i < 100; i++)
        count[next(f, t + 10000)]++;
    assert_int_equal(count[1], 0);
    assert_in_range(count[0], 49, 51);
    /* then one attempt only, until its outcome is known */
    count[0] = count[2] = 0;
    for (int i = 0; i < 100; i++)
        count[next(f, t + 10001)]++;
    assert_int_equal(count[1], 1);
    /* its failure: out again at once */
    assert_true(peer_failed(b, t + 10002));
    for (int i = 0; i < 100; i++)
        assert_int_not_equal(next(f, t + 20002), 1);
    /* and its success: back in full */
    count[1] = 0;
    for (int i = 0; i < 10; i++)
        count[1] += next(f, t + 20003) == 1;
    assert_int_equal(count[1], 1);
    peer_succeeded(b);
    count[1] = 0;
    for (int i = 0; i < 99; i++)
        count[1] += next(f, t + 20004) == 1;
    assert_int_equal(count[1], 33);
    fixture_free(f);
}

static void test_max_fails(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 1, 1 }, 2, NULL, 0);
    struct peer *a = &f->u.primary.peers[0];
    a->max_fails = 3;
    assert_false(peer_failed(a, 1000));
    peer_succeeded(a); /* inside the window a success clears nothing */
    assert_false(peer_failed(a, 2000));
    /* after the window a success does */
    struct tried t = { .bits = 2 };
    const struct peer *p = upstream_pick(&f->u, &t, 12001);
    assert_ptr_equal(p, a);
    peer_succeeded(a);
    peer_release(a);
    assert_int_equal(atomic_load(&a->state->fails), 0);
    assert_false(peer_failed(a, 13000));
    assert_false(peer_failed(a, 13000));
    assert_true(peer_failed(a, 13000));
    assert_int_equal(next(f, 13001), 1);
    assert_int_equal(next(f, 13001), 1);
    assert_false(peer_was_heard(a, 1));
    peer_heard(a, 13001);
    peer_heard(a, 13000); /* by a worker whose clock is behind */
    assert_true(peer_was_heard(a, 13001));
    assert_false(peer_was_heard(a, 13002));
    a->max_fails = 0; /* never counted */
    assert_false(peer_failed(a, 13002));
    assert_true(peer_usable(a, 13003));
    fixture_free(f);
}

static void test_backup(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 1, 1 }, 2, (uint32_t[]){ 1, 1 }, 2);
    assert_in_range(next(f, 0), 0, 1);
    peer_failed(&f->u.primary.peers[0], 100);
    assert_int_equal(next(f, 101), 1);
    peer_failed(&f->u.primary.peers[1], 100);
    int b = next(f, 101);
    assert_in_range(b, 100, 101);
    assert_int_equal(next(f, 101), b == 100 ? 101 : 100);
    peer_failed(&f->u.backup.peers[0], 102);
    peer_failed(&f->u.backup.peers[1], 102);
    assert_int_equal(next(f, 103), -1);
    fixture_free(f);
}

static void test_tried(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 9, 1, 1 }, 3, (uint32_t[]){ 1 }, 1);
    struct tried t = { 0 };
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        const struct peer *p = upstream_pick(&f->u, &t, 0);
        assert_non_null(p);
        assert_false(p->backup);
        seen |= 1u << (p - f->u.primary.peers);
    }
    assert_int_equal(seen, 7);
    const struct peer *p = upstream_pick(&f->u, &t, 0);
    assert_true(p && p->backup);
    assert_null(upstream_pick(&f->u, &t, 0));
    fixture_free(f);
}

static void test_single(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 1 }, 1, NULL, 0);
    struct peer *a = f->u.primary.peers;
    a->alone = true;
    for (int i = 0; i < 5; i++) {
        assert_false(peer_failed(a, 10));
        assert_int_equal(next(f, 11), 0);
    }
    a->down = true;
    assert_int_equal(next(f, 11), -1);
    fixture_free(f);
}

static void test_down_and_max_conns(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 1, 1, 1 }, 3, NULL, 0);
    f->u.primary.peers[0].down = true;
    assert_int_equal(balance_sequence(&f->arena, &f->u.primary), OK);
    assert_int_equal(f->u.primary.nsequence, 2);
    f->u.primary.peers[1].max_conns = 1;
    struct tried t = { 0 };
    f->u.primary.peers[2].max_conns = 1;
    const struct peer *one = upstream_pick(&f->u, &t, 0);
    t.bits = 0;
    const struct peer *two = upstream_pick(&f->u, &t, 0);
    assert_true(one && two && one != two);
    assert_int_equal(next(f, 0), -1);
    peer_release(one);
    assert_int_equal(next(f, 0), one - f->u.primary.peers);
    fixture_free(f);
}

static void test_heavy_peer_out(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 1000, 3, 1 }, 3, NULL, 0);
    peer_failed(&f->u.primary.peers[0], 1);
    unsigned count[3] = { 0 };
    for (int i = 0; i < 4000; i++)
        count[next(f, 2)]++;
    assert_int_equal(count[0], 0);
    assert_in_range(count[1], 2850, 3150);
    fixture_free(f);
}

static void test_least_conn(void **state)
{
    struct fixture *f = fixture_new(&balance_least_conn, (uint32_t[]){ 2, 1 }, 2, NULL, 0);
    unsigned count[2] = { 0 };
    for (int i = 0; i < 30; i++) {
        struct tried t = { 0 };
        const struct peer *p = upstream_pick(&f->u, &t, 0);
        count[p - f->u.primary.peers]++;
    }
    assert_int_equal(count[0], 20);
    assert_int_equal(count[1], 10);
    for (int i = 0; i < 10; i++)
        peer_release(&f->u.primary.peers[1]);
    assert_int_equal(next(f, 0), 1);
    peer_failed(&f->u.primary.peers[1], 5);
    assert_int_equal(next(f, 6), 0);
    fixture_free(f);
}

static void test_registry(void **state)
{
    struct peer_state *a = registry_peer(SLICE("x"), SLICE("1:80"));
    assert_non_null(a);
    assert_ptr_equal(a, registry_peer(SLICE("x"), SLICE("1:80")));
    assert_ptr_not_equal(a, registry_peer(SLICE("y"), SLICE("1:80")));
    assert_ptr_not_equal(a, registry_peer(SLICE("x"), SLICE("1:81")));
    assert_ptr_not_equal(registry_cursor(SLICE("x"), false), registry_cursor(SLICE("x"), true));
    assert_ptr_equal(registry_cursor(SLICE("x"), true), registry_cursor(SLICE("x"), true));
}

enum { THREADS = 2, ROUNDS = 30000 };

static void *picker(void *arg)
{
    struct fixture *f = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct tried t = { 0 };
        const struct peer *p = upstream_pick(&f->u, &t, 0);
        if (!p)
            return arg;
        peer_succeeded(p);
        peer_release(p);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct fixture *f = fixture_new(&balance_round_robin, (uint32_t[]){ 3, 2, 1 }, 3, NULL, 0);
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, picker, f), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(t[i], &failed);
        assert_null(failed);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(atomic_load(&f->u.primary.peers[i].state->picked), THREADS * ROUNDS * (3 - i) / 6);
        assert_int_equal(atomic_load(&f->u.primary.peers[i].state->active), 0);
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smooth),         cmocka_unit_test(test_gcd),
        cmocka_unit_test(test_long_period),    cmocka_unit_test(test_many_equal),
        cmocka_unit_test(test_fail_window),    cmocka_unit_test(test_max_fails),
        cmocka_unit_test(test_backup),         cmocka_unit_test(test_tried),
        cmocka_unit_test(test_single),         cmocka_unit_test(test_down_and_max_conns),
        cmocka_unit_test(test_heavy_peer_out), cmocka_unit_test(test_least_conn),
        cmocka_unit_test(test_registry),       cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
