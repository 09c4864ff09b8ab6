/*
 * Policies: what a feature does to an exchange, and content: who answers it.
 *
 * A policy is one file: its directives, its functions, and at its end one `struct policy`. One line in app/features.def
 * names its phase and, by its place in the file, its place in the phase. When a configuration is loaded, each location
 * gets flat arrays of (function, configuration) of the policies that are `active` there, so an unused feature costs
 * nothing and a used one an indirect call. A policy never sees an end.
 */
#ifndef PROXY_POLICY_H
#define PROXY_POLICY_H

#include <stdbool.h>

#include "base/arena.h"
#include "conf/schema.h"
#include "http/exchange.h"

enum policy_phase {
    PHASE_POST_READ,  /* who is the client */
    PHASE_REWRITE,    /* set, return, rewrite; at the server level and again at the location */
    PHASE_PREACCESS,  /* limits */
    PHASE_ACCESS,     /* combined by satisfy */
    PHASE_PRECONTENT, /* mirror, try_files */
    PHASE_RESPONSE,   /* response policies only */
    PHASES
};

enum verdict {
    VERDICT_NEXT,  /* no opinion */
    VERDICT_ALLOW, /* access: let in */
    VERDICT_WAIT,  /* called again after X_WAKE */
    VERDICT_REPLY, /* reply_set was called: answer that */
    VERDICT_PASS,  /* route_redirect was called: a new pass begins */
    VERDICT_DROP,  /* close without an answer */
};

/* reply_set was called: that is the answer now, and runs through error_page and the response policies from the first.
 */
enum { RESPONSE_REPLACED = 1 };

struct policy {
    const char *name;
    struct feature *feature; /* whose SCOPE_LOCATION struct is `conf` below */
    /* Is it configured here? Decided once at load. */
    bool (*active)(const void *conf);
    /* The same, for who has to know who answers there. Either one says yes. */
    bool (*active_at)(const struct location *l);
    bool (*open)(const void *conf); /* of PHASE_ACCESS: would everybody be let in? NULL: no */
    bool asks;                      /* of PHASE_ACCESS: it lets in by a name and a password */
    bool own_level;                 /* it holds at the level where it was written and not in those nested there */
    enum verdict (*on_request)(struct exchange *x, const void *conf); /* or NULL */
    /* Or NULL. OK, a code (the answer becomes a 500), or RESPONSE_REPLACED. */
    int (*on_response)(struct exchange *x, const void *conf);
    void (*on_end)(struct exchange *x, const void *conf); /* or NULL */
};

/* One entry of a location's array. */
struct policy_use {
    const struct policy *policy; /* NULL ends the array */
    const void *conf;
    uint8_t phase;
    uint8_t number; /* of the policy in policy_table: its bit in x->entered */
};

struct policy_entry {
    const struct policy *policy;
    enum policy_phase phase;
};

/* Made from app/features.def, in its order. */
extern const struct policy_entry policy_table[];
extern const size_t policy_count;

/* Who answers at a location: set there by a directive such as proxy_pass; not inherited by nested locations. */
struct content {
    const char *name;
    /* Chooses and attaches a back end, or prepares one. Called by the select step; may be called again after X_WAKE. */
    enum verdict (*select)(struct exchange *x, const void *conf);
    /* It hands requests on to others: at a location whose path ends in a slash, a request for the path without it is
     * redirected there (nginx's manual, "location"). */
    bool slash_redirect;
    bool connect;      /* it serves CONNECT */
    bool whole_server; /* ... whatever location the target would lead to (proxy_connect) */
};

/*
 * From a directive's set function: at the location being read, `c` answers, with the SCOPE_LOCATION struct of `f` as it
 * is after inheritance (NULL: none) as its configuration. OK, or ERR_SYNTAX after reporting that somebody else answers
 * there already or that this is no place for an answer.
 */
int content_set(struct conf_ctx *cf, const struct conf_node *node, const struct content *c, const struct feature *f);

/*
 * Who answers at locations where nobody else does, with the SCOPE_LOCATION struct of `f`; from a finish function of the
 * outermost level. Without it they answer 404. OK or ERR_NOMEM.
 */
int content_default(struct conf_ctx *cf, const struct content *c, const struct feature *f);

/*
 * From the set function of a block such as `if`: opens a configuration inside the level being read, which inherits from
 * it, who answers included. NULL when out of memory. The caller applies the block and calls conf_inside_leave. Once
 * everything was read, the location is complete; a policy of PHASE_REWRITE may then give it to an exchange:
 * x->pass.loc = it, x->log = its log. The walk goes on behind that policy in the new array.
 */
struct location *conf_inside_enter(struct conf_ctx *cf, const struct conf_node *node);
void conf_inside_leave(struct conf_ctx *cf);

/*
 * Fills loc->policies, response_policies and end_policies from loc->conf: in order of phase, within a phase in order of
 * policy_table. Of PHASE_REWRITE only what was written at this very level, because that is not inherited: `outer` is
 * the configuration of the level around it (NULL: none). OK or ERR_NOMEM.
 */
int policies_build(struct arena *a, struct location *loc, void *const *outer);

/*
 * An answer of our own: status with a body in memory that lives as long as the exchange (or longer). With an empty body
 * and `page` set, the plain small error page of the status. `type` may be empty: then the location's default_type.
 * The step machine attaches the reply end. OK or ERR_NOMEM.
 */
int reply_set(struct exchange *x, unsigned status, slice type, slice body, bool page);
/* 30x with a Location. */
int reply_redirect(struct exchange *x, unsigned status, slice location);

/* Begins a new pass: internal redirect to a decoded URI (args: of the new URI; has_args false keeps none). ERR_LIMIT
 * when ten passes were used. The answer so far is dropped. */
int route_redirect(struct exchange *x, slice uri, slice args, bool has_args);
int route_named(struct exchange *x, slice name);
/* A location's rules changed the URI (x->pass): another location is looked for; the server's rules do not run again.
 * ERR_LIMIT as above, after logging. */
int route_again(struct exchange *x);

#endif
