/* An exchange between two ends that do nothing: what keeps it awake, and that it wakes as it was. */
#include "http/rest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/err.h"

struct fixture {
    struct worker w;
    struct gen_ref gen;
    struct client client;
    struct exchange *x;
    struct end front, back;
    bool busy;
    int kicks;
};

static struct fixture *fx;

static bool may_rest(struct end *e)
{
    return !fx->busy;
}

static void kick_in(struct end *e)
{
    fx->kicks++;
}

static void kick_out(struct end *e)
{
}

static const struct end_ops ops = { .name = "end", .may_rest = may_rest, .kick_in = kick_in, .kick_out = kick_out };
static const struct end_ops restless = { .name = "restless", .kick_in = kick_in, .kick_out = kick_out };

static int setup(void **state)
{
    fx = calloc(1, sizeof(*fx));
    if (!fx || loop_init(&fx->w.loop) < 0)
        return -1;
    fx->gen.current = true;
    slab_init(&fx->w.pages, EXCHANGE_PAGE, 4);
    end_init(&fx->front, &ops);
    end_init(&fx->back, &ops);
    fx->x = exchange_new(&fx->w, &fx->gen, &fx->front, &fx->client);
    if (!fx->x)
        return -1;
    end_attach_back(&fx->back, fx->x);
    return 0;
}

static int teardown(void **state)
{
    end_detach(&fx->front);
    end_detach(&fx->back);
    exchange_free(fx->x);
    slab_done(&fx->w.pages);
    loop_done(&fx->w.loop);
    free(fx);
    return 0;
}

static bool resident(const void *page)
{
    unsigned char v = 0;
    assert_int_equal(mincore((void *)page, 1, &v), 0);
    return v & 1;
}

static void there_and_back(void **state)
{
    struct exchange *x = fx->x;
    slice text;
    char page[EXCHANGE_PAGE];
    assert_true(arena_dup(&x->arena, SLICE("CONNECT origin:443 HTTP/1.1"), &text));
    x->req.line = text;
    x->req.port = 443;
    x->received = 1234567;
    uint64_t *numbers = arena_new_n(&x->arena, uint64_t, 40);
    for (uint64_t i = 0; i < 40; i++)
        numbers[i] = i * i * i * i * i * i * i;
    memcpy(page, x, sizeof(page));
    for (int turn = 1; turn <= 3; turn++) {
        assert_true(exchange_rest(x));
        assert_int_equal(fx->w.count[COUNT_TUNNEL_RESTS], turn);
        assert_non_null(fx->front.rest);
        assert_ptr_equal(fx->front.rest, fx->back.rest);
        assert_ptr_equal(fx->front.x, x);
        assert_false(resident(x));
        struct end *e = turn == 2 ? &fx->back : &fx->front;
        end_wake(e);
        assert_null(fx->front.rest);
        assert_null(fx->back.rest);
        end_wake(e); /* nothing more */
        assert_memory_equal(x, page, offsetof(struct exchange, req_pipe.ring));
        assert_memory_equal(&x->resp_pipe, page + offsetof(struct exchange, resp_pipe), offsetof(struct pipe, ring));
        assert_memory_equal(x + 1, page + sizeof(*x), (size_t)(x->arena.at - (char *)(x + 1)));
        assert_ptr_equal(x->front, &fx->front);
        assert_int_equal(fx->kicks, turn - 1);
        loop_drain(&fx->w.loop);
        assert_int_equal(fx->kicks, turn);
    }
}

/* The page is full and the arena has gone on elsewhere. */
static void full_page(void **state)
{
    struct exchange *x = fx->x;
    while (!x->arena.chunks)
        memset(arena_bytes(&x->arena, 100), 'x', 100);
    char *last = (char *)x + EXCHANGE_PAGE - 200, *beyond = arena_bytes(&x->arena, 4);
    memcpy(beyond, "more", 4);
    assert_int_equal(*last, 'x');
    assert_true(exchange_rest(x));
    end_wake(&fx->back);
    assert_int_equal(*last, 'x');
    assert_memory_equal(beyond, "more", 4);
}

static void end_hold(struct x_hold *h, struct exchange *x)
{
    exchange_unhold(x, h);
}

#define STAYS_AWAKE_WHILE(member, value)     \
    do {                                     \
        typeof(fx->member) was = fx->member; \
        fx->member = value;                  \
        assert_false(exchange_rest(fx->x));  \
        assert_null(fx->front.rest);         \
        fx->member = was;                    \
    } while (0)

static void what_keeps_awake(void **state)
{
    struct x_hold h;
    STAYS_AWAKE_WHILE(busy, true);
    STAYS_AWAKE_WHILE(front.ops, &restless);
    STAYS_AWAKE_WHILE(back.ops, &restless);
    STAYS_AWAKE_WHILE(x->back, NULL);
    STAYS_AWAKE_WHILE(front.kick.queued, true);
    STAYS_AWAKE_WHILE(x->run.queued, true);
    STAYS_AWAKE_WHILE(x->ended, END_CLIENT);
    STAYS_AWAKE_WHILE(x->front_why, WHY_CLIENT_CLOSED);
    STAYS_AWAKE_WHILE(x->events, X_BACK_FAILED);
    STAYS_AWAKE_WHILE(x->parent, fx->x);
    STAYS_AWAKE_WHILE(x->works, (struct list *)(void *)fx);
    STAYS_AWAKE_WHILE(x->transforms, (struct transform *)(void *)fx);
    STAYS_AWAKE_WHILE(x->req_pipe.state, PIPE_EOF);
    STAYS_AWAKE_WHILE(x->resp_pipe.stalled, true);
    STAYS_AWAKE_WHILE(x->resp_pipe.count, 1);
    exchange_hold(fx->x, &h, end_hold);
    assert_false(exchange_rest(fx->x));
    h.still = true;
    assert_true(exchange_rest(fx->x));
    end_wake(&fx->front);
    assert_true(exchange_let_go(fx->x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(full_page, setup, teardown),
        cmocka_unit_test_setup_teardown(what_keeps_awake, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
