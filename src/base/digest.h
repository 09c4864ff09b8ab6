/*
 * MD5, SHA-1 and HMAC-SHA-1: what password files and keyed look-ups need. Neither hash is fit for signatures any more.
 *
 * A digest is fed in any number of pieces and finished once. No function allocates.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { MD5_BYTES = 16, SHA1_BYTES = 20, DIGEST_BLOCK = 64 };

struct digest {
    void (*block)(uint32_t *state, const unsigned char *p);
    uint32_t state[5];
    uint64_t n; /* bytes fed */
    unsigned char held[DIGEST_BLOCK];
    bool little; /* byte order of lengths and results */
};

/* RFC 1321 */
void md5_init(struct digest *d);
/* RFC 3174 */
void sha1_init(struct digest *d);
void digest_add(struct digest *d, slice s);
/* Writes MD5_BYTES or SHA1_BYTES, and wipes the state. */
void digest_done(struct digest *d, unsigned char *out);

/* RFC 2104: `key` has at most DIGEST_BLOCK bytes. digest_add feeds the message in between. */
void hmac_sha1_init(struct digest *d, slice key);
void hmac_sha1_done(struct digest *d, slice key, unsigned char out[SHA1_BYTES]);

/* Are n bytes equal? Takes the same time wherever they differ. */
bool bytes_equal(const void *a, const void *b, size_t n);

#endif
