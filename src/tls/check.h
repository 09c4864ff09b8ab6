/*
 * Looking at certificates while a configuration is gathered: does the key fit, how long does it hold, who may read it.
 */
#ifndef TLS_CHECK_H
#define TLS_CHECK_H

#include "tls/conf.h"

/* OK, ERR_SYNTAX after reporting, ERR_NOMEM. A closed bundle was looked at before. */
int tls_check(struct conf_ctx *cf, const struct tls_conf *c);
/* The same for what backends are shown and must prove; `node`: whom to blame for what no file is named with. */
struct tls_origin;
int tls_check_origin(struct conf_ctx *cf, const struct conf_node *node, const struct tls_origin *o);

#endif
