/* The pipe between two scripted ends: loans, back-pressure, replay, spilling, the budget. */
#include "http/pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/end.h"
#include "loop/loop.h"
#include "loop/scratch.h"

/* A consumer that takes at most `takes` bytes a kick, and a producer that counts its kicks. */
struct fixture {
    struct loop *loop;
    struct buf_budget budget;
    struct pipe p;
    struct end producer, consumer;
    struct exchange *some;
    size_t takes;
    int kicks_out, kicks_in;
    char got[1 << 20];
    size_t ngot;
};

static struct fixture *fx;

static void consume(struct end *e)
{
    struct iovec iov[PIPE_PIECES];
    size_t total, left = fx->takes;
    fx->kicks_out++;
    int n = pipe_iov(&fx->p, iov, PIPE_PIECES, &total);
    size_t done = 0;
    for (int i = 0; i < n && left; i++) {
        size_t k = iov[i].iov_len < left ? iov[i].iov_len : left;
        memcpy(fx->got + fx->ngot, iov[i].iov_base, k);
        fx->ngot += k;
        left -= k;
        done += k;
    }
    pipe_take(&fx->p, done);
}

static void produce(struct end *e)
{
    fx->kicks_in++;
}

static const struct end_ops consumer_ops = { .name = "consumer", .kick_out = consume };
static const struct end_ops producer_ops = { .name = "producer", .kick_in = produce };

static int setup(void **state)
{
    fx = calloc(1, sizeof(*fx));
    fx->loop = malloc(sizeof(*fx->loop));
    if (loop_init(fx->loop) < 0)
        return -1;
    pipe_init(&fx->p, fx->loop, &fx->budget, 1000);
    end_init(&fx->producer, &producer_ops);
    end_init(&fx->consumer, &consumer_ops);
    fx->producer.x = fx->consumer.x = (struct exchange *)fx; /* only asked whether it is there */
    fx->p.producer = &fx->producer;
    fx->p.consumer = &fx->consumer;
    fx->p.ready = true;
    fx->takes = SIZE_MAX;
    return 0;
}

static int teardown(void **state)
{
    pipe_done(&fx->p);
    size_t leaked = fx->budget.used;
    loop_done(fx->loop);
    free(fx->loop);
    free(fx);
    return leaked ? -1 : 0;
}

static void got_is(const char *text)
{
    assert_int_equal(fx->ngot, strlen(text));
    assert_memory_equal(fx->got, text, fx->ngot);
}

/* A loan is overwritten as soon as the push returns, as a scratch buffer would be. */
static int lend(const char *text)
{
    char scratch[4096];
    const slice s = slice_str(text);
    assert_true(s.n <= sizeof(scratch));
    memcpy(scratch, s.p, s.n);
    assert_true(pipe_put(&fx->p, PIECE_LOAN, slice_of(scratch, s.n)));
    int rc = pipe_push(&fx->p);
    memset(scratch, '#', sizeof(scratch));
    return rc;
}

static void a_loan_that_is_taken_costs_no_copy(void **state)
{
    assert_int_equal(lend("hello"), PIPE_MORE);
    got_is("hello");
    assert_int_equal(fx->budget.used, 0);
    assert_int_equal(fx->p.queued, 0);
}

static void what_is_not_taken_is_kept(void **state)
{
    fx->takes = 3;
    assert_int_equal(lend("abcdefgh"), PIPE_MORE);
    got_is("abc");
    assert_true(fx->budget.used > 0);
    assert_int_equal(lend("ijk"), PIPE_MORE);
    got_is("abcdef");
    fx->takes = SIZE_MAX;
    assert_int_equal(pipe_push(&fx->p), PIPE_MORE);
    got_is("abcdefghijk");
    assert_int_equal(fx->budget.used, 0);
}

static void many_small_loans_share_a_buffer(void **state)
{
    fx->takes = 0;
    for (int i = 0; i < 200; i++)
        assert_int_equal(lend("abc"), PIPE_MORE);
    assert_int_equal(fx->p.count, 1);
    fx->takes = SIZE_MAX;
    pipe_push(&fx->p);
    assert_int_equal(fx->ngot, 600);
    for (size_t i = 0; i < fx->ngot; i++)
        assert_int_equal(fx->got[i], "abc"[i % 3]);
}

