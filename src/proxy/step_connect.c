/*
 * Connect: a peer is picked, and an idle connection to it taken or a new one begun. A peer that cannot be reached costs
 * a failure mark and the next one is tried, as far as proxy_next_upstream allows.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "h1/client.h"
#include "h2/client.h"
#include "net/egress.h"
#include "proxy/attach.h"
#include "proxy/chain.h"
#include "proxy/forward_rules.h"
#include "proxy/next.h"
#include "proxy/step.h"

static struct attempt *new_attempt(struct exchange *x, const struct peer *peer)
{
    struct proxy_exchange *p = x->proxy;
    struct attempt *a = arena_new(&x->arena, struct attempt);
    if (!a)
        return NULL;
    a->peer = peer;
    a->addr = peer->text;
    a->start = loop_now(&x->w->loop);
    a->connect = a->header = a->end = UINT64_MAX;
    if (p->last)
        p->last->next = a;
    else
        p->first = a;
    p->last = a;
    p->tries++;
    return a;
}

/* Names the attempt for the error log: "http://127.0.0.1:80/path". */
static void name_upstream(struct exchange *x, const struct peer *peer)
{
    const struct proxy_exchange *p = x->proxy;
    if (p->chained) {
        x->upstream =
            arena_printf(&x->arena, "%.*s -> %s%.*s%.*s", SLICE_FMT(peer->chain->text), p->tunnel ? "" : "http://",
                         SLICE_FMT(p->tunnel ? SLICE_NONE : p->host), SLICE_FMT(p->target));
        return;
    }
    x->upstream = arena_printf(&x->arena, "%s://%.*s%s%.*s", x->proxy->tls ? "https" : "http", SLICE_FMT(peer->text),
                               peer->addr.sa.sa_family == AF_UNIX ? ":" : "", SLICE_FMT(x->proxy->target));
}

