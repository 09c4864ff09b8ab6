/* The loop by hand: timers by a clock that the test turns, tasks, late registration, mail from another thread. */
#include "loop/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "loop/timer.h"

struct probe {
    struct timer timer;
    struct task task;
    struct io io;
    struct reap reap;
    struct loop *loop;
    int fired, events;
};

static void on_timer(struct timer *t)
{
    container_of(t, struct probe, timer)->fired++;
}

static void on_task(struct task *t)
{
    container_of(t, struct probe, task)->fired++;
}

static void on_task_again(struct task *t)
{
    struct probe *p = container_of(t, struct probe, task);
    if (++p->fired < 3)
        task_post_later(p->loop, t);
}

static void on_io(struct io *io, unsigned events)
{
    struct probe *p = container_of(io, struct probe, io);
    p->fired++;
    p->events |= (int)events;
}

static struct loop *loop_make(void)
{
    struct loop *l = malloc(sizeof(*l));
    assert_non_null(l);
    assert_int_equal(loop_init(l), 0);
    return l;
}

static void loop_unmake(struct loop *l)
{
    loop_done(l);
    free(l);
}

static void pass(struct loop *l, uint64_t ms)
{
    clock_set(&l->clock, l->clock.mono + ms, l->clock.wall_ms + ms);
    timer_run(l);
}

static void timers_fire_once_at_their_time(void **state)
{
    struct loop *l = loop_make();
    struct probe p = { 0 };
    timer_init(&p.timer, on_timer);
    timer_set(l, &p.timer, 1000);
    pass(l, 960);
    assert_int_equal(p.fired, 0);
    pass(l, 80);
    assert_int_equal(p.fired, 1);
    pass(l, 100000);
    assert_int_equal(p.fired, 1);
    assert_int_equal(timer_wait(l), -1);
    loop_unmake(l);
}

static void timers_can_be_pushed_and_pulled(void **state)
{
    struct loop *l = loop_make();
    struct probe p = { 0 };
    timer_init(&p.timer, on_timer);
    timer_set(l, &p.timer, 500);
    timer_set(l, &p.timer, 5000);
    pass(l, 1000);
    assert_int_equal(p.fired, 0);
    timer_set(l, &p.timer, 100);
    pass(l, 150);
    assert_int_equal(p.fired, 1);
    timer_set(l, &p.timer, 100);
    timer_clear(&p.timer);
    pass(l, 1000);
    assert_int_equal(p.fired, 1);
    assert_int_equal(l->timers, 0);
    loop_unmake(l);
}

static void timers_reach_beyond_the_round(void **state)
{
    struct loop *l = loop_make();
    struct probe p = { 0 }, q = { 0 };
    timer_init(&p.timer, on_timer);
    timer_init(&q.timer, on_timer);
    timer_set(l, &p.timer, 300000);
    timer_set(l, &q.timer, 70000);
    for (int i = 0; i < 299; i++)
        pass(l, 1000);
    assert_int_equal(p.fired, 0);
    assert_int_equal(q.fired, 1);
    pass(l, 1100);
    assert_int_equal(p.fired, 1);
    timer_set(l, &p.timer, 1000);
    timer_drop(l, &p.timer);
    pass(l, 10000000);
    assert_int_equal(p.fired, 1);
    timer_set(l, &p.timer, UINT64_MAX);
    pass(l, 10000000);
    assert_int_equal(p.fired, 1);
    timer_drop(l, &p.timer);
    loop_unmake(l);
}

static void random_timers_fire_in_their_tick(void **state)
{
    struct loop *l = loop_make();
    enum { N = 500 };
    struct probe *p = calloc(N, sizeof(*p));
    uint64_t due[N];
    srand(7);
    for (int i = 0; i < N; i++) {
        timer_init(&p[i].timer, on_timer);
        uint64_t ms = (uint64_t)rand() % 200000;
        timer_set(l, &p[i].timer, ms);
        due[i] = loop_now(l) + ms;
    }
    for (int step = 0; step < 20000; step++) {
        pass(l, 11);
        if (step % 50)
            continue;
        for (int i = 0; i < N; i++) {
            if (loop_now(l) < due[i])
                assert_int_equal(p[i].fired, 0);
            if (loop_now(l) > due[i] + 3 * LOOP_TICK_MS)
                assert_int_equal(p[i].fired, 1);
        }
    }
    assert_int_equal(l->timers, 0);
    free(p);
    loop_unmake(l);
}

static void a_task_runs_once_per_post(void **state)
{
    struct loop *l = loop_make();
    struct probe p = { .loop = l }, q = { .loop = l };
    task_init(&p.task, on_task);
    task_init(&q.task, on_task_again);
    task_post(l, &p.task);
    task_post(l, &p.task);
    task_post_later(l, &q.task);
    loop_turn(l, 0);
    assert_int_equal(p.fired, 1);
    assert_int_equal(q.fired, 1);
    loop_turn(l, 0);
    loop_turn(l, 0);
    loop_turn(l, 0);
    assert_int_equal(q.fired, 3);
    task_post(l, &p.task);
    task_cancel(l, &p.task);
    task_post_later(l, &q.task);
    task_cancel(l, &q.task);
    loop_turn(l, 0);
    assert_int_equal(p.fired, 1);
    assert_int_equal(q.fired, 3);
    loop_unmake(l);
}

static void late_registration_sees_what_came_before(void **state)
{
    struct loop *l = loop_make();
    struct probe p = { .loop = l };
    int sv[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    io_init(&p.io, sv[0], on_io);
    io_watch_soon(l, &p.io);
    assert_int_equal(write(sv[1], "x", 1), 1);
    for (int i = 0; i < 50 && !(p.events & IO_IN); i++)
        loop_turn(l, 20);
    assert_true(p.io.watched);
    assert_true(p.events & IO_IN);
    close(sv[1]);
    for (int i = 0; i < 50 && !(p.events & IO_HUP); i++)
        loop_turn(l, 20);
    assert_true(p.events & IO_HUP);
    io_close(l, &p.io);
    loop_unmake(l);
}

struct letter {
    struct mail mail;
    int number;
    int *order, *count;
};

static void open_letter(struct loop *l, struct mail *m)
{
    struct letter *let = container_of(m, struct letter, mail);
    let->order[(*let->count)++] = let->number;
    if (let->number == 99)
        loop_stop(l);
    free(let);
}

struct sender {
    struct loop *loop;
    int order[128], count;
};

static void *send_letters(void *arg)
{
    struct sender *s = arg;
    for (int i = 0; i < 100; i++) {
        struct letter *let = malloc(sizeof(*let));
        *let = (struct letter){ .number = i, .order = s->order, .count = &s->count };
        loop_mail(s->loop, &let->mail, open_letter);
    }
    return NULL;
}

static void mail_arrives_in_order(void **state)
{
    struct sender s = { .loop = loop_make() };
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, send_letters, &s), 0);
    loop_run(s.loop);
    pthread_join(t, NULL);
    assert_int_equal(s.count, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(s.order[i], i);
    loop_unmake(s.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_once_at_their_time), cmocka_unit_test(timers_can_be_pushed_and_pulled),
        cmocka_unit_test(timers_reach_beyond_the_round),  cmocka_unit_test(random_timers_fire_in_their_tick),
        cmocka_unit_test(a_task_runs_once_per_post),      cmocka_unit_test(late_registration_sees_what_came_before),
        cmocka_unit_test(mail_arrives_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
