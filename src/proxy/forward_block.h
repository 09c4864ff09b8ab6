/*
 * The forward block: a proxy that inside clients ask for the world outside.
 */
#ifndef PROXY_FORWARD_BLOCK_H
#define PROXY_FORWARD_BLOCK_H

#include "http/exchange.h"
#include "proxy/http_block.h"
#include "proxy/port_list.h"

enum hiding { HIDING_TRANSPARENT, HIDING_ANONYMOUS, HIDING_ELITE };

/* SCOPE_LOCATION */
struct forward_conf {
    struct port_list connect_ports, socks_ports;
    const struct conf_node *ports_line, *socks_line; /* of each; NULL: the default */
    uint64_t udp_destinations;                       /* of one association; 0: there is none */
    uint32_t hiding;                                 /* enum hiding */
    bool allow_open;
    const struct pac *pac;              /* NULL: none is served */
    const struct resolver_conf *system; /* for blocks without `resolver` */
    struct fwd_policy *policy;          /* the lines in Squid's language; never NULL once the block is read */
    const struct conf_node *squid;      /* squid_conf: that file's rules decide, and Squid's defaults hold */
    uint64_t lifetime, idle;            /* client_lifetime, server_idle_pconn_timeout: ms; 0: none */
    bool counted;                       /* exchanges are counted by client (proxy/client_count.h) */
    bool fields;                        /* requests' fields are changed (proxy/forward_fields.h) */
    bool forwarded_for;                 /* X-Forwarded-For as Squid's forwarded_for says */
    bool ruled;                         /* some access rule stands here; else loopback clients only */
};

extern struct feature forward_feature;

/*
 * proxy/forward_check.c. When servers and listeners are made: who may come in, and that no other block shares an
 * address with a forward one. OK or ERR_SYNTAX after reporting.
 */
int forward_check(struct conf_ctx *cf, struct http_main *m);

/* ---- proxy/forward_pac.c ---- */

/* Answers /proxy.pac and /wpad.dat. ERR_NOTFOUND: another path. OK: reply_set was called. */
int forward_pac(struct exchange *x, const struct pac *p);
/* The directive: proxy_pac FILE | on | off. */
int forward_pac_line(struct conf_ctx *cf, const struct conf_node *node, void *conf);

#endif
