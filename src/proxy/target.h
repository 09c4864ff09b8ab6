/*
 * The request target that goes to a backend.
 */
#ifndef PROXY_TARGET_H
#define PROXY_TARGET_H

#include "http/exchange.h"

/*
 * From the exchange's last pass. `uri` is the URI part of proxy_pass (has_uri) that replaces the prefix `location`;
 * without one the client's own target goes out, or its normal form (design invariant 12), or the rewritten URI.
 * OK or ERR_NOMEM.
 */
int target_make(struct exchange *x, bool has_uri, slice uri, slice location, slice *out);

/* A target that variables made: given a leading '/', and what may not stand in a target percent-encoded. */
int target_given(struct arena *a, slice uri, slice *out);

#endif
