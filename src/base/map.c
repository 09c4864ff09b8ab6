#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/checked.h"
#include "base/err.h"

void rand_bytes(void *dst, size_t n)
{
    char *p = dst;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        p += got;
        n -= (size_t)got;
    }
}

static uint64_t hash_key[2];

/* Before main, so that no thread can see a half-made key. */
__attribute__((constructor)) static void hash_key_init(void)
{
    rand_bytes(hash_key, sizeof(hash_key));
}

static inline uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* Eight ASCII letters to lower case at once: sets 0x20 in every byte between 'A' and 'Z'. */
static inline uint64_t fold8(uint64_t w)
{
    uint64_t seven = w & 0x7f7f7f7f7f7f7f7full;
    uint64_t ge_a = seven + 0x3f3f3f3f3f3f3f3full; /* high bit: byte >= 'A' */
    uint64_t gt_z = seven + 0x2525252525252525ull; /* high bit: byte > 'Z' */
    uint64_t upper = (ge_a & ~gt_z & ~w) & 0x8080808080808080ull;
    return w | upper >> 2;
}

static inline uint64_t sip(const uint64_t key[2], slice s, bool icase)
{
    uint64_t v[4] = { key[0] ^ 0x736f6d6570736575ull, key[1] ^ 0x646f72616e646f6dull, key[0] ^ 0x6c7967656e657261ull,
                      key[1] ^ 0x7465646279746573ull };
    size_t i = 0;
    uint64_t w;
    for (; i + 8 <= s.n; i += 8) {
        memcpy(&w, s.p + i, 8);
        w = icase ? fold8(w) : w;
        v[3] ^= w;
        sip_round(v);
        v[0] ^= w;
    }
    w = 0;
    if (s.n > i)
        memcpy(&w, s.p + i, s.n - i);
    w = (icase ? fold8(w) : w) | (uint64_t)s.n << 56;
    v[3] ^= w;
    sip_round(v);
    v[0] ^= w;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(slice s, bool icase)
{
    return sip(hash_key, s, icase);
}

uint64_t hash_keyed(const uint64_t key[2], slice s)
{
    return sip(key, s, false);
}

void map_init(struct map *m, bool icase)
{
    *m = (struct map){ .icase = icase };
}

void map_done(struct map *m)
{
    free(m->slots);
    map_init(m, m->icase);
}

/* The slot that holds the key, or the free slot where it belongs; the map has at least one free slot. */
static struct map_slot *map_probe(const struct map *m, slice key, uint64_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];
        if (!s->value)
            return s;
        if (s->hash == hash && (m->icase ? slice_ieq(s->key, key) : slice_eq(s->key, key)))
            return s;
    }
}

static int map_grow(struct map *m)
{
    size_t cap = m->cap ? m->cap * 2 : 16, n;
    if (!checked_mul(cap, sizeof(struct map_slot), &n))
        return ERR_NOMEM;
    struct map_slot *old = m->slots, *slots = calloc(1, n);
    if (!slots)
        return ERR_NOMEM;
    size_t old_cap = m->cap;
    m->slots = slots;
    m->cap = cap;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].value)
            *map_probe(m, old[i].key, old[i].hash) = old[i];
    }
    free(old);
    return OK;
}

int map_put(struct map *m, slice key, void *value)
{
    if (m->count * 2 >= m->cap && map_grow(m) < 0)
        return ERR_NOMEM;
    uint64_t hash = hash_bytes(key, m->icase);
    struct map_slot *s = map_probe(m, key, hash);
    if (s->value)
        return ERR_REFUSED;
    *s = (struct map_slot){ key, hash, value };
    m->count++;
    return OK;
}

void *map_get(const struct map *m, slice key)
{
    if (!m->count)
        return NULL;
    return map_probe(m, key, hash_bytes(key, m->icase))->value;
}
