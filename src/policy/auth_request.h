/* The feature `auth_request`; registered in app/features.def. */
#ifndef POLICY_AUTH_REQUEST_H
#define POLICY_AUTH_REQUEST_H

#include "proxy/policy.h"

extern struct feature auth_request_feature;
extern const struct policy auth_request_policy;

#endif
