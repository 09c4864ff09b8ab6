/* The feature `rewrite`; registered in app/features.def. */
#ifndef POLICY_REWRITE_H
#define POLICY_REWRITE_H

#include "proxy/policy.h"

extern struct feature rewrite_feature;
extern const struct policy rewrite_policy;

#endif
