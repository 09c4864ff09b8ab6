/*
 * The way of a forward exchange: `route` lines, and what becomes of a request that a parent gets.
 */
#include "proxy/chain.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "proxy/egress_dir.h"
#include "proxy/forward_block.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy_pass.h"

/* ---- deciding ---- */

static const struct routes *routes_of(const struct exchange *x)
{
    return ((const struct parent_conf *)exchange_conf(x, &parent_feature))->routes;
}

bool chain_any(const struct exchange *x)
{
    return routes_of(x) != NULL;
}

static int refuse(struct exchange *x, const struct fwd_decision *d, slice rule)
{
    exchange_trace(x, d->rule ? &d->rule->pos : NULL, "route: refused by %.*s", SLICE_FMT(rule));
    exchange_log(x, LEVEL_ERROR, "%.*s is refused by route %.*s", SLICE_FMT(x->proxy->forward->at.text),
                 SLICE_FMT(rule));
    worker_count(x->w, COUNT_ROUTE_DENIED);
    return reply_set(x, 403, SLICE_NONE, SLICE_NONE, true) == OK ? ERR_REFUSED : ERR_NOMEM;
}

/*
 * A target that is an address is judged here as it would be on the direct way: its networks are nobody's but the
 * parent's. A name leads wherever the parent's resolver says, which is the parent's to judge; `localhost` needs none.
 */
static int guard(struct exchange *x)
{
    const struct forward_exchange *f = x->proxy->forward;
    const struct egress *e = egress_of(exchange_conf(x, &egress_feature));
    bool local = slice_ieq(f->host, SLICE("localhost")) || slice_ieq(f->host, SLICE("localhost.")) ||
                 (f->host.n > 10 && slice_ieq(slice_from(f->host, f->host.n - 10), SLICE(".localhost")));
    struct addr to = f->at.addr;
    const char *why;
    unsigned bad = 0;
    if (local && addr_parse_ip(SLICE("127.0.0.1"), f->at.port, &to) != OK)
        return ERR_NOMEM;
    if (local || f->at.literal)
        bad = egress_judge(x->gen->gen, e, &to, &why);
    if (!bad)
        return OK;
    worker_count(x->w, COUNT_EGRESS_DENIED);
    exchange_log(x, LEVEL_ERROR, "%s: \"%.*s\" is the client's choice and not a public address (%s)",
                 bad == 508 ? "proxy loop" : "access forbidden", SLICE_FMT(f->at.text), why);
    exchange_trace(x, NULL, "the target %.*s is refused: %s", SLICE_FMT(f->at.text), why);
    return egress_reply(x, bad) == OK ? ERR_REFUSED : ERR_NOMEM;
}

/* Chains whose own rules do not let it through count as tried. ERR_REFUSED: none is left. */
static int restrict_to(struct exchange *x, const struct parent *p, const struct fwd_request *v, struct tried *tried)
{
    const struct peer_set *sets[] = { &p->upstream->primary, &p->upstream->backup };
    uint32_t number = 0, left = 0;
    for (size_t s = 0; s < array_len(sets); s++) {
        for (uint32_t i = 0; i < sets[s]->n; i++, number++) {
            const struct fwd_rules *access = sets[s]->peers[i].chain->access;
            enum fwd_answer a = access ? fwd_decide(access, v).answer : FWD_YES;
            if (a == FWD_NEED_ADDRESSES)
                return ERR_AGAIN;
            if (a == FWD_YES)
                left++;
            else
                tried->bits |= 1ull << (number & 63);
        }
    }
    return left ? OK : ERR_REFUSED;
}

/* The exchange is the parent's. */
static int give(struct exchange *x, const struct parent *p, struct tried tried, bool or_direct)
{
    struct proxy_exchange *px = x->proxy;
    int rc = guard(x);
    if (rc != OK)
        return rc;
    px->forward->parent = p;
    px->forward->or_direct = or_direct;
    px->upstream = p->upstream;
    px->tried = tried;
    px->chained = true;
    px->guarded = false;
    worker_count(x->w, COUNT_ROUTE_PARENT);
    return CHAIN_PARENT;
}

static const struct route *route_of(const struct routes *r, const struct fwd_rule *rule)
{
    uint32_t i = 0;
    while (rule && r->v[i].rule != rule)
        i++;
    return rule ? &r->v[i] : NULL;
}

