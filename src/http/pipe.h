/*
 * A pipe: a bounded queue of body pieces between two ends. Back-pressure is its shape.
 *
 * One producer, one consumer, one worker. The producer puts pieces and then pushes: pipe_push calls the consumer's
 * kick_out directly (the only direct call between ends), and when that returns, every loan that was not taken is
 * copied, so that a loan never outlives the call. Then the producer is told MORE, or FULL: it must stop until its
 * kick_in is run, which happens from the run queue when the consumer has drained the pipe to half its capacity. So
 * kicks never nest.
 *
 * A pipe ends once: by EOF, which may carry trailers, or by abort. A consumer that wants no more closes its side; what
 * is put after that vanishes.
 *
 * With `retain` set, pieces that were taken are kept until pipe_release, so that pipe_rewind can offer them again: the
 * replay window of a retry. Loans are then copied even when they were taken. Retained bytes count as queued for
 * capacity in no way: the exchange sets retain only for bodies that it has bounded.
 *
 * A pipe that is full may be spilled to a file: see pipe_spill_begin.
 */
#ifndef HTTP_PIPE_H
#define HTTP_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/slice.h"

struct end;
struct fields;
struct loop;

enum piece_kind {
    PIECE_LOAN, /* bytes of the producer, good until pipe_push returns */
    PIECE_MEM,  /* bytes that live at least as long as the exchange */
    PIECE_BUF,  /* bytes in a refcounted buffer that this piece holds a reference to */
    PIECE_FILE, /* a range of an open file that outlives the pipe */
    PIECE_LENT, /* bytes in a pipe of the kernel's, which are the producer's as a loan is */
};

struct piece {
    const char *p; /* not for PIECE_FILE and PIECE_LENT */
    size_t n;
    union {
        struct buf *buf;
        uint64_t offset; /* PIECE_FILE */
    };
    int fd;
    uint8_t kind;
};

enum pipe_state { PIPE_OPEN, PIPE_EOF, PIPE_ABORTED };

enum { PIPE_PIECES = 16, PIPE_FLOOR = 16 << 10 };

enum { PIPE_MORE = 1, PIPE_FULL = 2 };

struct pipe {
    struct end *producer, *consumer; /* either may be NULL while there is none */
    struct loop *loop;
    struct buf_budget *budget;
    size_t capacity; /* bytes that may stay queued */
    size_t queued;   /* bytes not taken yet */
    size_t filed;    /* of these, bytes in files: they do not count against the capacity */
    size_t burst;    /* how much the producer should read at once */
    uint64_t put, taken;
    const struct fields *trailers; /* with EOF; NULL: none */
    uint8_t state;                 /* enum pipe_state */
    bool ready;                    /* the consumer can take: kicks make sense */
    bool stalled;                  /* the producer waits for kick_in */
    bool discard;                  /* the consumer closed its side */
    bool retain;
    bool splices;                   /* the consumer takes PIECE_LENT */
    bool overflow;                  /* being full is posted to the exchange, which makes room */
    bool soon;                      /* the producer has more in a moment: a head may wait for it */
    bool spilling;                  /* pieces are being written to a file; the producer waits */
    uint8_t run_first, run_count;   /* which: places in the ring, as `count` counts them */
    uint8_t first;                  /* ring index of the oldest piece kept */
    uint8_t count;                  /* pieces kept, taken ones included */
    uint8_t done;                   /* of these, wholly taken (retained) */
    size_t skip;                    /* bytes taken of the piece behind those */
    struct piece ring[PIPE_PIECES]; /* last: never cleared */
};

void pipe_init(struct pipe *p, struct loop *loop, struct buf_budget *budget, size_t capacity);
/* Drops everything queued. */
void pipe_done(struct pipe *p);

/* --- producer --- */

/* How many bytes to read next at most: 0 when full (of bytes or of pieces) or over; large when all flows. */
size_t pipe_want(const struct pipe *p);
/* Puts a loan or memory. false: no place, push first (then put again). */
bool pipe_put(struct pipe *p, enum piece_kind kind, slice s);
/* Puts bytes of a buffer, taking the reference over on success. */
bool pipe_put_buf(struct pipe *p, struct buf *b, slice s);
bool pipe_put_file(struct pipe *p, int fd, uint64_t offset, size_t n);
/*
 * Lends n bytes that lie in a pipe of the kernel's, where `splices` says that the consumer moves them on by splice(2);
 * nothing else may be queued. When the push returns, that pipe is empty: what was not taken is kept in memory. Only
 * when the consumer closed its side, or the push failed, bytes may be left in it.
 */
