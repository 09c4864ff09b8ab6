/*
 * expires: when an answer grows old, as Expires and Cache-Control say it.
 */
#ifndef POLICY_EXPIRES_H
#define POLICY_EXPIRES_H

#include "proxy/policy.h"

extern struct feature expires_feature;
extern const struct policy expires_policy;

enum expires_kind { EXPIRES_OFF, EXPIRES_EPOCH, EXPIRES_MAX, EXPIRES_ACCESS, EXPIRES_MODIFIED, EXPIRES_DAILY };

struct expires_time {
    enum expires_kind kind;
    int64_t seconds; /* behind now or Last-Modified; of EXPIRES_DAILY: the second of the day, local time */
};

/*
 * A value of the directive: off, epoch, max, TIME, -TIME, @TIME. `modified`: the word stood before it. OK, or
 * ERR_SYNTAX and in *why nginx's words.
 */
int expires_parse(slice text, bool modified, struct expires_time *out, const char **why);

/*
 * What the two fields say at `now` (seconds since 1970): *expires in the same unit, and the seconds of max-age,
 * negative for "no-cache". `changed` is the answer's Last-Modified, -1 if it has none. Not for EXPIRES_OFF.
 */
void expires_at(const struct expires_time *e, int64_t now, int64_t changed, int64_t *expires, int64_t *max_age);

#endif
