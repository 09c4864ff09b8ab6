/*
 * proxy_pass.
 */
#ifndef PROXY_PASS_H
#define PROXY_PASS_H

#include "proxy/proxy.h"

/* The directive. */
int pass_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf);

/* When everything has been read: finds the upstream. OK, ERR_SYNTAX after reporting, ERR_NOMEM. */
int pass_compile(struct conf_ctx *cf, struct proxy_conf *c);

/*
 * For contents whose target is found while requests run. First proxy_chosen: true when the exchange was woken while its
 * target's name was being resolved, with the verdict. Else proxy_begin makes x->proxy (OK, ERR_NOMEM), and proxy_choose
 * finds the upstream of an endpoint: one that the configuration has, or one made of the addresses of its host, which
 * are judged when the client has chosen it (proxy/dial.h). VERDICT_NEXT, VERDICT_WAIT, or an answer that was prepared.
 */
struct endpoint;
bool proxy_chosen(struct exchange *x, const struct proxy_conf *c, enum verdict *v);
int proxy_begin(struct exchange *x, const struct proxy_conf *c);
enum verdict proxy_choose(struct exchange *x, bool client_chosen, const struct endpoint *e);

#endif
