#include "policy/gzip_stream.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif

struct gzip_stream {
    struct gzip_stream *next; /* in the store */
    unsigned kind;            /* index in the store's lists */
    size_t size;
    z_stream z;
#ifdef HAVE_ISAL
    struct isal *isal; /* NULL: zlib's */
#endif
};

/* deflateInit2 with 15 bits of window and memLevel 8: 256 KB and a few (zlib's manual, "zconf.h"). */
enum { ZLIB_SIZE = 268 << 10 };

/* ---- zlib ---- */

static size_t zlib_run(z_stream *z, slice *in, char *out, size_t cap, enum gzip_goal goal, bool *done)
{
    static const int flush[] = { [GZIP_MORE] = Z_NO_FLUSH, [GZIP_FLUSH] = Z_SYNC_FLUSH, [GZIP_END] = Z_FINISH };
    size_t n = in->n < UINT32_MAX ? in->n : UINT32_MAX;
    z->next_in = (Bytef *)in->p;
    z->avail_in = (uInt)n;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)cap;
    int rc = deflate(z, n < in->n ? Z_NO_FLUSH : flush[goal]);
    assert(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
    *in = slice_from(*in, n - z->avail_in);
    *done = goal == GZIP_END ? rc == Z_STREAM_END : in->n == 0 && z->avail_out > 0;
    return cap - z->avail_out;
}

static struct gzip_stream *zlib_new(unsigned level)
{
    struct gzip_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->kind = level;
    s->size = sizeof(*s) + ZLIB_SIZE;
    if (deflateInit2(&s->z, (int)level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK)
        return s;
    free(s);
    return NULL;
}

/* ---- ISA-L ---- */

#ifdef HAVE_ISAL

struct isal {
    struct isal_zstream z;
    uint8_t level_buf[];
};

/* How much room a level wants for the tokens of a block: as many as zlib's blocks have. */
static const uint32_t level_sizes[] = {
    [1] = ISAL_DEF_LVL1_SMALL, [2] = ISAL_DEF_LVL2_SMALL, [3] = ISAL_DEF_LVL3_SMALL
};

static void isal_begin(struct isal *s, unsigned level)
{
    isal_deflate_init(&s->z);
    s->z.level = level;
    s->z.level_buf = s->level_buf;
    s->z.level_buf_size = level_sizes[level];
    s->z.gzip_flag = IGZIP_GZIP;
}

static struct gzip_stream *isal_new(unsigned level)
{
    struct gzip_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->kind = level;
    s->size = sizeof(*s) + sizeof(struct isal) + level_sizes[level];
    s->isal = malloc(sizeof(struct isal) + level_sizes[level]);
    if (s->isal)
        return s;
    free(s);
    return NULL;
}

static size_t isal_run(struct isal_zstream *z, slice *in, char *out, size_t cap, enum gzip_goal goal, bool *done)
{
    size_t n = in->n < UINT32_MAX ? in->n : UINT32_MAX;
    bool last = n == in->n;
    z->next_in = (uint8_t *)in->p;
    z->avail_in = (uint32_t)n;
    z->next_out = (uint8_t *)out;
    z->avail_out = (uint32_t)cap;
    z->flush = last && goal == GZIP_FLUSH ? SYNC_FLUSH : NO_FLUSH;
    z->end_of_stream = last && goal == GZIP_END;
    int rc = isal_deflate(z);
    assert(rc == COMP_OK);
    *in = slice_from(*in, n - z->avail_in);
    *done = goal == GZIP_END ? z->internal_state.state == ZSTATE_END : in->n == 0 && z->avail_out > 0;
    return cap - z->avail_out;
}

static unsigned kind_of(unsigned level)
{
    return level < 3 ? level : level < 7 ? 3 : level;
}

static struct gzip_stream *stream_new(unsigned kind)
{
    return kind > 3 ? zlib_new(kind) : isal_new(kind);
}

static void stream_begin(struct gzip_stream *s)
{
    if (s->isal)
        isal_begin(s->isal, s->kind);
    else
        deflateReset(&s->z);
}

static void stream_end(struct gzip_stream *s)
{
    if (!s->isal)
        deflateEnd(&s->z);
    free(s->isal);
}

size_t gzip_stream_run(struct gzip_stream *s, slice *in, char *out, size_t cap, enum gzip_goal goal, bool *done)
{
    return s->isal ? isal_run(&s->isal->z, in, out, cap, goal, done) : zlib_run(&s->z, in, out, cap, goal, done);
}

#else

static unsigned kind_of(unsigned level)
{
    return level;
}

static struct gzip_stream *stream_new(unsigned kind)
{
    return zlib_new(kind);
}

static void stream_begin(struct gzip_stream *s)
{
    deflateReset(&s->z);
}

static void stream_end(struct gzip_stream *s)
{
    deflateEnd(&s->z);
}

size_t gzip_stream_run(struct gzip_stream *s, slice *in, char *out, size_t cap, enum gzip_goal goal, bool *done)
{
    return zlib_run(&s->z, in, out, cap, goal, done);
}

#endif

/* ---- the store ---- */

static void stream_free(struct gzip_store *st, struct gzip_stream *s)
{
    st->used -= s->size;
    stream_end(s);
    free(s);
}

/* What is idle makes room for another kind. */
static void drop_idle(struct gzip_store *st)
{
    for (unsigned k = 0; k < GZIP_LEVELS; k++) {
        while (st->free[k]) {
            struct gzip_stream *s = st->free[k];
            st->free[k] = s->next;
            stream_free(st, s);
        }
    }
}

void gzip_store_done(struct gzip_store *st)
{
    assert(!st->busy);
    drop_idle(st);
    free(st->out);
    free(st->in);
    st->out = st->in = NULL;
}

static bool have_buffers(struct gzip_store *st)
{
    if (!st->out)
        st->out = malloc(GZIP_BUFFER);
    if (!st->in)
        st->in = malloc(GZIP_BUFFER);
    return st->out && st->in;
}

static struct gzip_stream *take_new(struct gzip_store *st, unsigned kind, size_t limit)
{
    struct gzip_stream *s = stream_new(kind);
    if (!s)
        return NULL;
    st->used += s->size;
    if (st->used > limit)
        drop_idle(st);
    if (st->used <= limit)
        return s;
    stream_free(st, s);
    return NULL;
}

struct gzip_stream *gzip_stream_take(struct gzip_store *st, unsigned level, size_t limit)
{
    unsigned kind = kind_of(level);
    assert(level >= 1 && level < GZIP_LEVELS);
    struct gzip_stream *s = st->free[kind];
    if (!have_buffers(st))
        return NULL;
    if (s)
        st->free[kind] = s->next;
    else
        s = take_new(st, kind, limit);
    if (!s)
        return NULL;
    st->busy++;
    stream_begin(s);
    return s;
}

void gzip_stream_give(struct gzip_store *st, struct gzip_stream *s)
{
    st->busy--;
    s->next = st->free[s->kind];
    st->free[s->kind] = s;
}
