/*
 * Pieces of making an OpenSSL context, for servers and clients alike. Each returns OK, ERR_NOMEM, or ERR_SYNTAX with
 * out->why filled.
 */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include "tls/worker.h"

void tls_set_protocols(SSL_CTX *ctx, uint32_t protocols);
int tls_set_commands(SSL_CTX *ctx, const struct tls_word *w, bool server, struct tls_context *out);
int tls_use_pair(SSL_CTX *ctx, const struct tls_file *cert, const struct tls_file *key,
                 const struct tls_file *passwords, struct tls_context *out);
/* Certificates of authorities; `ask`: their names go to the peer. f may be NULL, as below. */
int tls_trust(SSL_CTX *ctx, const struct tls_file *f, bool ask, struct tls_context *out);
int tls_use_crl(SSL_CTX *ctx, const struct tls_file *f, struct tls_context *out);

#endif
