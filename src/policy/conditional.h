/*
 * Conditional requests (RFC 9110 §13): may the answer be left out, or must it be refused?
 */
#ifndef POLICY_CONDITIONAL_H
#define POLICY_CONDITIONAL_H

#include "http/exchange.h"
#include "policy/files.h"

enum { NO_MODIFIED = -1 };

/*
 * What the request's conditions make of a 200 with this ETag (empty: none) and Last-Modified (NO_MODIFIED: none):
 * 200, 304 or 412. In the order of RFC 9110 §13.2.2. `ims` is the location's if_modified_since.
 */
unsigned conditional_test(const struct exchange *x, slice etag, int64_t modified, enum ims ims);

/* Does If-Range, if there is one, allow a part of what has this ETag and Last-Modified (RFC 9110 §13.1.5)? */
bool conditional_range(const struct exchange *x, slice etag, int64_t modified);

#endif
