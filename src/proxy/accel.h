/*
 * X-Accel-*: what a backend may ask of the proxy by fields of its answer (nginx's "X-Accel" headers).
 */
#ifndef PROXY_ACCEL_H
#define PROXY_ACCEL_H

#include "proxy/step.h"

/* proxy_ignore_headers. Those about caching are known so that files load: there is no cache that would mind them. */
enum ignore {
    IGNORE_REDIRECT = 1 << 0,
    IGNORE_BUFFERING = 1 << 1,
    IGNORE_LIMIT_RATE = 1 << 2,
    IGNORE_OTHER = 1 << 3,
};

/* The tokens that accel_note wants to see, by proxy_ignore_headers; added to the set. */
void accel_tokens(struct token_set *set, uint32_t ignored);
/* Acts on a field of such a token, or remembers it in x->proxy->accel_redirect. OK or ERR_NOMEM. */
int accel_note(struct exchange *x, const struct field *f);
/* X-Accel-Redirect was noted: begins the pass that answers in its stead. */
enum step accel_redirect(struct exchange *x);

#endif
