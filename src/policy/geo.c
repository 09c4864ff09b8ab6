/*
 * geo: a variable whose value depends on an address (ngx_http_geo_module of nginx's manual).
 *
 * Lines are networks, of which the longest one that holds the address counts, or with `ranges` ranges of IPv4
 * addresses. They take effect in the order in which they stand, so that `delete` takes away what stood before it. What
 * is no address, a client on a unix socket for instance, counts as 255.255.255.255.
 */
#include "base/attr.h"
#include "base/err.h"
#include "http/forwarded.h"
#include "http/token.h"
#include "net/ip_ranges.h"
#include "net/net_tree.h"
#include "policy/derived.h"

/* Values are the lines (struct conf_node) themselves. */
struct geo {
    struct derived derived;   /* first */
    const struct var *source; /* NULL: the client's address */
    bool by_range;
    struct net_tree nets;            /* without `ranges` */
    struct ip_ranges ranges;         /* with it */
    const struct conf_node *outside; /* with it: `default`, or NULL */
    struct cidr *proxies;
    uint32_t nproxies;
    bool recursive;
};

/* ---- asking ---- */

static slice value_of(const struct conf_node *line)
{
    return line ? line->args[0].text : SLICE("");
}

static bool start_address(struct exchange *x, const struct geo *g, struct addr_ip *out)
{
    slice text;
    if (!g->source) {
        *out = x->client->peer;
        return true;
    }
    struct addr a;
    if (exchange_var(x, g->source, &text) != OK || slice_starts(text, SLICE("[")) || addr_parse_ip(text, 0, &a) != OK)
        return false;
    *out = (struct addr_ip){ 0 };
    if (a.sa.sa_family == AF_INET)
        out->in = a.in;
    else
        out->in6 = a.in6;
    return true;
}

/* Behind a `proxy` the address is the one that X-Forwarded-For names. */
static void walk(const struct exchange *x, const struct geo *g, struct addr_ip *address)
{
    const struct cidr_set trusted = { .v = g->proxies, .n = g->nproxies };
    struct forwarded_walk w = { .addr = *address, .trusted = &trusted, .recursive = g->recursive };
    const struct fields *f = &x->req.fields;
    for (uint32_t i = f->n; i-- > 0 && !w.over;) {
        if (f->v[i].token == TOK_X_FORWARDED_FOR)
            forwarded_walk(&w, FORWARDED_ADDRESSES, f->v[i].value);
    }
    *address = w.addr;
}

/* The address to look up; an IPv4 one inside an IPv6 one is taken out. */
static struct cidr lookup_address(struct exchange *x, const struct geo *g)
{
    struct addr_ip ip;
    struct cidr c = { .bits = 32, .ip = { 255, 255, 255, 255 } };
    if (!start_address(x, g, &ip))
        return c;
    if (g->nproxies)
        walk(x, g, &ip);
    cidr_of(&ip.sa, &c);
    if (c.v6 && IN6_IS_ADDR_V4MAPPED(&ip.in6.sin6_addr)) {
        memmove(c.ip, c.ip + 12, 4);
        c.v6 = 0;
        c.bits = 32;
    }
    return c;
}

static uint32_t number_of(const uint8_t *ip)
{
    return (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];
}

static const struct conf_node *find_line(const struct geo *g, const struct cidr *c)
{
    if (!g->by_range)
        return net_tree_find(&g->nets, c);
    const struct conf_node *line = ip_ranges_find(&g->ranges, c->v6 ? UINT32_MAX : number_of(c->ip));
    return line ? line : g->outside;
}

static int find(struct exchange *x, const struct derived *d, slice *out)
{
    const struct geo *g = container_of(d, struct geo, derived);
    struct cidr c = lookup_address(x, g);
    const struct conf_node *line = find_line(g, &c);
    exchange_trace(x, line ? &line->pos : &d->pos, "geo: %.*s",
                   SLICE_FMT(line ? line->name : SLICE("no line, no default")));
    *out = value_of(line);
    return OK;
}

/* ---- reading networks ---- */

struct reading {
    struct geo *g;
    struct ip_ranges_build *ranges;
    bool any; /* a network was read */
};

static int read_net(struct conf_ctx *cf, const struct conf_node *line, slice text, struct cidr *out)
{
    bool loose;
    if (cidr_parse(text, out, &loose) != OK)
        return conf_error(cf, line, -1, "invalid network \"%.*s\"", SLICE_FMT(text));
    if (loose)
        conf_warn(cf, line, -1, "low address bits of %.*s are meaningless", SLICE_FMT(text));
    return OK;
}

