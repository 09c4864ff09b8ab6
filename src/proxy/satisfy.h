/*
 * The access phase: how the verdicts of its policies are combined (`satisfy`), and how long a 401 waits (`auth_delay`).
 */
#ifndef PROXY_SATISFY_H
#define PROXY_SATISFY_H

#include "proxy/policy.h"

extern struct feature satisfy_feature;

/*
 * Runs one policy of PHASE_ACCESS, an entry of the array that the policies step walks, and says what follows: NEXT (the
 * walk goes on), WAIT, REPLY, PASS or DROP. Never ALLOW: that the others are not asked any more is seen to in here.
 */
enum verdict satisfy_run(struct exchange *x, const struct policy_use *u);

/* Does `satisfy any` hold where the exchange is? */
bool satisfy_any(const struct exchange *x);

bool satisfy_any_at(const struct location *l);

/* At any other place of the array the walk calls this. */
static inline enum verdict policy_run(struct exchange *x, const struct policy_use *u)
{
    return u->phase == PHASE_ACCESS ? satisfy_run(x, u) : u->policy->on_request(x, u->conf);
}

#endif
