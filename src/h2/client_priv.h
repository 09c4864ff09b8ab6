/*
 * What the two halves of the back end share: connections (client.c) and their streams (client_end.c).
 */
#ifndef H2_CLIENT_PRIV_H
#define H2_CLIENT_PRIV_H

#include "base/attr.h"
#include "h2/client.h"
#include "h2/server.h"

/* Of one head: what is read of one that is too much, for the sake of the table. */
enum { H2_ANSWER_BYTES = 1 << 20 };

struct h2_client {
    struct h2_conn c;
    struct list link; /* h2_worker.backs */
    struct addr addr;
    uint64_t key, bound, since, requests;
    uint64_t idle_ms, send_ms, ping_ms;
    const char *why; /* the handshake failed; lives as long as the transport */
    bool connecting; /* nothing may be sent yet */
    bool shaking;    /* ... because of TLS */
    bool declined;   /* the backend has chosen another protocol */
    bool leaving;
};

static inline struct h2_client *h2_client_of(struct h2_conn *c)
{
    return container_of(c, struct h2_client, c);
}

static inline const struct h2_client_limits *h2_client_limits_of(const struct h2_stream *s)
{
    return s->user;
}

static inline void h2_client_timer(struct h2_stream *s, struct timer *t, uint64_t ms)
{
    timer_set(&s->c->w->loop, t, ms);
}

static inline void h2_client_fail(struct h2_stream *s, enum x_why why, int err, const char *detail)
{
    if (s->end.x)
        exchange_back_failed(s->end.x, why, err, detail);
}

/* client.c: nobody uses it any more; it waits for the next request, or ends. */
void h2_client_rest(struct h2_client *cl);

/* client_end.c: what the role calls for a stream. */
void h2_client_block(struct h2_conn *c, struct h2_stream *s, uint32_t id, bool ends, slice block);
void h2_client_in_done(struct h2_stream *s);
void h2_client_in_full(struct h2_stream *s);
void h2_client_in_wait(struct h2_stream *s, bool on);
void h2_client_out_done(struct h2_stream *s);
void h2_client_out_stuck(struct h2_stream *s, bool on);
void h2_client_failed(struct h2_stream *s, enum x_why why, enum h2_error error);
void h2_client_wrote(struct h2_stream *s, size_t head, size_t body);

#endif
