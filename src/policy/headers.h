/* The feature `headers`; registered in app/features.def. */
#ifndef POLICY_HEADERS_H
#define POLICY_HEADERS_H

#include "proxy/policy.h"

extern struct feature headers_feature;
extern const struct policy headers_policy;

#endif