bool pipe_put_lent(struct pipe *p, int fd, size_t n);
/* Whether another piece has a place; a pipe whose consumer has closed its side always has one. */
static inline bool pipe_has_place(const struct pipe *p)
{
    return p->count < PIPE_PIECES || p->discard;
}
/*
 * Room behind the bytes of the last piece, when that is a buffer which nobody else holds; NULL: none. What is written
 * there joins the piece by pipe_grow, so that a body that comes in drops fills buffers instead of places.
 */
char *pipe_tail(const struct pipe *p, size_t *room);
void pipe_grow(struct pipe *p, size_t n);
/* Offers what was put. PIPE_MORE, PIPE_FULL, or ERR_NOMEM (a loan could not be kept: the body is broken now). */
int pipe_push(struct pipe *p);
/* Says that nothing more comes; before the push that offers the last pieces. */
void pipe_end(struct pipe *p, const struct fields *trailers);
/* Says that the body broke off: what is queued still goes, then the consumer ends the message as broken. */
void pipe_abort(struct pipe *p);

/* --- consumer --- */

/* Up to max pieces of memory as an iovec, from the first byte not taken, stopping before a file; returns how many. */
int pipe_iov(const struct pipe *p, struct iovec *iov, int max, size_t *total);
/* The first piece not wholly taken, or NULL, and how much of it is taken. */
const struct piece *pipe_front(const struct pipe *p, size_t *skip);
/* Says that n of the queued bytes were taken. May have the producer's kick_in run soon. */
void pipe_take(struct pipe *p, size_t n);
/* Takes nothing more, now or later; frees what is queued. The producer is not called. */
void pipe_close(struct pipe *p);

/*
 * Passes at most `max` bytes on from the front of one pipe to the end of another, without copying them: a loan is lent
 * on, so the push of `to` must come before that of `from` ends. Returns how many; less when a pipe says stop.
 */
size_t pipe_move(struct pipe *from, struct pipe *to, size_t max);

static inline bool pipe_finished(const struct pipe *p)
{
    return p->state == PIPE_EOF && p->queued == 0;
}

/* --- the exchange --- */

/* May everything put so far be offered again? */
static inline bool pipe_can_rewind(const struct pipe *p)
{
    return p->taken == 0 || p->retain;
}
void pipe_rewind(struct pipe *p);
/* Ends retaining and frees what was taken. */
void pipe_release(struct pipe *p);
/* Begins anew after an end at which everything was taken: the same two ends have more to say to each other. */
void pipe_reopen(struct pipe *p);
/*
 * Spilling: memory that is queued goes to a file, and a range of that file takes its place. Somebody else does the
 * writing, meanwhile: the pieces stay where they are, and the consumer may take them as ever. Only the producer stands
 * still. When the write is done, what is left of the pieces is replaced; when it failed, nothing has happened.
 */
struct pipe_run {
    struct iovec iov[PIPE_PIECES];
    struct buf *buf[PIPE_PIECES]; /* a reference each */
    int n;
    size_t size;
};

/*
 * Takes references to the memory at the end of the queue. About `keep` bytes at the front stay out of it, for the
 * consumer that is busy with them; all of it goes when the pipe is retained or a file is before it. False: there is
 * nothing to spill, or it is being done.
 */
bool pipe_spill_begin(struct pipe *p, struct pipe_run *r, size_t keep);
/* All of the run stands in the file from `offset` on. Kicks the producer. Nothing happens when the consumer has closed
 * the pipe meanwhile. */
void pipe_spill_commit(struct pipe *p, const struct pipe_run *r, int fd, uint64_t offset);
/* The run could not be written: it stays in memory. The producer goes on as the consumer lets it. */
void pipe_spill_abort(struct pipe *p);
/* Gives the references back, on the worker's thread, whatever has become of the pipe. */
void pipe_run_drop(struct pipe_run *r);

/* Changes the capacity; a producer that waited for room is kicked when there is some now. */
void pipe_resize(struct pipe *p, size_t capacity);

#endif
