/*
 * The back end for HTTP/1: one connection to an origin, one exchange at a time.
 *
 * Made by h1_client_connect, used by exchanges one after the other, kept between them by a pool (proxy/pool.c) that
 * knows nothing of HTTP. It is reused only if request and answer were both whole and nothing else came (invariant 9).
 */
#ifndef H1_CLIENT_H
#define H1_CLIENT_H

#include "h1/conn.h"

enum h1_client_state {
    CLIENT_CONNECTING,
    CLIENT_HANDSHAKE, /* the transport's, or h1_client.setup */
    CLIENT_READY,     /* attached: a head may be sent */
    CLIENT_BUSY,      /* a request is under way */
    CLIENT_TUNNEL,    /* ... and was answered by 101 */
    CLIENT_IDLE,      /* detached and reusable */
    CLIENT_CLOSED,
};

/* What an attempt must obey; ms. Each UINT32_MAX at most. */
struct h1_client_limits {
    uint32_t connect_timeout, send_timeout, read_timeout;
    uint32_t head_max; /* proxy_buffer_size: bytes of an answer's head */
    uint32_t fields_max;
    bool pass_trailers; /* the client understands them (TE: trailers) */
    bool bare_lf;       /* http1_compat bare_lf */
};

struct h1_client;

/*
 * What must be exchanged between the connect and the first head, beyond a transport's handshake: the way through
 * parents (proxy/chain_handshake.c). It lives at least until the connection is ready or its exchange lets it go.
 */
struct h1_setup {
    /* OK: over; ERR_AGAIN: call again after the next event; ERR_REFUSED: it failed, and the members below say how. */
    int (*go)(struct h1_setup *s, struct h1_client *cl);
    enum x_why why, why_timeout; /* why_timeout: what it is when the time for connecting is over now */
    int err;
    const char *detail; /* ... and where it stood, for the log */
};

struct h1_client {
    struct h1_conn c;
    union {
        struct h1_client_limits limits; /* while an exchange is attached */
        struct list link;               /* the pool's, meanwhile */
    };
    union {
        struct h1_setup *setup; /* until CLIENT_READY; NULL: none */
        uint64_t key;           /* the pool's, in CLIENT_IDLE */
    };
    uint8_t state;
    bool sent : 1;       /* the request is with the kernel, whole */
    bool head_done : 1;  /* a final head was read */
    bool dirty : 1;      /* must not be reused */
    bool wants_more : 1; /* kick_in after the head came */
    uint8_t interims;
    uint32_t requests; /* served, the current one included */
    uint64_t since;    /* mono ms of the connect */
    uint64_t bound;    /* hash of the address of ours that it was bound to; 0: none */
};

/*
 * Begins to connect, from the address `local` unless that is NULL. NULL when no descriptor or memory could be had, or
 * the address is not ours (errno tells). Attach it next.
 */
struct h1_client *h1_client_connect(struct worker *w, const struct addr *addr, const struct addr *local,
                                    bool keepalive_probes);
/*
 * A connection that somebody else has made, and found to be meant for HTTP/1: its descriptor and its transport, whose
 * handshake is over. NULL: no memory, and both are closed.
 */
struct h1_client *h1_client_adopt(struct worker *w, int fd, struct transport *tr);
/* Makes it the back end of x; posts X_BACK_READY as soon as a head may be sent. */
void h1_client_attach(struct h1_client *cl, struct exchange *x, const struct h1_client_limits *limits);
/* What the current exchange moved; `e` is the end of a client connection. */
struct h1_client_counts {
    uint64_t sent, received, body;
};
struct h1_client_counts h1_client_counts(const struct end *e);
/* tunnel.c: end_ops.switch_protocol, and what happens in CLIENT_TUNNEL. */
int h1_client_switch(struct end *e, struct exchange *x);
void h1_client_tunnel_io(struct h1_client *cl, unsigned events);
/* The connection of an end that h1_client_attach bound. */
struct h1_client *h1_client_of(struct end *e);
/* Is an idle connection still good? One system call; for requests that must not be sent twice. */
bool h1_client_alive(struct h1_client *cl);
/* Closes a connection that no exchange has. */
void h1_client_close(struct h1_client *cl);

#endif
