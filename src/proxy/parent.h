/*
 * Parents: other proxies that a forward block sends requests through.
 *
 * A `server` of a parent is a chain: one proxy or several, each reached through the one before it. What its first hop
 * is makes it a peer of an ordinary group of servers (proxy/upstream.h), so that turns, weights, failures and what is
 * remembered of them over a reload are those of `upstream` blocks. A struct parent is immutable and belongs to a
 * generation.
 */
#ifndef PROXY_PARENT_H
#define PROXY_PARENT_H

#include "conf/schema.h"
#include "forward/squid_policy.h"
#include "net/egress.h"
#include "proxy/endpoint.h"
#include "proxy/upstream.h"
#include "tls/client.h"

enum { PARENT_HOPS = 8, PARENT_PEERS_MAX = 64, CREDENTIAL_MAX = 255 };

enum hop_kind {
    HOP_HTTP,    /* takes requests in absolute form, and CONNECT */
    HOP_CONNECT, /* CONNECT for all of them */
    HOP_SOCKS5,
    HOP_SOCKS4A,
};

struct hop {
    enum hop_kind kind;
    bool tls;             /* the proxy itself is reached by TLS */
    struct endpoint at;   /* with its port */
    slice host;           /* without brackets */
    slice text;           /* "socks5://10.0.0.1:1080": no credentials */
    slice user, password; /* empty: none */
    slice basic;          /* the same as a field's value; empty: none */
};

struct chain {
    struct hop *hops;
    uint32_t n;
    slice text;                     /* of all hops, for the log */
    const struct tls_origin *tls;   /* what hops reached by TLS must prove */
    bool absolute;                  /* requests without CONNECT go to the last hop in absolute form */
    bool in_turn;                   /* cache_peer ... round-robin */
    uint64_t connect_timeout;       /* ms for the whole way; 0: proxy_connect_timeout */
    const struct fwd_rules *access; /* who may use it (cache_peer_access); NULL: everybody */
};

struct parent {
    slice name;
    struct conf_pos pos;
    struct upstream *upstream; /* each peer has a chain */
    bool or_direct;            /* when no server can be reached, the target itself is connected to */
    bool restricted;           /* some chain has `access` */
    struct parent *next;
};

/* A `server` line while a parent is read. */
struct member {
    const struct conf_node *node;
    struct chain *chain;
    struct peer peer; /* its parameters */
    struct member *next;
};

/* "SCHEME://[USER:PASSWORD@]HOST:PORT" into an empty hop, in the arena. OK, ERR_NOMEM, or ERR_SYNTAX with *why. */
int hop_parse(struct arena *a, slice url, struct hop *out, const char **why);
/* Fills text and basic from the members above them. OK or ERR_NOMEM. */
int hop_finish(struct arena *a, struct hop *h);
/* When all hops are there. OK, ERR_NOMEM, or ERR_SYNTAX with *why. */
int chain_finish(struct arena *a, struct chain *c, const char **why);

/*
 * Makes p->upstream of its members (p->name is set); hosts of first hops are looked up in the bundle. `balance` NULL:
 * turns by weight. OK or an error that was reported at the member's node.
 */
int parent_build(struct conf_ctx *cf, struct parent *p, const struct member *first, const struct balance_ops *balance,
                 uint64_t keepalive);
/* A file that a line names, as one of the `what`; an empty path is none. OK or reported at node. */
int parent_tls_file(struct conf_ctx *cf, const struct conf_node *node, slice path, struct tls_file **list,
                    const char *what);
/* The authorities of this system into o->trusted, for a parent that names none. OK or reported at node. */
int parent_trust_system(struct conf_ctx *cf, const struct conf_node *node, struct tls_origin *o);

/* The group of p->peers, which is not empty. OK or reported. (proxy/chain_squid.c) */
int chain_squid_build(struct conf_ctx *cf, const struct fwd_policy *p, struct parent *out);

/* ---- a forward block's ---- */

enum route_to { ROUTE_DIRECT, ROUTE_DENY, ROUTE_PARENT };

struct route {
    const struct fwd_rule *rule;
    enum route_to to;
    const struct parent *parent;
};

struct routes {
    struct fwd_rules rules; /* of `route` lines: their value is the name */
    struct route *v;        /* one for each of them, in their order */
    struct parent *parents, **last;
    const struct fwd_policy *squid; /* cache_peer or never_direct stand here, and no `route`; else NULL */
    struct parent *peers;           /* the group of all cache_peer lines; NULL: none */
};

/* SCOPE_LOCATION */
struct parent_conf {
    struct routes *routes; /* NULL: everything goes direct */
};

extern struct feature parent_feature;

/* At the end of a forward block: what `route` lines name. OK or reported. */
int parent_block_end(struct conf_ctx *cf, const struct conf_node *block);
/* No parent is one of the block's own listeners. OK or reported. */
int parent_check(struct conf_ctx *cf, const struct parent_conf *c, const struct egress_own *own);

#endif
