/*
 * Chains at work: which way a forward exchange takes, and how it gets through its parents.
 *
 * Deciding (proxy/chain.c) is apart from the exchange of bytes (proxy/chain_handshake.c), so that `hinge explain` runs
 * the first without the second. An exchange that was given to a parent never asks DNS for its target: the name goes to
 * the parent. Only rules that look at addresses (acl of type dst) have it resolved here before.
 */
#ifndef PROXY_CHAIN_H
#define PROXY_CHAIN_H

#include "h1/client.h"
#include "proxy/parent.h"
#include "proxy/step.h"

struct fwd_request;

/*
 * The way of x->proxy->forward. OK: direct; CHAIN_PARENT: x->proxy->upstream is the parent's, and nothing is dialled;
 * ERR_AGAIN: a line needs the host's addresses; ERR_REFUSED: reply_set was called and the log says why; ERR_NOMEM.
 */
enum { CHAIN_PARENT = 1 };
int chain_route(struct exchange *x);

/*
 * Squid's lines (r->squid): OK: direct; CHAIN_PARENT: a cache_peer that lets it through, with *or_direct behind it;
 * ERR_AGAIN. (proxy/chain_squid.c)
 */
int chain_squid(struct exchange *x, const struct routes *r, const struct fwd_request *v, bool *or_direct);

/* Does the block of this exchange have ways to choose from? Else chain_route need not be asked. */
bool chain_any(const struct exchange *x);

/*
 * No server of the parent could be reached: STEP_SELECT or what follows it with the target itself (or_direct, when
 * nothing of the request was sent), else the error answer.
 */
enum step chain_exhausted(struct exchange *x, unsigned status);

/* What connections through the chain must have in common to be shared, besides the peer's key. */
uint64_t chain_bound(const struct exchange *x, const struct chain *c);

/* The request as the last hop wants it. OK or ERR_NOMEM. */
int chain_origin(struct exchange *x, const struct chain *c);

/* Gives a connection that was just begun its way through the hops (proxy/chain_handshake.c). OK or ERR_NOMEM. */
int chain_begin(struct exchange *x, struct h1_client *cl, const struct chain *c);

#endif
