/* What a client connection holds while the head of a request comes in parts: nothing, then nginx's buffers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "h1/server.h"
#include "http/route.h"
#include "net/listen.h"

enum { FIRST = 700, LARGE = 2000, NUMBER = 3, CONNECTIONS = 2 };

static struct worker w;
static struct generation gen;
static struct gen_ref ref;
static struct client_server_conf conf;
static struct client_location_conf base_conf;
static struct location base = { .client = &base_conf };
static struct server server = { .client = &conf, .base = &base };
static struct listener_conf listener_conf = { .default_server = &server };
static struct listener listener;
static int peer[CONNECTIONS];

uint64_t worker_connection_number(void)
{
    static uint64_t last;
    return ++last;
}

/* No exchange is run here: the head that began it is what counts. */
static void leave_alone(struct exchange *x)
{
}

static int setup(void **state)
{
    conf = (struct client_server_conf){ .header_timeout = 60000,
                                        .header_buffer_size = FIRST,
                                        .large_buffers = NUMBER,
                                        .large_buffer_size = LARGE,
                                        .max_fields = 100 };
    ref = (struct gen_ref){ .gen = &gen, .users = 1, .current = true };
    listener = (struct listener){ .worker = &w, .conf = &listener_conf };
    w = (struct worker){ .gen = &ref };
    exchange_run = leave_alone;
    if (loop_init(&w.loop) < 0 || scratch_init(&w.scratch, SCRATCH_SIZE) < 0 || h1_room.init(&w) < 0)
        return -1;
    w.loop.owner = &w;
    slab_init(&w.pages, EXCHANGE_PAGE, 4);
    return 0;
}

static struct h1_server *nth(int n)
{
    struct list *at = w.h1->connections.next;
    while (n-- > 0)
        at = at->next;
    return list_entry(at, struct h1_server, link);
}

static void drop_exchange(struct h1_server *s)
{
    struct exchange *x = s->c.end.x;
    if (!x)
        return;
    task_cancel(&w.loop, &x->run);
    end_detach(&s->c.end);
    exchange_free(x);
}

static int teardown(void **state)
{
    struct list *at = w.h1->connections.next;
    for (; at != &w.h1->connections; at = at->next)
        drop_exchange(list_entry(at, struct h1_server, link));
    h1_room.done(&w);
    for (int i = 0; i < CONNECTIONS; i++)
        if (peer[i] > 0)
            close(peer[i]);
    memset(peer, 0, sizeof(peer));
    loop_done(&w.loop);
    scratch_done(&w.scratch);
    slab_done(&w.pages);
    return w.connections || ref.users != 1 ? -1 : 0;
}

static struct h1_server *open_connection(int n)
{
    const struct addr a = { .sa.sa_family = AF_UNIX };
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    peer[n] = pair[0];
    h1_server_accept(&w, &listener, pair[1], &a);
    loop_drain(&w.loop);
    return nth(n);
}

static void send_text(int n, slice text)
{
    assert_int_equal(send(peer[n], text.p, text.n, 0), text.n);
    loop_turn(&w.loop, 0);
}

/* So many bytes of a field's value, in one segment. */
static void send_bytes(int n, size_t size)
{
    static char bytes[64 << 10];
    memset(bytes, 'x', sizeof(bytes));
    send_text(n, slice_of(bytes, size));
}

/* Another connection reads: the scratch is not this one's any more. */
static void take_scratch(void)
{
    struct scratch_holder other = { 0 };
    scratch_take(&w.scratch, &other);
}

static void an_idle_connection_holds_nothing(void **state)
{
    struct h1_server *s = open_connection(0);
    assert_null(s->c.stash);
    take_scratch();
    assert_null(s->c.stash);
}

static void a_part_of_a_head_costs_nothing_while_nobody_else_reads(void **state)
{
    struct h1_server *s = open_connection(0);
    send_text(0, SLICE("GET / HTTP/1.1\r\nX: "));
    send_bytes(0, 1500);
    assert_int_equal(s->c.in_n, 19 + 1500);
    assert_null(s->c.stash);
    send_text(0, SLICE("\r\nHost: a\r\n\r\n"));
    assert_int_equal(s->state, SERVER_EXCHANGE);
    assert_null(s->c.stash);
}

static void the_first_buffer_and_then_large_ones(void **state)
{
    struct h1_server *s = open_connection(0);
    send_text(0, SLICE("GET / HTTP/1.1\r\nX: "));
    take_scratch();
    assert_int_equal(s->c.stash_cap, FIRST);
    send_bytes(0, FIRST - 19 - 1);
    assert_int_equal(s->c.stash_cap, FIRST);
    send_text(0, SLICE("\r\nY: "));
    assert_int_equal(s->c.stash_cap, FIRST + LARGE);
    send_bytes(0, 1990);
    assert_int_equal(s->c.stash_cap, FIRST + LARGE);
    send_bytes(0, 5);
    send_text(0, SLICE("\r\nZ: "));
    assert_int_equal(s->c.stash_cap, FIRST + 2 * LARGE);
    assert_int_equal(s->c.in_n, FIRST - 1 + 5 + 1995 + 5);
    assert_int_equal(s->state, SERVER_HEAD);
    send_text(0, SLICE("z\r\nHost: a\r\n\r\n"));
    assert_int_equal(s->state, SERVER_EXCHANGE);
    assert_null(s->c.stash);
    assert_int_equal(s->c.end.x->req.fields.n, 3);
}