static int put_net(struct geo *g, const struct conf_node *line, const struct cidr *net, const struct conf_node **old)
{
    const void *before;
    int rc = net_tree_put(&g->nets, net, line, &before);
    if (rc == OK && before)
        *old = before;
    return rc;
}

static int add_net(struct conf_ctx *cf, struct geo *g, const struct conf_node *line)
{
    const struct conf_node *old = NULL;
    struct cidr net = { 0 };
    int rc;
    if (slice_eq(line->name, SLICE("default"))) {
        rc = put_net(g, line, &net, &old);
        net.v6 = 1;
    } else {
        rc = read_net(cf, line, line->name, &net);
    }
    if (rc == OK)
        rc = put_net(g, line, &net, &old);
    if (rc == OK && old)
        conf_warn(cf, line, -1, "duplicate network \"%.*s\", value: \"%.*s\", old value: \"%.*s\"",
                  SLICE_FMT(line->name), SLICE_FMT(value_of(line)), SLICE_FMT(value_of(old)));
    return rc;
}

static int delete_net(struct conf_ctx *cf, struct geo *g, const struct conf_node *line)
{
    struct cidr net;
    int rc = read_net(cf, line, line->args[0].text, &net);
    if (rc == OK && !net_tree_remove(&g->nets, &net))
        conf_warn(cf, line, -1, "no network \"%.*s\" to delete", SLICE_FMT(line->args[0].text));
    return rc;
}

static int add_proxy(struct conf_ctx *cf, struct geo *g, const struct conf_node *line)
{
    struct cidr net, *v = arena_new_n(cf->arena, struct cidr, g->nproxies + 1);
    if (!v)
        return ERR_NOMEM;
    int rc = read_net(cf, line, line->args[0].text, &net);
    if (rc != OK)
        return rc;
    if (g->nproxies)
        memcpy(v, g->proxies, g->nproxies * sizeof(*v));
    v[g->nproxies++] = net;
    g->proxies = v;
    return OK;
}

/* ---- reading ranges ---- */

static bool read_address(slice text, uint32_t *out)
{
    struct addr a;
    if (addr_parse_ip(text, 0, &a) != OK || a.sa.sa_family != AF_INET)
        return false;
    *out = ntohl(a.in.sin_addr.s_addr);
    return true;
}

static int read_range(struct conf_ctx *cf, const struct conf_node *line, slice text, struct ip_range *out)
{
    slice first, last;
    if (!slice_cut(text, '-', &first, &last) || !read_address(first, &out->first) || !read_address(last, &out->last) ||
        out->first > out->last)
        return conf_error(cf, line, -1, "invalid range \"%.*s\"", SLICE_FMT(text));
    return OK;
}

static slice range_text(struct conf_ctx *cf, const struct ip_range *r)
{
    return arena_printf(cf->arena, "%u.%u.%u.%u-%u.%u.%u.%u", r->first >> 24, r->first >> 16 & 255, r->first >> 8 & 255,
                        r->first & 255, r->last >> 24, r->last >> 16 & 255, r->last >> 8 & 255, r->last & 255);
}

static int add_range(struct conf_ctx *cf, struct reading *r, const struct conf_node *line)
{
    struct ip_range range = { .value = line }, clash;
    int rc = read_range(cf, line, line->name, &range);
    if (rc != OK)
        return rc;
    rc = ip_ranges_add(r->ranges, range, &clash);
    if (rc == ERR_REFUSED)
        return conf_error(cf, line, -1, "range \"%.*s\" overlaps \"%.*s\"", SLICE_FMT(line->name),
                          SLICE_FMT(range_text(cf, &clash)));
    if (rc == OK && clash.value)
        conf_warn(cf, line, -1, "duplicate range \"%.*s\", value: \"%.*s\", old value: \"%.*s\"", SLICE_FMT(line->name),
                  SLICE_FMT(value_of(line)), SLICE_FMT(value_of(clash.value)));
    return rc;
}

static int delete_range(struct conf_ctx *cf, struct reading *r, const struct conf_node *line)
{
    struct ip_range range = { 0 };
    int rc = read_range(cf, line, line->args[0].text, &range);
    if (rc == OK && !ip_ranges_remove(r->ranges, range.first, range.last))
        conf_warn(cf, line, -1, "no address range \"%.*s\" to delete", SLICE_FMT(line->args[0].text));
    return rc;
}

static int read_outside(struct conf_ctx *cf, struct geo *g, const struct conf_node *line)
{
    if (g->outside)
        conf_warn(cf, line, -1, "duplicate default geo range value: \"%.*s\", old value: \"%.*s\"",
                  SLICE_FMT(value_of(line)), SLICE_FMT(value_of(g->outside)));
    g->outside = line;
    return OK;
}

