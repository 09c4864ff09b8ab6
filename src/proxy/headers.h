/*
 * What a location does to the fields of requests and answers, compiled from proxy_set_header, proxy_hide_header,
 * proxy_pass_header, and what announces the request's way.
 */
#ifndef PROXY_HEADERS_H
#define PROXY_HEADERS_H

#include "proxy/proxy.h"

struct header_rules {
    /* requests */
    const struct set_field *set; /* what is added; without Host and the hop-by-hop names */
    uint32_t nset;
    bool plain;                         /* the client's fields travel as they are, and nothing is added */
    struct name_set drop;               /* the client's own fields of these names do not travel */
    const struct announce *announce;    /* what is told of the request's way; NULL: nothing */
    const struct set_field *host;       /* NULL: $proxy_host */
    const struct set_field *connection; /* NULL: as the pool wants it */
    const struct set_field *upgrade;    /* the protocols that a client may switch to; NULL: none */
    /* answers */
    struct name_set hide;
};

/*
 * Compiles conf's lists into conf->headers; shares the parent's when they are the parent's. OK, ERR_SYNTAX
 * after reporting, ERR_NOMEM.
 */
int headers_compile(struct conf_ctx *cf, struct proxy_conf *conf, const struct proxy_conf *parent);

/* Is a field of that name in the set? */
bool name_set_has(const struct name_set *s, const struct field *f);

/* Directive functions. */
int headers_set(struct conf_ctx *cf, const struct conf_node *node, void *conf);
int headers_hide(struct conf_ctx *cf, const struct conf_node *node, void *conf);
int headers_pass(struct conf_ctx *cf, const struct conf_node *node, void *conf);

#endif
