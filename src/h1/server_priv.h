/*
 * The inside of the HTTP/1 front end: what server.c (the connection's life) and server_end.c (the exchange's side)
 * share.
 */
#ifndef H1_SERVER_PRIV_H
#define H1_SERVER_PRIV_H

#include "h1/server.h"

extern const struct end_ops h1_server_ops;

/* An event for a connection whose exchange is under way. */
void h1_server_io(struct h1_server *s, unsigned events);
/* After the exchange: keep: wait for the next head; else linger when the client may still be sending, or close. */
void h1_server_next(struct h1_server *s, bool keep, bool unread);
void h1_server_linger_read(struct h1_server *s);
/* No exchange may be attached. */
void h1_server_close(struct h1_server *s);

#endif
