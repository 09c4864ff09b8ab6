/*
 * What a resolver remembers: names with their last good answer, what failed, and who waits for what is being asked.
 *
 * A table of chains and one list by time of use. A name that is being asked for is never thrown out; others are, the
 * longest unused first, when the table is full. Times are ms of the loop's clock.
 */
#ifndef NET_RESOLVER_CACHE_H
#define NET_RESOLVER_CACHE_H

#include "net/dns_lookup.h"
#include "net/resolver.h"

enum { RESOLVER_BUCKETS = 1024 };

/* Whose question it is: a client's address, or its network. */
struct resolver_payer {
    uint8_t family; /* 0: nobody's */
    uint8_t bytes[8];
};

struct resolver_name {
    struct list chain, used;
    struct resolver *of;
    uint64_t hash;
    struct dns_addrs *good;    /* the last good answer; or NULL */
    uint64_t fresh, stale;     /* until when it holds; until when it may be given while servers fail */
    unsigned failure;          /* DNS_OK: none is remembered */
    uint64_t failed;           /* until when that is remembered */
    struct dns_lookup *lookup; /* under way; or NULL */
    uint64_t asked;            /* when it began */
    struct resolver_payer payer;
    uint32_t place;      /* among those under way */
    struct list waiting; /* struct resolve */
    uint32_t turn;
    size_t len;
    char name[];
};

struct resolver_cache {
    struct list buckets[RESOLVER_BUCKETS];
    struct list used; /* the latest first */
    uint32_t n, max;
};

void resolver_cache_init(struct resolver_cache *c, uint32_t max);
/* All names go; those under way are given up, and who waits for them is not told. */
void resolver_cache_done(struct resolver_cache *c);
/* The name, made when it is not there. NULL: out of memory, or everything that is remembered is being asked for. */
struct resolver_name *resolver_cache_name(struct resolver_cache *c, slice name);

struct dns_addrs *dns_addrs_ref(struct dns_addrs *a);
void dns_addrs_unref(struct dns_addrs *a); /* NULL too */

#endif
