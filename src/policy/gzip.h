/*
 * gzip: compressing answers on their way. Its directives are in gzip_conf.c, its compressors in gzip_stream.c.
 */
#ifndef POLICY_GZIP_H
#define POLICY_GZIP_H

#include "base/regex.h"
#include "http/transform.h"
#include "proxy/policy.h"

enum gzip_proxied {
    GZIP_P_OFF = 1 << 0,
    GZIP_P_EXPIRED = 1 << 1,
    GZIP_P_NO_CACHE = 1 << 2,
    GZIP_P_NO_STORE = 1 << 3,
    GZIP_P_PRIVATE = 1 << 4,
    GZIP_P_NO_LAST_MODIFIED = 1 << 5,
    GZIP_P_NO_ETAG = 1 << 6,
    GZIP_P_AUTH = 1 << 7,
    GZIP_P_ANY = 1 << 8,
};

/* A content type of gzip_types. */
struct gzip_type {
    slice name;
    struct gzip_type *next;
};

/* A regular expression of gzip_disable. */
struct gzip_agent {
    const struct regex *regex;
    struct gzip_agent *next;
};

struct gzip_types {
    struct gzip_type *first; /* text/html is always meant as well */
    bool all;
};

struct gzip_agents {
    struct gzip_agent *first;
    bool msie6;
};

/* SCOPE_LOCATION */
struct gzip_conf {
    bool on, vary;
    struct gzip_types types;
    struct gzip_agents disable;
    uint64_t min_length, level, memory;
    uint32_t proxied; /* enum gzip_proxied */
    uint32_t minor;   /* gzip_http_version: HTTP/1.minor */
    struct conf_pos pos;
};

extern struct feature gzip_feature;
extern const struct policy gzip_policy;
extern const struct room_hooks gzip_room;

/* Whether the answer at hand is one that gzip compresses at all, whoever asks (then Vary is due). */
bool gzip_answer_fits(const struct exchange *x, const struct gzip_conf *c);
/* Whether this request may have it compressed; if not, *why says so in a few words. */
bool gzip_request_takes(const struct exchange *x, const struct gzip_conf *c, const char **why);

/*
 * Puts a compressor into the way of the response body. OK; ERR_NOMEM; ERR_LIMIT: gzip_memory is used up. `eager`: what
 * came is sent on at once and not held for a few milliseconds.
 */
int gzip_insert(struct exchange *x, unsigned level, size_t memory, bool eager);

/* What a compressor of this exchange has read and written; false when there is none. */
bool gzip_counts(const struct exchange *x, uint64_t *in, uint64_t *out);

#endif
