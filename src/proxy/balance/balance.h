/*
 * Balancing methods and what they share.
 */
#ifndef PROXY_BALANCE_H
#define PROXY_BALANCE_H

#include "proxy/upstream.h"

#define METHOD(ops) extern const struct balance_ops ops;
#include "proxy/balance/methods.def"
#undef METHOD

/* Every method, the default first; NULL ends the list. */
extern const struct balance_ops *const balance_methods[];

/*
 * Makes set->sequence: the smooth weighted order in which nginx would give the set's peers while all are well, for one
 * whole period; `down` peers are left out. OK or ERR_NOMEM.
 */
int balance_sequence(struct arena *a, struct peer_set *set);

/* Both sets' sequences: the `init` of methods that need nothing else. */
int balance_sequences(struct conf_ctx *cf, struct upstream *u);

#endif
