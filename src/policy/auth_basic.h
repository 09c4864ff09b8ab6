/* The feature `auth_basic`; registered in app/features.def. */
#ifndef POLICY_AUTH_BASIC_H
#define POLICY_AUTH_BASIC_H

#include "proxy/policy.h"

extern struct feature auth_basic_feature;
extern const struct policy auth_basic_policy;

#endif
