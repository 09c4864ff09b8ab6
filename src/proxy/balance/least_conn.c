/*
 * Least connections: the peer with the fewest requests in flight for its weight, over all workers.
 *
 * Equal ones take turns: the search starts at the round robin's next place and only a smaller load displaces what was
 * found before.
 */
#include "proxy/balance/balance.h"

static const struct peer *pick(const struct peer_set *set, uint32_t base, const struct tried *tried, uint64_t now)
{
    if (set->nsequence == 0)
        return NULL;
    uint32_t step = atomic_fetch_add_explicit(set->cursor, 1, memory_order_relaxed);
    uint32_t start = set->sequence[step % set->nsequence];
    struct tried lost = *tried;
    for (;;) {
        const struct peer *best = NULL;
        uint64_t best_load = 0;
        for (uint32_t k = 0; k < set->n; k++) {
            uint32_t i = start + k < set->n ? start + k : start + k - set->n;
            const struct peer *p = &set->peers[i];
            if (tried_has(&lost, base + i) || !peer_usable(p, now))
                continue;
            uint64_t load = atomic_load_explicit(&p->state->active, memory_order_relaxed);
            if (!best || load * best->weight < best_load * p->weight) {
                best = p;
                best_load = load;
            }
        }
        if (!best || peer_take(best, now))
            return best;
        lost.bits |= 1ull << ((base + (uint32_t)(best - set->peers)) & 63);
    }
}

const struct balance_ops balance_least_conn = {
    .name = "least_conn",
    .doc = "Gives each request to the server with the fewest requests in flight, taking weights into account; counted "
           "over all workers.",
    .backup = true,
    .init = balance_sequences,
    .pick = pick,
};