/* Pieces that do not fit behind one another: the ring must not be full before the pipe is. */
static void many_large_loans_leave_room_in_the_ring(void **state)
{
    enum { N = 5000, LOANS = 60 };
    char *piece = malloc(N);
    assert_non_null(piece);
    fx->takes = 10;
    pipe_resize(&fx->p, 1 << 20);
    for (int i = 0; i < LOANS; i++) {
        memset(piece, 'a' + i % 26, N);
        assert_true(pipe_want(&fx->p) >= N);
        assert_true(pipe_put(&fx->p, PIECE_LOAN, slice_of(piece, N)));
        assert_int_equal(pipe_push(&fx->p), PIPE_MORE);
    }
    fx->takes = SIZE_MAX;
    while (fx->p.queued)
        fx->consumer.ops->kick_out(&fx->consumer);
    assert_int_equal(fx->ngot, N * LOANS);
    for (size_t i = 0; i < fx->ngot; i++)
        assert_int_equal(fx->got[i], 'a' + i / N % 26);
    assert_int_equal(fx->budget.used, 0);
    free(piece);
}

/* No memory to join them: the producer waits as it does for bytes, and is called when a piece has gone. */
static void a_full_ring_stops_its_producer(void **state)
{
    enum { N = 5000 };
    char *piece = calloc(1, N);
    int rc = PIPE_MORE;
    assert_non_null(piece);
    fx->takes = 0;
    pipe_resize(&fx->p, 1 << 20);
    fx->budget.limit = PIPE_PIECES * N;
    for (int i = 0; i < PIPE_PIECES; i++) {
        assert_int_equal(rc, PIPE_MORE);
        assert_true(pipe_put(&fx->p, PIECE_LOAN, slice_of(piece, N)));
        rc = pipe_push(&fx->p);
    }
    assert_int_equal(rc, PIPE_FULL);
    assert_int_equal(pipe_want(&fx->p), 0);
    fx->budget.limit = 0;
    fx->takes = N;
    fx->consumer.ops->kick_out(&fx->consumer);
    loop_drain(fx->loop);
    assert_int_equal(fx->kicks_in, 1);
    assert_true(pipe_want(&fx->p) > 0);
    free(piece);
}

static void a_full_pipe_stops_its_producer(void **state)
{
    char big[900];
    memset(big, 'x', sizeof(big));
    big[899] = '\0';
    fx->takes = 0;
    assert_int_equal(lend(big), PIPE_MORE);
    assert_true(pipe_want(&fx->p) < 200);
    assert_int_equal(lend(big), PIPE_FULL);
    assert_int_equal(pipe_want(&fx->p), 0);
    fx->takes = 600;
    fx->consumer.ops->kick_out(&fx->consumer);
    loop_drain(fx->loop);
    assert_int_equal(fx->kicks_in, 0); /* still more than half */
    fx->consumer.ops->kick_out(&fx->consumer);
    fx->consumer.ops->kick_out(&fx->consumer);
    assert_int_equal(fx->kicks_in, 0); /* never nested ... */
    loop_drain(fx->loop);
    assert_int_equal(fx->kicks_in, 1); /* ... but from the run queue, once */
}

static void a_slow_consumer_is_read_for_in_smaller_pieces(void **state)
{
    assert_int_equal(pipe_want(&fx->p), SCRATCH_SIZE);
    fx->takes = 0;
    lend("abc");
    fx->takes = SIZE_MAX;
    fx->consumer.ops->kick_out(&fx->consumer);
    assert_int_equal(pipe_want(&fx->p), PIPE_FLOOR);
}

static void eof_comes_after_the_last_piece(void **state)
{
    fx->takes = 2;
    lend("abcd");
    pipe_end(&fx->p, NULL);
    pipe_push(&fx->p);
    assert_false(fx->p.queued != 0 && pipe_finished(&fx->p));
    pipe_push(&fx->p);
    assert_true(pipe_finished(&fx->p));
    got_is("abcd");
    assert_int_equal(pipe_want(&fx->p), 0);
}

static void a_closed_pipe_swallows(void **state)
{
    fx->takes = 1;
    lend("abc");
    pipe_close(&fx->p);
    assert_int_equal(lend("defg"), PIPE_MORE);
    got_is("a");
    assert_int_equal(fx->p.taken, 7);
    assert_int_equal(fx->budget.used, 0);
}

