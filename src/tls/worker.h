/*
 * What one worker keeps for TLS: buffers that all its connections share, and the contexts that were made so far.
 *
 * Every worker has OpenSSL contexts of its own, because threads that share one queue for its locks. A context is made
 * when a connection first needs it, from the configuration's immutable struct tls_conf, and is found again by that
 * struct's digest: a reload that leaves it as it was keeps the context, sessions in it included.
 */
#ifndef TLS_WORKER_H
#define TLS_WORKER_H

#include <openssl/ssl.h>

#include "base/map.h"
#include "loop/loop.h"
#include "tls/conf.h"

enum {
    TLS_RECORD = 16 << 10,     /* plain bytes of the largest record */
    TLS_IN = 64 << 10,         /* read from a socket at once */
    TLS_OUT = 160 << 10,       /* sealed at once */
    TLS_TAKE = 8 * TLS_RECORD, /* plain bytes that one write takes */
};

struct tls_context {
    SSL_CTX *ctx;  /* NULL: it could not be made */
    char why[200]; /* then */
    struct tls_tickets *tickets;
    char key[TLS_KEY];
    bool used; /* by the generation that is being taken */
};

/* Where events are counted, the owner's memory; NULL: not. */
struct tls_counts {
    uint64_t *renegotiations, *key_updates;
};

struct tls_worker {
    struct tls_counts count;
    struct loop *loop;
    struct tls_worker *inner; /* the same for TLS inside of TLS, made at its first use: buffers would be in use */
    char *in, *out, *gather;
    size_t out_n, out_cap;
    struct map sessions; /* with backends: client.c */
    struct map contexts; /* digest -> struct tls_context */
};

/* NULL when out of memory. */
struct tls_worker *tls_worker_new(struct loop *loop);
void tls_worker_free(struct tls_worker *w);
/* The one for what goes over transports of w. NULL when out of memory. */
struct tls_worker *tls_worker_inner(struct tls_worker *w);

/* The context of a configuration; never NULL unless memory is out. */
struct tls_context *tls_context_of(struct tls_worker *w, const struct tls_conf *c);
/* The same for anything that has a digest and a way to make a context of it. */
typedef int (*tls_make_fn)(const void *what, struct tls_context *out);
struct tls_context *tls_context_for(struct tls_worker *w, const char key[TLS_KEY], tls_make_fn make, const void *what);
/* client.c */
void tls_sessions_clear(struct tls_worker *w);
/* Forgets contexts that no configuration of `all` asks for; connections that use one keep it. */
void tls_worker_sweep(struct tls_worker *w, const struct tls_main *all);

/* context.c: makes one. OK, or ERR_SYNTAX with why (at most n bytes) filled, or ERR_NOMEM. */
int tls_context_make(const struct tls_conf *c, struct tls_context *out);

/* The first queued error of OpenSSL as text; the queue is empty then. */
void tls_error_text(char *dst, size_t n);

#endif
