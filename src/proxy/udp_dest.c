/*
 * The destinations of an association: found again, decided once, forgotten.
 *
 * What a client can make us keep is bounded: a number of destinations, of which the one unused for longest makes room
 * when it has been so for a while, and one waiting datagram for each whose name is being asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/strb.h"
#include "http/uri.h"
#include "net/addr.h"
#include "proxy/bind.h"
#include "proxy/chain.h"
#include "proxy/egress_dir.h"
#include "proxy/forward_block.h"
#include "proxy/forward_rules.h"
#include "proxy/resolver_dir.h"
#include "proxy/udp_relay.h"
#include "socks/dest.h"

/* ---- deciding ---- */

static void refused(struct udp_dest *d, const char *why)
{
    d->state = UDP_REFUSED;
    if (why)
        exchange_log(d->relay->x, LEVEL_ERROR, "datagrams to %.*s are dropped: %s", SLICE_FMT(d->at.text), why);
}

/* Only the direct way leads anywhere: parents are asked for connections. */
static bool has_way(struct exchange *x, struct udp_dest *d)
{
    struct proxy_exchange *px = x->proxy;
    if (!chain_any(x))
        return true;
    int rc = chain_route(x);
    px->upstream = NULL;
    px->chained = false;
    if (rc != OK && rc != ERR_AGAIN)
        refused(d, "its way is through a parent");
    return rc == OK || rc == ERR_AGAIN;
}

/* Where its datagrams come from, and whether they can; as for connections (proxy/attach.c). */
static bool choose_source(struct udp_dest *d, const struct forward_exchange *f, const struct addr *to)
{
    struct exchange *x = d->relay->x;
    const struct proxy_bind *bind = d->relay->proxy->bind;
    const struct peer peer = { .addr = *to };
    bool has = false;
    if (f->source && f->source->sa.sa_family == to->sa.sa_family) {
        d->source = *f->source;
        return true;
    }
    if (f->source && f->source_only)
        return false;
    if (bind && bind_address(x, bind, &peer, &d->source, &has) != OK)
        return false;
    if (!has)
        addr_parse_ip(to->sa.sa_family == AF_INET6 ? SLICE("::") : SLICE("0.0.0.0"), 0, &d->source);
    addr_set_port(&d->source, 0);
    return d->source.sa.sa_family == to->sa.sa_family;
}

/*
 * Asks the rules, with `n` addresses or none yet; the log tells who refused. Each question takes some of the
 * exchange's memory, which is bounded: an association that has used it up ends. NULL: refused.
 */
static const struct forward_exchange *ask_rules(struct udp_dest *d, const struct addr *v, uint32_t n)
{
    struct exchange *x = d->relay->x;
    struct proxy_exchange *px = x->proxy;
    struct forward_exchange *own = px->forward, *f = NULL;
    struct response answer = x->resp; /* of the association: refusals of the rules are not its answer */
    bool plain = x->plain_page;
    slice body = x->reply_body;
    int rc = forward_begin(x, d->relay->conf, &d->at);
    if (rc == OK) {
        f = px->forward;
        f->addresses = v;
        f->naddresses = n;
        f->resolved = n;
        rc = forward_ask(x);
    }
    if (rc == ERR_NOMEM)
        udp_relay_exhausted(d->relay);
    bool good = rc == OK || rc == ERR_AGAIN;
    if (!good)
        refused(d, NULL);
    else if (rc == OK)
        good = has_way(x, d);
    px->forward = own;
    x->resp = answer;
    x->plain_page = plain;
    x->reply_body = body;
    return good ? f : NULL;
}

/* Takes the first of the addresses that may be reached. */
static void settle(struct udp_dest *d, const struct addr *v, uint32_t n)
{
    struct exchange *x = d->relay->x;
    const struct egress *e = egress_of(exchange_conf(x, &egress_feature));
    const char *why = "its name has no address";
    const struct forward_exchange *f = n ? ask_rules(d, v, n) : NULL;
    bool denied = false;
    if (n && !f)
        return;
    for (uint32_t i = 0; i < n; i++) {
        bool bad = egress_judge(x->gen->gen, e, &v[i], &why);
        denied |= bad;
        if (bad)
            continue;
        why = "no address of ours leads there";
        if (choose_source(d, f, &v[i])) {
            d->to = v[i];
            d->state = UDP_OPEN;
            return;
        }
    }
    if (denied)
        worker_count(x->w, COUNT_EGRESS_DENIED);
    refused(d, why);
}

/* ---- names ---- */

static void drop_question(struct udp_dest *d)
{
    if (!d->question)
        return;
    resolver_drop(&d->question->ask);
    free(d->question);
    d->question = NULL;
}

static void answered(struct udp_dest *d)
{
    struct udp_question *q = d->question;
    struct addr v[RESOLVED_MAX];
    settle(d, v, q->ask.status == DNS_OK ? resolver_addresses(&q->ask, d->at.port, v, RESOLVED_MAX) : 0);
}

static void on_answer(struct resolve *r)
{
    struct udp_question *q = container_of(r, struct udp_question, ask);
    struct udp_dest *d = q->dest;
    answered(d);
    if (d->state == UDP_OPEN)
        udp_relay_send(d->relay, d, slice_of(q->held, q->n));
    drop_question(d);
}

