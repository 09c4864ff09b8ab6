/*
 * user_connections, user_rate, user_bytes, user_limit_rate: what one user of a forward proxy may take, over all
 * workers.
 */
#ifndef PROXY_FORWARD_LIMITS_H
#define PROXY_FORWARD_LIMITS_H

#include "forward/request.h"
#include "http/exchange.h"

struct conf_ctx;
struct limit_lines;

enum user_by { USER_BY_ANY, USER_BY_NAME, USER_BY_ADDRESS };

/* SCOPE_LOCATION */
struct limit_level {
    struct limit_lines *lines; /* NULL: no limit */
    uint64_t places;
    uint32_t by; /* enum user_by */
};

extern struct feature forward_limits_feature;

static inline bool forward_limits_any(const struct exchange *x)
{
    const struct limit_level *l = exchange_conf(x, &forward_limits_feature);
    return l->lines;
}

/*
 * The last word about an exchange that may go to its target: counts it for its user until it ends. OK; ERR_AGAIN (a
 * condition asks for the addresses of the host); ERR_REFUSED: over a limit, which the log says and
 * x->proxy->forward->limit_ holds (no answer was prepared); ERR_NOMEM.
 */
int forward_limits_enter(struct exchange *x, const struct fwd_request *v);
/* Once the block is read: the table of its users, kept under the name across reloads. OK or ERR_NOMEM. */
int forward_limits_attach(struct conf_ctx *cf, struct limit_level *l, slice name);

#endif
