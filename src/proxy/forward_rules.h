/*
 * Rules in Squid's language, as a forward block meets them: which lines it takes, and what they decide of an exchange.
 *
 * The language itself is compiled and decided in src/forward, which knows no exchange. Here the view that rules look at
 * is made of one, and their answer becomes a verdict. A rule that looks at the target's addresses (`dst`) is asked
 * again by the dial, with the addresses that will be connected to and no others: a name is resolved once, so no second
 * answer of a hostile server can differ from the one that was judged.
 */
#ifndef PROXY_FORWARD_RULES_H
#define PROXY_FORWARD_RULES_H

#include "forward/filter.h"
#include "forward/squid_policy.h"
#include "http/exchange.h"
#include "proxy/endpoint.h"

struct forward_conf;
struct parent;

/* In the exchange's arena, from forward_select on. */
struct forward_exchange {
    const struct forward_conf *conf;
    struct endpoint at;          /* the target */
    slice host;                  /* of it, as rules see it: no brackets */
    slice url, path;             /* of it, as Squid shows them: with the escapes that go out; path with the query */
    slice plain_url, plain_path; /* ... decoded, for patterns alone */
    uint8_t verdict;             /* enum forward_verdict */
    uint16_t limit_status;       /* of FORWARD_LIMITED: what it is answered with, and why */
    const char *limit_reason;
    slice limit_rule;
    uint64_t limit_wait;               /* Retry-After, s */
    const struct addr *source;         /* where it is to come from; NULL: proxy_bind says */
    bool source_only;                  /* peers that cannot be reached from there are not tried */
    const struct forward_strip *strip; /* fields that do not travel; NULL: all do */
    const struct addr *addresses;      /* valid while `resolved` */
    uint32_t naddresses;
    bool resolved;                 /* addresses are those of the host, all of them */
    bool undecided;                /* the rules need the addresses */
    bool unrouted;                 /* the choice of a way needs them too */
    bool or_direct;                /* `parent` may be passed by */
    const struct parent *parent;   /* the way leads through it; NULL: direct */
    struct fwd_decision rules;     /* of http_access */
    struct filter_decision filter; /* of filter_block and filter_allow */
};

/* Makes x->proxy->forward for the target. OK or ERR_NOMEM. */
int forward_begin(struct exchange *x, const struct forward_conf *c, const struct endpoint *e);
/* What rules look at; v is good while x lives, and x->proxy->forward must be there. */
void forward_view(struct exchange *x, struct fwd_request *v);
/*
 * May the exchange go to its target? OK; ERR_AGAIN: the rules need the host's addresses, the dial asks by
 * forward_judge; ERR_REFUSED: reply_set was called and the log says why; ERR_NOMEM.
 */
int forward_decide(struct exchange *x);
/* The same without an answer to it: ERR_REFUSED is logged and no more. */
int forward_ask(struct exchange *x);
/* With the addresses of the target, none when there are none. As above, but not ERR_AGAIN; or CHAIN_PARENT (chain.h).
 */
int forward_judge(struct exchange *x, const struct addr *v, uint32_t n);

/* tcp_outgoing_address: the first line that holds and whose address is of that family. False: none. */
bool forward_outgoing(struct exchange *x, int family, struct addr *out);

/* At load: the policy of the block whose SCOPE_LOCATION configuration `conf` is, made at first use. NULL: no memory. */
struct fwd_policy *forward_policy(struct conf_ctx *cf, void *conf);
/* A directive's `set`: a line that src/forward compiles. */
int forward_line(struct conf_ctx *cf, const struct conf_node *node, void *conf);

#endif
