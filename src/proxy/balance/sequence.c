/*
 * The smooth weighted sequence, computed once.
 *
 * nginx's round robin keeps a running weight per peer and looks at all of them for each request, under a lock when
 * workers share it. Its order is periodic while all peers are well: so one period is computed at load, and a request
 * takes one step of an atomic cursor. Weights are divided by their greatest common divisor first. A period longer than
 * SEQUENCE_MAX (weights like 10000 and 9999) is shortened by rounding the weights: each peer keeps a place, and ratios
 * stay exact to one part in SEQUENCE_MAX.
 */
#include <stdlib.h>

#include "base/err.h"
#include "proxy/balance/balance.h"

enum { SEQUENCE_MAX = 4096 };

const struct balance_ops *const balance_methods[] = {
#define METHOD(ops) &ops,
#include "proxy/balance/methods.def"
#undef METHOD
    NULL
};

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

struct share {
    uint32_t peer;
    int64_t weight, current;
};

/* The live peers with their reduced weights; returns the length of the period. */
static uint32_t shares_make(const struct peer_set *set, struct share *shares, uint32_t *nshares)
{
    uint64_t divisor = 0, total = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->peers[i].down)
            continue;
        shares[n++] = (struct share){ .peer = i, .weight = set->peers[i].weight };
        divisor = gcd(set->peers[i].weight, divisor);
        total += set->peers[i].weight;
    }
    *nshares = n;
    if (n == 0)
        return 0;
    total /= divisor;
    uint64_t most = n > SEQUENCE_MAX ? n : SEQUENCE_MAX, length = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t w = (uint64_t)shares[i].weight / divisor;
        if (total > most)
            w = (w * most + total / 2) / total;
        shares[i].weight = w ? (int64_t)w : 1;
        length += (uint64_t)shares[i].weight;
    }
    return (uint32_t)length; /* at most 2 * most: rounding adds less than one a peer */
}

static void sequence_fill(uint32_t *out, uint32_t length, struct share *shares, uint32_t n)
{
    if (length == n) { /* equal weights: the order as written */
        for (uint32_t i = 0; i < n; i++)
            out[i] = shares[i].peer;
        return;
    }
    for (uint32_t at = 0; at < length; at++) {
        struct share *best = &shares[0];
        for (uint32_t i = 0; i < n; i++) {
            shares[i].current += shares[i].weight;
            if (shares[i].current > best->current)
                best = &shares[i];
        }
        best->current -= length;
        out[at] = best->peer;
    }
}

int balance_sequence(struct arena *a, struct peer_set *set)
{
    set->sequence = NULL;
    set->nsequence = 0;
    if (set->n == 0)
        return OK;
    struct share *shares = calloc(set->n, sizeof(*shares));
    if (!shares)
        return ERR_NOMEM;
    uint32_t n, length = shares_make(set, shares, &n);
    if (length) {
        set->sequence = arena_new_n(a, uint32_t, length);
        if (!set->sequence) {
            free(shares);
            return ERR_NOMEM;
        }
        sequence_fill(set->sequence, length, shares, n);
        set->nsequence = length;
    }
    free(shares);
    return OK;
}

int balance_sequences(struct conf_ctx *cf, struct upstream *u)
{
    int rc = balance_sequence(cf->arena, &u->primary);
    return rc == OK ? balance_sequence(cf->arena, &u->backup) : rc;
}
