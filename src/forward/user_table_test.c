/*
 * Limits of users: what is let in, when again, who keeps a place, and that a full table opens nothing.
 */
#include "forward/user_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECOND = 1000000 };

static enum user_answer enter(struct user_table *t, const char *who, const struct user_limits *l, uint64_t now,
                              struct user_place **p, uint64_t *wait)
{
    struct user_key k = user_key_of(slice_str(who));
    return user_enter(t, &k, l, now, p, wait);
}

static void connections(void **state)
{
    struct user_table *t = user_table_get(SLICE("t"), 100);
    const struct user_limits two = { .connections = 2 };
    struct user_place *a, *b, *c;
    uint64_t wait;
    assert_int_equal(enter(t, "ann", &two, 1, &a, &wait), USER_ENTERS);
    assert_int_equal(enter(t, "ann", &two, 1, &b, &wait), USER_ENTERS);
    assert_ptr_equal(a, b);
    assert_int_equal(enter(t, "ann", &two, 1, &c, &wait), USER_TOO_MANY);
    assert_int_equal(enter(t, "bob", &two, 1, &c, &wait), USER_ENTERS);
    user_leave(t, a);
    assert_int_equal(enter(t, "ann", &two, 1, &a, &wait), USER_ENTERS);
    user_leave(t, a);
    user_leave(t, b);
    user_leave(t, c);
    user_table_drop(t);
}

static void rates(void **state)
{
    struct user_table *t = user_table_get(SLICE("t"), 100);
    const struct user_limits l = { .interval = SECOND / 10, .burst = 2 };
    struct user_place *p;
    uint64_t now = 5 * SECOND, wait;
    for (int i = 0; i < 3; i++) { /* one, and two of the burst */
        assert_int_equal(enter(t, "ann", &l, now, &p, &wait), USER_ENTERS);
        user_leave(t, p);
    }
    assert_int_equal(enter(t, "ann", &l, now, &p, &wait), USER_TOO_FAST);
    assert_int_equal(wait, SECOND / 10);
    assert_int_equal(enter(t, "ann", &l, now + wait - 1, &p, &wait), USER_TOO_FAST);
    assert_int_equal(wait, 1);
    assert_int_equal(enter(t, "ann", &l, now + SECOND / 10, &p, &wait), USER_ENTERS);
    user_leave(t, p);
    assert_int_equal(enter(t, "ann", &l, now + SECOND / 10, &p, &wait), USER_TOO_FAST);
    now += 10 * SECOND; /* idling saves up no more than the burst */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter(t, "ann", &l, now, &p, &wait), USER_ENTERS);
        user_leave(t, p);
    }
    assert_int_equal(enter(t, "ann", &l, now, &p, &wait), USER_TOO_FAST);
    user_table_drop(t);
}

static void bytes(void **state)
{
    struct user_table *t = user_table_get(SLICE("t"), 100);
    const struct user_limits l = { .bytes = 1000, .period = 60 * SECOND };
    struct user_place *p, *q;
    uint64_t wait;
    assert_int_equal(enter(t, "ann", &l, SECOND, &p, &wait), USER_ENTERS);
    assert_true(user_took(t, p, &l, 999, SECOND));
    assert_int_equal(enter(t, "ann", &l, 2 * SECOND, &q, &wait), USER_ENTERS);
    user_leave(t, q);
    assert_false(user_took(t, p, &l, 1, 3 * SECOND));
    assert_int_equal(enter(t, "ann", &l, 11 * SECOND, &q, &wait), USER_TOO_LARGE);
    assert_int_equal(wait, 50 * SECOND);
    assert_true(user_took(t, p, &l, 1, 61 * SECOND)); /* a new period */
    assert_false(user_took(t, p, &l, UINT64_MAX, 61 * SECOND));
    assert_false(user_took(t, p, &l, UINT64_MAX, 61 * SECOND));
    user_leave(t, p);
    assert_int_equal(enter(t, "ann", &l, 121 * SECOND, &p, &wait), USER_ENTERS);
    user_leave(t, p);
    user_table_drop(t);
}

