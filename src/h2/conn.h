/*
 * What the two sides of HTTP/2 share: a connection, its streams, flow control, output.
 *
 * A stream is an end (http/end.h), as a whole HTTP/1 connection is. The connection owns the streams that it carries;
 * each is detached from its exchange, and freed, by the exchange (finish, reset) and by nobody else, so a connection
 * that dies fails its streams, waits until they are gone, and frees itself then.
 *
 * Input is read into the worker's scratch and parsed at once. Output waits for the end of the loop's turn, when all
 * frames of all streams leave in one write (out.c); only a large loan is written at once, because it would be copied
 * else.
 *
 * Flow control: the connection's credit is returned as its bytes arrive, because what bounds memory is the stream: its
 * window is opened again by as much as was taken out of its pipe.
 */
#ifndef H2_CONN_H
#define H2_CONN_H

#include "base/slab.h"
#include "h2/frame.h"
#include "h2/hpack.h"
#include "http/exchange.h"
#include "net/transport.h"

struct h2_conn;
struct h2_stream;

/* What differs between server and client. */
struct h2_role {
    bool server;
    /* A whole header block has come for `id`; s: the stream, NULL when there is none. */
    void (*block)(struct h2_conn *c, struct h2_stream *s, uint32_t id, bool ends, slice block);
    /* The body of the stream is whole and in the pipe. */
    void (*in_done)(struct h2_stream *s);
    /* The pipe is full and nobody takes from it, or it wants to be emptied into a file. */
    void (*in_full)(struct h2_stream *s);
    /* Waiting for more of the body begins, or (false) is over. */
    void (*in_wait)(struct h2_stream *s, bool on);
    /* The last byte is with the kernel; or the body broke off and the stream was reset (s->broken). */
    void (*out_done)(struct h2_stream *s);
    /* The stream cannot go on: the peer reset it (error), broke it, or the connection is over. */
    void (*failed)(struct h2_stream *s, enum x_why why, enum h2_error error);
    /* Bytes of the stream were written: head or body. */
    void (*wrote)(struct h2_stream *s, size_t head, size_t body);
    /* The peer's window keeps the stream from writing, or no more. */
    void (*out_stuck)(struct h2_stream *s, bool on);
    /* The peer has broken the rules of the connection: for the log. */
    void (*erred)(struct h2_conn *c, enum h2_error e, const char *why);
    void (*settings)(struct h2_conn *c);
    void (*goaway)(struct h2_conn *c, uint32_t last, enum h2_error error);
    void (*ping_ack)(struct h2_conn *c, slice data);
    /* A PING of h2_alive_watch stayed without an answer. */
    void (*silent)(struct h2_conn *c);
    /* The connection is full of unwritten bytes, or no more. */
    void (*blocked)(struct h2_conn *c, bool on);
    /* Everything is over and closed; frees what the role owns. */
    void (*gone)(struct h2_conn *c);
};

/* Tokens that come back with time. */
struct h2_bucket {
    uint64_t at; /* ms of the last look */
    uint32_t used;
};

struct h2_alive {
    struct timer timer;
    uint64_t every; /* ms of silence; 0: nobody asks */
    uint64_t heard; /* when bytes last came; mono ms */
    bool asked;     /* nothing came since the PING */
};

