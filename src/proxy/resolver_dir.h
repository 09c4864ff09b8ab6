/*
 * The directives `resolver` and `resolver_timeout`, and the worker's resolvers.
 */
#ifndef PROXY_RESOLVER_DIR_H
#define PROXY_RESOLVER_DIR_H

#include "conf/schema.h"
#include "http/worker.h"
#include "net/resolver.h"

/* SCOPE_LOCATION and SCOPE_UPSTREAM. */
struct resolver_level {
    const struct resolver_conf *conf; /* NULL: none */
    uint64_t timeout;                 /* ms */
    uint64_t share;                   /* look-ups under way for one client; SCOPE_LOCATION alone */
};

extern struct feature resolver_feature;
extern const struct room_hooks resolver_room;

/*
 * The system's way of asking (net/resolver_conf.h), for blocks that need names and name no resolver. Read from the
 * bundle at its first use, once for a configuration; during compilation only. OK or ERR_NOMEM.
 */
int resolver_system(struct conf_ctx *cf, const struct resolver_conf **out);

#endif
