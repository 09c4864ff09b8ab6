/*
 * The front end for HTTP/1: one client connection, one exchange at a time.
 */
#ifndef H1_SERVER_H
#define H1_SERVER_H

#include "h1/conn.h"

struct listener;

enum h1_server_state {
    SERVER_PROXIED,   /* the PROXY header that must come first is not complete */
    SERVER_HANDSHAKE, /* the transport's */
    SERVER_HEAD,      /* idle, or part of a request head has come */
    SERVER_EXCHANGE,  /* an exchange is attached */
    SERVER_TUNNEL,    /* ... and behind a 101 */
    SERVER_DRAIN,     /* the answer is out; the rest of the request body is read and dropped, then the next head */
    SERVER_LINGER,    /* our side is shut; what the client still sends is dropped until it closes */
    SERVER_CLOSED,
};

struct h1_server {
    struct h1_conn c;
    struct client client;
    struct gen_ref *gen; /* that client.listener belongs to */
    struct task next;    /* looks at the input again after an exchange */
    struct list link;    /* h1_worker.connections */
    uint8_t state;
    bool keep : 1;          /* stay open after the current answer */
    bool stopped : 1;       /* nobody wants the rest of the request body */
    bool asked : 1;         /* kick_in was called: the body is wanted */
    bool must_continue : 1; /* the client waits for a 100 */
    bool partial : 1;       /* SERVER_HEAD: part of a head has come, counted in worker.reading */
    bool pipelined : 1;     /* when the last exchange ended, the next request had begun to come */
    bool last : 1;          /* no request after this one: the generation's listener is gone */
    bool delayed : 1;       /* TCP_NODELAY, which the listener gave, was taken off: tcp_nodelay off */
    bool plain_on_tls : 1;  /* a request in the clear where TLS is spoken: 400 */
    bool broken : 1;        /* the answer could not be ended well: cut, do not linger */
    union {
        uint64_t idle_ms;      /* an exchange: how long to wait for the next head */
        uint64_t linger_until; /* SERVER_LINGER */
    };
};

extern const struct room_hooks h1_room;

int h1_worker_init(struct worker *w);
void h1_worker_done(struct worker *w);
/* Closes idle connections; busy ones close after their answer. */
void h1_worker_drain(struct worker *w);

/* Ends every connection that still holds `r`, now (worker_shutdown_timeout). */
void h1_worker_cut(struct worker *w, struct gen_ref *r);

/* Takes over an accepted descriptor. `peer` is its address as accept gave it. */
void h1_server_accept(struct worker *w, struct listener *l, int fd, const struct addr *peer);

#endif