static void resolve(struct udp_dest *d, slice data)
{
    struct exchange *x = d->relay->x;
    const struct resolver_level *r = exchange_conf(x, &resolver_feature);
    const struct resolver_conf *conf = r->conf ? r->conf : d->relay->conf->system;
    struct udp_question *q = malloc(sizeof(*q) + data.n);
    if (!q) {
        refused(d, "out of memory");
        return;
    }
    memset(q, 0, sizeof(*q));
    q->dest = d;
    q->n = data.n;
    if (data.n)
        memcpy(q->held, data.p, data.n);
    d->question = q;
    d->state = UDP_ASKING;
    const struct resolve_terms terms = { .timeout = r->timeout,
                                         .client = &x->client->peer.sa,
                                         .share = (uint32_t)r->share };
    if (resolver_ask(x->w->resolvers, conf, d->at.host, &terms, &q->ask, on_answer) != OK)
        return;
    answered(d);
    drop_question(d);
}

/* ---- the table ---- */

static void forget(struct udp_dest *d)
{
    drop_question(d);
    list_del(&d->link);
    d->relay->ndests--;
    free(d);
}

void udp_dests_free(struct udp_relay *r)
{
    while (!list_empty(&r->dests))
        forget(list_entry(r->dests.next, struct udp_dest, link));
}

static bool same(const struct socks_dest *a, const struct socks_dest *b)
{
    if (a->type != b->type || a->port != b->port)
        return false;
    if (a->type == SOCKS_NAME)
        return slice_ieq(socks_text(&a->name), socks_text(&b->name));
    return memcmp(a->ip, b->ip, a->type == SOCKS_IPV4 ? 4 : 16) == 0;
}

static void touch(struct udp_dest *d, uint64_t now)
{
    d->used = now;
    list_del(&d->link);
    list_add(&d->relay->dests, &d->link);
}

/* The one that is there, unless it rested so long that it is decided anew. */
static struct udp_dest *find(struct udp_relay *r, const struct socks_dest *dest, uint64_t now)
{
    for (struct list *at = r->dests.next; at != &r->dests; at = at->next) {
        struct udp_dest *d = list_entry(at, struct udp_dest, link);
        if (!same(&d->dest, dest))
            continue;
        if (now - d->used < UDP_FORGET_MS)
            return d;
        forget(d);
        return NULL;
    }
    return NULL;
}

static bool make_room(struct udp_relay *r, uint64_t now)
{
    if (r->ndests < r->conf->udp_destinations)
        return true;
    struct udp_dest *oldest = list_entry(r->dests.prev, struct udp_dest, link);
    if (now - oldest->used < UDP_REPLACE_MS)
        return false;
    forget(oldest);
    return true;
}

/* The target as a CONNECT would name it: in lower case, without a last dot. */
static bool name_target(struct udp_dest *d)
{
    slice host, text = socks_dest_text(&d->dest, d->text);
    uint16_t port;
    const char *why;
    struct strb b;
    if (uri_authority(text, &host, &port) != OK || !port)
        return false;
    if (host.p[host.n - 1] == '.')
        host = slice_upto(host, host.n - 1);
    for (size_t i = 0; i < host.n; i++)
        d->text[i] = ascii_lower(d->text[i]);
    strb_init_fixed(&b, d->text + host.n, sizeof(d->text) - host.n);
    strb_printf(&b, ":%u", port);
    return endpoint_parse(slice_of(d->text, host.n + b.n), port, &d->at, &why) == OK && !d->at.is_unix;
}

static void decide(struct udp_dest *d, slice data)
{
    if (!name_target(d)) {
        d->state = UDP_REFUSED;
    } else if (!port_list_has(&d->relay->conf->socks_ports, d->at.port)) {
        refused(d, "socks_ports does not name the port");
    } else if (d->at.literal) {
        struct addr one = d->at.addr;
        settle(d, &one, 1);
    } else if (ask_rules(d, NULL, 0)) {
        resolve(d, data);
    }
}

struct udp_dest *udp_dest_of(struct udp_relay *r, const struct socks_dest *dest, slice data)
{
    uint64_t now = loop_now(&r->x->w->loop);
    struct udp_dest *d = find(r, dest, now);
    if (d) {
        touch(d, now);
        return d;
    }
    d = make_room(r, now) ? calloc(1, sizeof(*d)) : NULL;
    if (!d)
        return NULL;
    d->relay = r;
    d->dest = *dest;
    d->used = now;
    list_add(&r->dests, &d->link);
    r->ndests++;
    decide(d, data);
    return d;
}

struct udp_dest *udp_dest_from(struct udp_relay *r, const struct addr *from)
{
    for (struct list *at = r->dests.next; at != &r->dests; at = at->next) {
        struct udp_dest *d = list_entry(at, struct udp_dest, link);
        if (d->state == UDP_OPEN && addr_eq(&d->to, from)) {
            touch(d, loop_now(&r->x->w->loop));
            return d;
        }
    }
    return NULL;
}
