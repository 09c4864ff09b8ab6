#include "proxy/dial.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "net/resolver.h"
#include "proxy/egress_dir.h"
#include "proxy/policy.h"
#include "proxy/proxy.h"
#include "proxy/upstream_conf.h"

/* On the heap: large, and needed for a moment only. */
struct dial_name {
    struct resolve ask;
    struct dial *d;
};

static void forget_name(struct dial *d)
{
    resolver_drop(&d->name->ask);
    free(d->name);
    d->name = NULL;
}

static int refuse(struct dial *d, unsigned status)
{
    d->status = status;
    return ERR_REFUSED;
}

/* Keeps what may be reached. All refused: why the last one was. */
static unsigned filter(struct dial *d, struct addr *v, uint32_t *n, const char **why)
{
    unsigned status = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++) {
        const char *no;
        unsigned bad = egress_judge(d->x->gen->gen, d->rules.egress, &v[i], &no);
        if (bad) {
            status = bad;
            *why = no;
        } else {
            v[kept++] = v[i];
        }
    }
    *n = kept;
    return kept ? 0 : status;
}

static int to_addresses(struct dial *d, struct addr *v, uint32_t n)
{
    struct exchange *x = d->x;
    const char *why = NULL;
    int rc = d->rules.judge ? d->rules.judge(x, v, n) : OK;
    if (rc > 0) {
        d->upstream = x->proxy->upstream;
        return OK;
    }
    if (rc != OK)
        return refuse(d, rc == ERR_REFUSED ? 0 : 500);
    unsigned bad = d->rules.guarded ? filter(d, v, &n, &why) : 0;
    char first[ADDR_TEXT_MAX] = "";
    size_t first_len = bad || (n && x->trace) ? addr_text_ip(first, &v[0]) : 0; /* none is kept: the first still is */
    if (bad) {
        worker_count(x->w, COUNT_EGRESS_DENIED);
        exchange_log(x, LEVEL_ERROR, "%s: \"%.*s\" is the client's choice and not a public address (%s): %.*s",
                     bad == 508 ? "proxy loop" : "access forbidden", SLICE_FMT(d->text), why, (int)first_len, first);
        exchange_trace(x, NULL, "the target %.*s is refused: %s", SLICE_FMT(d->text), why);
        return refuse(d, bad);
    }
    if (d->rules.guarded)
        exchange_trace(x, NULL, "the guard: %.*s may be reached", (int)first_len, first);
    d->upstream = upstream_of_addresses(&x->arena, d->text, v, n, d->rules.idle);
    return d->upstream ? OK : refuse(d, 500);
}

/* The name's outcome is there. */
static int resolved(struct dial *d)
{
    struct addr v[RESOLVED_MAX];
    unsigned status = d->name->ask.status;
    if (status != DNS_OK) {
        forget_name(d);
        int rc = d->rules.judge ? d->rules.judge(d->x, NULL, 0) : OK;
        if (rc != OK) {
            d->upstream = d->x->proxy->upstream;
            return rc > 0 ? OK : refuse(d, rc == ERR_REFUSED ? 0 : 500);
        }
        exchange_log(d->x, LEVEL_ERROR, "%.*s could not be resolved (%u: %s)", SLICE_FMT(d->host), status,
                     dns_status_text(status));
        return refuse(d, 502);
    }
    uint32_t n = resolver_addresses(&d->name->ask, d->port, v, RESOLVED_MAX);
    forget_name(d);
    return to_addresses(d, v, n);
}

static void on_answer(struct resolve *r)
{
    struct dial *d = container_of(r, struct dial_name, ask)->d;
    d->answered = true;
    exchange_post(d->x, X_WAKE);
}

void dial_drop(struct dial *d)
{
    if (!d->waiting)
        return;
    d->waiting = false;
    forget_name(d);
    exchange_unhold(d->x, &d->hold);
}

static void let_go(struct x_hold *h, struct exchange *x)
{
    dial_drop(container_of(h, struct dial, hold));
}

/* `to`: what is to be taken for DNS's answer, or NULL. */
static int suppose(struct dial *d, const struct addr *to)
{
    if (!to) {
        exchange_trace(d->x, NULL, "where %.*s leads is known only when DNS was asked", SLICE_FMT(d->host));
        return ERR_AGAIN;
    }
    struct addr one = *to;
    addr_set_port(&one, d->port);
    char text[ADDR_TEXT_MAX];
    size_t n = addr_text_ip(text, &one);
    exchange_trace(d->x, NULL, "%.*s is taken to lead to %.*s", SLICE_FMT(d->host), (int)n, text);
    return to_addresses(d, &one, 1);
}

int dial_begin(struct exchange *x, struct dial *d, const struct dial_rules *rules, const struct endpoint *e)
{
    *d = (struct dial){ .x = x, .rules = *rules, .text = e->text, .host = e->host, .port = e->port, .pass = x->passes };
    if (e->literal) {
        struct addr one = e->addr;
        return to_addresses(d, &one, 1);
    }
    if (!rules->resolver) {
        exchange_log(x, LEVEL_ERROR, "no resolver defined to resolve %.*s", SLICE_FMT(e->host));
        return refuse(d, 502);
    }
    if (x->trace) /* nothing is asked for an explanation */
        return suppose(d, x->trace->to);
    const struct resolve_terms terms = { .timeout = rules->timeout,
                                         .client = &x->client->peer.sa,
                                         .share = rules->share };
    d->name = malloc(sizeof(*d->name));
    if (!d->name)
        return refuse(d, 500);
    d->name->d = d;
    if (resolver_ask(x->w->resolvers, rules->resolver, e->host, &terms, &d->name->ask, on_answer) == OK)
        return resolved(d);
    d->waiting = true;
    exchange_hold(x, &d->hold, let_go);
    return ERR_AGAIN;
}

int dial_go_on(struct dial *d)
{
    if (!d->answered)
        return ERR_AGAIN;
    d->waiting = false;
    exchange_unhold(d->x, &d->hold);
    return resolved(d);
}

int dial_reply(struct exchange *x, const struct dial *d)
{
    if (!d->status)
        return OK;
    if (d->status == 403 || d->status == 508)
        return egress_reply(x, d->status);
    return reply_set(x, d->status, SLICE_NONE, SLICE_NONE, true);
}