/* No descriptor or no memory: no other peer would help, and this one has done nothing (nginx: 500 as well). */
static bool is_our_lack(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static enum step without_socket(struct exchange *x, int err)
{
    char text[128];
    exchange_log(x, LEVEL_ALERT, "socket() failed (%d: %s) while connecting to upstream", err,
                 strerror_r(err, text, sizeof(text)));
    return step_error(x, 500);
}

static enum step unattached(struct exchange *x, int err)
{
    if (is_our_lack(err))
        return without_socket(x, err);
    exchange_back_failed(x, WHY_CONNECT, err, NULL);
    return step_next_upstream(x, 0);
}

static enum step begin(struct exchange *x, const struct peer *peer)
{
    struct proxy_exchange *p = x->proxy;
    x->events &= ~(uint32_t)(X_BACK_READY | X_BACK_HEAD | X_BACK_INTERIM | X_BACK_DONE | X_BACK_FAILED | X_BACK_SENT |
                             X_BACK_SWITCHED);
    p->peer = NULL;
    struct attempt *a = new_attempt(x, peer);
    if (!a) {
        peer_release(peer); /* without an attempt there is nothing else to end */
        return step_error(x, 500);
    }
    p->peer = peer;
    x->upstream = SLICE_NONE;
    return attach_to(x, peer, a) ? STEP_CONNECT : unattached(x, errno);
}

enum step step_connect(struct exchange *x)
{
    struct proxy_exchange *p = x->proxy;
    x->known = VAR_UPSTREAM;
    if (x->events & X_BACK_FAILED)
        return step_next_upstream(x, 0);
    if (x->events & X_BACK_READY) {
        int rc = attach_settle(x);
        if (unlikely(rc != OK))
            return rc == ERR_AGAIN ? STEP_WAIT : unattached(x, errno);
        if (unlikely(p->guarded) && !egress_verify(attach_fd(x), &p->peer->addr)) {
            exchange_log(x, LEVEL_ALERT, "connected to another address than the one that was looked at");
            exchange_back_failed(x, WHY_CONNECT, EPERM, NULL);
            return step_next_upstream(x, 0);
        }
        p->last->connect = loop_now(&x->w->loop);
        return p->tunnel ? step_established(x) : STEP_SEND;
    }
    if (x->back)
        return STEP_WAIT;
    const struct peer *peer = upstream_pick(p->upstream, &p->tried, loop_now(&x->w->loop));
    if (peer)
        return begin(x, peer);
    exchange_log(x, LEVEL_ERROR, "no live upstreams while connecting to upstream");
    return unlikely(p->chained) ? chain_exhausted(x, 502) : step_error(x, 502);
}

/* ---- what next ---- */

static const char *doing(const struct exchange *x)
{
    switch ((enum step)x->step) {
    case STEP_CONNECT:
        return "connecting to upstream";
    case STEP_SEND:
        return "sending request to upstream";
    case STEP_DELIVER:
        return "reading upstream";
    case STEP_TUNNEL:
        return "proxying upgraded connection";
    default:
        break;
    }
    return x->events & X_BACK_SENT ? "reading response header from upstream" : "sending request to upstream";
}

/* One line, with nginx's words where it has some. */
void next_log_failure(struct exchange *x)
{
    char err[128];
    enum x_why why = x->back_why;
    if (!x->upstream.n && x->proxy && x->proxy->peer)
        name_upstream(x, x->proxy->peer);
    switch (why) {
    case WHY_CONNECT:
        exchange_log(x, LEVEL_ERROR, "connect() failed (%d: %s) while connecting to upstream", x->back_errno,
                     strerror_r(x->back_errno, err, sizeof(err)));
        return;
    case WHY_CONNECT_TIMEOUT:
    case WHY_SEND_TIMEOUT:
    case WHY_READ_TIMEOUT:
        exchange_log(x, LEVEL_ERROR, "upstream timed out (110: Connection timed out) while %s%s%s", doing(x),
                     x->back_detail ? ": " : "", x->back_detail ? x->back_detail : "");
        return;
    case WHY_IO:
        exchange_log(x, LEVEL_ERROR, "%s (%d: %s) while %s", x->back_detail ? x->back_detail : "I/O failed",
                     x->back_errno, strerror_r(x->back_errno, err, sizeof(err)), doing(x));
        return;
    default:
        exchange_log(x, LEVEL_ERROR, "%s%s%s while %s", exchange_why_text(why), x->back_detail ? ": " : "",
                     x->back_detail ? x->back_detail : "",
                     why == WHY_HANDSHAKE ? "SSL handshaking to upstream" : doing(x));
        return;
    }
}

/* The stale keep-alive race: a kept connection died before a byte of an answer. Replayed once, on a fresh one, unless
 * what was sent (not what the client asked for: proxy_method) may have been done already (RFC 9110 §9.2.2). */
static bool race_lost(const struct exchange *x)
{
    const struct proxy_exchange *p = x->proxy;
    bool died = x->back_why == WHY_CLOSED || x->back_why == WHY_IO;
    return died && p->last->reused && !p->race_retried && !p->last->bytes_received && pipe_can_rewind(&x->req_pipe) &&
           (method_idempotent(x->origin.method_id) || !p->last->bytes_sent);
}

static unsigned status_of(enum x_why why)
{
    bool late = why == WHY_CONNECT_TIMEOUT || why == WHY_SEND_TIMEOUT || why == WHY_READ_TIMEOUT ||
                why == WHY_TARGET_TIMEOUT || why == WHY_SILENCE;
    return late ? 504 : why == WHY_NOMEM ? 503 : 502;
}

void step_drop_back(struct exchange *x)
{
    struct proxy_exchange *p = x->proxy;
    if (x->back)
        x->back->ops->reset(x->back);
    if (p && p->peer) {
        if (p->last->end == UINT64_MAX)
            p->last->end = loop_now(&x->w->loop);
        peer_release(p->peer);
        p->peer = NULL;
    }
}

/* Takes over what the back end counted, while it is still there. */
void attempt_count(struct exchange *x)
{
    struct attempt *a = x->proxy->last;
    if (unlikely(h2_client_is(x->back))) {
        struct h2_client_counts n = h2_client_counts(x->back);
        a->bytes_sent = n.sent;
        a->bytes_received = n.received;
        a->body_received = n.body;
        return;
    }
    struct h1_client_counts n = h1_client_counts(x->back);
    a->bytes_sent = n.sent;
    a->bytes_received = n.received;
    a->body_received = n.body;
}

bool next_possible(struct exchange *x, enum x_why why, unsigned status)
{
    struct proxy_exchange *p = x->proxy;
    return next_upstream_allowed(x, why, status) && upstream_untried(p->upstream, &p->tried, loop_now(&x->w->loop));
}

static enum step replay(struct exchange *x)
{
    struct proxy_exchange *p = x->proxy;
    assert(x->back);
    worker_count(x->w, COUNT_UPSTREAM_RETRY);
    p->race_retried = true;
    x->back->ops->reset(x->back);
    pipe_rewind(&x->req_pipe);
    p->tries--;
    return begin(x, p->peer);
}

/* A parent that has answered somebody since we asked it is not dead, and a target for which two are silent is the
 * reason itself. */
static bool waits_for_target(struct exchange *x)
{
    struct proxy_exchange *p = x->proxy;
    bool again = p->silence;
    p->silence = true;
    return again || peer_was_heard(p->peer, p->last->start);
}

/* A failure before an answer: it is logged and held against the peer. Not what a parent says of a target: clients
 * choose targets, and could take a parent from all others. */
static unsigned note_failure(struct exchange *x)
{
    enum x_why why = x->back_why;
    bool of_target = why == WHY_TARGET || why == WHY_TARGET_TIMEOUT || (why == WHY_SILENCE && waits_for_target(x));
    next_log_failure(x);
    worker_count(x->w, COUNT_UPSTREAM_FAILED);
    if (!of_target)
        peer_failed(x->proxy->peer, loop_now(&x->w->loop));
    return status_of(x->back_why);
}

enum step step_next_upstream(struct exchange *x, unsigned status)
{
    struct proxy_exchange *p = x->proxy;
    enum x_why why = status ? WHY_NONE : x->back_why;
    if (x->back)
        attempt_count(x);
    if (!status && race_lost(x))
        return replay(x);
    unsigned answer = status ? status : note_failure(x);
    if (status && status_is_failure(p->conf, status))
        peer_failed(p->peer, loop_now(&x->w->loop));
    bool again = next_possible(x, why, status);
    p->last->status = (uint16_t)answer;
    step_drop_back(x);
    x->events &= ~(uint32_t)(X_BACK_FAILED | X_BACK_HEAD | X_BACK_READY | X_BACK_SENT);
    if (!again)
        return unlikely(p->chained) ? chain_exhausted(x, answer) : step_error(x, answer);
    worker_count(x->w, COUNT_UPSTREAM_RETRY);
    p->race_retried = false;
    pipe_rewind(&x->req_pipe);
    return STEP_CONNECT;
}
