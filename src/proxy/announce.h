/*
 * What a request tells a backend about the way it came: X-Forwarded-*, Forwarded (RFC 7239) and Via (RFC 9110 §7.6.3),
 * each by one directive.
 */
#ifndef PROXY_ANNOUNCE_H
#define PROXY_ANNOUNCE_H

#include "conf/schema.h"
#include "proxy/policy.h"

enum announce_mode {
    ANNOUNCE_OFF,     /* what the client sent passes, if it passes at all (policy/realip.c) */
    ANNOUNCE_ADD,     /* it is kept and continued */
    ANNOUNCE_REPLACE, /* what this server knows stands in its place */
    ANNOUNCE_REMOVE,  /* nothing is told */
};

/* In struct proxy_conf. */
struct announce {
    uint32_t x_forwarded; /* enum announce_mode */
    struct {
        uint32_t mode; /* enum announce_mode */
        slice by;      /* of our own element; empty: none */
    } forwarded;
    struct {
        bool on;
        slice name; /* empty: one that this process made up */
    } via;
};

enum { ANNOUNCE_FIELDS = 6 }; /* what announce_fields adds at most */

static inline bool announce_any(const struct announce *a)
{
    return a->x_forwarded || a->forwarded.mode || a->via.on;
}

/* Does this field of the client's not travel as it is? */
bool announce_drops(const struct exchange *x, const struct announce *a, const struct field *f);
/*
 * Writes our fields to v, which has room for ANNOUNCE_FIELDS; names that the configuration sets (`set`) are left out.
 * How many, or ERR_NOMEM.
 */
int announce_fields(struct exchange *x, const struct announce *a, const struct token_set *set, struct field *v);
/* The Via field of an answer. OK or ERR_NOMEM. */
int announce_answer(struct exchange *x, const struct announce *a);

/* Directive functions; `conf` is the struct proxy_conf. */
int announce_set_forwarded(struct conf_ctx *cf, const struct conf_node *node, void *conf);
int announce_set_via(struct conf_ctx *cf, const struct conf_node *node, void *conf);
extern const struct conf_value announce_modes[];

/* Where Via is on: answers 508 to a request that has been here before or came through too many proxies. */
extern const struct policy via_policy;

#endif
