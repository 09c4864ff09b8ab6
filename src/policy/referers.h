/* valid_referers and $invalid_referer; see referers.c. */
#ifndef POLICY_REFERERS_H
#define POLICY_REFERERS_H

#include "conf/schema.h"

extern struct feature referers_feature;

#endif
