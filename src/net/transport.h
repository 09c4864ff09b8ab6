/*
 * What lies between a connection's socket and its codec when that is not nothing: TLS, later others.
 *
 * A codec holds a socket and a `struct transport *`. NULL means that the socket's bytes are the codec's bytes, and the
 * codec does its own recv and sendmsg: a plain connection pays one test of a pointer. Otherwise the transport does
 * both, and the rules below make it look like a socket to its codec.
 *
 * The transport belongs to the connection: whoever owns the descriptor calls transport_free before it closes that. It
 * never waits, never watches the descriptor and never calls anybody: its owner's io events drive it.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/slice.h"

struct transport;

struct transport_ops {
    const char *name;
    /*
     * What must be exchanged before the first byte of the codec. OK: over; ERR_AGAIN: call again after the next event,
     * in or out (whatever was due to be sent and found no room is kept); ERR_CLOSED: the peer went away; ERR_SYS:
     * errno; ERR_SYNTAX and others: it failed, transport_ops.why tells.
     */
    int (*handshake)(struct transport *t);
    /*
     * As recv: > 0, ERR_AGAIN, ERR_CLOSED (the peer ended its stream in an orderly way), ERR_SYS (errno; ECONNRESET
     * also for a stream that was cut without its proper end). It fills `dst` as far as the socket has bytes, so that a
     * short read means what it means on a socket: the kernel is empty, and tells when there is more. But when the end,
     * or an error, was read behind the bytes, `more` is set: no event will tell of that, the next read does.
     */
    ssize_t (*read)(struct transport *t, char *dst, size_t cap);
    /*
     * As sendmsg with MSG_NOSIGNAL: how many bytes were taken, or -1 with errno (EAGAIN: none, wait for room). What is
     * taken and not yet with the kernel is kept, and goes out by `flush` or before the next write. `last`: nothing will
     * be written behind these bytes and end_write follows at once, so the end may go with them.
     */
    ssize_t (*write)(struct transport *t, const struct iovec *iov, int n, bool last);
    /*
     * Is everything that was taken with the kernel? OK, ERR_AGAIN (wait for room), ERR_SYS. What the transport has to
     * say for itself (tickets) is not counted: it goes with the next write, or with a read that finds nothing.
     */
    int (*flush)(struct transport *t);
    /* Nothing more will be written: the peer is told in the transport's own way, then by shutdown(SHUT_WR). */
    void (*end_write)(struct transport *t);
    /* The protocol that was agreed on ("h2"), or empty. */
    slice (*protocol)(const struct transport *t);
    /* Why the handshake failed, for the log: a fixed text, or one that lives as long as the transport. */
    const char *(*why)(const struct transport *t);
    /* Frees it. The descriptor stays open. */
    void (*free)(struct transport *t);
};

struct transport {
    const struct transport_ops *ops;
    bool more; /* see read */
};

static inline void transport_free(struct transport *t)
{
    if (t)
        t->ops->free(t);
}

#endif
