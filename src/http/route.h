/*
 * Listeners, virtual servers and locations, as the rooms above the codecs see them: what configuration made, read-only.
 *
 * proxy/router.c builds and searches these; here is only their shape, because a codec needs to know the limits and
 * timeouts of the server it talks for, and an exchange the location that it is in.
 */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/slice.h"
#include "conf/schema.h"
#include "conf/var.h"

/* Directives that a client connection obeys; level http and server. The listener's default server decides until the
 * host is known. */
struct client_server_conf {
    uint64_t header_timeout;     /* client_header_timeout, ms */
    uint64_t header_buffer_size; /* client_header_buffer_size: what is held first of a head that has begun */
    uint64_t large_buffers;      /* large_client_header_buffers: number ... */
    uint64_t large_buffer_size;  /* ... and size: the longest line; number * size: the largest head */
    uint64_t max_fields;         /* max_headers */
    bool underscores, ignore_invalid, merge_slashes;
    uint32_t compat; /* http1_compat: COMPAT_* */
};

enum { COMPAT_BARE_LF = 1, COMPAT_FRAGMENT = 2 };

/* Level http, server, location. Times in ms. */
struct client_location_conf {
    uint64_t body_timeout, send_timeout;
    uint64_t keepalive_timeout, keepalive_header; /* keepalive_header: seconds for the Keep-Alive field, 0: none */
    uint64_t keepalive_requests, keepalive_time;
    uint32_t keepalive_disable; /* OLD_* of http/old_browser.h */
    uint64_t max_body_size;     /* 0: unlimited */
    uint64_t body_buffer_size;
    const struct bundle_entry *body_temp_dir; /* client_body_temp_path */
    uint32_t lingering_close;                 /* 0 off, 1 on, 2 always */
    uint64_t lingering_time, lingering_timeout;
    bool tcp_nodelay, reset_timedout, chunked;
    struct template limit_rate_after; /* a size; see http/pace.h */
    struct template server_field;     /* server_tokens: the Server field and the foot of error pages; empty: none */
};

struct bundle_entry;
struct tls_conf;
struct generation;
struct policy_use;
struct content;
struct exchange;

struct location {
    void **conf; /* SCOPE_LOCATION structs by feature id */
    const struct client_location_conf *client;
    const struct server *server;
    const struct log *log;
    slice name;                        /* prefix, regular expression or @name, as written */
    const struct policy_use *policies; /* in running order; NULL-terminated by fn */
    const struct policy_use *response_policies;
    const struct policy_use *end_policies;
    const struct content *content; /* who answers; NULL: 404 */
    const void *content_conf;
    struct conf_pos pos; /* for explain and logs */
    bool internal;
    bool warns_uninitialized; /* uninitialized_variable_warn */
};

struct server {
    void **conf; /* SCOPE_SERVER structs */
    const struct client_server_conf *client;
    const struct tls_conf *tls;
    struct location *base; /* the server level as a location: where requests are before one matches */
    void *locations;       /* struct location_tree of proxy/router.c */
    slice name;            /* first server_name, for $server_name and logs */
    struct conf_pos pos;
    bool connect; /* some location of it serves CONNECT */
    bool http2;   /* http2 on */
    bool forward; /* a forward block: it is a proxy to its clients (407, not 401) */
};

/* MAY: it may give them, rules that need none may let it in all the same. */
enum socks_login { SOCKS_LOGIN_NO, SOCKS_LOGIN_MAY, SOCKS_LOGIN_MUST };

/* One listening address of a configuration. */
struct listener_conf {
    slice key;           /* canonical address text: the BUNDLE_LISTEN key */
    struct conf_pos pos; /* of the first line that names it; file NULL: the default of a server without `listen` */
    const struct server *default_server;
    void *names;         /* struct name_table of proxy/router.c */
    bool ssl;            /* every connection speaks TLS */
    bool http2;          /* `listen ... http2`; else each server says whether it is spoken */
    bool proxy_protocol; /* every connection begins with a PROXY header */
    bool socks;          /* the first byte of a connection may be that of SOCKS */
    uint8_t socks_login; /* enum socks_login: is a SOCKS client asked for a name and a password? */
    bool only_socks;     /* ... and nothing else is spoken */
    bool connect;        /* some server of it serves CONNECT; else that is refused before anything is looked up */
};

/* proxy/router.c */
const struct listener_conf *route_listener(const struct generation *g, slice key);
/* The server for a host (lower case, no port); sets captures of a regular expression in x when it has some. */
const struct server *route_server(const struct listener_conf *l, struct exchange *x, slice host);

#endif