static void a_retained_body_can_be_offered_again(void **state)
{
    fx->p.retain = true;
    fx->takes = 4;
    lend("abcdefgh");
    assert_true(pipe_can_rewind(&fx->p));
    pipe_rewind(&fx->p);
    fx->takes = SIZE_MAX;
    pipe_push(&fx->p);
    got_is("abcdabcdefgh");
    pipe_rewind(&fx->p);
    pipe_push(&fx->p);
    got_is("abcdabcdefghabcdefgh");
    pipe_release(&fx->p);
    assert_false(pipe_can_rewind(&fx->p));
    assert_int_equal(fx->budget.used, 0);
}

static void without_retaining_only_an_untouched_body_can(void **state)
{
    fx->takes = 0;
    lend("abc");
    assert_true(pipe_can_rewind(&fx->p));
    fx->takes = 1;
    pipe_push(&fx->p);
    assert_false(pipe_can_rewind(&fx->p));
}

static void spilled_bytes_make_room_and_keep_their_order(void **state)
{
    int fd = memfd_create("spill", 0);
    uint64_t at = 0;
    char big[901];
    memset(big, 'y', 900);
    big[900] = '\0';
    fx->p.ready = false;
    for (int i = 0; i < 5; i++) {
        lend(big);
        assert_int_equal(lend(big), PIPE_FULL);
        assert_int_equal(pipe_to_file(&fx->p, fd, &at, 0), OK);
        assert_true(pipe_want(&fx->p) >= 1000);
    }
    lend("end");
    assert_int_equal(at, 9000);
    assert_int_equal(fx->p.queued, 9003);
    assert_int_equal(fx->p.count, 2);
    size_t skip, total;
    const struct piece *e = pipe_front(&fx->p, &skip);
    assert_int_equal(e->kind, PIECE_FILE);
    assert_int_equal(e->n, 9000);
    struct iovec iov[4];
    assert_int_equal(pipe_iov(&fx->p, iov, 4, &total), 0);
    pipe_take(&fx->p, 9000);
    assert_int_equal(pipe_iov(&fx->p, iov, 4, &total), 1);
    assert_int_equal(total, 3);
    assert_int_equal(fx->p.filed, 0);
    close(fd);
}

/* Reads everything that is queued, of memory and of the file, into fx->got. */
static void drain(int fd)
{
    const struct piece *e;
    size_t skip;
    while ((e = pipe_front(&fx->p, &skip))) {
        size_t n = e->n - skip;
        if (e->kind == PIECE_FILE)
            assert_int_equal(pread(fd, fx->got + fx->ngot, n, (off_t)(e->offset + skip)), n);
        else
            memcpy(fx->got + fx->ngot, e->p + skip, n);
        fx->ngot += n;
        pipe_take(&fx->p, n);
    }
    assert_int_equal(fx->p.queued, 0);
    assert_int_equal(fx->p.filed, 0);
}

/* Bytes that tell where they stood: the whole body is "0 1 2 3 ...". Lent in parts of `part` bytes. */
static size_t lend_numbers(char *whole, size_t size, size_t part)
{
    size_t n = 0;
    for (unsigned i = 0; n + 12 < size; i++)
        n += (size_t)snprintf(whole + n, size - n, "%u ", i);
    for (size_t at = 0; at < n; at += part)
        assert_true(pipe_put(&fx->p, PIECE_LOAN, slice_of(whole + at, part < n - at ? part : n - at)) &&
                    pipe_push(&fx->p) > 0);
    return n;
}

/* `takes` bytes are with the consumer already; of the rest `keep` stay in memory whatever the pieces are. */
static void keep_some(size_t part, size_t takes, size_t keep)
{
    int fd = memfd_create("spill", 0);
    uint64_t at = 0;
    static char whole[40000];
    fx->p.ready = false;
    fx->ngot = 0;
    fx->takes = takes;
    pipe_resize(&fx->p, 60000);
    size_t n = lend_numbers(whole, sizeof(whole), part);
    consume(&fx->consumer);
    assert_int_equal(pipe_to_file(&fx->p, fd, &at, keep), OK);
    size_t kept = n - takes - (size_t)at;
    if (keep < n - takes)
        assert_true(kept <= keep && (kept == keep || part < keep));
    else
        assert_int_equal(kept, 0);
    assert_int_equal(fx->p.filed, at);
    assert_int_equal(lend("more"), PIPE_MORE);
    assert_int_equal(pipe_to_file(&fx->p, fd, &at, keep), OK); /* behind a file nothing is kept */
    assert_int_equal(fx->p.queued - fx->p.filed, kept);
    assert_true(fx->budget.used < 2 * kept + 8192);
    drain(fd);
    assert_int_equal(fx->ngot, n + 4);
    assert_memory_equal(fx->got, whole, n);
    assert_memory_equal(fx->got + n, "more", 4);
    close(fd);
}

