/* The feature `limit_except`; registered in app/features.def. */
#ifndef POLICY_LIMIT_EXCEPT_H
#define POLICY_LIMIT_EXCEPT_H

#include "proxy/policy.h"

extern struct feature limit_except_feature;
extern const struct policy limit_except_policy;

#endif
