#include "net/net_table.h"

#include <stdlib.h>

#include "base/err.h"

net_number net_number_of4(const void *in_addr)
{
    const unsigned char *p = in_addr;
    return (net_number)p[0] << 24 | (net_number)p[1] << 16 | (net_number)p[2] << 8 | p[3];
}

net_number net_number_of6(const void *in6_addr)
{
    const unsigned char *p = in6_addr;
    net_number n = 0;
    for (unsigned i = 0; i < 16; i++)
        n = n << 8 | p[i];
    return n;
}

struct net_entry net_entry_of(const struct cidr *c, uint32_t value)
{
    unsigned width = c->v6 ? 128 : 32;
    net_number all = c->v6 ? ~(net_number)0 : (net_number)UINT32_MAX;
    net_number host = c->bits == width ? 0 : all >> c->bits;
    net_number number = c->v6 ? net_number_of6(c->ip) : net_number_of4(c->ip);
    return (struct net_entry){ .first = number & ~host, .last = number | host, .value = value };
}

/* ---- the table ---- */

/* From this address on, up to the next step. */
struct net_step {
    net_number from;
    uint32_t value;
};

enum { NESTED_MAX = 130 }; /* one prefix of each length, and the whole */

struct nested {
    net_number last;
    uint32_t value;
};

/* Outer networks before those inside them, equal ones by value. */
static int compare(const void *p, const void *q)
{
    const struct net_entry *a = p, *b = q;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    if (a->last != b->last)
        return a->last > b->last ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

static void step(struct net_step *steps, size_t *n, net_number from, uint32_t value)
{
    if (*n && steps[*n - 1].from == from) {
        steps[*n - 1].value = value;
        return;
    }
    if (*n && steps[*n - 1].value == value)
        return;
    steps[(*n)++] = (struct net_step){ from, value };
}

/* Networks lie inside each other or apart, never across; the stack holds those that the sweep is in. */
int net_table_build(struct arena *a, struct net_entry *v, size_t n, struct net_table *out)
{
    struct nested in[NESTED_MAX];
    size_t depth = 0, nsteps = 0;
    struct net_step *steps = arena_alloc(a, (2 * n + 1) * sizeof(*steps));
    if (!steps)
        return ERR_NOMEM;
    if (n)
        qsort(v, n, sizeof(*v), compare);
    in[depth++] = (struct nested){ ~(net_number)0, NET_NONE };
    step(steps, &nsteps, 0, NET_NONE);
    for (size_t i = 0; i < n; i++) {
        const struct net_entry *c = &v[i];
        if (i && v[i - 1].first == c->first && v[i - 1].last == c->last)
            continue; /* the same network again, with a larger value */
        for (; in[depth - 1].last < c->first; depth--)
            step(steps, &nsteps, in[depth - 1].last + 1, in[depth - 2].value);
        uint32_t value = v[i].value < in[depth - 1].value ? v[i].value : in[depth - 1].value;
        step(steps, &nsteps, c->first, value);
        in[depth++] = (struct nested){ c->last, value };
    }
    for (; depth > 1; depth--) {
        if (in[depth - 1].last != ~(net_number)0)
            step(steps, &nsteps, in[depth - 1].last + 1, in[depth - 2].value);
    }
    *out = (struct net_table){ steps, nsteps };
    return OK;
}

uint32_t net_table_find(const struct net_table *t, net_number address)
{
    size_t low = 0, n = t->n;
    if (n == 0)
        return NET_NONE;
    while (n > 1) {
        size_t half = n / 2;
        if (t->steps[low + half].from <= address)
            low += half;
        n -= half;
    }
    return t->steps[low].value;
}
