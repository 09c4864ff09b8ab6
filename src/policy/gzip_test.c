/* gzip's transform between a scripted producer and consumer: cuts, back-pressure, flushes, files, aborts. */
#include "policy/gzip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/err.h"
#include "loop/timer.h"
#include "policy/gzip_stream.h"

const struct policy_entry policy_table[1];
const size_t policy_count;

enum { CAPACITY = 4096, GOT = 1 << 20 };

struct fixture {
    struct worker *w;
    struct exchange *x;
    struct end producer, consumer;
    size_t takes;
    char got[GOT], plain[GOT];
    size_t ngot;
    int kicked;
};

static struct fixture *fx;

static void consume(struct end *e)
{
    struct iovec iov[PIPE_PIECES];
    size_t total;
    int n = pipe_iov(e->out, iov, PIPE_PIECES, &total);
    for (int i = 0; i < n && fx->takes; i++) {
        size_t k = iov[i].iov_len < fx->takes ? iov[i].iov_len : fx->takes;
        memcpy(fx->got + fx->ngot, iov[i].iov_base, k);
        fx->ngot += k;
        if (fx->takes != SIZE_MAX)
            fx->takes -= k;
        pipe_take(e->out, k);
        if (k < iov[i].iov_len)
            break;
    }
}

static void produce(struct end *e)
{
    fx->kicked++;
}

static const struct end_ops consumer_ops = { .name = "consumer", .kick_out = consume };
static const struct end_ops producer_ops = { .name = "producer", .kick_in = produce };

static int setup(void **state)
{
    fx = calloc(1, sizeof(*fx));
    fx->w = calloc(1, sizeof(*fx->w));
    fx->x = calloc(1, sizeof(*fx->x));
    if (loop_init(&fx->w->loop) < 0)
        return -1;
    fx->x->w = fx->w;
    arena_init(&fx->x->arena, NULL, 0, 4096, 0);
    pipe_init(&fx->x->req_pipe, &fx->w->loop, &fx->w->budget, CAPACITY);
    pipe_init(&fx->x->resp_pipe, &fx->w->loop, &fx->w->budget, CAPACITY);
    end_init(&fx->producer, &producer_ops);
    end_init(&fx->consumer, &consumer_ops);
    end_attach_front(&fx->consumer, fx->x);
    end_attach_back(&fx->producer, fx->x);
    fx->takes = SIZE_MAX;
    return 0;
}

static int teardown(void **state)
{
    end_detach(&fx->producer);
    end_detach(&fx->consumer);
    transforms_done(fx->x);
    pipe_done(&fx->x->resp_pipe);
    bool ok = fx->w->budget.used == 0 && fx->w->loop.timers == 0 && (!fx->w->gzip || !fx->w->gzip->busy);
    gzip_room.done(fx->w);
    arena_done(&fx->x->arena);
    loop_done(&fx->w->loop);
    free(fx->x);
    free(fx->w);
    free(fx);
    return ok ? 0 : -1;
}

static void begin(bool eager)
{
    assert_int_equal(gzip_insert(fx->x, 1, SIZE_MAX, eager), OK);
    fx->consumer.out->ready = true;
}

static char byte_at(size_t i)
{
    return (char)(i % 251 < 200 ? 'a' + i / 7 % 20 : (i * 2654435761u) >> 13);
}

/* Lends bytes [from, from + n) of the pattern. */
static int lend(size_t from, size_t n)
{
    static char scratch[1 << 17];
    for (size_t i = 0; i < n; i++)
        scratch[i] = byte_at(from + i);
    assert_true(pipe_put(&fx->x->resp_pipe, PIECE_LOAN, slice_of(scratch, n)));
    int rc = pipe_push(&fx->x->resp_pipe);
    memset(scratch, '#', sizeof(scratch));
    return rc;
}

static void end(void)
{
    pipe_end(&fx->x->resp_pipe, NULL);
    pipe_push(&fx->x->resp_pipe);
}

/* How many bytes of the pattern what has come unpacks to. */
static size_t unpacked(bool whole)
{
    z_stream z = {
        .next_in = (Bytef *)fx->got, .avail_in = (uInt)fx->ngot, .next_out = (Bytef *)fx->plain, .avail_out = GOT
    };
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    int rc = inflate(&z, Z_SYNC_FLUSH);
    assert_true(whole ? rc == Z_STREAM_END : rc == Z_OK || rc == Z_BUF_ERROR);
    size_t n = z.total_out;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fx->plain[i], byte_at(i));
    inflateEnd(&z);
    return n;
}

static void pass_time(uint64_t ms)
{
    struct loop *l = &fx->w->loop;
    for (uint64_t i = 0; i < ms; i += LOOP_TICK_MS) {
        l->clock.mono += LOOP_TICK_MS;
        timer_run(l);
        loop_drain(l);
    }
}

static void byte_by_byte(void **state)
{
    begin(false);
    for (size_t i = 0; i < 3000; i++)
        assert_int_equal(lend(i, 1), PIPE_MORE);
    end();
    assert_true(pipe_finished(fx->consumer.out));
    assert_int_equal(unpacked(true), 3000);
    assert_int_equal(fx->w->gzip->busy, 0); /* given back before the exchange ends */
}