/* ---- the block ---- */

static int begin_ranges(struct conf_ctx *cf, struct reading *r, const struct conf_node *line)
{
    if (r->any)
        return conf_error(cf, line, -1, "the \"ranges\" directive must be the first directive inside \"geo\" block");
    if (!r->ranges)
        r->ranges = ip_ranges_begin();
    r->g->by_range = true;
    return r->ranges ? OK : ERR_NOMEM;
}

static int read_entry(struct conf_ctx *cf, struct reading *r, const struct conf_node *line)
{
    bool deletes = slice_eq(line->name, SLICE("delete"));
    if (!r->g->by_range) {
        r->any = true;
        return deletes ? delete_net(cf, r->g, line) : add_net(cf, r->g, line);
    }
    if (slice_eq(line->name, SLICE("default")))
        return read_outside(cf, r->g, line);
    return deletes ? delete_range(cf, r, line) : add_range(cf, r, line);
}

static int read_line(struct conf_ctx *cf, struct reading *r, const struct conf_node *line)
{
    if (line->nargs == 0 && slice_eq(line->name, SLICE("ranges")))
        return begin_ranges(cf, r, line);
    if (line->nargs == 0 && slice_eq(line->name, SLICE("proxy_recursive"))) {
        r->g->recursive = true;
        return OK;
    }
    if (line->nargs == 0 && slice_eq(line->name, SLICE("volatile"))) {
        r->g->derived.is_volatile = true;
        return OK;
    }
    if (line->nargs != 1)
        return conf_error(cf, line, -1, "invalid number of the geo parameters");
    if (slice_eq(line->name, SLICE("proxy")))
        return add_proxy(cf, r->g, line);
    return read_entry(cf, r, line);
}

static int read_lines(struct conf_ctx *cf, struct reading *r, const struct conf_node *node)
{
    int rc = OK;
    for (const struct conf_node *line = node->children; line; line = line->next) {
        int one = read_line(cf, r, line);
        if (one == ERR_NOMEM)
            return one;
        rc = one != OK ? one : rc;
    }
    return rc == OK && r->ranges ? ip_ranges_finish(r->ranges, cf->arena, &r->g->ranges) : rc;
}

static int read_source(struct conf_ctx *cf, struct geo *g, const struct conf_node *node)
{
    slice name = node->args[0].text;
    size_t errors = cf->diag->errors;
    if (name.n < 2 || name.p[0] != '$')
        return conf_error(cf, node, 0, "invalid variable name \"%.*s\"", SLICE_FMT(name));
    g->source = var_use(cf, slice_from(name, 1), &node->args[0]);
    if (!g->source)
        return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
    return derived_from_var(cf, &g->derived, g->source);
}

static int set_geo(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct geo *g = arena_new(cf->arena, struct geo);
    if (!g)
        return ERR_NOMEM;
    struct reading r = { .g = g };
    net_tree_init(&g->nets, cf->arena);
    g->derived.find = find;
    int rc = node->nargs == 2 ? read_source(cf, g, node) : OK;
    if (rc == OK)
        rc = derived_define(cf, node, node->nargs - 1, &g->derived);
    if (rc == OK)
        rc = read_lines(cf, &r, node);
    ip_ranges_free(r.ranges);
    return rc;
}

static const struct directive directives[] = {
    {
        .name = "geo",
        .contexts = CONF_HTTP,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_MAIN,
        .repeat = true,
        .free_block = true,
        .set = set_geo,
        .usage = "geo [$ADDRESS] $VARIABLE { [ranges;] [volatile;] [proxy NETWORK;] [proxy_recursive;] "
                 "[default VALUE;] NETWORK VALUE; ... [delete NETWORK;] }",
        .doc =
            "Makes a variable whose value is that of the longest NETWORK (IPv4 or IPv6) which holds the client's "
            "address, or the address that $ADDRESS gives. With ranges, first in the block, lines are FIRST-LAST (IPv4) "
            "instead, and a later range is cut out of the one that it lies in. When the address is in a network of "
            "proxy, the last one of X-Forwarded-For is taken in its place; with proxy_recursive the last one that is "
            "in none of them. default is for addresses that no line holds. delete takes a line back that stands "
            "before it. What is no address counts as 255.255.255.255. With volatile the value is looked up each time.",
    },
};

struct feature geo_feature = {
    .name = "geo",
    .doc = "Variables looked up by address.",
    .directives = directives,
    .ndirectives = array_len(directives),
};
