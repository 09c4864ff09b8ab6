/*
 * Variables and templates: `"text $name ${name}x"` compiled at load, evaluated per exchange.
 *
 * A feature offers variables in a table of struct var_def. A definition says when its value is known; asked earlier it
 * gives the empty value, uncached. A template that holds no variable costs nothing at run time: its literal is used as
 * it stands. This room does not know what an exchange is: it passes the pointer through.
 */
#ifndef CONF_VAR_H
#define CONF_VAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "conf/tree.h"

struct exchange;
struct conf_ctx;
struct var;

enum var_known { VAR_REQUEST, VAR_ROUTE, VAR_UPSTREAM, VAR_RESPONSE, VAR_END };

/* OK and *out (alive as long as the exchange), or ERR_NOTFOUND when it has no value now (reads as empty), or ERR_NOMEM.
 */
typedef int (*var_get_fn)(struct exchange *x, const struct var *v, slice *out);
/* OK or ERR_NOMEM; the value lives as long as the exchange. */
typedef int (*var_set_fn)(struct exchange *x, const struct var *v, slice value);

struct var_def {
    const char *name; /* without '$'; a name that ends in '_' and has `prefix` set stands for a family ($arg_...) */
    bool prefix;
    enum var_known known;
    bool cached; /* evaluated once an exchange and pass */
    uintptr_t data;
    var_get_fn get;
    const char *doc; /* one sentence for the manual */
    bool client;     /* its value may be the client's choice (design section 6): host, URI, fields, captures */
    bool changeable; /* `set` and captures may give it another value, which then stays (map, geo; as in nginx) */
    var_set_fn set;  /* what `set` does instead of storing ($args); NULL: it stores. Makes it changeable */
};

/* One variable that a configuration uses. Equal names of one configuration share one struct var. */
struct var {
    slice name;                /* full, lower case, NUL-terminated */
    slice arg;                 /* of a family: what stands behind the prefix ('_' kept as written); else empty */
    const struct var_def *def; /* NULL when settable */
    uint32_t index;            /* dense, from 0, of this configuration: the slot of the per-exchange value table */
    bool settable;             /* made by `set` or a capture: its value lives in the slot alone */
    bool by_set;               /* `set` assigns it: reading it before that is worth a warning */
    bool client;               /* its value may be the client's choice (design section 6); see var_derives */
    struct conf_pos pos;       /* where it was first used */
    struct var *next;          /* of this configuration, by index */
};

struct template_part {
    slice literal; /* when var is NULL */
    const struct var *var;
};

struct template
{
    slice source; /* as written; the value itself when nparts is 0 */
    struct template_part *parts;
    uint32_t nparts; /* 0: a literal */
};

/*
 * Finds or makes the variable of that name (without '$'; letter case does not count). A name that nothing offers yet is
 * no error, because a `set` or a named capture further down may declare it: vars_check tells at the end. NULL when the
 * name is not one (reported) or when out of memory.
 */
struct var *var_use(struct conf_ctx *cf, slice name, const struct conf_arg *where);
/*
 * Makes (or finds) a variable that may be assigned; NULL when the name is taken by one that may not, or bad, after
 * reporting it. A member of a family that nobody defines otherwise ($http_x) may be declared, and is then a variable of
 * its own. A changeable one keeps its definition: that gives the value until something else was assigned.
 */
struct var *var_declare(struct conf_ctx *cf, slice name, const struct conf_arg *where);
/*
 * Makes a variable that the configuration itself defines with a getter (`map`). `def` lives in cf's arena and has the
 * name in lower case. The name must not be a built-in one, nor assigned anywhere unless `def` is changeable. Of two
 * changeable definitions of the configuration the later one counts, with a warning (nginx says nothing).
 */
struct var *var_define(struct conf_ctx *cf, const struct var_def *def, const struct conf_arg *where);
/* After everything was applied and merged: reports every variable that is used and that nothing offers. */
int vars_check(struct conf_ctx *cf);

/*
 * Compiles an argument. `$1`..`$9` and named captures are variables like any other; as in nginx "$12" is $1 and "2".
 * Returns OK, ERR_SYNTAX (reported) or ERR_NOMEM. *out is ready for use once vars_check was passed.
 */
int template_compile(struct conf_ctx *cf, const struct conf_arg *arg, struct template *out);

/* May some part be the client's choice? Asks the variables: before vars_spread a line further down can still change the
 * answer. */
bool template_client(const struct template *t);

/*
 * Tells that `v` may take the value of that template (`set`, the values of a `map`), so that what clients choose
 * spreads from one to the other. The template lives as long as cf's arena. OK or ERR_NOMEM.
 */
int var_derives(struct conf_ctx *cf, struct var *v, const struct template *value);
/*
 * Spreads: a variable is the client's choice if one of the values told of it is. Once everything was read, before
 * anybody asks; again changes nothing. The http block calls it before its levels are merged.
 */
void vars_spread(struct conf_ctx *cf);

static inline bool template_literal(const struct template *t)
{
    return t->nparts == 0;
}

/*
 * The value for this exchange, in `a` unless it is a literal or a single variable. OK or ERR_NOMEM. `lookup` reads one
 * variable (http/vars.h gives it: it minds the cache and "known"); a variable without a value reads as empty.
 */
typedef int (*var_lookup_fn)(struct exchange *x, const struct var *v, slice *out);
int template_eval(const struct template *t, struct exchange *x, var_lookup_fn lookup, struct arena *a, slice *out);

#endif