/* All that goes to a user shares a rate; a second's part of it may go at once. */
static void sending(void **state)
{
    struct user_table *t = user_table_get(SLICE("t"), 100);
    const struct user_limits none = { 0 };
    struct user_place *p;
    uint64_t wait, now = 7 * SECOND, all = 0;
    assert_int_equal(enter(t, "ann", &none, now, &p, &wait), USER_ENTERS);
    assert_int_equal(user_send(t, p, 1000, 600, now), 600);
    assert_int_equal(user_send(t, p, 1000, 600, now), 400);
    assert_int_equal(user_send(t, p, 1000, 600, now), 0);
    user_unsend(t, p, 100);
    assert_int_equal(user_send(t, p, 1000, 600, now), 100);
    assert_int_equal(user_send(t, p, 1000, 600, now + SECOND / 4), 250);
    for (int i = 0; i < 1000; i++) /* asked for more often than there is a byte */
        all += user_send(t, p, 1000, 600, now + SECOND / 4 + (uint64_t)i * 500);
    assert_in_range(all, 490, 500);
    assert_int_equal(user_send(t, p, 1000, 5000, now + 60 * SECOND), 1000);
    assert_int_equal(user_send(t, p, UINT64_MAX, 5000, now + 60 * SECOND + 3), 5000);
    user_leave(t, p);
    user_table_drop(t);
}

/* Users who are there, or who have taken something, keep their places; others lose them to whoever comes. */
static void full(void **state)
{
    struct user_table *t = user_table_get(SLICE("t"), 16); /* two places in each of 16 shards */
    const struct user_limits l = { .connections = 1, .bytes = 10, .period = SECOND };
    struct user_place *p[33] = { NULL }, *one;
    char name[2] = { 0 };
    uint64_t wait;
    int in = 0, out = 0;
    for (int i = 1; i < 200; i++) {
        name[0] = (char)i;
        enum user_answer a = enter(t, name, &l, 1, &one, &wait);
        assert_true(a == USER_ENTERS || a == USER_TABLE_FULL);
        if (a == USER_ENTERS) {
            assert_true(in < 33);
            p[in++] = one;
        }
        out += a == USER_TABLE_FULL;
    }
    assert_int_equal(in, 32);
    assert_int_equal(out, 199 - 32);
    for (int i = 0; i < in; i++) {
        assert_false(user_took(t, p[i], &l, 10, 1));
        user_leave(t, p[i]);
    }
    for (int i = 1; i < 200; i++) { /* nobody comes in by making others forgotten */
        name[0] = (char)i;
        enum user_answer a = enter(t, name, &l, 2, &one, &wait);
        assert_true(a == USER_TOO_LARGE || a == USER_TABLE_FULL);
    }
    for (int i = 1; i < 200; i++) {
        name[0] = (char)i;
        assert_int_equal(enter(t, name, &l, 2 * SECOND, &one, &wait), USER_ENTERS);
        user_leave(t, one);
    }
    user_table_drop(t);
}

static void by_name(void **state)
{
    struct user_table *a = user_table_get(SLICE("a"), 100), *b = user_table_get(SLICE("b"), 100);
    const struct user_limits l = { .connections = 1 };
    struct user_place *p, *q;
    uint64_t wait;
    assert_ptr_not_equal(a, b);
    assert_int_equal(enter(a, "ann", &l, 1, &p, &wait), USER_ENTERS);
    struct user_table *again = user_table_get(SLICE("a"), 100), *other = user_table_get(SLICE("a"), 200);
    assert_ptr_equal(again, a);
    assert_ptr_not_equal(other, a);
    user_table_drop(a);
    assert_int_equal(enter(again, "ann", &l, 1, &q, &wait), USER_TOO_MANY);
    user_leave(again, p);
    user_table_drop(again);
    user_table_drop(other);
    user_table_drop(b);
}

static struct user_table *shared;

static void *worker(void *arg)
{
    const struct user_limits l = { .connections = 3, .interval = 1, .burst = 1000, .bytes = 1 << 30, .period = SECOND };
    char name[2] = { 'a', 0 };
    for (int i = 0; i < 20000; i++) {
        struct user_place *p;
        uint64_t wait;
        name[0] = (char)('a' + i % 20);
        if (enter(shared, name, &l, (uint64_t)i * 100, &p, &wait) != USER_ENTERS)
            continue;
        user_took(shared, p, &l, 1, (uint64_t)i * 100);
        user_leave(shared, p);
    }
    return NULL;
}

static void threads(void **state)
{
    pthread_t t[3];
    const struct user_limits one = { .connections = 1 };
    struct user_place *p;
    uint64_t wait;
    shared = user_table_get(SLICE("t"), 100);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, worker, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    for (char c = 'a'; c < 'a' + 20; c++) { /* everybody has left */
        const char name[2] = { c, 0 };
        assert_int_equal(enter(shared, name, &one, 1, &p, &wait), USER_ENTERS);
    }
    user_table_drop(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections), cmocka_unit_test(rates),   cmocka_unit_test(bytes),   cmocka_unit_test(sending),
        cmocka_unit_test(full),        cmocka_unit_test(by_name), cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
