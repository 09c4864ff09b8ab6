/*
 * Squid's way of choosing a way: cache_peer, cache_peer_access, always_direct, never_direct.
 *
 * The order is Squid's (its peer selection): always_direct; else, where never_direct holds, parents alone; else parents
 * first and the target itself behind them, but only for what a cache of a parent could keep (GET without credentials),
 * unless nonhierarchical_direct is off. Among parents those with round-robin take turns by weight, and the others
 * follow in the order of the file.
 */
#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "proxy/balance/balance.h"
#include "proxy/chain.h"
#include "proxy/forward_block.h"
#include "proxy/forward_rules.h"

enum { FAIL_MS = 10000, CONNECT_MS = 30000, KEEP = 64 };

/* ---- running ---- */

/* clientHierarchical of Squid, in words: would a cache on the way be of any use? */
static bool hierarchical(const struct exchange *x)
{
    if (x->req.form == TARGET_AUTHORITY || fields_find(&x->req.fields, TOK_AUTHORIZATION))
        return false;
    return x->req.method == METHOD_GET || x->req.method == METHOD_TRACE;
}

static enum fwd_answer ask(struct exchange *x, const struct fwd_rules *l, const struct fwd_request *v, const char *name)
{
    struct fwd_decision d = fwd_decide(l, v);
    char text[512];
    if (!l->n || d.answer == FWD_NEED_ADDRESSES)
        return d.answer;
    size_t n = fwd_decision_text(text, sizeof(text), l, &d);
    exchange_trace(x, d.rule ? &d.rule->pos : NULL, "%s: %s by %.*s", name,
                   d.answer == FWD_YES ? "holds" : "does not hold", (int)n, text);
    return d.answer;
}

int chain_squid(struct exchange *x, const struct routes *r, const struct fwd_request *v, bool *or_direct)
{
    const struct fwd_policy *p = r->squid;
    enum fwd_answer always = ask(x, &p->always_direct, v, "always_direct"), never;
    *or_direct = true;
    if (always == FWD_NEED_ADDRESSES || always == FWD_YES)
        return always == FWD_YES ? OK : ERR_AGAIN;
    never = ask(x, &p->never_direct, v, "never_direct");
    if (never == FWD_NEED_ADDRESSES)
        return ERR_AGAIN;
    if (never != FWD_NO) { /* a pattern that gave up lets nothing out */
        *or_direct = false;
        return CHAIN_PARENT;
    }
    if (hierarchical(x) || !p->nonhierarchical_direct)
        return CHAIN_PARENT;
    exchange_trace(x, NULL, "direct: only GET without credentials goes to a cache_peer without never_direct");
    return OK;
}

/* ---- load ---- */

/* Both sets of a group: the first takes turns, when any peer does; the other is walked in its order. */
static const struct peer *pick(const struct peer_set *set, uint32_t base, const struct tried *tried, uint64_t now)
{
    if (set->nsequence)
        return balance_round_robin.pick(set, base, tried, now);
    for (uint32_t i = 0; i < set->n; i++) {
        if (!tried_has(tried, base + i) && peer_take(&set->peers[i], now))
            return &set->peers[i];
    }
    return NULL;
}

static int init(struct conf_ctx *cf, struct upstream *u)
{
    u->backup.nsequence = 0;
    return u->primary.n && u->primary.peers->chain->in_turn ? balance_sequence(cf->arena, &u->primary) : OK;
}

static const struct balance_ops in_order = { .name = "cache_peer",
                                             .doc = "Round-robin peers, then the others in order.",
                                             .backup = true,
                                             .init = init,
                                             .pick = pick };

