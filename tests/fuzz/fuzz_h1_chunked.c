/*
 * Chunked bodies: whole, byte by byte and cut at places that the input chooses give the same data, trailers, end and
 * error; and what was decoded, encoded again, decodes to the same.
 *
 * The first input byte: how reads are cut, and the limit on trailers.
 */
#include "h1/chunk.h"
#include "h1/test_feed.h"
#include "h1/write.h"

struct outcome {
    struct strb text;
    size_t used;
    enum h1_error error;
    bool done;
    struct arena a;
    struct fields trailers;
};

/* The next length of a read: always one, or a number from a little generator, or everything. */
static size_t next_read(unsigned *seed, size_t left)
{
    if (*seed <= 1)
        return *seed ? 1 : left;
    *seed = *seed * 1103515245 + 12345;
    size_t n = 1 + ((*seed >> 16) & 31);
    *seed |= 2;
    return n < left ? n : left;
}

/* One read, from a block of its own; false at the end or on an error. */
static bool read_part(struct h1_chunked *c, struct outcome *o, const char *p, size_t n, uint32_t max)
{
    char *mem = malloc(n);
    size_t at = 0;
    bool more = true;
    TEST_CHECK(mem);
    memcpy(mem, p, n);
    while (more && at < n) {
        size_t used;
        slice run;
        if (h1_chunked_next(c, mem + at, n - at, &used, &run, max, &o->a, &o->trailers) != OK) {
            TEST_CHECK(c->error != H1_OK);
            o->error = c->error;
            more = false;
            break;
        }
        TEST_CHECK(used > 0 && used <= n - at && c->error == H1_OK);
        TEST_CHECK(run.n == 0 || run.p + run.n == mem + at + used);
        strb_add(&o->text, run);
        at += used;
        more = !c->done;
    }
    o->used += at;
    free(mem);
    return more;
}

static void decode(slice in, unsigned seed, uint32_t max, struct outcome *o)
{
    struct h1_chunked c;
    h1_chunked_init(&c);
    *o = (struct outcome){ 0 };
    strb_init(&o->text, 0);
    arena_init(&o->a, NULL, 0, 1024, 0);
    for (size_t at = 0; at < in.n;) {
        size_t n = next_read(&seed, in.n - at);
        if (!read_part(&c, o, in.p + at, n, max))
            break;
        at += n;
    }
    o->done = c.done;
}

static void outcome_done(struct outcome *o)
{
    strb_done(&o->text);
    arena_done(&o->a);
}

static void same_outcome(const struct outcome *a, const struct outcome *b)
{
    TEST_CHECK(a->error == b->error && a->done == b->done);
    TEST_CHECK(slice_eq(strb_slice(&a->text), strb_slice(&b->text)));
    TEST_CHECK(a->trailers.n == b->trailers.n);
    for (uint32_t i = 0; i < a->trailers.n; i++) {
        TEST_CHECK(slice_eq(a->trailers.v[i].name, b->trailers.v[i].name));
        TEST_CHECK(slice_eq(a->trailers.v[i].value, b->trailers.v[i].value));
    }
}

static void check_cut(slice in, unsigned seed, uint32_t max, const struct outcome *whole)
{
    struct outcome o;
    decode(in, seed, max, &o);
    same_outcome(whole, &o);
    TEST_CHECK(!whole->done || whole->used == o.used);
    outcome_done(&o);
}

static void check_round_trip(const struct outcome *o)
{
    struct strb text;
    struct outcome other;
    char line[18];
    strb_init(&text, 0);
    for (size_t at = 0; at < o->text.n; at += 100) {
        slice part = slice_upto(slice_from(strb_slice(&o->text), at), 100);
        strb_add(&text, slice_of(line, h1_write_chunk(line, part.n)));
        strb_add(&text, part);
        strb_lit(&text, "\r\n");
    }
    TEST_CHECK(h1_write_last_chunk(&text, &o->trailers) == OK);
    decode(strb_slice(&text), 0, 1 << 20, &other);
    TEST_CHECK(other.done && other.used == text.n);
    same_outcome(o, &other);
    outcome_done(&other);
    strb_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 20000)
        return 0;
    slice in = slice_of((const char *)data + 1, size - 1);
    uint32_t max = data[0] & 1 ? 20 : 4096;
    struct outcome whole;
    decode(in, 0, max, &whole);
    check_cut(in, 1, max, &whole);
    check_cut(in, 2 + data[0], max, &whole);
    if (whole.done)
        check_round_trip(&whole);
    outcome_done(&whole);
    return 0;
}
