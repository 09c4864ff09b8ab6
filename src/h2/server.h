/*
 * The front end for HTTP/2: a client connection, handed over by HTTP/1 (http/handover.h), and its streams.
 */
#ifndef H2_SERVER_H
#define H2_SERVER_H

#include "base/attr.h"
#include "h2/conf.h"
#include "h2/conn.h"
#include "http/handover.h"

struct h2_worker {
    struct slab servers, clients, streams;
    struct list backs;       /* connections to backends (client.c) */
    struct list connections; /* struct h2_server.link */
};

struct h2_server {
    struct h2_conn c;
    struct client client;
    struct gen_ref *gen; /* that client.listener belongs to */
    struct list link;
    uint64_t blocked_at; /* bytes written when the send timer was last set */
    uint64_t written;
    bool in_head, resting; /* why the timer runs: a header block is not whole; nothing is under way */
    uint8_t leave;         /* GOAWAY: 0 none, 1 announced, 2 final */
};

extern const struct room_hooks h2_room;
extern const struct end_ops h2_server_ops; /* server_end.c */
extern const struct h2_role h2_server_role;

int h2_worker_init(struct worker *w);
void h2_worker_done(struct worker *w);
void h2_worker_drain(struct worker *w);
/* Connections whose listener or TLS policy the new generation has no more leave. */
void h2_worker_gen_changed(struct worker *w);
void h2_worker_cut(struct worker *w, struct gen_ref *r);
void h2_server_take(struct worker *w, const struct handover *h);

/* GOAWAY in two steps: "no more", and when the client must have read that, what was the last. */
void h2_server_leave(struct h2_server *s);
/* The stream's exchange has let go of it. */
void h2_server_stream_gone(struct h2_stream *st);
/* Sets the timer of the connection anew, after streams came or went. */
void h2_server_rest(struct h2_server *s);

/* tunnel.c */
int h2_tunnel_switch(struct end *e, struct exchange *x);
/* The peer has closed, and the client was told. */
void h2_tunnel_linger(struct h2_stream *st);
void h2_tunnel_in_wait(struct h2_stream *st, bool on);
/* Nothing more is taken from the client. */
void h2_tunnel_end_input(struct h2_stream *st);

/* server_end.c: what the role calls for a stream. */
void h2_server_in_done(struct h2_stream *st);
void h2_server_in_full(struct h2_stream *st);
void h2_server_in_wait(struct h2_stream *st, bool on);
void h2_server_out_done(struct h2_stream *st);
void h2_server_out_stuck(struct h2_stream *st, bool on);
void h2_server_failed(struct h2_stream *st, enum x_why why, enum h2_error error);
void h2_server_stream_timers(struct h2_stream *st);

static inline struct h2_server *h2_server_of(struct h2_conn *c)
{
    return container_of(c, struct h2_server, c);
}

static inline struct h2_stream *h2_stream_of(struct end *e)
{
    return container_of(e, struct h2_stream, end);
}

#endif
