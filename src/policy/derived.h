/*
 * Derived variables: those that a configuration makes out of others (map, geo, split_clients).
 *
 * The value is looked up when somebody asks, and kept for the rest of the exchange, also over internal redirects, as in
 * nginx; `volatile` ones are looked up each time. A variable whose sources are not all known yet (a map of
 * $upstream_status, asked before there is an answer) is looked up with what is known, and not kept. Two that are made
 * of each other give a line in the error log, and the inner one is empty.
 */
#ifndef POLICY_DERIVED_H
#define POLICY_DERIVED_H

#include "conf/schema.h"
#include "http/exchange.h"

struct derived_source;

/* Embedded, as the first member, in what a block of the configuration becomes. */
struct derived {
    struct var_def def; /* of the variable */
    struct var *var;
    struct conf_pos pos;
    bool is_volatile;
    uint8_t known; /* enum var_known: when all that it is made of is known */
    struct derived_source *sources;
    struct derived *next; /* of the configuration */
    /* OK with the value, which lives as long as the exchange or the configuration; or ERR_NOMEM. */
    int (*find)(struct exchange *x, const struct derived *d, slice *out);
};

/*
 * Makes the variable that argument `arg` names ("$NAME"); `d` is zeroed, in cf's arena, with `find` set. One that is
 * there already is replaced with a warning (nginx: the last block counts). OK, ERR_SYNTAX after reporting, ERR_NOMEM.
 */
int derived_define(struct conf_ctx *cf, const struct conf_node *node, uint32_t arg, struct derived *d);
/* Its value is looked up by this, or (value true) may be this; the template lives as long as cf's arena. */
int derived_from(struct conf_ctx *cf, struct derived *d, const struct template *t, bool value);
/* The same for one variable that it is looked up by. */
int derived_from_var(struct conf_ctx *cf, struct derived *d, const struct var *v);

extern struct feature derived_feature, map_feature, geo_feature, split_clients_feature;

#endif
