/*
 * The table behind token_find: a perfect hash whose multiplier is searched once, when the program starts.
 *
 * The hash looks at the length and at the first and last four bytes (overlapping in short names); the search takes
 * microseconds and is deterministic, so tokens.def can grow without a generator in the build. A name that is found is
 * compared by words against the lower-case form; `fold` holds 0x20 where that form has a letter, so that only letters
 * are folded and no control character can pass for '-' or a digit.
 */
#include "http/token.h"

#include <stdlib.h>

#include "base/attr.h"

enum { NAME_MAX_LEN = 32, HASH_BITS = 10 };

const uint8_t token_flag_bits[TOK_COUNT] = {
#define TOKEN(id, name, flags) [TOK_##id] = (flags),
#include "http/tokens.def"
#undef TOKEN
};

static const slice names[TOK_COUNT] = {
#define TOKEN(id, name, flags) [TOK_##id] = { name, sizeof(name) - 1 },
#include "http/tokens.def"
#undef TOKEN
};

#define TOKEN(id, name, flags) _Static_assert(sizeof(name) - 1 >= 2 && sizeof(name) - 1 <= NAME_MAX_LEN, name);
#include "http/tokens.def"
#undef TOKEN

struct entry {
    char lower[NAME_MAX_LEN], fold[NAME_MAX_LEN];
};

static struct entry entries[TOK_COUNT];
static uint8_t slots[1 << HASH_BITS];
static uint64_t multiplier;

static inline uint32_t load32(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline uint64_t load64(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

/* Needs two bytes at least. */
static inline size_t hash(slice s, uint64_t mul)
{
    uint64_t first, last;
    if (likely(s.n >= 4)) {
        first = load32(s.p);
        last = load32(s.p + s.n - 4);
    } else {
        first = (uint64_t)(uint8_t)s.p[0] << 8 | (uint8_t)s.p[1];
        last = (uint8_t)s.p[s.n - 1];
    }
    uint64_t h = ((first | 0x20202020) << 32 | (last | 0x20202020)) + s.n;
    return (size_t)((h * mul) >> (64 - HASH_BITS));
}

static inline bool same64(const char *p, const struct entry *e, size_t at)
{
    return (load64(p + at) | load64(e->fold + at)) == load64(e->lower + at);
}

/* Equal but for letter case; s.n is the entry's length. */
static bool same(slice s, const struct entry *e)
{
    size_t n = s.n;
    if (n >= 8) {
        for (size_t at = 0; at + 8 <= n; at += 8) {
            if (!same64(s.p, e, at))
                return false;
        }
        return same64(s.p, e, n - 8);
    }
    if (n >= 4)
        return (load32(s.p) | load32(e->fold)) == load32(e->lower) &&
               (load32(s.p + n - 4) | load32(e->fold + n - 4)) == load32(e->lower + n - 4);
    for (size_t i = 0; i < n; i++) {
        if ((s.p[i] | e->fold[i]) != e->lower[i])
            return false;
    }
    return true;
}

static bool try_multiplier(uint64_t mul)
{
    memset(slots, 0, sizeof(slots));
    for (unsigned t = 1; t < TOK_COUNT; t++) {
        size_t at = hash(names[t], mul);
        if (slots[at])
            return false;
        slots[at] = (uint8_t)t;
    }
    multiplier = mul;
    return true;
}

/* Two names that cannot be told apart by the hash would be a mistake in tokens.def; every start finds it. */
__attribute__((constructor)) static void build(void)
{
    for (unsigned t = 1; t < TOK_COUNT; t++) {
        for (size_t i = 0; i < names[t].n; i++) {
            entries[t].lower[i] = names[t].p[i];
            entries[t].fold[i] = ascii_alpha(names[t].p[i]) ? 0x20 : 0;
        }
    }
    uint64_t mul = 0x9e3779b97f4a7c15;
    for (unsigned tries = 0; tries < 1000000; tries++) {
        if (try_multiplier(mul | 1))
            return;
        mul = mul * 6364136223846793005u + 1442695040888963407u;
    }
    abort();
}

enum token token_find(slice name)
{
    if (name.n < 2 || name.n > NAME_MAX_LEN)
        return TOK_NONE;
    enum token t = slots[hash(name, multiplier)];
    return names[t].n == name.n && same(name, &entries[t]) ? t : TOK_NONE;
}

slice token_name(enum token t)
{
    return names[t];
}
