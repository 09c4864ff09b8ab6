/*
 * What tells on whoever reads: tracking parameters of URLs, fields that trackers and networks add, and Referer.
 *
 * The sets are names that serve tracking alone, so that taking them away breaks no page; docs/forward.md lists them.
 * Pure functions; policies about when are the forward block's.
 */
#ifndef FORWARD_PRIVACY_H
#define FORWARD_PRIVACY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* Is it the name of a parameter that only trackers read? As it stands in the query. */
bool tracker_parameter(slice name);
/* Is it a field that only tells who the client is? */
bool tracker_field(slice name);
/*
 * The target ("/path?query") without tracking parameters, in dst of at least target.n bytes. Returns the length;
 * target.n when there is nothing to take away (dst is untouched then).
 */
size_t strip_trackers(char *dst, slice target);
/* Does a Referer come from another site than `host`: neither that host, nor one above or below it? */
bool referer_is_foreign(slice referer, slice host);

#endif
