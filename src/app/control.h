/*
 * What master and engine say to each other: messages over a SOCK_SEQPACKET pair, descriptors beside them.
 *
 * Both ends are the same binary, yet every message carries a version and its length, and what does not fit is refused:
 * the engine may have been taken over by whoever talks to it from outside, and the master has root's rights. The master
 * therefore takes nothing from an engine but numbers and texts for the log.
 */
#ifndef APP_CONTROL_H
#define APP_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum control_type {
    /* master to engine */
    CONTROL_BUNDLE = 1, /* id: of the generation; payload: struct control_bundle; one descriptor: the sealed text */
    CONTROL_FDS,        /* id; the bundle's descriptors, in order, as many messages as it takes */
    CONTROL_LOG,        /* payload: path; one descriptor: the log opened anew */
    CONTROL_RESCUE,     /* one descriptor: where the next master will ask, should this one die (app/rescue.h) */
    CONTROL_QUIT,       /* finish what is begun, then go */
    CONTROL_STOP,       /* go */
    /* engine to master */
    CONTROL_READY,   /* id: every worker has taken it, removed listeners are closed */
    CONTROL_FAILED,  /* id; payload: why */
    CONTROL_DRAINED, /* after QUIT: the engine listens no more */
    /* engine without a master to the next one */
    CONTROL_SOCKETS, /* payload: address; descriptors: some of its sockets, in order */
    CONTROL_SOCKETS_END,
    CONTROL_TYPES,
};

enum { CONTROL_FDS_MAX = 250, CONTROL_TEXT_MAX = 8192 };

struct control_bundle {
    uint32_t nfds; /* that follow in CONTROL_FDS */
};

struct control_msg {
    enum control_type type;
    uint64_t id;
    slice payload; /* in `text` */
    size_t nfds;
    int fds[CONTROL_FDS_MAX]; /* the receiver's from now on; see control_close */
    char text[CONTROL_TEXT_MAX];
};

/* A connected pair, close-on-exec. The engine's end comes first. OK or ERR_SYS. */
int control_pair(int fd[2]);
/* Bounds how long a send may wait for the other side. control_pair has done so. */
void control_limit_send(int fd);
/* OK; ERR_CLOSED when the other side is gone; ERR_TIMEOUT when it does not read for seconds; ERR_LIMIT; ERR_SYS. */
int control_send(int fd, enum control_type type, uint64_t id, slice payload, const int *fds, size_t nfds);
/* OK, ERR_AGAIN, ERR_CLOSED, ERR_SYNTAX (not a message of ours), ERR_SYS. Never waits. */
int control_recv(int fd, struct control_msg *m);
/* Closes the descriptors of a message that nobody took (set those taken to -1 or nfds to 0). */
void control_close(struct control_msg *m);

/* Sends a sealed bundle: CONTROL_BUNDLE and as many CONTROL_FDS as it takes. The descriptors stay the caller's. */
int control_send_bundle(int fd, uint64_t id, int memfd, const int *fds, size_t nfds);

/* A bundle that is on its way. All zero, memfd -1: none. */
struct control_transfer {
    uint64_t id;
    int memfd;
    int *fds;
    size_t have, want;
};

/* Takes in a CONTROL_BUNDLE or CONTROL_FDS. OK when the bundle is complete, ERR_MORE, ERR_SYNTAX, ERR_NOMEM. */
int control_gather(struct control_transfer *t, struct control_msg *m);
/* Closes and frees what is left of it. */
void control_transfer_done(struct control_transfer *t);

#endif
