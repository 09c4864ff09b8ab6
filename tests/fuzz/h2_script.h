/*
 * Frames for and from our ends of HTTP/2: what a scripted peer says, and a reader of all that we say to it.
 *
 * The reader is our own framing and HPACK with the roles exchanged, so it knows what is malformed; the rest is what
 * must hold for whoever writes frames: windows are kept, streams are those that were opened, nothing comes behind the
 * end.
 */
#ifndef TESTS_FUZZ_H2_SCRIPT_H
#define TESTS_FUZZ_H2_SCRIPT_H

#include "h2/frame.h"
#include "h2/hpack.h"

enum { STREAMS = 64, SCRIPT_MAX = 20000 };

struct h2_peer {
    bool on, server; /* we play the server */
    struct h2_reader reader;
    struct h2_hpack hpack;
    size_t parsed;
    char block[1 << 18];
    size_t block_n;
    int64_t window;           /* of the connection: what we may be sent */
    int64_t streams[STREAMS]; /* by number / 2 */
    bool opened[STREAMS], ended[STREAMS];
    uint32_t initial, highest, next;
    bool goaway;
};

static inline void peer_begin(struct h2_peer *p, bool server)
{
    memset(p, 0, offsetof(struct h2_peer, block));
    p->block_n = 0;
    p->on = true;
    p->server = server;
    p->window = p->initial = H2_WINDOW;
    for (int i = 0; i < STREAMS; i++)
        p->streams[i] = H2_WINDOW;
    memset(p->opened, 0, sizeof(p->opened));
    memset(p->ended, 0, sizeof(p->ended));
    p->highest = 0;
    p->next = 1;
    p->goaway = false;
    h2_reader_init(&p->reader);
    p->reader.no_push = true;
    CHECK(h2_hpack_init(&p->hpack) == OK, "out of memory");
}

static inline void peer_end(struct h2_peer *p)
{
    if (p->on)
        h2_hpack_done(&p->hpack);
    p->on = false;
}

/* ---- what it says ---- */

static inline void say_frame(struct sim_sock *s, unsigned type, unsigned flags, uint32_t stream, slice payload)
{
    static char b[SCRIPT_MAX + H2_HEAD];
    char *at = h2_put_head(b, payload.n, (enum h2_type)type, flags, stream);
    if (payload.n)
        memcpy(at, payload.p, payload.n);
    sim_push(s, slice_of(b, H2_HEAD + payload.n));
}

static inline void say_u32(struct sim_sock *s, unsigned type, uint32_t stream, uint32_t v)
{
    char b[4];
    h2_put_u32(b, v);
    say_frame(s, type, 0, stream, slice_of(b, 4));
}

static inline void say_window(struct h2_peer *p, struct sim_sock *s, uint32_t stream, uint32_t n)
{
    if (!stream)
        p->window += n;
    else if (stream / 2 < STREAMS)
        p->streams[stream / 2] += n;
    say_u32(s, H2_WINDOW_UPDATE, stream, n);
}

static inline void say_initial_window(struct h2_peer *p, struct sim_sock *s, uint32_t n)
{
    char b[6];
    for (int i = 0; i < STREAMS; i++)
        p->streams[i] += (int64_t)n > p->initial ? (int64_t)n - p->initial : 0; /* less is known to it later */
    p->initial = n > p->initial ? n : p->initial;
    h2_put_setting(b, H2_SET_WINDOW, n);
    say_frame(s, H2_SETTINGS, 0, 0, slice_of(b, 6));
}

/* A literal without indexing; names and values shorter than 127 bytes. */
static inline char *put_field(char *at, const char *name, const char *value)
{
    *at++ = 0;
    *at++ = (char)strlen(name);
    memcpy(at, name, strlen(name));
    at += strlen(name);
    *at++ = (char)strlen(value);
    memcpy(at, value, strlen(value));
    return at + strlen(value);
}

/* ---- what is said to it ---- */

static inline bool any_field(void *arg, slice name, slice value)
{
    CHECK(name.n, "a field without a name");
    for (size_t i = 0; i < name.n; i++)
        CHECK(name.p[i] > ' ' && (name.p[i] < 'A' || name.p[i] > 'Z'), "a field name [%.*s]", (int)name.n, name.p);
    CHECK(!memchr(value.p, '\n', value.n) && !memchr(value.p, '\r', value.n) && !memchr(value.p, 0, value.n),
          "a field value that is two");
    return true;
}

static inline void heard_head(struct h2_peer *p, const struct h2_event *e)
{
    const struct h2_limits limits = { .bytes = 1 << 20, .fields = 2000 };
    uint32_t k = e->stream / 2;
    size_t bytes;
    CHECK(p->block_n + e->run.n <= sizeof(p->block), "a large header block");
    memcpy(p->block + p->block_n, e->run.p, e->run.n);
    p->block_n += e->run.n;
    if (!e->last)
        return;
    CHECK(h2_hpack_decode(&p->hpack, slice_of(p->block, p->block_n), &limits, any_field, NULL, &bytes) == OK,
          "a header block that cannot be decoded");
    p->block_n = 0;
    CHECK(e->stream & 1, "a head on stream %u", e->stream);
    if (p->server && e->stream > p->highest)
        p->highest = e->stream;
    CHECK(e->stream <= p->highest, "a head on stream %u, which is idle", e->stream);
    if (k >= STREAMS)
        return;
    CHECK(!p->ended[k], "a head behind the end of stream %u", e->stream);
    p->opened[k] = true;
    p->ended[k] = e->flags & H2_END_STREAM;
}

static inline void heard_data(struct h2_peer *p, const struct h2_event *e)
{
    uint32_t k = e->stream / 2;
    if (!e->first)
        return;
    p->window -= e->length;
    CHECK(p->window >= 0, "the connection's window is exceeded by %lld", (long long)-p->window);
    if (k >= STREAMS)
        return;
    p->streams[k] -= e->length;
    CHECK(p->streams[k] >= 0, "the window of stream %u is exceeded by %lld", e->stream, (long long)-p->streams[k]);
    CHECK(p->opened[k] && !p->ended[k], "DATA of stream %u, which is not open", e->stream);
    p->ended[k] = e->flags & H2_END_STREAM;
}

static inline void hear(struct h2_peer *p, const struct sim_sock *s)
{
    slice out = slice_from(strb_slice((struct strb *)&s->out), p->parsed);
    if (!p->on || !out.n)
        return;
    if (p->server && p->parsed < H2_PREFACE.n) {
        size_t n = out.n < H2_PREFACE.n ? out.n : H2_PREFACE.n;
        CHECK(memcmp(out.p, H2_PREFACE.p, n) == 0, "no preface");
        if (out.n < H2_PREFACE.n)
            return;
        out = slice_from(out, H2_PREFACE.n);
        p->parsed += H2_PREFACE.n;
    }
    for (;;) {
        struct h2_event e;
        size_t used;
        int rc = h2_read(&p->reader, out, &used, &e);
        p->parsed += used;
        out = slice_from(out, used);
        if (rc == ERR_MORE)
            return;
        CHECK(rc == OK && e.soft == H2_NO_ERROR, "a malformed frame, error %d", (int)p->reader.error);
        if (e.type == H2_HEADERS)
            heard_head(p, &e);
        else if (e.type == H2_DATA)
            heard_data(p, &e);
        else if (e.type == H2_RST_STREAM && e.stream / 2 < STREAMS)
            p->ended[e.stream / 2] = true;
        else if (e.type == H2_GOAWAY)
            p->goaway = true;
    }
}

#endif
