/*
 * Dates of HTTP, read (RFC 9110 §5.6.7). They are written by base/clock.h.
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include <stdint.h>

#include "base/slice.h"

/*
 * Seconds since 1970 of a date in one of the three forms: "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37
 * GMT" (years below 70 are of this century), "Sun Nov  6 08:49:37 1994". The name of the day is not compared with the
 * date. OK or ERR_SYNTAX.
 */
int date_parse(slice s, int64_t *out);

#endif
