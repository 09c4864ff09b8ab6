/*
 * Picking a peer and remembering how it went.
 *
 * The rules of failure are nginx's (ngx_http_upstream_module: max_fails, fail_timeout), kept in two times and a count
 * that all workers share: no lock, and no write at all to a healthy peer's times. A failed-out peer is tried by one
 * attempt at a time because the attempt that wins the exchange of `checked` is the only one that sees the timeout as
 * passed.
 */
#include "proxy/upstream.h"

#include "base/attr.h"

static bool over_conns(const struct peer *p)
{
    return p->max_conns && atomic_load_explicit(&p->state->active, memory_order_relaxed) >= p->max_conns;
}

static bool timeout_passed(const struct peer *p, uint64_t checked, uint64_t now)
{
    return now > checked && now - checked > p->fail_timeout;
}

bool peer_usable(const struct peer *p, uint64_t now)
{
    if (p->down || over_conns(p))
        return false;
    uint32_t fails = atomic_load_explicit(&p->state->fails, memory_order_relaxed);
    if (likely(fails == 0) || p->max_fails == 0 || fails < p->max_fails)
        return true;
    return timeout_passed(p, atomic_load_explicit(&p->state->checked, memory_order_relaxed), now);
}

static void count_in(struct peer_state *s)
{
    atomic_fetch_add_explicit(&s->active, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->picked, 1, memory_order_relaxed);
}

bool peer_take(const struct peer *p, uint64_t now)
{
    struct peer_state *s = p->state;
    if (!peer_usable(p, now))
        return false;
    uint32_t fails = atomic_load_explicit(&s->fails, memory_order_relaxed);
    if (unlikely(fails != 0) && p->max_fails != 0) {
        uint64_t checked = atomic_load_explicit(&s->checked, memory_order_relaxed);
        bool out = fails >= p->max_fails;
        if (!timeout_passed(p, checked, now)) {
            if (out)
                return false;
        } else if (!atomic_compare_exchange_strong_explicit(&s->checked, &checked, now, memory_order_relaxed,
                                                            memory_order_relaxed) &&
                   out) {
            return false;
        }
    }
    count_in(s);
    return true;
}

const struct peer *upstream_pick(const struct upstream *u, struct tried *tried, uint64_t now)
{
    if (u->npeers == 1) {
        const struct peer *only = u->primary.n ? u->primary.peers : u->backup.peers;
        if (only->down || over_conns(only))
            return NULL;
        count_in(only->state);
        tried->bits |= 1;
        return only;
    }
    const struct peer_set *set = &u->primary;
    uint32_t base = 0;
    const struct peer *p = u->balance->pick(set, base, tried, now);
    if (!p && u->backup.n) {
        set = &u->backup;
        base = u->primary.n;
        p = u->balance->pick(set, base, tried, now);
    }
    if (p)
        tried->bits |= 1ull << ((base + (uint32_t)(p - set->peers)) & 63);
    return p;
}

static bool set_untried(const struct peer_set *s, uint32_t base, const struct tried *tried, uint64_t now)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (!tried_has(tried, base + i) && peer_usable(&s->peers[i], now))
            return true;
    }
    return false;
}

bool upstream_untried(const struct upstream *u, const struct tried *tried, uint64_t now)
{
    return set_untried(&u->primary, 0, tried, now) || set_untried(&u->backup, u->primary.n, tried, now);
}

bool peer_failed(const struct peer *p, uint64_t now)
{
    struct peer_state *s = p->state;
    atomic_fetch_add_explicit(&s->failed, 1, memory_order_relaxed);
    if (p->alone || p->max_fails == 0)
        return false;
    atomic_store_explicit(&s->failed_at, now, memory_order_relaxed);
    atomic_store_explicit(&s->checked, now, memory_order_relaxed);
    return atomic_fetch_add_explicit(&s->fails, 1, memory_order_relaxed) + 1 >= p->max_fails;
}

void peer_heard(const struct peer *p, uint64_t now)
{
    if (atomic_load_explicit(&p->state->heard, memory_order_relaxed) < now)
        atomic_store_explicit(&p->state->heard, now, memory_order_relaxed);
}

bool peer_was_heard(const struct peer *p, uint64_t since)
{
    return atomic_load_explicit(&p->state->heard, memory_order_relaxed) >= since;
}

void peer_succeeded(const struct peer *p)
{
    struct peer_state *s = p->state;
    if (likely(atomic_load_explicit(&s->fails, memory_order_relaxed) == 0))
        return;
    if (atomic_load_explicit(&s->failed_at, memory_order_relaxed) <
        atomic_load_explicit(&s->checked, memory_order_relaxed))
        atomic_store_explicit(&s->fails, 0, memory_order_relaxed);
}
