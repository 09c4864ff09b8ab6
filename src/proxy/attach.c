/*
 * HTTP/2 is spoken where proxy_http_version says so. In the clear that is by prior knowledge. With TLS the backend
 * chooses (ALPN): the first connection is offered both, and if it is to speak HTTP/1, the request goes on over it and
 * it ends in the pool of such connections, where those after it look before they open another.
 *
 * What a connection must have in common with a request besides its address is hashed into `bound`: where it comes
 * from, what must be proven by TLS, the parents that it leads through.
 */
#include "proxy/attach.h"

#include <errno.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "h1/client.h"
#include "h2/client.h"
#include "proxy/bind.h"
#include "proxy/chain.h"
#include "proxy/forward_rules.h"
#include "proxy/origin.h"
#include "proxy/pool.h"
#include "proxy/proxy_ssl.h"

struct way {
    const struct peer *peer;
    const struct addr *local; /* NULL: as the kernel likes */
    uint64_t bound;
    slice name; /* for TLS */
    struct addr address;
};

static const char both[] = "\x02h2\x08http/1.1";

/* A request that may not be sent twice, as far as is known before its method is (proxy_method), or that cannot: its
 * body is passed on as it comes. */
static bool must_not_repeat(const struct exchange *x)
{
    const struct template *method = &x->proxy->conf->method;
    bool own = !template_literal(method) || method->source.n;
    return own || !method_idempotent(x->req.method) || (x->req.body.kind != BODY_NONE && !x->req_pipe.retain);
}

/*
 * Where the connection comes from, when that is said: by a rule of the forward block, else by proxy_bind. false: it
 * cannot be begun (errno).
 */
static bool own_address(struct exchange *x, struct way *to)
{
    const struct proxy_bind *bind = x->proxy->conf->bind;
    const struct forward_exchange *f = x->proxy->forward;
    const struct sockaddr *there = &to->peer->addr.sa;
    const struct addr *source = f && there->sa_family != AF_UNIX ? f->source : NULL;
    bool has = false;
    if (source && source->sa.sa_family == there->sa_family) {
        to->local = source;
        return true;
    }
    if (source && f->source_only) {
        errno = EADDRNOTAVAIL;
        return false;
    }
    if (f && !source && there->sa_family != AF_UNIX && forward_outgoing(x, there->sa_family, &to->address)) {
        to->local = &to->address;
        return true;
    }
    if (bind && bind_address(x, bind, to->peer, &to->address, &has) != OK) {
        errno = ENOMEM;
        return false;
    }
    to->local = has ? &to->address : NULL;
    return true;
}

/* OK, or ERR_SYS with errno. */
static int find_way(struct exchange *x, const struct peer *peer, struct way *to)
{
    const struct proxy_exchange *p = x->proxy;
    to->peer = peer; /* member by member: `address` is large, and rarely used */
    to->local = NULL;
    to->bound = 0;
    to->name = SLICE_NONE;
    if (unlikely(p->conf->bind || p->forward) && !own_address(x, to))
        return ERR_SYS;
    if (to->local) {
        to->bound = hash_bytes(slice_of((const char *)&to->local->sa, to->local->len), false);
    }
    if (unlikely(p->tls)) {
        if (proxy_ssl_name(x, &to->name) != OK) {
            errno = ENOMEM;
            return ERR_SYS;
        }
        to->bound ^= proxy_ssl_key(x, to->name);
    }
    if (unlikely(p->chained))
        to->bound ^= chain_bound(x, peer->chain);
    return OK;
}

/* ---- HTTP/1 ---- */

