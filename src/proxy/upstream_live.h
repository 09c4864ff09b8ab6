/*
 * Servers whose names are followed while requests run: `server NAME resolve`.
 *
 * One worker (the first) asks for each such name again and again, as often as its answers hold, and makes the group's
 * peers anew when the addresses changed. The peers stand behind a lock; an exchange copies them into its own memory
 * when it selects the group, so a change touches nobody that is under way. What is remembered of an address (failures,
 * load) and idle connections to it stay, because they are kept by address. Servers that fail to answer change nothing;
 * that a name does not exist leaves the group without its peers, as in nginx. Addresses outlive a reload.
 */
#ifndef PROXY_UPSTREAM_LIVE_H
#define PROXY_UPSTREAM_LIVE_H

#include "http/exchange.h"
#include "proxy/endpoint.h"
#include "proxy/resolver_dir.h"
#include "proxy/upstream.h"

/* A `server` line of such a group. */
struct live_server {
    struct upstream_live *of;
    struct peer peer; /* its parameters */
    struct endpoint at;
    struct addr *v; /* of a line without `resolve`: its addresses; else what was found, on the heap */
    uint32_t n;
    bool resolve;
    struct resolve ask;
    struct timer again;
};

/*
 * Makes `u` a group that is followed; `servers` lives as long as the generation. `own` and `http`: the resolver levels
 * of the upstream block and of the http block, of which the first that has a resolver is asked, once all was merged.
 * OK or ERR_NOMEM.
 */
int upstream_live_make(struct conf_ctx *cf, struct upstream *u, struct live_server *servers, uint32_t n,
                       const struct resolver_level *own, const struct resolver_level *http);
bool upstream_live_has_resolver(const struct upstream *u);
/* A connection under this pool key may be used again. */
bool upstream_live_has_key(const struct upstream *u, uint64_t key);
/* The group as it is now, in the arena. NULL: no memory. */
const struct upstream *upstream_live_now(const struct upstream *u, struct arena *a);

/* The first worker begins to follow, and stops before its generation goes. */
void upstream_live_start(struct worker *w, const struct upstream *u);
void upstream_live_stop(const struct upstream *u);

#endif
