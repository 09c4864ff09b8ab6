/*
 * gzip's transform under any cutting: how a body comes (loans, memory, files, in pieces of any size), how fast it goes,
 * pauses, other transforms beside it, an end or an abort. What comes out must unpack to what went in: all of it and
 * with its checksum when the body ended, a beginning of it otherwise; and after a pause nothing may be held back.
 *
 * Input: a byte of settings, then operations of two bytes each; the body's bytes follow from the input as well.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/pace.h"
#include "loop/timer.h"
#include "policy/gzip.h"
#include "policy/gzip_stream.h"
#include "proxy/policy.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

const struct policy_entry policy_table[1];
const size_t policy_count;

enum { BODY_MAX = 1 << 20, PLAIN_MAX = BODY_MAX + 1 };

static struct worker w;
static struct exchange x;
static struct end producer, consumer;
static char body[BODY_MAX], got[2 * BODY_MAX], plain[PLAIN_MAX];
static size_t nbody, ngot, takes;
static int file = -1;

static void consume(struct end *e)
{
    struct iovec iov[PIPE_PIECES];
    size_t total;
    int n = pipe_iov(e->out, iov, PIPE_PIECES, &total);
    for (int i = 0; i < n && takes; i++) {
        size_t k = iov[i].iov_len < takes ? iov[i].iov_len : takes;
        CHECK(ngot + k <= sizeof(got));
        memcpy(got + ngot, iov[i].iov_base, k);
        ngot += k;
        takes -= takes == SIZE_MAX ? 0 : k;
        pipe_take(e->out, k);
        if (k < iov[i].iov_len)
            break;
    }
}

static void produce(struct end *e)
{
}

static const struct end_ops consumer_ops = { .name = "consumer", .kick_out = consume };
static const struct end_ops producer_ops = { .name = "producer", .kick_in = produce };

static void begin(unsigned settings)
{
    memset(&x, 0, sizeof(x));
    x.w = &w;
    arena_init(&x.arena, NULL, 0, 4096, 0);
    pipe_init(&x.req_pipe, &w.loop, &w.budget, 1000);
    pipe_init(&x.resp_pipe, &w.loop, &w.budget, settings & 16 ? 3000 : 40000);
    end_init(&producer, &producer_ops);
    end_init(&consumer, &consumer_ops);
    end_attach_front(&consumer, &x);
    end_attach_back(&producer, &x);
    nbody = ngot = 0;
    takes = SIZE_MAX;
    if (settings & 32)
        CHECK(pace_insert(&x, TRANSFORM_PACE, 5000, 100) == OK);
    CHECK(gzip_insert(&x, 1 + settings % 9, SIZE_MAX, settings & 64) == OK);
    if (settings & 128)
        CHECK(pace_insert(&x, TRANSFORM_INTAKE, 20000, 0) == OK);
    consumer.out->ready = true;
}

static void finish(void)
{
    end_detach(&producer);
    end_detach(&consumer);
    transforms_done(&x);
    pipe_done(&x.resp_pipe);
    arena_done(&x.arena);
    CHECK(w.budget.used == 0 && w.loop.timers == 0 && w.gzip->busy == 0);
}

static void add_bytes(size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245 + 12345;
        body[nbody + i] = i % 97 < 70 ? (char)('a' + i % 7) : (char)(seed >> 16);
    }
}

/* Puts n bytes as a loan, as memory or as a range of a file; false: the pipe had no place. */
static bool put(size_t n, unsigned kind, unsigned seed)
{
    static char loan[1 << 16];
    if (n > sizeof(loan) || nbody + n > BODY_MAX || !pipe_want(&x.resp_pipe) || !n)
        return false;
    add_bytes(n, seed);
    if (kind == 0) {
        CHECK(pwrite(file, body + nbody, n, (off_t)nbody) == (ssize_t)n);
        CHECK(pipe_put_file(&x.resp_pipe, file, nbody, n));
    } else if (kind == 1) {
        CHECK(pipe_put(&x.resp_pipe, PIECE_MEM, slice_of(body + nbody, n)));
    } else {
        memcpy(loan, body + nbody, n);
        CHECK(pipe_put(&x.resp_pipe, PIECE_LOAN, slice_of(loan, n)));
    }
    nbody += n;
    CHECK(pipe_push(&x.resp_pipe) >= 0);
    memset(loan, '#', n);
    return true;
}

static void pass_time(unsigned ticks)
{
    for (; ticks; ticks--) {
        w.loop.clock.mono += LOOP_TICK_MS;
        timer_run(&w.loop);
        loop_drain(&w.loop);
    }
}

/* How much of the body what came unpacks to; *whole: it has its end. */
static size_t unpack(bool *whole)
{
    z_stream z = {
        .next_in = (Bytef *)got, .avail_in = (uInt)ngot, .next_out = (Bytef *)plain, .avail_out = PLAIN_MAX
    };
    CHECK(inflateInit2(&z, 15 + 16) == Z_OK);
    int rc = inflate(&z, Z_SYNC_FLUSH);
    CHECK(rc == Z_OK || rc == Z_BUF_ERROR || rc == Z_STREAM_END);
    CHECK(z.avail_in == 0);
    *whole = rc == Z_STREAM_END;
    size_t n = z.total_out;
    inflateEnd(&z);
    CHECK(n <= nbody && memcmp(plain, body, n) == 0);
    return n;
}

static void operate(uint8_t op, uint8_t arg)
{
    bool whole;
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
        put(1 + (size_t)arg * (op & 128 ? 250 : op & 64 ? 17 : 1), op % 8, op * 256u + arg);
        return;
    case 3:
        put(arg % 4, 2, arg);
        return;
    case 4:
        pass_time(arg % 8);
        return;
    case 5: /* a slow consumer */
        takes = arg;
        consumer.ops->kick_out(&consumer);
        return;
    case 6:
        takes = SIZE_MAX;
        consumer.ops->kick_out(&consumer);
        loop_drain(&w.loop);
        return;
    case 7: /* everything may go, and a long time passes */
        takes = SIZE_MAX;
        consumer.ops->kick_out(&consumer);
        pass_time(20000);
        CHECK(unpack(&whole) == nbody);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool whole, aborted;
    if (!w.loop.run_tail)
        CHECK(loop_init(&w.loop) == OK && (file = memfd_create("body", MFD_CLOEXEC)) >= 0);
    if (size < 2 || size > 400)
        return 0;
    begin(data[0]);
    aborted = data[1] & 1;
    for (size_t i = 2; i + 1 < size; i += 2)
        operate(data[i], data[i + 1]);
    if (aborted)
        pipe_abort(&x.resp_pipe);
    else
        pipe_end(&x.resp_pipe, NULL);
    pipe_push(&x.resp_pipe);
    takes = SIZE_MAX;
    consumer.ops->kick_out(&consumer);
    for (int i = 0; i < 100000 && consumer.out->state == PIPE_OPEN; i++)
        pass_time(4);
    CHECK(consumer.out->state == (aborted ? PIPE_ABORTED : PIPE_EOF) && !consumer.out->queued);
    CHECK(unpack(&whole) == nbody && whole == !aborted);
    finish();
    return 0;
}
