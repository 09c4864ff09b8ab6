/*
 * Which connection an attempt goes over: by HTTP/1 or HTTP/2, one that is there or a new one.
 */
#ifndef PROXY_ATTACH_H
#define PROXY_ATTACH_H

#include "proxy/step.h"

/* Gives x its back end, to that peer; X_BACK_READY follows. false: none could be had, errno tells why. */
bool attach_to(struct exchange *x, const struct peer *peer, struct attempt *a);
/*
 * At X_BACK_READY. Its TLS backend was offered HTTP/2 and has chosen HTTP/1: x goes on over HTTP/1, on that very
 * connection if nobody else has it. OK: x->back speaks what it says; ERR_AGAIN: X_BACK_READY comes once more; ERR_SYS:
 * errno.
 */
int attach_settle(struct exchange *x);
/* The descriptor of x->back. */
int attach_fd(const struct exchange *x);

#endif
