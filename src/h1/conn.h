/*
 * What the two sides of HTTP/1 share: a connection that reads bodies into a pipe and writes messages from one.
 *
 * Input lies in the worker's scratch buffer while nobody else reads, and in a stash of the connection's own when it
 * must be kept (part of a head, a pipelined request). An idle connection has neither.
 *
 * The reader (h1/body.c) turns wire framing into pieces of the pipe and never passes framing on. The writer (h1/out.c)
 * turns pieces into our own framing, head and first body bytes in one segment. Both stop where the kernel or the pipe
 * stops them, and say so by their result; what that means is decided in server.c and client.c.
 */
#ifndef H1_CONN_H
#define H1_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "h1/chunk.h"
#include "h1/parse.h"
#include "h1/write.h"
#include "http/end.h"
#include "http/exchange.h"
#include "http/worker.h"
#include "loop/loop.h"
#include "loop/scratch.h"
#include "net/transport.h"

enum h1_body_kind { H1_BODY_NONE, H1_BODY_LENGTH, H1_BODY_CHUNKED, H1_BODY_CLOSE };

/* The body that is being read. */
struct h1_body {
    uint8_t kind;
    bool done;                  /* whole, or none */
    uint8_t bulk;               /* of a tunnel: how steadily it brings much at once */
    uint32_t ahead;             /* bytes that may be read behind a chunk at once; 0: as many as the pipe wants */
    uint64_t left;              /* H1_BODY_LENGTH */
    uint64_t limit;             /* bytes of body that are allowed at most; 0: any */
    uint64_t seen;              /* body bytes so far */
    uint64_t wire;              /* the same with the framing of chunks */
    struct h1_chunked *chunked; /* in the exchange's arena */
    struct fields *trailers;    /* collected here, or NULL */
};

/* The message that is being written. */
struct h1_out {
    slice head;               /* not written yet */
    slice lit;                /* framing bytes that must go next */
    char line[H1_CHUNK_LINE]; /* where `lit` points for a size line */
    uint8_t framing;          /* enum h1_framing */
    bool active;              /* a message is under way */
    bool blocked;             /* the kernel is full: wait for IO_OUT */
    bool chunk_open;          /* the size line of a chunk is out, its CRLF is not */
    bool last;                /* the last framing bytes are in `lit` or out */
    bool closes;              /* the connection is closed behind this message */
    uint64_t left;            /* bytes of the current chunk, or of the whole body (H1_FRAME_LENGTH) */
    uint64_t bytes, body;     /* written so far */
};

struct h1_conn {
    struct io io;
    struct timer out_timer;
    union {
        struct timer in_timer;
        struct reap reap; /* once it is closed */
    };
    struct scratch_holder hold;
    struct end end;
    struct worker *w;
    struct transport *tr; /* NULL: plain */
    char *in;             /* unread input: in the scratch, or in the stash */
    size_t in_n;
    uint64_t received; /* bytes from the socket, ever */
    char *stash;
    uint32_t stash_cap;
    struct h1_scan scan;
    bool readable; /* the kernel may have something */
    bool cut;      /* a write has met the peer's reset: the end of what can be read is no end of a body */
    bool hup;      /* the peer's FIN (or worse) was seen: a short read is no end */
    bool abort;    /* what was cut must not end well: no end is told by the transport */
    uint8_t lost;  /* errno of a read that must not be told before the bytes that came before it are passed on */
    bool held;     /* the kernel holds the end of the last message back, for the FIN to go with it */
    struct h1_body body;
    struct h1_out out;
};

enum { H1_HEAD_READ = 16 << 10 };

struct h1_client;

struct h1_worker {
    struct h1_head head; /* for parsing; valid until the next parse */
    struct slab servers, clients;
    struct list connections;                  /* struct h1_server.link, all of this worker */
    void (*idle_ended)(struct h1_client *cl); /* the pool's: the peer of an idle connection closed or spoke */
    int lent[2]; /* a pipe of the kernel's for tunnels, empty between two calls; -1: not there yet */
};