struct h2_stream {
    struct end end;
    struct h2_conn *c;
    struct h2_stream *next; /* in its bucket */
    struct list all;        /* h2_conn.streams */
    struct list link;       /* h2_conn.ready[], .sent, or none */
    struct timer in_timer, out_timer;
    uint32_t id;
    uint32_t chunk; /* bytes of a DATA frame of ours */
    int64_t send_window, recv_window;
    struct buf *held; /* body that came before it was wanted, or has no place in the pipe */
    size_t held_at;
    uint64_t length, seen; /* of the body: announced (UINT64_MAX: not), come */
    const struct fields *trailers;
    uint64_t began;    /* mono ms */
    uint64_t progress; /* bytes written when the send timer was last set */
    uint64_t sent, received, body;
    size_t head_bytes; /* decoded, charged to the connection */
    struct h2_priority priority;
    bool ended_in;  /* the peer has said all */
    bool given;     /* ... and the pipe's end was set */
    bool ended_out; /* we have */
    bool head_out;  /* send_head was called */
    bool asked;     /* the body is wanted */
    bool stopped;   /* nobody wants the rest of it */
    bool broken;    /* the answer could not be ended well */
    bool reset;     /* RST_STREAM was sent or received */
    bool malformed; /* reset with PROTOCOL_ERROR behind the answer */
    bool failed;    /* role->failed was called */
    bool stuck;     /* out_stuck was told */
    bool counted;   /* in the peer's or our limit of streams */
    bool head_done; /* client: a final head was read */
    bool tunnel;    /* server: a CONNECT that was granted */
    bool untouched; /* client: the backend says that it has not looked at the request */
    uint8_t interims;
    uint64_t linger_until; /* tunnel: the client's last words come by then; mono ms, 0: its peer has not closed */
    void *user;            /* client: limits of the attempt */
};

enum { H2_BUCKETS = 16, H2_URGENCIES = 8, H2_FORGOTTEN = 128 };

struct h2_conn {
    struct io io;
    struct transport *tr;
    struct worker *w;
    const struct h2_role *role;
    struct reap reap;
    struct timer timer, out_timer;
    struct task flush; /* at the end of the turn */
    struct task again; /* reads on in the next turn */
    struct h2_reader reader;
    struct h2_hpack hpack;
    struct h2_settings peer;
    /* output: bytes that go before any data */
    char *out;
    size_t out_at, out_n, out_cap;
    struct list ready[H2_URGENCIES];
    struct list sent; /* streams whose last bytes are in `out` */
    int64_t send_window, recv_window;
    uint32_t credit;    /* of recv_window, not returned yet */
    uint32_t window;    /* what we announced for streams */
    uint32_t max_block; /* bytes of a header block */
    /* input that waits: the rest of a read, and the beginning of a header block */
    char *stash;
    size_t stash_n, stash_at;
    char *block;
    size_t block_n, block_cap;
    struct list streams;
    uint32_t nstreams;
    struct h2_stream *buckets[H2_BUCKETS];
    uint32_t last_in;    /* highest stream of the peer */
    uint32_t next_id;    /* client: of the next stream */
    uint32_t goaway_id;  /* of the GOAWAY that was sent */
    uint32_t *forgotten; /* a ring of streams that we reset: what still comes for them is ignored; NULL: none yet */
    uint32_t nforgotten; /* how many ever were */
    uint32_t most_forgotten;
    uint8_t unacked; /* SETTINGS of ours */
    size_t head_bytes;
    struct h2_bucket control, resets;
    struct h2_alive alive;
    uint32_t control_burst, resets_burst;
    uint32_t frames, opened; /* of this wake-up */
    bool readable, blocked, closed, closing, greeted, flushing, goaway_sent, choked, peer_gone, failing;
    bool hup; /* the peer has ended its stream, and no event will say so again */
    bool reading, lingering;
    uint8_t preface_at; /* bytes of the client's preface that have come */
};

/* conn.c */

/* Takes the descriptor and the transport over. OK or ERR_NOMEM: then nothing was taken. */
int h2_conn_init(struct h2_conn *c, struct worker *w, int fd, struct transport *tr, const struct h2_role *role,
                 void (*on_io)(struct io *, unsigned));
/* Reads and parses until the kernel has no more. */
void h2_conn_read(struct h2_conn *c);
/* Parses bytes that were read by somebody else. */
void h2_conn_feed(struct h2_conn *c, slice bytes);
void h2_conn_io(struct h2_conn *c, unsigned events);
/* A connection error: GOAWAY, all streams fail, and the connection closes. */
void h2_conn_error(struct h2_conn *c, enum h2_error e, const char *why);
/* Ends at once; streams fail with `why`. */
void h2_conn_abort(struct h2_conn *c, enum x_why why);
/*
 * In an orderly way, when everything is said: what waits is written, and the peer may close first. A connection that
 * was told why it ends waits a moment, so that its peer reads that; then `c->timer` closes it.
 */
