/*
 * The back end for HTTP/2: connections to backends (prior knowledge), each carrying the requests of many exchanges.
 *
 * A worker keeps the connections of a key in a list and gives every new request the first that has room, so that many
 * small requests leave in one write. A connection ends when it has been idle for the upstream's keepalive_timeout, has
 * had its requests or time, or when the backend says so.
 */
#ifndef H2_CLIENT_H
#define H2_CLIENT_H

#include "h2/conn.h"

struct h2_client_limits {
    uint64_t connect_timeout, send_timeout, read_timeout; /* ms */
    uint64_t head_max, fields_max;
    uint64_t keepalive; /* 0: the connection ends when nobody uses it */
    uint64_t keepalive_requests, keepalive_timeout, keepalive_time;
    bool pass_trailers, probes;
    bool fresh; /* not over a connection that is there already */
};

struct h2_client_counts {
    uint64_t sent, received, body;
};

/*
 * Makes a stream the back end of x, over a connection of that key to that address, from `local` unless NULL (`bound`:
 * its hash). Posts X_BACK_READY when a head may be sent. *reused: the connection was there. OK, or ERR_SYS (errno).
 */
int h2_client_attach(struct exchange *x, uint64_t key, const struct addr *addr, const struct addr *local,
                     uint64_t bound, const struct h2_client_limits *limits, bool *reused);
/* What the exchange's attempt moved. A request that the backend says it has not looked at counts as not sent. */
struct h2_client_counts h2_client_counts(const struct end *e);
extern const size_t h2_client_size;
int h2_client_fd(const struct end *e);

/* For the room's hooks, and for whoever knows that a key is no longer wanted: idle connections end, others then. */
void h2_clients_leave(struct worker *w, bool (*keep)(struct worker *w, uint64_t key));
void h2_clients_done(struct worker *w);

#endif
