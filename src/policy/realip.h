/*
 * The feature `realip`: which peers are trusted to say for whom they speak, and who the client is then.
 */
#ifndef POLICY_REALIP_H
#define POLICY_REALIP_H

#include "proxy/policy.h"

extern struct feature realip_feature;
/* Who the client is, before anything else is decided (server level), and by a location's own lines. */
extern const struct policy realip_policy, realip_location_policy;

#endif
