/*
 * Content types by the name of what was asked for: `types` and `default_type`.
 */
#ifndef POLICY_TYPES_H
#define POLICY_TYPES_H

#include "http/exchange.h"

extern struct feature types_feature;

/* The type for the path of the current pass: that of its extension, else the location's default_type. */
slice types_of(const struct exchange *x);

#endif
