/*
 * The blocks http, server and location: reading them, and turning them into what requests are routed by.
 *
 * Reading opens a configuration level per block and remembers it (server_build, location_build). When the whole http
 * block has been read, levels are merged, outer ones first, and only then are servers, locations and listeners made:
 * nothing of them is seen half done.
 */
#ifndef PROXY_HTTP_BLOCK_H
#define PROXY_HTTP_BLOCK_H

#include "base/log.h"
#include "base/map.h"
#include "conf/generation.h"
#include "http/route.h"
#include "net/egress.h"
#include "proxy/listen_dir.h"
#include "proxy/location.h"
#include "proxy/policy.h"
#include "proxy/server_name.h"

/* A location as it is read. Children are the locations nested in it; of a server's base: the server's. */
struct location_build {
    struct location *loc;
    struct conf_scope *scope;
    const struct conf_node *node;
    enum location_kind kind;
    slice path; /* without modifier and '@' */
    bool noregex, icase;
    struct match match;
    const struct content *content;
    const struct feature *content_feature;
    struct location_build *parent, *children, **children_end, *next;
};

struct server_build {
    struct server *server;
    struct conf_scope *scope;
    struct location_build base;
    struct listen_line *listens;
    struct server_name *names, **names_end;
    struct server_build *next;
};

/* A line that leads to a named location. */
struct named_use {
    const struct conf_node *node;
    int arg;
    slice name;                        /* with its '@' */
    const struct server_build *server; /* NULL: at http level, for all of them */
    struct named_use *next;
};

/* SCOPE_MAIN of the feature `http`. */
struct http_main {
    struct server_build *servers, **servers_end;
    struct server_build *server;     /* being read */
    struct location_build *location; /* being read; of a server outside its locations: its base */
    const struct content *fallback;  /* content_default; NULL: none */
    const struct feature *fallback_feature;
    struct named_use *named_uses; /* the last one read first */
    struct map listeners;         /* key -> struct listener_conf */
    struct addr *own;             /* their addresses */
    uint32_t nown;
    struct gen_cleanup cleanup;
};

/* SCOPE_LOCATION of the feature `http`. */
struct http_level {
    struct log *log; /* error_log; NULL: the main context's */
    bool internal, warns_uninitialized;
    bool absolute_redirect, server_name_in_redirect, port_in_redirect;
};

extern struct feature http_feature;

/* The state of the http block being read; NULL when out of memory. */
struct http_main *http_main_of(struct conf_ctx *cf);

/*
 * From a set function: argument `arg` leads to the location @NAME, if it begins so and has no variables. When all is
 * read and the server has no such location, or no server has for a line at http level, there is a warning. OK or
 * ERR_NOMEM.
 */
int named_location_used(struct conf_ctx *cf, const struct conf_node *node, int arg);

/*
 * For blocks that become a server: makes its levels, which are current until server_build_end; begin makes it the one
 * that is being read. NULL: out of memory.
 */
struct server_build *server_build_new(struct conf_ctx *cf, const struct conf_node *node);
void server_build_begin(struct http_main *m, struct server_build *s);
void server_build_end(struct conf_ctx *cf, struct http_main *m, struct server_build *s);
/* OK or ERR_NOMEM. */
int server_default_name(struct conf_ctx *cf, struct server_build *s);

/* proxy/location_dir.c: reads a location block. */
int location_block(struct conf_ctx *cf, const struct conf_node *node, void *conf);

/* proxy/location_build.c: makes the locations of a server that was read and merged. OK, ERR_SYNTAX, ERR_NOMEM. */
int location_build_all(struct conf_ctx *cf, struct server_build *s, const struct conf_scope *http);
/* proxy/router.c: makes servers and listeners of what was read and merged. OK, ERR_SYNTAX, ERR_NOMEM. */
int router_build(struct conf_ctx *cf, struct http_main *m, const struct conf_scope *http);
/* Every address that the configuration listens on. */
struct egress_own route_own(const struct generation *g);

#endif
