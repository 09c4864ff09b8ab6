/*
 * The core variables: what every configuration can say of a request, its connection and its answer. Names and meanings
 * are those of nginx's manual ("Alphabetical index of variables"). One feature a file.
 */
#ifndef HTTP_VARS_H
#define HTTP_VARS_H

#include "base/err.h"
#include "http/exchange.h"

extern struct feature request_vars_feature;        /* vars_request.c */
extern struct feature connection_vars_feature;     /* vars_connection.c */
extern struct feature response_vars_feature;       /* vars_response.c */
extern struct feature proxy_protocol_vars_feature; /* vars_proxy_protocol.c */

extern struct feature ssl_vars_feature; /* vars_tls.c */

/* "http": how the client's request came. */
slice exchange_scheme(const struct exchange *x);

/* ---- for getters; values live in the exchange's arena ---- */

/* OK with the value, or ERR_NOTFOUND when it is empty. */
static inline int var_some(slice value, slice *out)
{
    if (value.n == 0)
        return ERR_NOTFOUND;
    *out = value;
    return OK;
}

int var_number(struct exchange *x, uint64_t value, slice *out);
/* Milliseconds as seconds with three digits: "1.250". */
int var_seconds(struct exchange *x, uint64_t ms, slice *out);
/*
 * Values of the fields that a $http_NAME-like variable means: letter case does not count, '_' stands for '-'. Several
 * are joined by `joint` (", " or "; "). ERR_NOTFOUND when there is none.
 */
int var_fields(struct exchange *x, const struct fields *a, const struct fields *b, slice name, slice joint, slice *out);

#endif
