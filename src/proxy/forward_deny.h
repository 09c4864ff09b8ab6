/*
 * What a forward proxy answers when it refuses, and the variables that tell of its decisions.
 */
#ifndef PROXY_FORWARD_DENY_H
#define PROXY_FORWARD_DENY_H

#include "http/exchange.h"

/* Of an exchange; for the log, the deny page and variables. */
enum forward_verdict {
    FORWARD_UNDECIDED,
    FORWARD_ALLOWED,
    FORWARD_DENIED,  /* by http_access */
    FORWARD_BLOCKED, /* by filter_block */
    FORWARD_LIMITED, /* by a limit of its user */
};

extern struct feature forward_deny_feature;

/*
 * Prepares the answer to an exchange that was refused, as deny_page says; x->proxy->forward tells why. ERR_REFUSED, or
 * ERR_NOMEM.
 */
int forward_deny(struct exchange *x);

#endif
