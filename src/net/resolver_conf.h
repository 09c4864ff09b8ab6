/*
 * How names are asked for: what a `resolver` line says, or what the system's own files say (resolv.conf(5), hosts(5)).
 * Immutable, and of a configuration's arena.
 */
#ifndef NET_RESOLVER_CONF_H
#define NET_RESOLVER_CONF_H

#include "base/arena.h"
#include "base/map.h"
#include "net/addr.h"

struct bundle;

enum { RESOLVER_SERVERS_MAX = 16, RESOLVER_SEARCH_MAX = 6 };

/* Lines of a hosts file for one name. */
struct hosts_entry {
    struct addr *v;
    uint32_t n;
};

struct resolver_conf {
    slice identity; /* equal texts ask in the same way and share what was learnt */
    const struct addr *servers;
    uint32_t nservers;
    uint64_t valid;  /* ms that answers hold; 0: their TTL */
    uint64_t stale;  /* ms that an answer may be old when servers fail */
    uint64_t try_ms; /* for a server to answer */
    unsigned tries;
    bool ipv4, ipv6;
    /* of the system only */
    slice search[RESOLVER_SEARCH_MAX];
    uint32_t nsearch, ndots;
    const struct map *hosts; /* name in lower case -> struct hosts_entry; NULL: none */
};

enum { RESOLVER_STALE = 3600 * 1000, RESOLVER_TRY = 2000, RESOLVER_TRIES = 3, RESOLVER_PORT = 53 };

/*
 * The system's way: /etc/resolv.conf and /etc/hosts, which the bundle carries (the master reads them when the
 * configuration is loaded; a reload reads them again). Without a readable resolv.conf the server is 127.0.0.1, as
 * resolv.conf(5) says. Lines that are not understood are passed over, as the C library does. OK or ERR_NOMEM. *hosts is
 * an empty map that the caller ends (map_done) with the configuration.
 */
int resolver_conf_system(struct arena *a, struct bundle *b, struct map *hosts, struct resolver_conf *out);

/* Of their texts: for the above and for tests. */
int resolver_conf_parse(struct arena *a, slice resolv, slice hosts_text, struct map *hosts, struct resolver_conf *out);

#endif
