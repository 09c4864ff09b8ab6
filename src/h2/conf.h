/*
 * The http2_* directives.
 */
#ifndef H2_CONF_H
#define H2_CONF_H

#include "conf/schema.h"
#include "http/route.h"

struct h2_server_conf {
    bool on;
    uint64_t max_streams;   /* http2_max_concurrent_streams */
    uint64_t window;        /* http2_body_preread_size */
    uint64_t max_resets;    /* http2_max_resets */
    uint64_t max_control;   /* http2_max_control_frames */
    uint64_t header_memory; /* http2_header_memory */
    uint64_t idle_ping;     /* http2_idle_ping, ms; 0: none is sent */
};

struct h2_location_conf {
    uint64_t chunk; /* http2_chunk_size */
};

extern struct feature h2_feature;

static inline const struct h2_server_conf *h2_conf(const struct server *s)
{
    return s->conf[h2_feature.id];
}

#endif
