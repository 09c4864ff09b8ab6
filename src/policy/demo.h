/* The feature `demo`; registered in app/features.def. */
#ifndef POLICY_DEMO_H
#define POLICY_DEMO_H

#include "proxy/policy.h"

extern struct feature demo_feature;

#endif
