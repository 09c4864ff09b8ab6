/*
 * The access log: one line an exchange, composed when it ends, written in batches.
 */
#ifndef ADMIN_ACCESS_LOG_H
#define ADMIN_ACCESS_LOG_H

#include "conf/schema.h"
#include "http/worker.h"
#include "proxy/policy.h"

extern struct feature access_log_feature;
extern const struct policy access_log_policy;

#endif
