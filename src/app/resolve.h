/*
 * Names in a configuration, looked up at start and at reload.
 *
 * The resolver library reads files and talks to the network, so the master does not call it: it starts itself anew as a
 * short-lived process without rights, which prints the addresses, and which is ended when it takes too long.
 */
#ifndef APP_RESOLVE_H
#define APP_RESOLVE_H

#include "base/slice.h"

struct strb;

/* A bundle_resolve_fn; ctx is not used. OK, ERR_NOTFOUND, ERR_TIMEOUT, ERR_SYS. */
int resolve_name(void *ctx, slice name, struct strb *out);
/* Whether this process was started to look up a name; then resolve_main does it and gives the exit code. */
const char *resolve_asked(void);
int resolve_main(const char *name);

#endif