static int follow(struct exchange *x, const struct routes *r, const struct fwd_request *v)
{
    struct fwd_decision d = fwd_decide(&r->rules, v);
    char text[512];
    slice rule = slice_of(text, 0);
    struct tried tried = { 0 };
    if (d.answer == FWD_NEED_ADDRESSES)
        return ERR_AGAIN;
    if (d.rule)
        rule.n = fwd_decision_text(text, sizeof(text), &r->rules, &d);
    else
        rule = SLICE("no line matched");
    const struct route *to = d.answer == FWD_YES ? route_of(r, d.rule) : NULL;
    if (!to || to->to == ROUTE_DENY)
        return refuse(x, &d, rule);
    exchange_trace(x, &d.rule->pos, "route: %s%.*s, by %.*s", to->to == ROUTE_PARENT ? "parent " : "",
                   SLICE_FMT(d.rule->value), SLICE_FMT(rule));
    if (to->to == ROUTE_DIRECT)
        return OK;
    int rc = to->parent->restricted ? restrict_to(x, to->parent, v, &tried) : OK;
    return rc == ERR_REFUSED ? refuse(x, &d, rule) : rc == OK ? give(x, to->parent, tried, to->parent->or_direct) : rc;
}

/* By cache_peer and its kin. */
static int follow_squid(struct exchange *x, const struct routes *r, const struct fwd_request *v)
{
    struct tried tried = { 0 };
    bool or_direct;
    int rc = chain_squid(x, r, v, &or_direct);
    if (rc != CHAIN_PARENT)
        return rc;
    rc = !r->peers ? ERR_REFUSED : r->peers->restricted ? restrict_to(x, r->peers, v, &tried) : OK;
    if (rc == OK)
        return give(x, r->peers, tried, or_direct);
    if (rc != ERR_REFUSED || or_direct)
        return rc == ERR_REFUSED ? OK : rc;
    exchange_trace(x, NULL, "answered with 503: never_direct, and no cache_peer takes it");
    exchange_log(x, LEVEL_ERROR, "%.*s may not go direct, and no cache_peer takes it",
                 SLICE_FMT(x->proxy->forward->at.text));
    worker_count(x->w, COUNT_ROUTE_DENIED);
    return reply_set(x, 503, SLICE_NONE, SLICE_NONE, true) == OK ? ERR_REFUSED : ERR_NOMEM;
}

int chain_route(struct exchange *x)
{
    struct forward_exchange *f = x->proxy->forward;
    const struct routes *r = routes_of(x);
    struct fwd_request v;
    forward_view(x, &v);
    int rc = unlikely(r->squid) ? follow_squid(x, r, &v) : follow(x, r, &v);
    f->unrouted = rc == ERR_AGAIN;
    return rc;
}

/* ---- another way ---- */

enum step chain_exhausted(struct exchange *x, unsigned status)
{
    struct proxy_exchange *px = x->proxy;
    bool sent = px->last && px->last->bytes_sent;
    if (!px->forward->or_direct || sent || !pipe_can_rewind(&x->req_pipe) ||
        (px->deadline && loop_now(&x->w->loop) >= px->deadline))
        return step_error(x, status);
    exchange_log(x, LEVEL_WARN, "no server of parent \"%.*s\" could be reached: the target itself is connected to",
                 SLICE_FMT(px->forward->parent->name));
    worker_count(x->w, COUNT_ROUTE_FELL_BACK);
    px->forward->or_direct = px->chained = false;
    px->forward->parent = NULL;
    px->tried = (struct tried){ 0 };
    px->tries = 0;
    pipe_rewind(&x->req_pipe);
    x->upstream = SLICE_NONE;
    x->step = STEP_SELECT; /* where it waits for names */
    return step_verdict(x, proxy_choose(x, true, &px->forward->at), STEP_BODY);
}

/* ---- what goes out ---- */

/* Behind CONNECT or SOCKS a connection leads to its target alone; one to a proxy that takes any request does not. */
uint64_t chain_bound(const struct exchange *x, const struct chain *c)
{
    const struct forward_exchange *f = x->proxy->forward;
    if (c->absolute && !x->proxy->tunnel)
        return 0;
    uint64_t h = hash_bytes(f->host, true) * 31 + f->at.port;
    return h ? h : 1;
}

int chain_origin(struct exchange *x, const struct chain *c)
{
    struct origin_head *o = &x->origin;
    slice basic = c->hops[c->n - 1].basic, path = slice_eq(o->target, SLICE("*")) ? SLICE("") : o->target;
    if (!c->absolute)
        return OK;
    o->target = arena_printf(&x->arena, "http://%.*s%.*s", SLICE_FMT(x->proxy->host), SLICE_FMT(path));
    if (!o->target.p)
        return ERR_NOMEM;
    if (basic.n && x->trace)
        basic = SLICE("(what the configuration has for it)");
    struct field f = { .name = SLICE("Proxy-Authorization"), .value = basic, .token = TOK_PROXY_AUTHORIZATION };
    return !basic.n || fields_add(&x->arena, &o->fields, f) ? OK : ERR_NOMEM;
}