/* tunnel.c: closes h1_worker.lent. */
void h1_lent_close(struct h1_worker *w);

void h1_conn_init(struct h1_conn *c, struct worker *w, int fd, const struct end_ops *ops,
                  void (*on_io)(struct io *, unsigned), void (*on_in)(struct timer *), void (*on_out)(struct timer *));
/* Closes the descriptor and drops all input. The memory stays until it is reaped. */
void h1_conn_close(struct h1_conn *c);

/*
 * Reads once, at most `want` bytes, behind what is there. > 0, ERR_AGAIN, ERR_CLOSED, ERR_SYS, ERR_NOMEM. Input that is
 * stashed goes on in the stash, which is then as large as both together.
 */
ssize_t h1_conn_read(struct h1_conn *c, size_t want);
static inline bool h1_conn_in_scratch(const struct h1_conn *c)
{
    return c->w->scratch.holder == &c->hold;
}
/*
 * The input moves from the scratch, which somebody else needs, into a stash of at least `least` bytes. Without memory
 * the connection cannot go on: it is cut, and its owner sees that. An owner who knows better than 1024 bytes calls this
 * from a `hold.stash` of its own.
 */
void h1_conn_stash(struct h1_conn *c, size_t least);
/*
 * Reads on behind input that lies in the scratch (or into the empty scratch) until `total` bytes are there, and few
 * more, or the socket has no more. true: they are there. Input that was stashed stays as it is.
 */
bool h1_conn_read_ahead(struct h1_conn *c, size_t total);
/* One read from the socket or the transport: > 0, ERR_AGAIN, ERR_CLOSED, ERR_SYS; `readable` is not touched. */
ssize_t h1_conn_recv(struct h1_conn *c, char *dst, size_t want);
/* Our side says that it has ended. */
void h1_conn_end_write(struct h1_conn *c);
/* Takes n bytes off the front of the input. */
void h1_conn_consume(struct h1_conn *c, size_t n);

enum h1_pump {
    H1_PUMP_WAIT,   /* more when the socket is readable */
    H1_PUMP_FULL,   /* more when the pipe has room: kick_in will come */
    H1_PUMP_YIELD,  /* had its share; kick_in is posted for the next turn */
    H1_PUMP_DONE,   /* the body is whole; EOF is in the pipe and was pushed */
    H1_PUMP_CLOSED, /* the peer closed before the end */
    H1_PUMP_ERROR,  /* recv failed; errno tells */
    H1_PUMP_BAD,    /* framing is broken: body.chunked->error */
    H1_PUMP_BIG,    /* more than body.limit */
    H1_PUMP_NOMEM,
};

void h1_body_begin(struct h1_body *b, enum h1_body_kind kind, uint64_t length, uint64_t limit);
/* Moves body bytes from the socket into c->end.in until something stops it. */
enum h1_pump h1_body_pump(struct h1_conn *c);

enum h1_flush {
    H1_FLUSH_IDLE,    /* nothing to write now, the message is not over */
    H1_FLUSH_BLOCKED, /* wait for IO_OUT */
    H1_FLUSH_DONE,    /* the whole message is with the kernel */
    H1_FLUSH_BROKEN,  /* the pipe was aborted, or a file became shorter: the message cannot be ended well */
    H1_FLUSH_ERROR,   /* send failed; errno tells */
};

/*
 * The kernel is full. `bytes` is what out.bytes was before the flush: the time that the peer has begins anew with what
 * it has taken, and not with what it was offered again.
 */
void h1_out_await(struct h1_conn *c, uint64_t bytes, uint64_t timeout);
void h1_out_begin(struct h1_out *o, slice head, enum h1_framing framing, uint64_t length);
/* Writes as much as goes of head and pipe (c->end.out, may be NULL). */
enum h1_flush h1_out_flush(struct h1_conn *c);

#endif