void h2_conn_end(struct h2_conn *c);
/* Closes when no stream is left. `role->gone` is called, soon. */
void h2_conn_close(struct h2_conn *c);
/* A stream was freed: the last one of a connection that is over closes it. */
void h2_conn_left(struct h2_conn *c);
/* One for a frame that carries nothing. false: there is none left, and the connection is over. */
bool h2_conn_token(struct h2_conn *c);
/* A stream that has not begun: the frame has no business to name it. */
bool h2_conn_idle(const struct h2_conn *c, uint32_t id);
/* One token; false: there is none left (`burst` tokens, all back within `ms`). */
bool h2_bucket_take(struct h2_bucket *b, uint64_t now, uint32_t burst, uint64_t ms);

/* alive.c */

void h2_alive_init(struct h2_conn *c);
/* Asks by PING whenever nothing has come for `every` ms, from now on; 0: never. */
void h2_alive_watch(struct h2_conn *c, uint64_t every);
static inline void h2_alive_heard(struct h2_conn *c)
{
    c->alive.heard = loop_now(&c->w->loop);
    c->alive.asked = false;
}

/* stream.c */

struct h2_stream *h2_stream_find(const struct h2_conn *c, uint32_t id);
void h2_stream_init(struct h2_stream *s, struct h2_conn *c, uint32_t id, const struct end_ops *ops);
/* Gives a stream that was made with 0 its number. */
void h2_stream_number(struct h2_stream *s, uint32_t id);
/* Takes it off the connection; its end is detached. The memory is the caller's. */
void h2_stream_done(struct h2_stream *s);
/* A run of DATA. */
void h2_stream_data(struct h2_stream *s, const struct h2_event *e);
/* END_STREAM has come. false: the length does not fit, and the stream is broken. */
bool h2_stream_ended(struct h2_stream *s);
/* kick_in: moves what is held, opens the window. */
void h2_stream_want(struct h2_stream *s);
void h2_stream_stop(struct h2_stream *s);
/* RST_STREAM goes out; nothing of the stream goes or comes any more. */
void h2_stream_reset(struct h2_stream *s, enum h2_error e);
/* What still comes for the stream is dropped, without a word. */
void h2_stream_forget(struct h2_stream *s);
/* Was it reset by us, or is what still comes for it dropped? As far back as the streams that there may be at a time. */
bool h2_stream_forgotten(const struct h2_conn *c, uint32_t id);
void h2_stream_fail(struct h2_stream *s, enum x_why why, enum h2_error e);
/* A stream error that the peer made us send: counted (row A3). */
void h2_stream_fault(struct h2_conn *c, struct h2_stream *s, uint32_t id, enum h2_error e);

/* out.c */

/* Room for n bytes of output at the end; NULL: no memory. h2_out_took says how many were used. */
char *h2_out_room(struct h2_conn *c, size_t n);
void h2_out_took(struct h2_conn *c, const char *end);
/* At the end of the turn, everything goes. */
void h2_flush_soon(struct h2_conn *c);
void h2_flush(struct h2_conn *c);
/* A head of n fields (names in lower case). ERR_NOMEM ends the connection. */
int h2_out_head(struct h2_stream *s, const struct field *fields, size_t n, bool ends);
void h2_out_frame(struct h2_conn *c, enum h2_type type, unsigned flags, uint32_t stream, slice payload);
void h2_out_u32(struct h2_conn *c, enum h2_type type, uint32_t stream, uint32_t value);
void h2_out_goaway(struct h2_conn *c, uint32_t last, enum h2_error e);
/* The stream has something to write, or a window for it. */
void h2_stream_ready(struct h2_stream *s);
/* kick_out: the same; a large loan goes at once. */
void h2_stream_kicked(struct h2_stream *s);
/* The peer has opened a window. */
void h2_window_opened(struct h2_conn *c);

#endif
