#include "net/ip_ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { BLOCKS = 1 << 16, BLOCK_MASK = 0xffff };

/* A range inside one block: 16 bits of each end. */
struct piece {
    uint16_t first, last;
    const void *value;
};

struct block {
    struct piece *v;
    uint32_t n, cap;
};

struct ip_ranges_build {
    struct block blocks[BLOCKS];
};

struct ip_ranges_build *ip_ranges_begin(void)
{
    return calloc(1, sizeof(struct ip_ranges_build));
}

void ip_ranges_free(struct ip_ranges_build *b)
{
    for (size_t i = 0; b && i < BLOCKS; i++)
        free(b->blocks[i].v);
    free(b);
}

/* Opens a gap of n pieces at `at`. */
static bool open_gap(struct block *b, uint32_t at, uint32_t n)
{
    if (b->n + n > b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 + n : n; /* 3 * 65536 at most */
        struct piece *v = realloc(b->v, cap * sizeof(*v));
        if (!v)
            return false;
        b->v = v;
        b->cap = cap;
    }
    assert(b->v);
    memmove(b->v + at + n, b->v + at, (b->n - at) * sizeof(*b->v));
    b->n += n;
    return true;
}

/* The first piece that ends at or behind `address`; files are mostly sorted, so the end is tried first. */
static uint32_t place_of(const struct block *b, uint16_t address)
{
    uint32_t low = 0, high = b->n;
    if (b->n && b->v[b->n - 1].last < address)
        return b->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (b->v[mid].last < address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Cuts `p` out of piece `at`, which holds it and more. */
static bool cut(struct block *b, uint32_t at, struct piece p)
{
    struct piece old = b->v[at];
    uint32_t before = p.first > old.first, behind = p.last < old.last;
    if (!open_gap(b, at, before + behind))
        return false;
    if (before)
        b->v[at] = (struct piece){ old.first, (uint16_t)(p.first - 1), old.value };
    b->v[at + before] = p;
    if (behind)
        b->v[at + before + 1] = (struct piece){ (uint16_t)(p.last + 1), old.last, old.value };
    return true;
}

static struct ip_range whole(uint32_t block, const struct piece *p)
{
    return (struct ip_range){ block << 16 | p->first, block << 16 | p->last, p->value };
}

static int add_piece(struct ip_ranges_build *b, uint32_t block, struct piece p, struct ip_range *clash)
{
    struct block *bl = &b->blocks[block];
    uint32_t at = place_of(bl, p.first);
    struct piece *there = at < bl->n ? &bl->v[at] : NULL;
    if (!there || p.last < there->first) {
        if (!open_gap(bl, at, 1))
            return ERR_NOMEM;
        bl->v[at] = p;
        return OK;
    }
    if (p.first == there->first && p.last == there->last) {
        if (!clash->value)
            *clash = whole(block, there);
        there->value = p.value;
        return OK;
    }
    if (p.first < there->first || p.last > there->last) {
        /* nginx looks from the end, and names what it meets first */
        while (at + 1 < bl->n && bl->v[at + 1].first <= p.last)
            at++;
        *clash = whole(block, &bl->v[at]);
        return ERR_REFUSED;
    }
    return cut(bl, at, p) ? OK : ERR_NOMEM;
}

/* The part of a range that lies in a block. */
static struct piece part(uint32_t block, uint32_t first, uint32_t last, const void *value)
{
    return (struct piece){ block == first >> 16 ? (uint16_t)(first & BLOCK_MASK) : 0,
                           block == last >> 16 ? (uint16_t)(last & BLOCK_MASK) : BLOCK_MASK, value };
}

int ip_ranges_add(struct ip_ranges_build *b, struct ip_range r, struct ip_range *clash)
{
    int rc = OK;
    *clash = (struct ip_range){ 0 };
    for (uint32_t block = r.first >> 16; rc == OK && block <= r.last >> 16; block++)
        rc = add_piece(b, block, part(block, r.first, r.last, r.value), clash);
    return rc;
}

bool ip_ranges_remove(struct ip_ranges_build *b, uint32_t first, uint32_t last)
{
    bool all = true;
    for (uint32_t block = first >> 16; block <= last >> 16; block++) {
        struct block *bl = &b->blocks[block];
        struct piece p = part(block, first, last, NULL);
        uint32_t at = place_of(bl, p.first);
        if (at == bl->n || bl->v[at].first != p.first || bl->v[at].last != p.last) {
            all = false;
            continue;
        }
        bl->n--;
        memmove(bl->v + at, bl->v + at + 1, (bl->n - at) * sizeof(*bl->v));
    }
    return all;
}

int ip_ranges_finish(const struct ip_ranges_build *b, struct arena *a, struct ip_ranges *out)
{
    size_t total = 0, n = 0;
    for (size_t i = 0; i < BLOCKS; i++)
        total += b->blocks[i].n;
    struct ip_range *v = arena_new_n(a, struct ip_range, total + 1);
    if (!v)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        for (uint32_t k = 0; k < b->blocks[i].n; k++) {
            struct ip_range r = whole(i, &b->blocks[i].v[k]);
            if (n && v[n - 1].last + 1 == r.first && v[n - 1].value == r.value)
                v[n - 1].last = r.last;
            else
                v[n++] = r;
        }
    }
    *out = (struct ip_ranges){ v, n };
    return OK;
}

const void *ip_ranges_find(const struct ip_ranges *r, uint32_t address)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (address > r->v[mid].last)
            low = mid + 1;
        else if (address < r->v[mid].first)
            high = mid;
        else
            return r->v[mid].value;
    }
    return NULL;
}
