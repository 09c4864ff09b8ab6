/* Basic credentials (RFC 7617): "Basic " and base64 of NAME:PASSWORD. */
#ifndef HTTP_BASIC_H
#define HTTP_BASIC_H

#include "base/arena.h"
#include "base/slice.h"

struct basic {
    slice user, password; /* in the arena; any bytes */
};

/*
 * Reads the value of an Authorization field. OK; ERR_NOTFOUND: no Basic credentials, or broken ones, or an empty name
 * (as in nginx, which takes all of these for none given); ERR_NOMEM.
 */
int basic_parse(struct arena *a, slice value, struct basic *out);

#endif
