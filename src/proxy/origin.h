/*
 * The head that goes to a backend, and what is done to the head that comes back.
 */
#ifndef PROXY_ORIGIN_H
#define PROXY_ORIGIN_H

#include "proxy/proxy.h"

/*
 * Fills x->origin for an attempt at `peer` from the last pass and x->proxy: method, target, host, fields, the fact
 * about the body. Nothing is copied but, when fields are set or dropped, the field array. OK; ERR_NOMEM; ERR_SYNTAX
 * (proxy_method gave no method); ERR_UNSUPPORTED (a body of unknown length for an HTTP/1.0 backend: it has to be
 * buffered whole first).
 */
int origin_build(struct exchange *x, const struct peer *peer);
/* Will the backend be asked to switch protocols, as far as that is known before there is a connection to it? */
bool origin_upgrades(struct exchange *x);

/*
 * What proxy_hide_header, proxy_pass_header, proxy_redirect, proxy_cookie_* and X-Accel-* do to x->resp. Once per
 * answer that is passed on. Hidden fields, and what is rewritten as it came, move to x->resp.hop, where $upstream_http_
 * finds them. OK, ERR_NOMEM, or ORIGIN_ELSEWHERE: X-Accel-Redirect asks for another answer (accel_redirect).
 */
enum { ORIGIN_ELSEWHERE = 1 };
int origin_answer(struct exchange *x);

#endif
