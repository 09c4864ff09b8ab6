/*
 * The resolver of a worker: names to addresses while requests run, without a thread and without waiting.
 *
 * Each worker has its own, with one memory of names for each way of asking that its configurations hold (struct
 * resolver_conf, told apart by its text), so nothing is locked, and what was learnt outlives a reload. A name is asked
 * for once however many want it. An answer holds for its TTL, or for `valid`; that a name does not exist for as long as
 * its zone says, at most five minutes. When servers fail or are slow (RFC 8767) the last good answer is given instead,
 * as long as it is not older than `stale`. The memory is bounded by number of names: who was not asked for longest
 * goes first. Questions under way are bounded too, and so is the share of them that one client may have: a question
 * goes on when its asker has left, so who asks for many names that nobody answers would else keep all others from
 * asking. It counts for the client that was the first to want it.
 *
 * Order: an asker gets all addresses of a name, each time beginning with another.
 */
#ifndef NET_RESOLVER_H
#define NET_RESOLVER_H

#include "loop/loop.h"
#include "net/addr.h"
#include "net/dns_answer.h"
#include "net/resolver_conf.h"

enum { RESOLVER_NAMES_MAX = 8192, RESOLVER_LOOKUPS_MAX = 512, RESOLVED_MAX = 2 * DNS_ADDRS_MAX };

struct resolvers;
struct resolver;
struct resolver_name;

/* Addresses of a name; shared and immutable. */
struct dns_addrs {
    uint32_t refs;
    uint32_t n;
    struct dns_ip v[];
};

/* Whoever asks; embedded in it. All fields are the resolver's to write. */
struct resolve {
    struct list link;
    struct timer timer;
    struct loop *loop;
    struct resolver *resolver;
    const struct sockaddr *client;
    uint64_t deadline;
    uint32_t share;
    void (*fn)(struct resolve *r);
    bool waiting;
    bool stale;                        /* the answer is an old one: servers fail */
    struct resolver_name *at;          /* while waiting */
    uint8_t candidate, last_candidate; /* of the search list: next, and behind the last */
    uint8_t as_is;                     /* the candidate that is the name itself */
    unsigned status;                   /* enum dns_status */
    struct dns_addrs *addrs;           /* with DNS_OK; held until resolver_drop */
    uint32_t turn;                     /* which of them comes first */
    uint64_t holds;                    /* ms that the answer holds from now on */
    size_t name_len;
    char name[DNS_NAME_MAX];
};

/* What is counted; any pointer may be NULL. */
struct resolver_counts {
    uint64_t *asked, *remembered, *joined, *stale, *failed, *timed_out, *refused, *shares;
};

/* How a name is asked for. */
struct resolve_terms {
    uint64_t timeout; /* ms */
    /*
     * For whom, as long as the asker waits: an IPv4 address, the /64 of an IPv6 one, all unix sockets together. NULL:
     * for nobody, without a share.
     */
    const struct sockaddr *client;
    uint32_t share; /* questions under way at most for that client */
};

/* NULL: out of memory. */
struct resolvers *resolvers_new(struct loop *l, const struct resolver_counts *counts);
/* Gives up what is under way; askers are not told. */
void resolvers_free(struct resolvers *rs);

/*
 * Asks. OK: the outcome is in `r` now (r->status, failure included); ERR_AGAIN: `fn` is called from a task of the loop
 * when it is, unless resolver_drop is called before. A text that is no name is a name that does not exist, and is never
 * asked for. `c` and `terms` are only read during the call.
 */
int resolver_ask(struct resolvers *rs, const struct resolver_conf *c, slice name, const struct resolve_terms *terms,
                 struct resolve *r, void (*fn)(struct resolve *r));
/* Stops waiting, or gives back what the answer holds. Nothing when it was done before, or `r` is zeroed. */
void resolver_drop(struct resolve *r);

/* The addresses with that port, the turn's first one first; returns how many, at most `max`. */
uint32_t resolver_addresses(const struct resolve *r, uint16_t port, struct addr *out, uint32_t max);

#endif
