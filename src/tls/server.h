/*
 * The server's side of TLS: a transport for an accepted connection.
 *
 * The certificate is chosen by the name that the client asks for (SNI), before anything else of its hello is looked at;
 * who finds the virtual server for a name is the caller.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include "net/transport.h"
#include "tls/worker.h"

struct tls_choice {
    const struct tls_conf *conf;
    bool h2; /* may be offered */
};

/* The virtual server for a name in lower case; empty: none was sent. */
typedef void (*tls_choose_fn)(void *ctx, slice name, struct tls_choice *out);

/*
 * `first` belongs to the address's default server; `early`: bytes that were read already. `choose` is called at most
 * once, from within handshake. NULL: no memory, or *why (a text that lives with the worker) says what is wrong with the
 * configuration.
 */
struct transport *tls_server_new(struct tls_worker *w, int fd, const struct tls_conf *first, tls_choose_fn choose,
                                 void *ctx, slice early, const char **why);
/* After a handshake that failed: what the client sent, when that is not TLS at all; else empty. Lives with the
 * transport. */
slice tls_server_plain(const struct transport *t);
/* Whose certificate was used. */
const struct tls_conf *tls_server_conf(const struct transport *t);
/* The name that the client asked for, lower case; empty: none. */
slice tls_server_name(const struct transport *t);
/* OpenSSL's object, for $ssl_*. */
struct ssl_st *tls_server_ssl(const struct transport *t);

/* Of a server that asks for certificates: 0, or 495 (a wrong one) or 496 (none), and why for the log. */
unsigned tls_client_refused(const struct transport *t, const char **why);

/* context.c: the calls that a context makes back. */
void tls_server_hooks(SSL_CTX *ctx);

#endif
