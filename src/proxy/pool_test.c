/* Idle connections: found again by what they were put under, and what a key costs once nothing lies under it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "h1/server.h"
#include "proxy/pool.h"

static struct worker w;
static struct addr addr;
static struct peer peer = { .pool_key = 77 };
static const struct upstream upstream = {
    .keepalive = 4, .keepalive_requests = 1000, .keepalive_timeout = 60000, .keepalive_time = 3600000
};
static int listener;

uint64_t worker_connection_number(void)
{
    return 1;
}

/* An abstract unix address: the kernel answers for the listener. */
static int setup(void **state)
{
    w = (struct worker){ .index = 0 };
    addr = (struct addr){ .len = sizeof(sa_family_t) };
    addr.un.sun_family = AF_UNIX;
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, &addr.sa, addr.len) < 0 || listen(listener, 64) < 0)
        return -1;
    addr.len = sizeof(addr.un);
    if (getsockname(listener, &addr.sa, &addr.len) < 0)
        return -1;
    peer.addr = addr;
    return loop_init(&w.loop) < 0 || scratch_init(&w.scratch, SCRATCH_SIZE) < 0 || h1_room.init(&w) < 0 ||
                   proxy_room.init(&w) < 0
               ? -1
               : 0;
}

static int teardown(void **state)
{
    proxy_room.done(&w);
    h1_room.done(&w);
    loop_done(&w.loop);
    scratch_done(&w.scratch);
    close(listener);
    return w.connections ? -1 : 0;
}

static size_t shelves(void)
{
    size_t n = 0;
    for (size_t i = 0; i < POOL_BUCKETS; i++) {
        for (const struct pool_shelf *s = w.proxy->buckets[i]; s; s = s->next)
            n++;
    }
    return n;
}

static struct h1_client *put(uint64_t bound)
{
    struct h1_client *cl = h1_client_connect(&w, &addr, NULL, false);
    assert_non_null(cl);
    cl->state = CLIENT_IDLE;
    cl->bound = bound;
    pool_put(&w, cl, &upstream, &peer);
    return cl;
}

static void the_hottest_comes_first_and_only_of_its_own_address(void **state)
{
    struct h1_client *cold = put(0), *hot = put(0), *bound = put(5);
    assert_ptr_equal(pool_take(&w, &peer, 5), bound);
    assert_null(pool_take(&w, &peer, 5));
    assert_ptr_equal(pool_take(&w, &peer, 0), hot);
    assert_ptr_equal(pool_take(&w, &peer, 0), cold);
    h1_client_close(cold);
    h1_client_close(hot);
    h1_client_close(bound);
}

static void an_address_that_a_request_chose_leaves_nothing(void **state)
{
    for (uint64_t i = 1; i <= 30; i++) {
        struct h1_client *cl = put(i);
        if (i % 2)
            w.h1->idle_ended(cl);
        else
            h1_client_close(pool_take(&w, &peer, i));
    }
    assert_int_equal(shelves(), 0);
    struct h1_client *one = put(1);
    put(1);
    w.h1->idle_ended(one);
    assert_int_equal(shelves(), 1); /* one is left */
}

static void the_coldest_goes_when_there_are_too_many(void **state)
{
    for (int i = 0; i < 6; i++)
        put(9);
    assert_int_equal(shelves(), 1);
    for (int i = 0; i < 4; i++)
        h1_client_close(pool_take(&w, &peer, 9));
    assert_null(pool_take(&w, &peer, 9));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_hottest_comes_first_and_only_of_its_own_address),
        T(an_address_that_a_request_chose_leaves_nothing),
        T(the_coldest_goes_when_there_are_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
