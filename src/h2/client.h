/*
 * The back end for HTTP/2: connections to backends, each carrying the requests of many exchanges.
 *
 * A worker keeps the connections of a key in a list and gives every new request the first that has room, so that many
 * small requests leave in one write. A connection ends when it has been idle for the upstream's keepalive_timeout, has
 * had its requests or time, or when the backend says so.
 *
 * In the clear the backend must know what is spoken. With TLS it is asked, and requests wait until it has chosen; if
 * that is not HTTP/2, each of them is told so (h2_client_declined) and goes on by itself, one with the connection.
 */
#ifndef H2_CLIENT_H
#define H2_CLIENT_H

#include "h2/conn.h"

struct h2_client_limits {
    uint64_t connect_timeout, send_timeout, read_timeout; /* ms */
    uint64_t head_max;
    uint64_t keepalive; /* 0: the connection ends when nobody uses it */
    uint64_t keepalive_requests, keepalive_timeout, keepalive_time;
    uint64_t
        idle_ping; /* an idle connection is asked by PING that often, and used only when it answers; 0: not asked */
    bool pass_trailers, probes;
};

struct h2_client_counts {
    uint64_t sent, received, body;
};

struct h2_client_target {
    uint64_t key;   /* of the upstream's server */
    uint64_t bound; /* hash of all that requests on one connection must have in common besides; 0: nothing */
    const struct addr *addr, *local; /* local: where it comes from; NULL: as the kernel likes */
    /* TLS for a connection that was just begun, with ALPN; NULL: none could be made. `secure` NULL: in the clear. */
    struct transport *(*secure)(struct exchange *x, int fd, void *arg);
    void *arg;
};

/*
 * Makes a stream the back end of x, on a connection that is there, or (open) on a new one. Posts X_BACK_READY when a
 * head may be sent. OK; ERR_NOTFOUND: there is none with room; ERR_SYS: errno.
 */
int h2_client_join(struct exchange *x, const struct h2_client_target *t, const struct h2_client_limits *limits);
int h2_client_open(struct exchange *x, const struct h2_client_target *t, const struct h2_client_limits *limits);
/* At X_BACK_READY: the backend has chosen another protocol. What is left to do with this end is to reset it. */
bool h2_client_declined(const struct end *e);
/* ... after its connection was given to the first that asks. The descriptor and the transport are the taker's. */
struct h2_client_given {
    int fd;
    struct transport *tr;
};
bool h2_client_give(struct end *e, struct h2_client_given *out);
/* What the exchange's attempt moved. A request that the backend says it has not looked at counts as not sent. */
struct h2_client_counts h2_client_counts(const struct end *e);
extern const size_t h2_client_size;
int h2_client_fd(const struct end *e);
extern const struct end_ops h2_client_ops;
static inline bool h2_client_is(const struct end *e)
{
    return e->ops == &h2_client_ops;
}

/* For the room's hooks, and for whoever knows that a key is no longer wanted: idle connections end, others then. */
void h2_clients_leave(struct worker *w, bool (*keep)(struct worker *w, uint64_t key));
void h2_clients_done(struct worker *w);

#endif
