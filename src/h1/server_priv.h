/*
 * The inside of the HTTP/1 front end: what server.c (the connection's life) and server_end.c (the exchange's side)
 * share.
 */
#ifndef H1_SERVER_PRIV_H
#define H1_SERVER_PRIV_H

#include "h1/server.h"
#include "http/client.h"
#include "http/handover.h"

extern const struct end_ops h1_server_ops;

/* An event for a connection whose exchange is under way. */
void h1_server_io(struct h1_server *s, unsigned events);
/* After the exchange: keep: wait for the next head; else linger when the client may still be sending, or close. */
void h1_server_next(struct h1_server *s, bool keep, bool unread);
void h1_server_linger_read(struct h1_server *s);
/* No exchange may be attached. */
void h1_server_close(struct h1_server *s);
/* Nothing to parse and nothing to read: from now on the kernel must tell. Closes when it cannot. */
void h1_server_await(struct h1_server *s);
/* In SERVER_HEAD: parses what is there, and reads on. */
void h1_server_read_head(struct h1_server *s);

/* Composes a head in the exchange's arena. OK, ERR_SYNTAX, ERR_NOMEM. */
int h1_server_compose(struct exchange *x, const struct response *r, enum h1_framing f, uint64_t length,
                      enum h1_connection conn, slice *out);
/* The close that comes sends a reset. */
void h1_server_abortive(struct h1_server *s);

/* tunnel.c: in SERVER_TUNNEL. */
int h1_server_switch(struct end *e, struct exchange *x);
void h1_server_tunnel_io(struct h1_server *s, unsigned events);
void h1_server_tunnel_timer(struct h1_server *s);

/* handover.c: may these first bytes be the preface of HTTP/2, and is that spoken here? */
bool h1_server_is_h2(const struct h1_server *s);
/* May this first byte be that of SOCKS, and is that spoken here? */
bool h1_server_is_socks(const struct h1_server *s);
/* What must come before the first message is over: the first head is awaited, or SOCKS where nothing else is spoken. */
void h1_server_speak(struct h1_server *s);
/* The connection becomes another codec's, with what was read of it; nothing of it is left here. */
void h1_server_hand_over(struct h1_server *s, enum codec codec);
/* Ends this room's part in a connection, without closing it. */
void h1_server_release(struct h1_server *s);
/* handshake.c: in SERVER_HANDSHAKE, which begins with what is there of the input. */
void h1_server_handshake_begin(struct h1_server *s);
void h1_server_handshake(struct h1_server *s);

/* server_proxied.c: in SERVER_PROXIED, reads the PROXY header, then the first head. */
void h1_server_proxied_read(struct h1_server *s);
void h1_server_proxied_free(struct h1_server *s);

#endif