static void what_the_consumer_is_busy_with_stays_in_memory(void **state)
{
    static const size_t parts[] = { 700, 3000, 5000, 39000, 50000 }, taken[] = { 0, 1, 2999, 3000, 3001, 20000 },
                        keeps[] = { 0, 1, 8192, 9000, 16384, 38000, 1 << 20 };
    for (size_t i = 0; i < array_len(parts); i++)
        for (size_t k = 0; k < array_len(taken); k++)
            for (size_t j = 0; j < array_len(keeps); j++)
                keep_some(parts[i], taken[k], keeps[j]);
}

/* A ring that is full of small pieces has to have a place again, although they are less than may stay. */
static void a_ring_full_of_small_pieces_is_emptied(void **state)
{
    static const char text[] = "0123456789abcdef";
    int fd = memfd_create("spill", 0);
    uint64_t at = 0;
    fx->p.ready = false;
    for (size_t i = 0; i < PIPE_PIECES; i++)
        assert_true(pipe_put(&fx->p, PIECE_MEM, slice_of(text + i, 1)));
    assert_false(pipe_has_place(&fx->p));
    assert_int_equal(pipe_to_file(&fx->p, fd, &at, 500), OK);
    assert_int_equal(at, PIPE_PIECES);
    assert_true(pipe_has_place(&fx->p));
    for (size_t i = 0; i < PIPE_PIECES - 1; i++)
        assert_true(pipe_put(&fx->p, PIECE_MEM, slice_of(text + i, 1)));
    drain(fd);
    assert_int_equal(fx->ngot, 2 * PIPE_PIECES - 1);
    for (size_t i = 0; i < PIPE_PIECES; i++)
        assert_true(pipe_put(&fx->p, PIECE_MEM, slice_of(text + i, 1)));
    assert_int_equal(pipe_to_file(&fx->p, fd, &at, PIPE_PIECES - 1), OK); /* half of the ring stays */
    assert_int_equal(at, PIPE_PIECES + PIPE_PIECES / 2);
    assert_true(pipe_has_place(&fx->p));
    close(fd);
}

static void the_budget_leaves_every_pipe_its_floor(void **state)
{
    fx->budget.limit = 1;
    fx->takes = 0;
    assert_int_equal(lend("abc"), PIPE_MORE); /* over the budget, under the floor */
    char *big = calloc(1, 2 * PIPE_FLOOR);
    pipe_resize(&fx->p, 10 * PIPE_FLOOR);
    assert_true(pipe_want(&fx->p) <= PIPE_FLOOR);
    assert_true(pipe_put(&fx->p, PIECE_LOAN, slice_of(big, 2 * PIPE_FLOOR)));
    assert_int_equal(pipe_push(&fx->p), ERR_NOMEM);
    assert_int_equal(fx->p.state, PIPE_ABORTED);
    free(big);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_loan_that_is_taken_costs_no_copy),
        T(what_is_not_taken_is_kept),
        T(many_small_loans_share_a_buffer),
        T(many_large_loans_leave_room_in_the_ring),
        T(a_full_ring_stops_its_producer),
        T(a_full_pipe_stops_its_producer),
        T(a_slow_consumer_is_read_for_in_smaller_pieces),
        T(eof_comes_after_the_last_piece),
        T(a_closed_pipe_swallows),
        T(a_retained_body_can_be_offered_again),
        T(without_retaining_only_an_untouched_body_can),
        T(spilled_bytes_make_room_and_keep_their_order),
        T(what_the_consumer_is_busy_with_stays_in_memory),
        T(a_ring_full_of_small_pieces_is_emptied),
        T(the_budget_leaves_every_pipe_its_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
