/*
 * The next upstream: what the connect and respond steps share about failed attempts.
 */
#ifndef PROXY_NEXT_H
#define PROXY_NEXT_H

#include "http/exchange.h"

/* proxy_next_upstream, its tries and timeout, and the idempotency rules. status 0: by the reason. (proxy/origin.c) */
bool next_upstream_allowed(const struct exchange *x, enum x_why why, unsigned status);
/* The same, and there is a peer left, and the request can be sent again. */
bool next_possible(struct exchange *x, enum x_why why, unsigned status);
/* Is an answer of that status a failure of the peer? As nginx: 5xx and 429 when proxy_next_upstream names them. */
struct proxy_conf;
bool status_is_failure(const struct proxy_conf *c, unsigned status);
/* Logs the failure of the back end with nginx's words. */
void next_log_failure(struct exchange *x);
/* Takes over what the back end counted into the current attempt, while the end is still there. */
void attempt_count(struct exchange *x);

#endif
