/* The feature `access`; registered in app/features.def. */
#ifndef POLICY_ACCESS_H
#define POLICY_ACCESS_H

#include "proxy/policy.h"

extern struct feature access_feature;
extern const struct policy access_policy;

#endif