/* Of time 49 days, of bytes 4 GB. */
static uint32_t at_most(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void bind_h1(struct exchange *x, struct h1_client *cl, const struct peer *peer)
{
    const struct proxy_exchange *p = x->proxy;
    struct h1_client_limits limits = {
        .connect_timeout = at_most(p->conf->connect_timeout),
        .send_timeout = at_most(p->conf->send_timeout),
        .read_timeout = at_most(p->conf->read_timeout),
        .head_max = at_most(p->conf->buffer_size),
        .fields_max = 1000,
        .pass_trailers = p->conf->pass_trailers && x->req.te_trailers,
        .bare_lf = x->server->client->compat & COMPAT_BARE_LF,
    };
    if (unlikely(p->chained) && peer->chain->connect_timeout)
        limits.connect_timeout = at_most(peer->chain->connect_timeout);
    h1_client_attach(cl, x, &limits);
}

/* One that waits in the pool. */
static bool reuse_h1(struct exchange *x, const struct way *to, struct attempt *a)
{
    const struct proxy_exchange *p = x->proxy;
    struct h1_client *cl = NULL;
    while (!p->tunnel && !p->race_retried && (cl = pool_take(x->w, to->peer, to->bound)) != NULL) {
        if (!must_not_repeat(x) || h1_client_alive(cl))
            break;
        h1_client_close(cl);
    }
    if (!cl)
        return false;
    worker_count(x->w, COUNT_UPSTREAM_REUSED);
    a->reused = cl->requests > 0;
    bind_h1(x, cl, to->peer);
    return true;
}

static bool open_h1(struct exchange *x, const struct way *to)
{
    const struct proxy_exchange *p = x->proxy;
    struct h1_client *cl = h1_client_connect(x->w, &to->peer->addr, to->local, p->conf->socket_keepalive);
    if (!cl)
        return false;
    cl->bound = to->bound;
    if (unlikely(p->tls) && !(cl->c.tr = proxy_ssl_begin(x, cl->c.io.fd, to->name, to->peer->text, SLICE_NONE))) {
        h1_client_close(cl);
        errno = EPROTO;
        return false;
    }
    if (unlikely(p->chained) && chain_begin(x, cl, to->peer->chain) != OK) {
        h1_client_close(cl);
        errno = ENOMEM;
        return false;
    }
    bind_h1(x, cl, to->peer);
    return true;
}

/* ---- HTTP/2 ---- */

/* An upgrade cannot be asked for by HTTP/2: such a request goes over a connection of its own, by HTTP/1. */
static bool over_h2(struct exchange *x)
{
    const struct proxy_exchange *p = x->proxy;
    return unlikely(p->conf->http_version == 2) && !p->tunnel && !p->chained && !origin_upgrades(x);
}

static struct transport *secure(struct exchange *x, int fd, void *arg)
{
    const struct way *to = arg;
    return proxy_ssl_begin(x, fd, to->name, to->peer->text, slice_of(both, sizeof(both) - 1));
}

/* A stream of a connection that others use too. */
static bool attach_h2(struct exchange *x, struct way *to, struct attempt *a)
{
    const struct proxy_exchange *p = x->proxy;
    const struct proxy_conf *c = p->conf;
    const struct upstream *u = p->upstream;
    const struct h2_client_limits limits = {
        .connect_timeout = c->connect_timeout,
        .send_timeout = c->send_timeout,
        .read_timeout = c->read_timeout,
        .head_max = c->buffer_size,
        .keepalive = u->keepalive,
        .keepalive_requests = u->keepalive_requests,
        .keepalive_timeout = u->keepalive_timeout,
        .keepalive_time = u->keepalive_time,
        .idle_ping = c->idle_ping,
        .pass_trailers = c->pass_trailers && x->req.te_trailers,
        .probes = c->socket_keepalive,
    };
    const struct h2_client_target target = {
        .key = to->peer->pool_key,
        .bound = to->bound,
        .addr = &to->peer->addr,
        .local = to->local,
        .secure = p->tls ? secure : NULL,
        .arg = to,
    };
    int rc = p->race_retried ? ERR_NOTFOUND : h2_client_join(x, &target, &limits);
    a->reused = rc == OK;
    if (rc != ERR_NOTFOUND)
        return rc == OK;
    if (p->tls && reuse_h1(x, to, a))
        return true;
    return h2_client_open(x, &target, &limits) == OK;
}

/* ---- both ---- */

bool attach_to(struct exchange *x, const struct peer *peer, struct attempt *a)
{
    struct way to;
    if (find_way(x, peer, &to) != OK)
        return false;
    if (over_h2(x))
        return attach_h2(x, &to, a);
    return reuse_h1(x, &to, a) || open_h1(x, &to);
}

int attach_settle(struct exchange *x)
{
    struct h2_client_given given;
    struct way to;
    if (likely(!h2_client_is(x->back) || !h2_client_declined(x->back)))
        return OK;
    x->events &= ~(uint32_t)X_BACK_READY;
    exchange_trace(x, NULL, "the backend has chosen HTTP/1.1");
    bool has = h2_client_give(x->back, &given);
    x->back->ops->reset(x->back);
    struct h1_client *cl = has ? h1_client_adopt(x->w, given.fd, given.tr) : NULL;
    errno = ENOMEM;
    if ((has && !cl) || find_way(x, x->proxy->peer, &to) != OK) {
        int err = errno;
        if (cl)
            h1_client_close(cl);
        errno = err;
        return ERR_SYS;
    }
    if (!cl)
        return reuse_h1(x, &to, x->proxy->last) || open_h1(x, &to) ? ERR_AGAIN : ERR_SYS;
    cl->bound = to.bound;
    bind_h1(x, cl, to.peer);
    return ERR_AGAIN;
}

int attach_fd(const struct exchange *x)
{
    return h2_client_is(x->back) ? h2_client_fd(x->back) : h1_client_of(x->back)->c.io.fd;
}