static void cut_in_two_anywhere(void **state)
{
    enum { N = 300 };
    for (size_t cut = 0; cut <= N; cut++) {
        if (cut) {
            teardown(state);
            setup(state);
        }
        begin(false);
        lend(0, cut);
        lend(cut, N - cut);
        end();
        assert_int_equal(unpacked(true), N);
    }
}

static void large_and_whole(void **state)
{
    begin(false);
    lend(0, 100000);
    end();
    loop_drain(&fx->w->loop);
    assert_int_equal(unpacked(true), 100000);
}

static void an_empty_body_is_one_too(void **state)
{
    begin(false);
    end();
    assert_true(pipe_finished(fx->consumer.out));
    assert_int_equal(unpacked(true), 0);
}

static void a_slow_consumer_stops_the_producer(void **state)
{
    begin(false);
    fx->takes = 0;
    size_t lent = 0;
    int rc = PIPE_MORE;
    while (rc == PIPE_MORE) {
        rc = lend(lent, 2000);
        lent += 2000;
        assert_true(lent < 1000000);
    }
    end();
    while (!pipe_finished(fx->consumer.out)) {
        size_t before = fx->ngot;
        fx->takes = 700;
        fx->consumer.ops->kick_out(&fx->consumer);
        loop_drain(&fx->w->loop);
        pass_time(LOOP_TICK_MS);
        assert_true(fx->ngot > before || pipe_finished(fx->consumer.out));
    }
    assert_int_equal(unpacked(true), lent);
}

static void what_waits_is_flushed_after_a_tick(void **state)
{
    begin(false);
    lend(0, 100);
    assert_int_equal(unpacked(false), 0);
    pass_time(3 * LOOP_TICK_MS);
    assert_int_equal(unpacked(false), 100);
    size_t got = fx->ngot;
    pass_time(10 * LOOP_TICK_MS); /* nothing new: nothing more is said */
    assert_int_equal(fx->ngot, got);
    for (size_t i = 0; i < 20; i++) { /* what comes in drops is not held for ever */
        lend(100 + i * 10, 10);
        pass_time(LOOP_TICK_MS);
    }
    assert_true(unpacked(false) > 200);
    end();
    assert_int_equal(unpacked(true), 300);
}

static void eager_is_at_once(void **state)
{
    begin(true);
    for (size_t i = 0; i < 50; i++) {
        lend(i * 10, 10);
        loop_drain(&fx->w->loop);
        assert_int_equal(unpacked(false), i * 10 + 10);
    }
    end();
    assert_int_equal(unpacked(true), 500);
}

static void an_abort_leaves_what_came_and_no_end(void **state)
{
    begin(false);
    lend(0, 5000);
    pipe_abort(&fx->x->resp_pipe);
    pipe_push(&fx->x->resp_pipe);
    assert_int_equal(fx->consumer.out->state, PIPE_ABORTED);
    assert_int_equal(unpacked(false), 5000);
}

static void files_and_memory_mixed(void **state)
{
    enum { FROM = 10, N = 90000 };
    char head[100], *all = malloc(FROM + N);
    int fd = memfd_create("body", MFD_CLOEXEC);
    for (size_t i = 0; i < 100; i++)
        head[i] = byte_at(i);
    for (size_t i = 0; i < N; i++)
        all[FROM + i] = byte_at(100 + i);
    assert_int_equal(write(fd, all, FROM + N), FROM + N);
    begin(false);
    pipe_put(&fx->x->resp_pipe, PIECE_MEM, slice_of(head, 100));
    pipe_put_file(&fx->x->resp_pipe, fd, FROM, N);
    pipe_push(&fx->x->resp_pipe);
    loop_drain(&fx->w->loop);
    lend(100 + N, 50);
    end();
    loop_drain(&fx->w->loop);
    assert_int_equal(unpacked(true), 150 + N);
    close(fd);
    free(all);
}

static void a_file_that_became_shorter_breaks_the_body(void **state)
{
    int fd = memfd_create("body", MFD_CLOEXEC);
    assert_int_equal(write(fd, "abc", 3), 3);
    begin(false);
    pipe_put_file(&fx->x->resp_pipe, fd, 0, 10);
    end();
    assert_int_equal(fx->consumer.out->state, PIPE_ABORTED);
    close(fd);
}

static void counts_and_limit(void **state)
{
    uint64_t in, out;
    assert_false(gzip_counts(fx->x, &in, &out));
    assert_int_equal(gzip_insert(fx->x, 1, 1000, false), ERR_LIMIT);
    assert_null(fx->x->transforms);
    begin(false);
    lend(0, 10000);
    end();
    assert_true(gzip_counts(fx->x, &in, &out));
    assert_int_equal(in, 10000);
    assert_int_equal(out, fx->ngot);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(byte_by_byte),
        T(cut_in_two_anywhere),
        T(large_and_whole),
        T(an_empty_body_is_one_too),
        T(a_slow_consumer_stops_the_producer),
        T(what_waits_is_flushed_after_a_tick),
        T(eager_is_at_once),
        T(an_abort_leaves_what_came_and_no_end),
        T(files_and_memory_mixed),
        T(a_file_that_became_shorter_breaks_the_body),
        T(counts_and_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
