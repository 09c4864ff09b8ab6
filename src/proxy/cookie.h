/*
 * Set-Cookie of backends: proxy_cookie_domain, proxy_cookie_path and proxy_cookie_flags.
 */
#ifndef PROXY_COOKIE_H
#define PROXY_COOKIE_H

#include "conf/var.h"
#include "http/exchange.h"
#include "http/match.h"

/* One line: what it applies to, and what that becomes. */
struct cookie_rule {
    bool is_regex;
    struct match match;    /* when is_regex */
    struct template from;  /* else */
    struct template to;    /* domain and path */
    struct template *flag; /* flags: as written */
    uint32_t nflags;
    struct conf_pos pos;
    struct cookie_rule *next;
};

/* The lines that hold at a level. */
struct cookie_list {
    struct cookie_rule *first;
    bool off;
};

struct cookie_rules {
    struct cookie_list domain, path, flags;
};

static inline bool cookie_rules_any(const struct cookie_rules *c)
{
    return c->domain.first || c->path.first || c->flags.first;
}

/* Directive functions; the lists are those of struct proxy_conf. */
int cookie_domain_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf);
int cookie_path_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf);
int cookie_flags_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf);

/*
 * The value of a Set-Cookie field after the rules. *out is `value` itself when no rule applies, else in the exchange's
 * arena. OK or ERR_NOMEM.
 */
int cookie_rewrite(struct exchange *x, const struct cookie_rules *rules, slice value, slice *out);

#endif
