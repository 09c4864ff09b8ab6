/*
 * Decoding certificates and keys while a configuration is gathered, by as many threads as there are processors.
 */
#ifndef TLS_DECODE_H
#define TLS_DECODE_H

#include "tls/conf.h"

/* Was this digest found good before, in the life of the process? And: it has been. */
bool tls_decoded(const char key[TLS_KEY]);
void tls_decoded_note(const char key[TLS_KEY]);

/* Puts a configuration into the queue, unless it was decoded before; it lives in cf's generation. OK or ERR_NOMEM. */
int tls_decode_later(struct conf_ctx *cf, const struct tls_conf *c);
/* Decodes the queue and reports what it finds. OK, ERR_SYNTAX after reporting, ERR_NOMEM. */
int tls_decode_queue(struct conf_ctx *cf, struct tls_main *m);

#endif
