/*
 * egress_allow, egress_deny: exceptions from the egress guard (net/egress.h).
 */
#ifndef PROXY_EGRESS_DIR_H
#define PROXY_EGRESS_DIR_H

#include "conf/schema.h"
#include "http/exchange.h"
#include "net/egress.h"

struct egress_lines {
    struct egress_line *first, **last;
    bool compiled;
    struct egress rules;
};

/* SCOPE_LOCATION */
struct egress_level {
    struct egress_lines *lines; /* NULL: the special-purpose registries decide alone */
};

extern struct feature egress_feature;

static inline const struct egress *egress_of(const struct egress_level *l)
{
    return l->lines ? &l->lines->rules : NULL;
}

/*
 * Judges one address that the client chose: 0 (it may be reached), 403 (egress_refuses, *why says why) or 508 (it leads
 * back to us). No I/O but what egress_is_own says. `g` is the generation of the exchange.
 */
unsigned egress_judge(const struct generation *g, const struct egress *e, const struct addr *to, const char **why);

/* The answer to a refused target: its status with a short plain reason; error_page may replace it. OK or ERR_NOMEM. */
int egress_reply(struct exchange *x, unsigned status);

#endif
