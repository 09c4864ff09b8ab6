/*
 * Listening addresses: what a configuration asks for, the sockets that the master binds, and the object that a worker
 * accepts with.
 *
 * A configuration only *requests* an address (listen_request); the request is kept in the bundle. The master opens what
 * was requested (listen_open_all): it proves the address free by binding it alone, then opens one SO_REUSEPORT socket
 * for each worker, so that the kernel spreads connections and no two workers wake for one. Sockets of an address that
 * was open before are taken over, never reduced, so no connection waiting in a queue is lost. A unix socket cannot be
 * spread like that: all workers share one.
 */
#ifndef NET_LISTEN_H
#define NET_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "conf/bundle.h"
#include "loop/loop.h"
#include "net/addr.h"

/* Options that were written, so that two lines for one address that do not contradict each other can be joined. */
enum listen_set {
    LISTEN_BACKLOG = 1 << 0,
    LISTEN_REUSEPORT = 1 << 1,
    LISTEN_DEFERRED = 1 << 2,
    LISTEN_IPV6ONLY = 1 << 3,
    LISTEN_KEEPALIVE = 1 << 4,
    LISTEN_KEEPIDLE = 1 << 5,
    LISTEN_KEEPINTVL = 1 << 6,
    LISTEN_KEEPCNT = 1 << 7,
    LISTEN_RCVBUF = 1 << 8,
    LISTEN_SNDBUF = 1 << 9,
    LISTEN_FASTOPEN = 1 << 10,
};

/* A field means something only if its bit is in `set`; the others are defaults. */
struct listen_opts {
    struct addr addr;
    unsigned set;
    int backlog;                      /* default 511, as nginx's */
    int reuseport;                    /* accepted; every TCP address has a socket a worker anyway */
    int deferred;                     /* TCP_DEFER_ACCEPT */
    int ipv6only;                     /* default 1 */
    int keepalive;                    /* so_keepalive=on|off */
    int keepidle, keepintvl, keepcnt; /* seconds, seconds, probes */
    int rcvbuf, sndbuf;               /* bytes */
    int fastopen;                     /* queue length */
};

/*
 * Asks for an address during compilation. *entry (may be NULL) is the bundle's, its key the canonical address text.
 * OK; ERR_REFUSED when an earlier request for the same address set an option to another value; ERR_NOTFOUND when the
 * bundle is closed and has no such address; ERR_NOMEM.
 */
int listen_request(struct bundle *b, const struct listen_opts *o, struct bundle_entry **entry);
/* The options under which an address was requested, all requests joined. OK or ERR_NOTFOUND, ERR_SYNTAX. */
int listen_options(struct bundle *b, slice key, struct listen_opts *out);

/* Gets one message, ready for a log. */
typedef void (*listen_report_fn)(void *ctx, enum log_level level, const char *text);

struct listen_how {
    unsigned workers;        /* sockets for each TCP address */
    struct bundle *previous; /* whose sockets are taken over (duplicated); may be NULL */
    unsigned tries;          /* at an address in use; 0: five, as nginx */
    bool test;               /* -t: only see whether it could be done; an address in use is none of its business */
    listen_report_fn report;
    void *ctx;
};

/* Gives every requested address of `b` its sockets. OK, or ERR_SYS after reporting why; what was opened stays in `b`.
 */
int listen_open_all(struct bundle *b, const struct listen_how *how);
/* Removes the files of unix sockets that `b` has and `keep` (may be NULL) has not. */
void listen_unlink(struct bundle *b, struct bundle *keep);

/* ---- the worker's side ---- */

struct worker;
struct listener;

/* Takes over `fd`, non-blocking and close-on-exec. */
typedef void (*listener_accept_fn)(struct worker *w, struct listener *l, int fd, const struct addr *peer);

/* One listening socket that one worker accepts from. Its descriptor belongs to the engine, the object to the worker. */
struct listener {
    struct io io;
    struct timer pause; /* no descriptors or no memory left: try again when it fires */
    struct worker *worker;
    slice key;        /* the BUNDLE_LISTEN key */
    struct addr addr; /* where it listens */
    const void *conf; /* what the current generation knows under the key */
    listener_accept_fn accept;
    struct listener *next;
    bool wanted; /* by the generation that is being taken */
};

#endif
