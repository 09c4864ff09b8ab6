/*
 * strip_referer, strip_trackers, strip_header, egress_source: what targets are told, and from where, by rule.
 */
#ifndef PROXY_FORWARD_PRIVACY_H
#define PROXY_FORWARD_PRIVACY_H

#include "forward/request.h"
#include "http/exchange.h"

struct privacy_lines;

/* SCOPE_LOCATION */
struct privacy_level {
    struct privacy_lines *lines; /* NULL: no such line */
};

/* What one exchange loses of its fields; in its arena. */
struct forward_strip {
    bool referer, foreign_referer, trackers;
    const slice *names; /* of strip_header */
    uint32_t n;
};

extern struct feature forward_privacy_feature;

static inline bool forward_privacy_any(const struct exchange *x)
{
    const struct privacy_level *l = exchange_conf(x, &forward_privacy_feature);
    return l->lines;
}

/*
 * Decides about an exchange that may go to its target: x->proxy->forward->strip and ->source, and the parameters of
 * x->proxy->target. OK, ERR_AGAIN (a condition asks for the addresses of the host) or ERR_NOMEM.
 */
int forward_privacy_decide(struct exchange *x, const struct fwd_request *v);
/* Takes what `strip` says out of n fields; how many are left. */
uint32_t forward_strip_fields(const struct exchange *x, struct field *v, uint32_t n);

#endif
