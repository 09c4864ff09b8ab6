/* limit_rate and proxy_limit_rate; registered in app/features.def. */
#ifndef POLICY_LIMIT_RATE_H
#define POLICY_LIMIT_RATE_H

#include "proxy/policy.h"

extern struct feature limit_rate_feature;
extern const struct policy limit_rate_policy, proxy_limit_rate_policy;

#endif
