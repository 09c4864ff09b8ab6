/*
 * The ssl_* directives of a server, compiled: read-only, shared by all workers.
 *
 * Files are read into the bundle when the configuration is gathered; here are their texts. Keys and certificates are
 * decoded when a worker first needs them (tls/context.h), because decoding thousands takes seconds.
 */
#ifndef TLS_CONF_H
#define TLS_CONF_H

#include "base/map.h"
#include "conf/generation.h"
#include "conf/schema.h"

enum { TLS_KEY = 32 };

enum tls_protocol {
    TLS_V1_0 = 1 << 0,
    TLS_V1_1 = 1 << 1,
    TLS_V1_2 = 1 << 2,
    TLS_V1_3 = 1 << 3,
    TLS_OLD = 1 << 4, /* SSLv2, SSLv3: names that are known and never spoken */
};

enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_ON, TLS_VERIFY_OPTIONAL, TLS_VERIFY_NO_CA };
enum tls_cache_mode { TLS_CACHE_NONE, TLS_CACHE_OFF, TLS_CACHE_BUILTIN };

struct tls_cache {
    uint32_t mode; /* enum tls_cache_mode */
    slice name;    /* of a shared one */
    uint64_t size; /* sessions; 0: as many as OpenSSL likes */
};

/* A file that a directive names, in the order of the lines. */
struct tls_file {
    slice path, text; /* path as a message shows it */
    const struct conf_node *node;
    struct tls_file *next;
};

struct tls_word {
    slice a, b;
    const struct conf_node *node;
    struct tls_word *next;
};

struct tls_conf {
    struct tls_file *certs, *keys; /* pairs, by their order */
    struct tls_file *passwords, *client_ca, *trusted, *crl, *dhparam, *staple_file, *ticket_keys;
    struct tls_word *commands;
    uint32_t protocols, verify;
    slice ciphers, curves;
    bool prefer_server, tickets, stapling, reject, early_data;
    struct tls_cache cache;
    uint64_t session_timeout, verify_depth, buffer_size;
    unsigned char ticket_secret[32];
    char key[TLS_KEY];    /* digest of everything above: equal ones are one */
    char policy[TLS_KEY]; /* digest of what is asked of clients, and with which certificates: the session's context */
    bool asks_clients;    /* ssl_verify_client is not off */
};

/* SCOPE_MAIN of the feature `ssl`. */
struct tls_main {
    struct map by_key; /* digest -> itself: what is asked for */
    struct gen_cleanup cleanup;
    bool ready;
    struct tls_decode_job *jobs, **jobs_end; /* what is to be decoded (tls/decode.c) */
    uint32_t njobs;
};

extern struct feature ssl_feature;

static inline bool tls_has_certificate(const struct tls_conf *c)
{
    return c->certs != NULL;
}
/* A context for this digest is asked for by the configuration; the bytes live as long as it. OK or ERR_NOMEM. */
int tls_remember(struct conf_ctx *cf, char key[TLS_KEY]);
/* conf.c: what `finish` does at each level. */
int tls_conf_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                    const void *parent);

#endif
