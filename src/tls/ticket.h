/*
 * The keys that session tickets are sealed with.
 *
 * From files (ssl_session_ticket_key): the first seals, all open; a file of 48 bytes means AES-128, one of 80 AES-256,
 * as in nginx. Without files the keys follow from one secret that the master draws once and keeps in the bundle, and
 * from the time: each epoch of ssl_session_timeout has its key. So workers, reloads and restarts share them without a
 * word, and a ticket of the epoch before is opened and replaced.
 */
#ifndef TLS_TICKET_H
#define TLS_TICKET_H

#include <openssl/ssl.h>

#include "base/slice.h"
#include "tls/conf.h"

enum { TICKET_SECRET = 32, TICKET_NAME = 16, TICKET_KEYS = 16 };

struct ticket_key {
    unsigned char name[TICKET_NAME], aes[32], hmac[32];
    uint8_t aes_n, hmac_n;
};

/* Of one context, so of one worker's thread. */
struct tls_tickets {
    bool derived;
    unsigned char secret[TICKET_SECRET];
    uint64_t epoch_seconds;
    uint64_t derived_at[2]; /* epochs of keys[0] and keys[1], when they are derived */
    bool has[2];
    EVP_CIPHER *aes[2]; /* AES-128 and AES-256, fetched: OpenSSL would search for them each time */
    uint32_t n;         /* keys from files */
    struct ticket_key keys[TICKET_KEYS];
};

/* Reads a file of a ticket key; false: neither 48 nor 80 bytes. */
bool ticket_key_read(slice text, struct ticket_key *out);
/* The key of an epoch. */
void ticket_key_derive(const unsigned char secret[TICKET_SECRET], uint64_t epoch, struct ticket_key *out);
/* Makes the context use the keys of `c`; what it needs lives as long as the context. OK or ERR_NOMEM. */
int tickets_install(SSL_CTX *ctx, const struct tls_conf *c);

#endif
