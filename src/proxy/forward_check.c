/*
 * Who may come into forward blocks, looked at once when everything has been read: nobody shall find an open proxy here
 * by mistake. Rules that let everybody in from everywhere must be asked for by name.
 */
#include "proxy/forward_block.h"

#include "base/err.h"
#include "forward/squid_policy.h"
#include "proxy/forward_limits.h"
#include "proxy/parent.h"
#include "proxy/satisfy.h"
#include "tls/conf.h"

static bool everybody(const struct location *l)
{
    bool any = satisfy_any_at(l), one_open = false, all_open = true; /* without rules nobody is kept out */
    for (const struct policy_use *u = l->policies; u->policy; u++) {
        if (u->phase != PHASE_ACCESS)
            continue;
        bool one = u->policy->open && u->policy->open(u->conf);
        one_open = one_open || one;
        all_open = all_open && one;
    }
    return all_open || (any && one_open);
}

static bool has_rules(const struct location *l)
{
    for (const struct policy_use *u = l->policies; u->policy; u++) {
        if (u->phase == PHASE_ACCESS)
            return true;
    }
    return false;
}

/* What a SOCKS client has to show before it may ask. */
static enum socks_login login_at(const struct location *l)
{
    for (const struct policy_use *u = l->policies; u->policy; u++) {
        bool open = u->policy->open && u->policy->open(u->conf); /* rules ask later, or not at all */
        if (u->phase == PHASE_ACCESS && u->policy->asks)
            return open || satisfy_any_at(l) ? SOCKS_LOGIN_MAY : SOCKS_LOGIN_MUST;
    }
    return SOCKS_LOGIN_NO;
}

static void set_login(const struct http_main *m, const struct server_build *s)
{
    for (const struct listen_line *l = s->listens; l; l = l->next) {
        struct listener_conf *at = map_get(&m->listeners, l->key);
        if (at)
            at->socks_login = (uint8_t)login_at(s->base.loc);
    }
}

/* Whoever comes there has shown a certificate that the block's authorities have signed. */
static bool certified(const struct server_build *s, const struct listen_line *l)
{
    return l->ssl && s->server->tls->verify == TLS_VERIFY_ON;
}

static bool any_certified(const struct server_build *s)
{
    for (const struct listen_line *l = s->listens; l; l = l->next) {
        if (certified(s, l))
            return true;
    }
    return false;
}

static int check_listens(struct conf_ctx *cf, const struct http_main *m, const struct server_build *s, bool open,
                         bool squid)
{
    int rc = OK;
    for (const struct listen_line *l = s->listens; l; l = l->next) {
        bool stranger = open && !certified(s, l) && l->addr.sa.sa_family != AF_UNIX && !addr_is_loopback(&l->addr);
        if (stranger && squid)
            conf_warn(cf, l->node, 0, "http_access lets everybody in who reaches %.*s: this is an open proxy",
                      SLICE_FMT(l->key));
        else if (stranger)
            rc = conf_error(cf, l->node, 0,
                            "this forward proxy would be open to everybody who reaches %.*s: restrict it by \"allow\" "
                            "and \"deny all\", or say \"allow_open_proxy on\"",
                            SLICE_FMT(l->key));
        for (const struct server_build *o = m->servers; o; o = o->next) {
            for (const struct listen_line *k = o == s ? NULL : o->listens; k; k = k->next) {
                if (slice_eq(k->key, l->key))
                    rc = conf_error(cf, l->node, 0, "%.*s is the address of another block too", SLICE_FMT(l->key));
            }
        }
    }
    return rc;
}

/* A block that is its own parent would turn round and round. */
static int check_parents(struct conf_ctx *cf, const struct server_build *s, const struct parent_conf *c)
{
    uint32_t n = 0;
    if (!c->routes)
        return OK;
    for (const struct listen_line *l = s->listens; l; l = l->next)
        n++;
    struct addr *v = arena_new_n(cf->arena, struct addr, n);
    if (!v)
        return ERR_NOMEM;
    n = 0;
    for (const struct listen_line *l = s->listens; l; l = l->next)
        v[n++] = l->addr;
    const struct egress_own own = { v, n };
    return parent_check(cf, c, &own);
}

/* Squid's rules stand alone, with no guard behind them: do they speak of this machine at all? */
static bool keeps_inside(const struct fwd_rules *l)
{
    for (const struct fwd_rule *r = l->first; r; r = r->next) {
        for (uint32_t i = 0; i < r->nterms; i++) {
            if (slice_eq(r->terms[i].acl->name, SLICE("to_localhost")))
                return true;
        }
    }
    return false;
}

int forward_check(struct conf_ctx *cf, struct http_main *m)
{
    int rc = OK;
    for (const struct server_build *s = m->servers; s; s = s->next) {
        const struct location *l = s->base.loc;
        if (!s->server->forward)
            continue;
        struct forward_conf *c = conf_get(l->conf, &forward_feature);
        set_login(m, s);
        c->ruled = has_rules(l) || c->policy->http_access.n || c->squid || any_certified(s);
        bool unruled = !c->policy->http_access.n && !c->squid;
        bool open = everybody(l) && (unruled || fwd_rules_open(&c->policy->http_access));
        if (c->squid && !keeps_inside(&c->policy->http_access))
            conf_warn(cf, c->squid, -1,
                      "no http_access line names to_localhost: who may come in may reach what listens on this machine "
                      "alone, as \"http_access deny to_localhost\" would prevent");
        int one = check_listens(cf, m, s, c->ruled && !c->allow_open && open, c->squid);
        rc = one != OK ? one : rc;
        one = check_parents(cf, s, conf_get(l->conf, &parent_feature));
        rc = one != OK ? one : rc;
        if (rc == OK)
            rc = forward_limits_attach(cf, conf_get(l->conf, &forward_limits_feature), s->listens->key);
    }
    return rc;
}
