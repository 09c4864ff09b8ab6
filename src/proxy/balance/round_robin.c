/*
 * Weighted round robin: one step of a shared cursor over the precomputed smooth sequence.
 *
 * A peer that cannot be taken costs one more step, so its share is spread over the others in the sequence's own order
 * instead of falling to whoever stands behind it. After some such steps in a row (a heavy peer is out) the choice is
 * weighted but no longer smooth: it falls on a point of the summed weights of those that can be taken.
 */
#include "base/attr.h"
#include "proxy/balance/balance.h"

enum { STEPS_MAX = 32 };

/* Spreads neighbouring cursor values over the whole range (the finaliser of MurmurHash3). */
static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return x ^ x >> 16;
}

static bool may_take(const struct peer_set *set, uint32_t i, uint32_t base, const struct tried *tried, uint64_t now)
{
    return !tried_has(tried, base + i) && peer_usable(&set->peers[i], now);
}

static const struct peer *pick_weighted(const struct peer_set *set, uint32_t base, const struct tried *tried,
                                        uint64_t now, uint32_t step)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < set->n; i++)
        if (may_take(set, i, base, tried, now))
            total += set->peers[i].weight;
    if (total == 0)
        return NULL;
    uint64_t point = mix(step) % total;
    const struct peer *lost = NULL;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct peer *p = &set->peers[i];
        if (!may_take(set, i, base, tried, now))
            continue;
        if (point < p->weight || lost) {
            if (peer_take(p, now))
                return p;
            lost = p; /* another worker was faster: the next one that goes */
        } else {
            point -= p->weight;
        }
    }
    return NULL;
}

static const struct peer *pick(const struct peer_set *set, uint32_t base, const struct tried *tried, uint64_t now)
{
    if (set->nsequence == 0)
        return NULL;
    uint32_t steps = set->nsequence < STEPS_MAX ? set->nsequence : STEPS_MAX;
    uint32_t step = 0;
    while (steps--) {
        step = atomic_fetch_add_explicit(set->cursor, 1, memory_order_relaxed);
        uint32_t i = set->sequence[step % set->nsequence];
        if (likely(!tried_has(tried, base + i)) && likely(peer_take(&set->peers[i], now)))
            return &set->peers[i];
    }
    return pick_weighted(set, base, tried, now, step);
}

const struct balance_ops balance_round_robin = {
    .name = "",
    .doc = "Weighted round robin.",
    .backup = true,
    .init = balance_sequences,
    .pick = pick,
};
