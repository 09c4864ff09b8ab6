/*
 * The client's side of TLS: a transport for a connection to a backend.
 *
 * What a backend must prove is a struct tls_origin, made by configuration and read-only. Sessions are kept per worker
 * under everything that decides about trust: name, authorities, policy and address (CVE-2014-3616 seen from this side).
 * Bytes in the clear before the handshake ends are an error of the handshake (CVE-2026-1642).
 */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include "net/transport.h"
#include "tls/worker.h"

struct tls_origin {
    struct tls_file *certs, *keys, *passwords, *trusted, *crl;
    struct tls_word *commands;
    uint32_t protocols;
    slice ciphers;
    bool verify, server_name, session_reuse;
    uint64_t verify_depth;
    char key[TLS_KEY]; /* digest of all of it */
};

/* A context of it: OK, ERR_NOMEM, or ERR_SYNTAX with out->why filled. */
int tls_origin_make(const struct tls_origin *o, struct tls_context *out);
/* Fills o->key, and enters it among what the configuration asks for. OK or ERR_NOMEM. */
int tls_origin_finish(struct conf_ctx *cf, struct tls_origin *o);
/*
 * `name`: what is asked for and what the certificate must hold (no port); `peer`: the address as text. NULL: no memory,
 * or *why says what is wrong with the configuration.
 */
struct transport *tls_client_new(struct tls_worker *w, int fd, const struct tls_origin *o, slice name, slice peer,
                                 const char **why);
/* ALPN, before the handshake; each name behind a byte that says its length. OK or ERR_NOMEM. */
int tls_client_offer(struct transport *t, slice protocols);

/* The same over `below`, a transport of this file whose handshake is over (TLS inside of TLS); on success it is the
 * new one's. */
struct transport *tls_client_over(struct transport *below, const struct tls_origin *o, slice name, slice peer,
                                  const char **why);

/* For *_ssl_certificate and its kin: reads the file into the list. conf.c's readers, for tables of other rooms. */
int tls_file_add(struct conf_ctx *cf, const struct conf_node *node, struct tls_file **list, const char *what);
int tls_word_add(struct conf_ctx *cf, const struct conf_node *node, struct tls_word **list);
extern const struct conf_value tls_protocol_values[];

#endif
