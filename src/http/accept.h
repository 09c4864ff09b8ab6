/*
 * Accept-Encoding of requests (RFC 9110 §12.5.3), read as strictly as nginx reads it.
 */
#ifndef HTTP_ACCEPT_H
#define HTTP_ACCEPT_H

#include <stdbool.h>

#include "http/msg.h"

/*
 * Does one Accept-Encoding value take that coding? The first element of that name decides: it may carry a weight and
 * nothing else, and the weight must not be 0 ("gzip", "gzip;q=0.5"). "*" and "x-gzip" are not "gzip", and what is not
 * understood is not accepted.
 */
bool accept_coding(slice value, slice coding);

/* The same for a request: some Accept-Encoding field takes it. */
bool accepts_coding(const struct fields *request, slice coding);

#endif
