/*
 * nginx's units: sizes (8k, 1m), offsets (2g), times (500ms, 1h 30m, 60).
 * All return OK, ERR_SYNTAX or ERR_RANGE. See "Configuration file measurement units" of nginx's manual.
 */
#ifndef CONF_UNITS_H
#define CONF_UNITS_H

#include <stdint.h>

#include "base/slice.h"

int conf_size(slice s, uint64_t *bytes);   /* k, m */
int conf_offset(slice s, uint64_t *bytes); /* k, m, g */
int conf_msec(slice s, uint64_t *ms);      /* ms s m h d w M y; a bare number is seconds */
int conf_sec(slice s, uint64_t *sec);      /* as conf_msec, whole seconds; ms is refused */

#endif