static int make_tls(struct conf_ctx *cf, const struct conf_node *at, const struct fwd_peer *fp, struct chain *c)
{
    struct tls_origin *o = arena_new(cf->arena, struct tls_origin);
    if (!o)
        return ERR_NOMEM;
    *o = (struct tls_origin){ .protocols = TLS_V1_2 | TLS_V1_3,
                              .ciphers = SLICE("DEFAULT"),
                              .verify = !fp->unverified,
                              .server_name = true,
                              .session_reuse = true,
                              .verify_depth = 9 };
    int rc = parent_tls_file(cf, at, fp->ca_file, &o->trusted, "certificates of");
    if (rc == OK)
        rc = parent_tls_file(cf, at, fp->cert_file, &o->certs, "certificate");
    if (rc == OK)
        rc = parent_tls_file(cf, at, fp->key_file.n ? fp->key_file : fp->cert_file, &o->keys, "certificate key");
    if (rc == OK && o->verify && !o->trusted)
        rc = parent_trust_system(cf, at, o);
    if (fp->unverified)
        conf_warn(cf, at, -1,
                  "the certificate of cache_peer \"%.*s\" is not checked: whoever stands in between reads along",
                  SLICE_FMT(fp->name));
    c->tls = o;
    return rc == OK ? tls_origin_finish(cf, o) : rc;
}

static int make_hop(struct conf_ctx *cf, const struct conf_node *at, const struct fwd_peer *fp, struct hop *h)
{
    bool six = slice_find(fp->host, ':') >= 0 && !slice_starts(fp->host, SLICE("["));
    slice text = arena_printf(cf->arena, "%s%.*s%s:%u", six ? "[" : "", SLICE_FMT(fp->host), six ? "]" : "", fp->port);
    const char *why;
    if (!text.p)
        return ERR_NOMEM;
    if (endpoint_parse(text, fp->port, &h->at, &why) != OK || h->at.is_unix)
        return conf_error(cf, at, -1, "invalid host \"%.*s\" of \"cache_peer\"", SLICE_FMT(fp->host));
    h->kind = HOP_HTTP;
    h->tls = fp->tls;
    h->user = fp->user;
    h->password = fp->password;
    int rc = hop_finish(cf->arena, h);
    if (fp->domain.n)
        h->host = fp->domain;
    return rc;
}

static int make_member(struct conf_ctx *cf, const struct fwd_policy *p, const struct fwd_peer *fp, bool turns,
                       struct member *m)
{
    struct conf_node *at = conf_node_new(cf->arena, SLICE("cache_peer"), fp->pos, 0);
    struct chain *c = arena_new(cf->arena, struct chain);
    const char *why;
    if (!at || !c || !(c->hops = arena_new(cf->arena, struct hop)))
        return ERR_NOMEM;
    c->n = 1;
    c->access = fp->access.n ? &fp->access : NULL;
    c->in_turn = fp->round_robin;
    c->connect_timeout = fp->connect_timeout                  ? fp->connect_timeout
                         : p->times[FWD_PEER_CONNECT_TIMEOUT] ? p->times[FWD_PEER_CONNECT_TIMEOUT]
                                                              : CONNECT_MS;
    *m = (struct member){ .node = at,
                          .chain = c,
                          .peer = { .weight = fp->weight,
                                    .max_conns = fp->max_conns,
                                    .max_fails = fp->default_peer ? 0 : fp->fail_limit, /* the last resort stays one */
                                    .fail_timeout = FAIL_MS,
                                    .backup = turns && !fp->round_robin } };
    int rc = make_hop(cf, at, fp, c->hops);
    if (rc == OK)
        rc = chain_finish(cf->arena, c, &why);
    return rc == OK && fp->tls ? make_tls(cf, at, fp, c) : rc;
}

int chain_squid_build(struct conf_ctx *cf, const struct fwd_policy *p, struct parent *out)
{
    struct member *first = NULL, **last = &first;
    bool turns = false;
    for (const struct fwd_peer *fp = p->peers; fp; fp = fp->next)
        turns = turns || fp->round_robin;
    for (const struct fwd_peer *fp = p->peers; fp; fp = fp->next) {
        struct member *m = arena_new(cf->arena, struct member);
        int rc = m ? make_member(cf, p, fp, turns, m) : ERR_NOMEM;
        if (rc != OK)
            return rc;
        *last = m;
        last = &m->next;
    }
    struct conf_node at = { .name = SLICE("cache_peer"), .pos = p->peers->pos };
    if (!p->never_direct.n && p->nonhierarchical_direct)
        conf_warn(
            cf, &at, -1,
            "without \"never_direct\" CONNECT and all that is not GET go direct, and so does GET when no cache_peer "
            "can be reached (as with Squid)");
    *out = (struct parent){ .name = SLICE("cache_peer"), .pos = p->peers->pos };
    return parent_build(cf, out, first, &in_order, KEEP);
}
