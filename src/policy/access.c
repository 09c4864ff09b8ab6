/*
 * access: `allow` and `deny` by the client's address. The first line that matches decides; without one there is no
 * opinion, so the request is let in.
 *
 * As in nginx: a level with any line inherits none; an IPv4 address that came in over an IPv6 socket (::ffff:a.b.c.d)
 * is looked for among the IPv4 lines when there are some; `all` is a line of every family.
 */
#include "policy/access.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "net/net_table.h"
#include "proxy/satisfy.h"

struct rule {
    const struct conf_node *node;
    bool deny;
    bool v4, v6, local; /* families that it speaks of */
    struct cidr net;    /* of v4 or v6; of `all`: not used */
    struct rule *next;
};

/* Compiled: an address family's lines as a table from address to the number of the line that decides. */
struct access_rules {
    struct rule *first, **last;
    uint32_t n;
    const struct rule **numbered;
    struct net_table v4, v6;
    uint32_t local; /* the line for unix sockets, or NET_NONE */
    bool has_v4;
};

/* SCOPE_LOCATION */
struct access {
    struct access_rules *rules;
};

/* ---- running ---- */

/* The number of the deciding line, or NET_NONE. */
static uint32_t find(const struct access_rules *r, const struct addr_ip *ip)
{
    const struct in6_addr *six = &ip->in6.sin6_addr;
    if (ip->sa.sa_family == AF_INET)
        return net_table_find(&r->v4, net_number_of4(&ip->in.sin_addr));
    if (ip->sa.sa_family != AF_INET6)
        return r->local;
    if (r->has_v4 && IN6_IS_ADDR_V4MAPPED(six))
        return net_table_find(&r->v4, net_number_of4(&six->s6_addr[12]));
    return net_table_find(&r->v6, net_number_of6(six));
}

static enum verdict access_request(struct exchange *x, const void *conf)
{
    const struct access_rules *rules = ((const struct access *)conf)->rules;
    uint32_t number = find(rules, &x->client->peer);
    if (number == NET_NONE)
        return VERDICT_NEXT;
    const struct rule *r = rules->numbered[number];
    exchange_trace(x, &r->node->pos, "%.*s %.*s decides about %.*s", SLICE_FMT(r->node->name),
                   SLICE_FMT(r->node->args[0].text), SLICE_FMT(exchange_client_text(x)));
    if (!r->deny)
        return VERDICT_ALLOW;
    worker_count(x->w, COUNT_ACCESS_DENIED);
    if (!satisfy_any(x)) /* else it is told once nobody else has let in */
        exchange_log(x, LEVEL_ERROR, "access forbidden by rule");
    return reply_set(x, 403, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static bool access_active(const void *conf)
{
    return ((const struct access *)conf)->rules;
}

/* Of a family: what is decided first about all of it. */
static bool open_to(const struct access_rules *r, bool v6)
{
    for (const struct rule *at = r->first; at; at = at->next) {
        if ((at->v4 && at->v6) || ((v6 ? at->v6 : at->v4) && at->net.bits == 0))
            return !at->deny;
    }
    return true;
}

static bool access_open(const void *conf)
{
    const struct access_rules *r = ((const struct access *)conf)->rules;
    return open_to(r, false) || open_to(r, true);
}

/* ---- directives ---- */

static int parse_rule(struct conf_ctx *cf, const struct conf_node *node, struct rule *r)
{
    slice text = node->args[0].text;
    bool loose;
    if (slice_eq(text, SLICE("all"))) {
        r->v4 = r->v6 = r->local = true;
        return OK;
    }
    if (slice_eq(text, SLICE("unix:"))) {
        r->local = true;
        return OK;
    }
    if (cidr_parse(text, &r->net, &loose) != OK)
        return conf_error(cf, node, 0, "invalid parameter \"%.*s\"", SLICE_FMT(text));
    if (loose)
        conf_warn(cf, node, 0, "low address bits of %.*s are meaningless", SLICE_FMT(text));
    r->v6 = r->net.v6;
    r->v4 = !r->v6;
    return OK;
}

static int set_rule(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct access *a = conf;
    struct rule *r = arena_new(cf->arena, struct rule);
    if (!a->rules) {
        a->rules = arena_new(cf->arena, struct access_rules);
        if (a->rules)
            a->rules->last = &a->rules->first;
    }
    if (!r || !a->rules)
        return ERR_NOMEM;
    r->node = node;
    r->deny = slice_eq(node->name, SLICE("deny"));
    int rc = parse_rule(cf, node, r);
    if (rc != OK)
        return rc;
    *a->rules->last = r;
    a->rules->last = &r->next;
    a->rules->n++;
    return OK;
}

static const struct cidr whole4 = { .v6 = false }, whole6 = { .v6 = true }; /* no bits: every address */

/* The lines of one family, numbered from 0 as written. */
static size_t lines_of(const struct access_rules *r, bool v6, struct net_entry *out)
{
    size_t n = 0;
    uint32_t number = 0;
    for (const struct rule *at = r->first; at; at = at->next, number++) {
        if (!(v6 ? at->v6 : at->v4))
            continue;
        bool all = at->v4 && at->v6;
        out[n++] = net_entry_of(all ? (v6 ? &whole6 : &whole4) : &at->net, number);
    }
    return n;
}

static int compile(struct arena *a, struct access_rules *r)
{
    struct net_entry *lines = arena_alloc(a, (r->n + 1) * sizeof(*lines));
    r->numbered = arena_new_n(a, const struct rule *, r->n + 1);
    if (!lines || !r->numbered)
        return ERR_NOMEM;
    uint32_t number = 0;
    r->local = NET_NONE;
    for (const struct rule *at = r->first; at; at = at->next) {
        if (at->local && r->local == NET_NONE)
            r->local = number;
        r->numbered[number++] = at;
    }
    size_t n = lines_of(r, false, lines);
    r->has_v4 = n > 0;
    int rc = net_table_build(a, lines, n, &r->v4);
    if (rc != OK)
        return rc;
    n = lines_of(r, true, lines);
    return net_table_build(a, lines, n, &r->v6);
}

/* A level that inherits the rules shares what its parent compiled. */
static int access_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                         const void *parent)
{
    struct access_rules *r = ((struct access *)conf)->rules;
    return kind == SCOPE_LOCATION && r && !r->numbered ? compile(cf->arena, r) : OK;
}

#define RULE(text, about)                                                                                         \
    {                                                                                                             \
        .name = text, .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LIMIT_EXCEPT, .min_args = 1,     \
        .max_args = 1, .type = CONF_CUSTOM, .scope = SCOPE_LOCATION, .repeat = true,                              \
        .offset = offsetof(struct access, rules), .size = sizeof(struct access_rules *), .set = set_rule,         \
        .usage = text " ADDRESS | CIDR | unix: | all;",                                                           \
        .doc = about " clients of an IPv4 or IPv6 address or network, of unix sockets (unix:), or all. Lines of " \
                     "allow and deny are looked at in the order in which they stand, the first that matches "     \
                     "decides; when none does the client is let in. A level with any such line inherits none.",   \
    }

static const struct directive directives[] = {
    RULE("allow", "Lets in"),
    RULE("deny", "Refuses, with 403,"),
};

struct feature access_feature = {
    .name = "access",
    .forward = true,
    .doc = "Letting clients in by their address.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct access) },
    .finish = access_finish,
};

const struct policy access_policy = {
    .name = "allow and deny",
    .feature = &access_feature,
    .active = access_active,
    .open = access_open,
    .on_request = access_request,
};
