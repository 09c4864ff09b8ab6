/* The pipe between two scripted ends: loans, back-pressure, replay, spilling, the budget. */
#include "http/pipe.h"

#include <fcntl.h>
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
    bool splices;
    char got[1 << 20];
    size_t ngot;
};

static struct fixture *fx;

/* As an end that moves bytes on inside the kernel. false: nothing of the kind is at the front. */
static bool splice_lent(const size_t *most)
{
    size_t skip;
    const struct piece *e = pipe_front(&fx->p, &skip);
    if (!e || e->kind != PIECE_LENT)
        return false;
    size_t n = e->n - skip < *most ? e->n - skip : *most;
    assert_int_equal(read(e->fd, fx->got + fx->ngot, n), n);
    fx->ngot += n;
    pipe_take(&fx->p, n);
    return true;
}

static void consume(struct end *e)
{
    struct iovec iov[PIPE_PIECES];
    size_t total, left = fx->takes;
    fx->kicks_out++;
    int n = pipe_iov(&fx->p, iov, PIPE_PIECES, &total);
    size_t done = 0;
    if (fx->splices && splice_lent(&left))
        return;
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

/* ---- spilling ---- */

static void write_run(int fd, const struct pipe_run *r, uint64_t at)
{
    assert_int_equal(pwritev(fd, r->iov, r->n, (off_t)at), r->size);
}

static void spilled_bytes_make_room_and_keep_their_order(void **state)
{
    int fd = memfd_create("spill", 0);
    struct pipe_run r;
    uint64_t at = 0;
    char big[901];
    memset(big, 'y', 900);
    big[900] = '\0';
    fx->p.ready = false;
    for (int i = 0; i < 5; i++) {
        lend(big);
        assert_int_equal(lend(big), PIPE_FULL);
        assert_true(pipe_spill_begin(&fx->p, &r, 0));
        assert_int_equal(r.size, 1800);
        assert_false(pipe_spill_begin(&fx->p, &r, 0)); /* one at a time */
        assert_int_equal(pipe_want(&fx->p), 0);
        write_run(fd, &r, at);
        pipe_spill_commit(&fx->p, &r, fd, at);
        pipe_run_drop(&r);
        at += 1800;
        assert_int_equal(fx->budget.used, 0);
        assert_true(pipe_want(&fx->p) >= 1000);
        loop_drain(fx->loop);
        assert_int_equal(fx->kicks_in, i + 1);
    }
    lend("end");
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

/* Takes n bytes, from memory and from files. */
static void take(size_t n)
{
    while (n) {
        size_t skip;
        const struct piece *e = pipe_front(&fx->p, &skip);
        assert_non_null(e);
        size_t k = e->n - skip < n ? e->n - skip : n;
        if (e->kind == PIECE_FILE)
            assert_int_equal(pread(e->fd, fx->got + fx->ngot, k, (off_t)(e->offset + skip)), k);
        else
            memcpy(fx->got + fx->ngot, e->p + skip, k);
        fx->ngot += k;
        n -= k;
        pipe_take(&fx->p, k);
    }
}

/* A body of `n` letters in buffers of `each`; the consumer does not come by itself. */
static char body[4 * PIPE_PIECES];

static void queue_body(size_t from, size_t n, size_t each)
{
    for (size_t at = from; at < from + n; at += each) {
        size_t k = from + n - at < each ? from + n - at : each;
        struct buf *b = buf_new(&fx->budget, k);
        assert_non_null(b);
        memcpy(b->data, body + at, k);
        b->len = k;
        assert_true(pipe_put_buf(&fx->p, b, slice_of(b->data, k)));
    }
}

enum { FATE_COMMIT, FATE_ABORT, FATES };
enum { EARLIER = 7, BODY = 24, LATER = 5, EACH = 5 };

struct spill_case {
    size_t before, during; /* taken before the write begins; while it is under way */
    int fate;
    bool filed;  /* a first part of the body stands in the file already */
    bool retain; /* what is taken may be asked for again */
    bool rewind; /* and is: while the write is under way */
    bool keep;   /* some of it is to stay in memory */
    bool late;   /* a producer that could not stop at once puts more */
};

static void one_spill(const struct spill_case *c, int fd)
{
    struct pipe_run r;
    size_t at = 0, all = BODY, again = 0;
    setup(NULL);
    pipe_resize(&fx->p, BODY);
    fx->p.ready = false;
    fx->p.retain = c->retain;
    if (c->filed) {
        at = EARLIER;
        assert_int_equal(pwrite(fd, body, at, 0), at);
        assert_true(pipe_put_file(&fx->p, fd, 0, at));
    }
    queue_body(at, all - at, EACH);
    fx->p.stalled = true;
    take(c->before);
    size_t memory = fx->p.queued - fx->p.filed, keep = c->keep && !fx->p.filed && memory > 8 ? 8 : 0;
    bool begun = pipe_spill_begin(&fx->p, &r, c->keep ? 8 : 0);
    assert_int_equal(begun, c->before < BODY);
    if (begun && !c->retain) /* what was taken needs no place in the file */
        assert_int_equal(r.size, memory - keep);
    if (begun)
        write_run(fd, &r, at);
    if (c->late)
        queue_body(all, LATER, EACH);
    all += c->late ? LATER : 0;
    take(c->during);
    if (c->rewind) {
        pipe_rewind(&fx->p);
        again = fx->ngot;
    }
    size_t left = fx->p.queued;
    if (begun && c->fate == FATE_COMMIT)
        pipe_spill_commit(&fx->p, &r, fd, at);
    else if (begun)
        pipe_spill_abort(&fx->p);
    if (begun)
        pipe_run_drop(&r);
    assert_int_equal(fx->p.queued, left);
    assert_true(fx->p.filed <= left);
    memory = fx->p.queued - fx->p.filed;
    if (begun && c->fate == FATE_COMMIT && !c->retain)
        assert_in_range(fx->budget.used, memory, memory ? memory + EACH - 1 : 0);
    take(fx->p.queued);
    assert_int_equal(fx->p.filed, 0);
    assert_int_equal(fx->ngot, again + all);
    assert_memory_equal(fx->got, body, again);
    assert_memory_equal(fx->got + again, body, all);
    if (c->retain) { /* the whole of it, once more */
        pipe_rewind(&fx->p);
        assert_int_equal(fx->p.queued, all);
        take(all);
        assert_memory_equal(fx->got + again + all, body, all);
        pipe_release(&fx->p);
    }
    assert_int_equal(fx->p.count, 0);
    assert_int_equal(fx->budget.used, 0);
    assert_int_equal(teardown(NULL), 0);
}

/* However much was taken before and meanwhile, and whatever becomes of the write: each byte comes once, in its place.
 */
static void a_write_and_a_consumer_do_not_disturb_each_other(void **state)
{
    int fd = memfd_create("spill", 0);
    for (unsigned bits = 0; bits < 64; bits++) {
        struct spill_case c = { .fate = bits & 1,
                                .filed = bits & 2,
                                .retain = bits & 4,
                                .rewind = bits & 8,
                                .late = bits & 16,
                                .keep = bits & 32 };
        if (c.rewind && !c.retain)
            continue;
        for (c.before = 0; c.before <= BODY; c.before++) {
            for (c.during = 0; c.during <= BODY - c.before; c.during++)
                one_spill(&c, fd);
        }
    }
    close(fd);
}

static void the_producer_waits_for_the_write(void **state)
{
    struct pipe_run r;
    int fd = memfd_create("spill", 0);
    fx->p.ready = false;
    pipe_resize(&fx->p, BODY);
    queue_body(0, BODY, EACH);
    assert_int_equal(pipe_push(&fx->p), PIPE_FULL);
    assert_true(pipe_spill_begin(&fx->p, &r, 0));
    take(BODY - 1);
    pipe_resize(&fx->p, 10 * BODY);
    assert_int_equal(pipe_push(&fx->p), PIPE_FULL);
    loop_drain(fx->loop);
    assert_int_equal(fx->kicks_in, 0);
    assert_int_equal(pipe_want(&fx->p), 0);
    pipe_spill_abort(&fx->p); /* the consumer has made room: the producer is told so now */
    pipe_run_drop(&r);
    loop_drain(fx->loop);
    assert_int_equal(fx->kicks_in, 1);
    assert_true(pipe_want(&fx->p) > 0);
    queue_body(0, BODY, EACH);
    fx->p.stalled = true;
    pipe_resize(&fx->p, BODY);
    assert_true(pipe_spill_begin(&fx->p, &r, 0));
    pipe_spill_abort(&fx->p); /* and here it has not */
    pipe_run_drop(&r);
    loop_drain(fx->loop);
    assert_int_equal(fx->kicks_in, 1);
    assert_true(fx->p.stalled);
    close(fd);
}

/* The consumer goes, or the body breaks off, while a write is under way. */
static void a_write_may_be_for_nobody(void **state)
{
    struct pipe_run r, none;
    int fd = memfd_create("spill", 0);
    fx->p.ready = false;
    queue_body(0, BODY, EACH);
    assert_true(pipe_spill_begin(&fx->p, &r, 0));
    pipe_close(&fx->p);
    assert_false(fx->p.spilling);
    assert_int_equal(fx->budget.used, BODY); /* whoever writes still reads it */
    write_run(fd, &r, 0);
    pipe_spill_commit(&fx->p, &r, fd, 0);
    pipe_run_drop(&r);
    assert_int_equal(fx->p.count, 0);
    assert_int_equal(fx->p.queued + fx->p.filed, 0);
    assert_int_equal(fx->budget.used, 0);
    pipe_done(&fx->p);

    pipe_init(&fx->p, fx->loop, &fx->budget, 1000);
    queue_body(0, BODY, EACH);
    assert_true(pipe_spill_begin(&fx->p, &r, 0));
    pipe_abort(&fx->p);
    take(3);
    write_run(fd, &r, 0);
    pipe_spill_commit(&fx->p, &r, fd, 0);
    pipe_run_drop(&r);
    assert_false(pipe_spill_begin(&fx->p, &none, 0)); /* what has ended needs no more room */
    take(BODY - 3);
    assert_memory_equal(fx->got, body, BODY);
    assert_int_equal(fx->p.state, PIPE_ABORTED);

    pipe_done(&fx->p);
    pipe_init(&fx->p, fx->loop, &fx->budget, 1000);
    assert_false(pipe_spill_begin(&fx->p, &none, 0));
    queue_body(0, BODY, EACH);
    assert_true(pipe_spill_begin(&fx->p, &r, 0));
    pipe_done(&fx->p); /* the exchange has ended */
    assert_int_equal(fx->budget.used, BODY);
    pipe_run_drop(&r);
    assert_int_equal(fx->budget.used, 0);
    close(fd);
}

/* Ranges are joined only when they follow each other in one file. */
static void ranges_of_a_file_keep_apart(void **state)
{
    struct pipe_run r;
    int fd = memfd_create("spill", 0);
    fx->p.ready = false;
    assert_int_equal(pwrite(fd, "abc", 3, 0), 3);
    assert_true(pipe_put_file(&fx->p, fd, 0, 3));
    queue_body(0, 10, 10);
    assert_true(pipe_spill_begin(&fx->p, &r, 0));
    write_run(fd, &r, 100);
    pipe_spill_commit(&fx->p, &r, fd, 100);
    pipe_run_drop(&r);
    assert_int_equal(fx->p.count, 2);
    take(13);
    got_is("abc0123456789");
    close(fd);
}

/* Loans that come while a write is under way are kept behind it, and never in its buffers. */
static void what_is_being_written_does_not_grow(void **state)
{
    struct pipe_run r;
    int fd = memfd_create("spill", 0);
    size_t room;
    fx->takes = 0;
    lend("abc");
    assert_non_null(pipe_tail(&fx->p, &room));
    fx->p.ready = false;
    assert_true(pipe_spill_begin(&fx->p, &r, 0));
    assert_null(pipe_tail(&fx->p, &room));
    assert_int_equal(lend("def"), PIPE_FULL);
    assert_int_equal(fx->p.count, 2);
    for (int i = 0; i < 20; i++)
        lend("g"); /* a ring that is nearly full is not made one buffer of */
    assert_int_equal(r.size, 3);
    write_run(fd, &r, 0);
    pipe_spill_commit(&fx->p, &r, fd, 0);
    pipe_run_drop(&r);
    take(26);
    got_is("abcdefgggggggggggggggggggg");
    close(fd);
}

/* A write at whose end nothing has changed. */
static void spill_now(int fd, uint64_t *at, size_t keep)
{
    struct pipe_run r;
    assert_true(pipe_spill_begin(&fx->p, &r, keep));
    write_run(fd, &r, *at);
    pipe_spill_commit(&fx->p, &r, fd, *at);
    pipe_run_drop(&r);
    *at += r.size;
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
    spill_now(fd, &at, keep);
    size_t kept = n - takes - (size_t)at;
    if (keep < n - takes)
        assert_true(kept <= keep && (kept == keep || part < keep));
    else
        assert_int_equal(kept, 0);
    assert_int_equal(fx->p.filed, at);
    assert_int_equal(lend("more"), PIPE_MORE);
    spill_now(fd, &at, keep); /* behind a file nothing is kept */
    assert_int_equal(fx->p.queued - fx->p.filed, kept);
    assert_true(fx->budget.used < 2 * kept + 8192);
    take(fx->p.queued);
    assert_int_equal(fx->p.filed, 0);
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
    int fd = memfd_create("spill", 0);
    uint64_t at = 0;
    fx->p.ready = false;
    queue_body(0, PIPE_PIECES, 1);
    assert_false(pipe_has_place(&fx->p));
    spill_now(fd, &at, 500);
    assert_int_equal(at, PIPE_PIECES);
    assert_true(pipe_has_place(&fx->p));
    take(PIPE_PIECES);
    queue_body(PIPE_PIECES, PIPE_PIECES, 1);
    spill_now(fd, &at, PIPE_PIECES - 1); /* half of the ring stays */
    assert_int_equal(at, PIPE_PIECES + PIPE_PIECES / 2);
    assert_int_equal(fx->p.count, PIPE_PIECES / 2 + 1);
    take(PIPE_PIECES);
    queue_body(2 * PIPE_PIECES, 2 * (PIPE_PIECES - 1), 2);
    queue_body(2 * PIPE_PIECES + 2 * (PIPE_PIECES - 1), 2, 2);
    spill_now(fd, &at, 3); /* a full ring has no place to cut a piece in two: less stays */
    assert_int_equal(fx->p.queued - fx->p.filed, 2);
    take(2 * PIPE_PIECES);
    assert_int_equal(fx->ngot, 4 * PIPE_PIECES);
    assert_memory_equal(fx->got, body, fx->ngot);
    close(fd);
}

/* `takes` of ten bytes that lie in the kernel; what becomes of the others. */
static void lend_in_kernel(size_t takes, int fds[2])
{
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    assert_int_equal(write(fds[1], body, 10), 10);
    fx->splices = fx->p.splices = true;
    fx->takes = takes;
    assert_true(pipe_put_lent(&fx->p, fds[0], 10));
}

static void what_lies_in_the_kernel_is_a_loan_too(void **state)
{
    for (size_t takes = 0; takes <= 10; takes++) {
        int fds[2];
        char c;
        fx->ngot = 0;
        lend_in_kernel(takes, fds);
        assert_int_equal(pipe_push(&fx->p), PIPE_MORE);
        assert_int_equal(fx->p.queued, 10 - takes);
        assert_int_equal(read(fds[0], &c, 1), -1); /* empty, whoever took it */
        fx->takes = SIZE_MAX;
        assert_int_equal(lend("xyz"), PIPE_MORE);
        assert_int_equal(fx->ngot, 13);
        assert_memory_equal(fx->got, body, 10);
        assert_memory_equal(fx->got + 10, "xyz", 3);
        close(fds[0]);
        close(fds[1]);
    }
}

static void a_consumer_that_closes_leaves_it_in_the_kernel(void **state)
{
    int fds[2];
    lend_in_kernel(4, fds);
    pipe_close(&fx->p);
    assert_int_equal(pipe_push(&fx->p), PIPE_MORE);
    assert_true(fx->p.discard && !fx->p.queued);
    close(fds[0]);
    close(fds[1]);
}

/* Somebody else has read from it: our own fault, and never a short body. */
static void what_is_missing_in_the_kernel_breaks_the_body(void **state)
{
    int fds[2];
    char c;
    lend_in_kernel(0, fds);
    assert_int_equal(read(fds[0], &c, 1), 1);
    assert_true(pipe_push(&fx->p) < 0);
    assert_int_equal(fx->p.state, PIPE_ABORTED);
    close(fds[0]);
    close(fds[1]);
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
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)('0' + i);
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
        cmocka_unit_test(a_write_and_a_consumer_do_not_disturb_each_other),
        T(the_producer_waits_for_the_write),
        T(a_write_may_be_for_nobody),
        T(what_is_being_written_does_not_grow),
        T(ranges_of_a_file_keep_apart),
        T(what_the_consumer_is_busy_with_stays_in_memory),
        T(a_ring_full_of_small_pieces_is_emptied),
        T(what_lies_in_the_kernel_is_a_loan_too),
        T(a_consumer_that_closes_leaves_it_in_the_kernel),
        T(what_is_missing_in_the_kernel_breaks_the_body),
        T(the_budget_leaves_every_pipe_its_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
