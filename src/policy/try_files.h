/*
 * The feature `try_files`.
 */
#ifndef POLICY_TRY_FILES_H
#define POLICY_TRY_FILES_H

#include "proxy/policy.h"

extern struct feature try_files_feature;
extern const struct policy try_files_policy;

#endif