static void two_heads_at_a_time(void **state)
{
    struct h1_server *s = open_connection(0), *t = open_connection(1);
    for (int i = 0; i < 3; i++) {
        send_text(0, i ? SLICE("X: y\r\n") : SLICE("GET /first HTTP/1.1\r\n"));
        send_text(1, i ? SLICE("X: z\r\n") : SLICE("GET /second HTTP/1.1\r\n"));
        assert_int_equal(s->c.stash_cap, FIRST);
    }
    assert_null(t->c.stash); /* the scratch is its own since the first head left it */
    send_text(0, SLICE("Host: a\r\n\r\n"));
    send_text(1, SLICE("Host: a\r\n\r\n"));
    assert_true(slice_eq(s->c.end.x->req.target, SLICE("/first")));
    assert_true(slice_eq(t->c.end.x->req.target, SLICE("/second")));
}

/* Lines are bounded by the larger of the buffers, as they have to lie in one. */
static void a_line_fits_into_the_largest_buffer(void **state)
{
    struct h1_server *s = open_connection(0);
    conf.header_buffer_size = 2 * LARGE;
    send_text(0, SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: "));
    send_bytes(0, 2 * LARGE - 5);
    assert_int_equal(s->state, SERVER_HEAD);
    send_text(0, SLICE("\r\n\r\n"));
    assert_int_equal(s->state, SERVER_EXCHANGE);
    assert_int_equal(s->c.end.x->refuse, 0);
    s = open_connection(1);
    send_text(1, SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: "));
    send_bytes(1, 2 * LARGE + 5);
    assert_int_equal(s->c.end.x->refuse, 431);
}

/* No further event comes when a head and the FIN were one. */
static void a_client_that_has_left_with_its_request_is_noticed(void **state)
{
    struct h1_server *s = open_connection(0);
    send_text(0, SLICE("GET / HTTP/1.1\r\n"));
    assert_int_equal(send(peer[0], "Host: a\r\n\r\n", 11, 0), 11);
    assert_int_equal(shutdown(peer[0], SHUT_WR), 0);
    loop_turn(&w.loop, 0);
    assert_int_equal(s->state, SERVER_EXCHANGE);
    assert_int_equal(s->c.end.x->front_why, WHY_CLIENT_CLOSED);
}

/* A size that no 32 bits hold is no small one. */
static void huge_limits_are_huge(void **state)
{
    struct h1_server *s = open_connection(0);
    conf.large_buffers = 1024;
    conf.large_buffer_size = 16 << 20;
    send_text(0, SLICE("GET / HTTP/1.1\r\nHost: a\r\nX: "));
    send_bytes(0, 60000);
    send_text(0, SLICE("\r\n\r\n"));
    assert_int_equal(s->state, SERVER_EXCHANGE);
    assert_int_equal(s->c.end.x->refuse, 0);
}

/* What a client has sent behind the body of a request waits in the kernel, but for one read's worth: the request may
 * take long, and what is kept meanwhile is in nobody's budget. */
static void little_is_read_behind_a_body(void **state)
{
    enum { BODY = 20000 };
    struct h1_server *s = open_connection(0);
    int size = 1 << 20;
    setsockopt(peer[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    send_text(0, SLICE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n"));
    assert_int_equal(s->state, SERVER_EXCHANGE);
    for (int i = 0; i < 3; i++)
        send_bytes(0, 60000);
    assert_true(s->c.end.ops->in_hand(&s->c.end, BODY));
    assert_in_range(s->c.in_n, BODY, BODY + H1_HEAD_READ);
}

/* The same where the end of the body is met only by reading it. */
static void little_is_read_behind_a_chunked_body(void **state)
{
    struct h1_server *s = open_connection(0);
    int size = 1 << 20;
    setsockopt(peer[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    base_conf.body_timeout = 60000;
    send_text(0, SLICE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_int_equal(s->state, SERVER_EXCHANGE);
    send_text(0, SLICE("5\r\nhello\r\n0\r\n\r\n"));
    for (int i = 0; i < 3; i++)
        send_bytes(0, 60000);
    s->c.end.ops->kick_in(&s->c.end);
    assert_true(s->c.body.done);
    assert_in_range(s->c.in_n, 0, H1_HEAD_READ);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_idle_connection_holds_nothing),
        T(a_part_of_a_head_costs_nothing_while_nobody_else_reads),
        T(the_first_buffer_and_then_large_ones),
        T(two_heads_at_a_time),
        T(a_line_fits_into_the_largest_buffer),
        T(huge_limits_are_huge),
        T(little_is_read_behind_a_body),
        T(little_is_read_behind_a_chunked_body),
        T(a_client_that_has_left_with_its_request_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
