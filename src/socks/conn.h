/*
 * A client's connection as bytes: the answers of the handshake go out, input is kept while nobody may have it, and in a
 * tunnel both pipes are served without any framing.
 *
 * Input lies in the worker's scratch buffer, or in a stash of its own when somebody else reads before it was taken. It
 * is only read when none is left, so one read is the most that is ever held: the early bytes of a client whose target
 * is not connected yet. The kernel holds the rest.
 */
#ifndef SOCKS_CONN_H
#define SOCKS_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/end.h"
#include "http/exchange.h"
#include "http/worker.h"
#include "loop/loop.h"
#include "loop/scratch.h"
#include "net/transport.h"

enum { SOCKS_READ = 16 << 10, SOCKS_SAY_MAX = 64 };

struct socks_conn {
    struct io io;
    struct timer in_timer, out_timer;
    struct reap reap;
    struct scratch_holder hold;
    struct end end;
    struct worker *w;
    struct transport *tr; /* NULL: plain */
    char *in;             /* unread input: in the scratch, or in the stash */
    size_t in_n;
    char *stash;
    uint8_t say[SOCKS_SAY_MAX]; /* answers of the handshake that are not with the kernel yet */
    uint8_t say_n, say_at;
    bool readable; /* the kernel may have something */
    bool hup;      /* the peer's FIN (or worse) was seen: a short read is no end */
    bool blocked;  /* the kernel takes no more: wait for IO_OUT */
    bool done;     /* the client has said its last byte, or nobody wants more of it */
    bool abort;    /* what was cut must not look like a good end */
};

void socks_conn_init(struct socks_conn *c, struct worker *w, int fd, const struct end_ops *ops,
                     void (*on_io)(struct io *, unsigned), void (*on_in)(struct timer *),
                     void (*on_out)(struct timer *));
/* Closes the descriptor and drops all input. The memory stays until it is reaped. */
void socks_conn_close(struct socks_conn *c);
/* The close that comes sends a reset. */
void socks_conn_abort(struct socks_conn *c);
/* Our side says that it has ended. */
void socks_conn_end_write(struct socks_conn *c);

/* Keeps bytes that were read by somebody else as our unread input. false: no memory. */
bool socks_conn_keep(struct socks_conn *c, slice early);
/* Reads once, at most `want` bytes; there must be no input left. > 0, ERR_AGAIN, ERR_CLOSED, ERR_SYS. */
ssize_t socks_conn_read(struct socks_conn *c, size_t want);
/* Takes n bytes off the front of the input. */
void socks_conn_consume(struct socks_conn *c, size_t n);

enum socks_pump {
    SOCKS_PUMP_WAIT,  /* more when the socket is readable */
    SOCKS_PUMP_FULL,  /* more when the pipe has room: kick_in will come */
    SOCKS_PUMP_YIELD, /* had its share; kick_in is posted for the next turn */
    SOCKS_PUMP_DONE,  /* the peer has ended its side; EOF is in the pipe and was pushed */
    SOCKS_PUMP_ERROR, /* recv failed */
    SOCKS_PUMP_NOMEM,
};

/* Moves bytes from the socket into c->end.in until something stops it. */
enum socks_pump socks_conn_pump(struct socks_conn *c);

/* An answer of the handshake: goes out with the next flush. */
void socks_conn_say(struct socks_conn *c, const uint8_t *bytes, size_t n);

enum socks_flush {
    SOCKS_FLUSH_IDLE,    /* nothing to write now; more may come through the pipe */
    SOCKS_FLUSH_BLOCKED, /* wait for IO_OUT */
    SOCKS_FLUSH_DONE,    /* all is with the kernel: the pipe has ended, or there is none */
    SOCKS_FLUSH_BROKEN,  /* the pipe was aborted */
    SOCKS_FLUSH_ERROR,   /* send failed */
};

/* Writes what was said and then what the pipe holds (NULL: no pipe). *bytes, *body: how much went, and of the pipe. */
enum socks_flush socks_conn_flush(struct socks_conn *c, struct pipe *p, size_t *bytes, size_t *body);

#endif
