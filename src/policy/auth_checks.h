/*
 * Password checks of one worker.
 *
 * Quick forms ({PLAIN}, {SHA}, {SSHA}) are checked at once. The others go to the job pool, a few at a time: a client
 * address has only so many under way, further ones wait in line behind those of other addresses, and when too many wait
 * they are refused. Requests that bring the same credentials share one check. Credentials that were good are remembered
 * for a while, by a keyed digest of name, stored and given password under a key of the worker's own, so that the
 * requests that follow cost a digest and no slow hash.
 *
 * A name that nobody has is checked against somebody's password, and found bad whatever comes out.
 */
#ifndef POLICY_AUTH_CHECKS_H
#define POLICY_AUTH_CHECKS_H

#include "http/basic.h"
#include "http/exchange.h"
#include "policy/htpasswd.h"

enum auth_result {
    AUTH_PENDING, /* X_WAKE will come */
    AUTH_GOOD,
    AUTH_BAD,
    AUTH_BUSY, /* too many checks wait, or no memory: nothing was found out */
};

struct auth_limits {
    uint64_t running;  /* slow checks under way of this worker */
    uint64_t address;  /* of these, of one client address */
    uint64_t waiting;  /* slow checks in line; one address may have a quarter of them */
    uint64_t remember; /* ms for which good credentials are remembered; 0: not at all */
};

/* What an exchange waits with; in its arena. */
struct auth_wait {
    struct list link;
    struct auth_check *check; /* NULL: none is under way */
    struct exchange *x;
    struct x_hold hold;
    uint8_t result; /* enum auth_result */
};

/* Checks the password for `u`; `known`: it is that user who was named. */
enum auth_result auth_check(struct exchange *x, struct auth_wait *w, const struct auth_limits *l,
                            const struct htpasswd_user *u, bool known, const struct basic *given);

extern const struct room_hooks auth_room;

#endif
