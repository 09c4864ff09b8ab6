/*
 * Redirects of our own: from a path to what the Location field says.
 */
#ifndef PROXY_REDIRECT_H
#define PROXY_REDIRECT_H

#include "http/exchange.h"

/*
 * The Location for a path of ours: with scheme, host and port in front when absolute_redirect is on (the default), as
 * server_name_in_redirect and port_in_redirect say; anything that does not begin with '/' is left as it is. `path` is
 * in its encoded form. *out lives as long as the exchange. OK or ERR_NOMEM.
 */
int redirect_location(struct exchange *x, slice path, slice *out);

#endif
