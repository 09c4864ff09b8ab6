/*
 * proxy_redirect: putting a backend's redirects right.
 */
#ifndef PROXY_PROXY_REDIRECT_H
#define PROXY_PROXY_REDIRECT_H

#include "proxy/proxy.h"

/* The directive: default | off | FROM TO | ~REGEX TO. */
int redirect_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf);

/* Makes conf->redirects of what is written and of proxy_pass. OK, ERR_SYNTAX after reporting, ERR_NOMEM. */
int redirect_compile(struct conf_ctx *cf, struct proxy_conf *conf);

/*
 * The value of a Location or Refresh field after the first rule that applies, from offset `at` on (where the URL
 * begins). OK with *out, ERR_NOTFOUND (no rule applies), ERR_NOMEM.
 */
int redirect_apply(struct exchange *x, const struct proxy_conf *conf, slice value, size_t at, slice *out);

/* Where the URL of a Refresh field begins; false when it has none. */
bool redirect_refresh(slice value, size_t *at);

#endif
