/*
 * Time, read once per loop turn.
 *
 * Deadlines use `mono` (milliseconds of CLOCK_MONOTONIC), which never jumps; only texts use the wall clock. The texts
 * that every answer and log line needs (the Date field, the log times) are made when the second changes, not per use.
 * One clock per thread; a clock is passed, never global, so that tests can drive one by hand.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/slice.h"

struct clock {
    uint64_t mono;    /* ms since some fixed point */
    uint64_t wall_ms; /* ms since 1970 */
    int64_t sec;      /* second that the texts below are made for */
    char http[32];    /* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 §5.6.7) */
    char log[32];     /* "06/Nov/1994:08:49:37 +0000", $time_local */
    char iso[32];     /* "1994-11-06T08:49:37+00:00", $time_iso8601 */
    char err[24];     /* "1994/11/06 08:49:37", error log */
};

/* Reads both clocks. */
void clock_update(struct clock *c);
/* Sets both clocks by hand (tests). */
void clock_set(struct clock *c, uint64_t mono, uint64_t wall_ms);
/* `t` (seconds since 1970) in the form of the Date field; dst holds at least 30 bytes, NUL-terminated. */
void clock_http_date(char *dst, int64_t t);

static inline slice clock_http(const struct clock *c)
{
    return slice_of(c->http, 29);
}

#endif
