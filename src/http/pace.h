/*
 * Pacing: a transform that lets a body pass no faster than a number of bytes a second.
 *
 * Used for limit_rate (how fast the client is sent to) and proxy_limit_rate (how fast the backend is read). What may
 * have passed at a time is nginx's rule: the rate times the seconds since the body began and one more, behind the first
 * `after` bytes that are free. So a body that is shorter than a second's share is never held, and an exchange that is
 * not limited has no transform and pays nothing.
 */
#ifndef HTTP_PACE_H
#define HTTP_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/var.h"
#include "http/transform.h"

/*
 * Limits the response body at TRANSFORM_INTAKE or TRANSFORM_PACE to `rate` bytes a second (0: not at all) behind the
 * first `after`. If that place has one already, the first one stays; a tunnel (101) is never limited. OK or ERR_NOMEM.
 */
int pace_insert(struct exchange *x, enum transform_order order, uint64_t rate, uint64_t after);

/*
 * A rate that several bodies share, in whatever workers. `take` says how many of `want` bytes may pass at `now` (ms of
 * the loop) and has counted them; what did not pass after all is given back. Embedded where it lives as long as the
 * exchange.
 */
struct pace_share {
    uint64_t rate;
    uint64_t (*take)(struct pace_share *s, uint64_t now, uint64_t want);
    void (*give)(struct pace_share *s, uint64_t n);
};

/* The response body, or what a tunnel carries to the client, passes at TRANSFORM_SHARE as the share allows. OK or
 * ERR_NOMEM. */
int pace_shared(struct exchange *x, struct pace_share *s);

/* limit_rate at TRANSFORM_PACE, behind what limit_rate_after says at the location. OK or ERR_NOMEM. */
int pace_client(struct exchange *x, uint64_t rate);

/* A size that a template gives: OK; 0 when it is empty or no size, which the log says. ERR_NOMEM. */
int pace_size(struct exchange *x, const struct template *t, uint64_t *out);

/* How many bytes may have passed `ms` after the first one could; UINT64_MAX: any number. */
uint64_t pace_allowed(uint64_t rate, uint64_t after, uint64_t ms);

#endif
