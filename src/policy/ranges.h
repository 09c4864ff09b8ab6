/*
 * The feature `ranges`: parts of answers.
 */
#ifndef POLICY_RANGES_H
#define POLICY_RANGES_H

#include "proxy/policy.h"

extern struct feature ranges_feature;
extern const struct policy ranges_policy;

#endif
