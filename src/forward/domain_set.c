/*
 * The set of domain names: an entry is two bytes (length, scope) and the name; a table at most three quarters full.
 */
#include "forward/domain_set.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/map.h"

enum { ENTRY_HEAD = 2, FIRST_SLOTS = 64, FIRST_BYTES = 1024 };

void domain_set_done(struct domain_set *s)
{
    free(s->slots);
    free(s->bytes);
    *s = (struct domain_set){ 0 };
}

size_t domain_set_memory(const struct domain_set *s)
{
    return (size_t)s->cap * sizeof(*s->slots) + s->room;
}

static slice entry_name(const struct domain_set *s, uint32_t offset)
{
    return slice_of(s->bytes + offset + ENTRY_HEAD, (uint8_t)s->bytes[offset]);
}

/* The slot of that name, or the empty one where it belongs; the table has an empty one. */
static uint32_t slot_of(const struct domain_set *s, slice name)
{
    uint32_t i = (uint32_t)hash_bytes(name, false) & (s->cap - 1);
    while (s->slots[i] && !slice_eq(entry_name(s, s->slots[i] - 1), name))
        i = (i + 1) & (s->cap - 1);
    return i;
}

static int grow_slots(struct domain_set *s)
{
    if (s->cap && s->count < s->cap - s->cap / 4)
        return OK;
    if (s->cap > UINT32_MAX / 2)
        return ERR_LIMIT;
    uint32_t cap = s->cap ? s->cap * 2 : FIRST_SLOTS;
    uint32_t *slots = calloc(cap, sizeof(*slots));
    if (!slots)
        return ERR_NOMEM;
    free(s->slots);
    s->slots = slots;
    s->cap = cap;
    for (uint32_t at = 0; at < s->used; at += ENTRY_HEAD + (uint8_t)s->bytes[at])
        s->slots[slot_of(s, entry_name(s, at))] = at + 1;
    return OK;
}

static int grow_bytes(struct domain_set *s, size_t n)
{
    if (n <= s->room - s->used)
        return OK;
    uint64_t room = s->room ? (uint64_t)s->room + s->room / 2 : FIRST_BYTES;
    if (room > UINT32_MAX - 1)
        return ERR_LIMIT;
    char *p = realloc(s->bytes, (size_t)room);
    if (!p)
        return ERR_NOMEM;
    s->bytes = p;
    s->room = (uint32_t)room;
    return OK;
}

size_t domain_normal(char dst[DOMAIN_NAME_MAX], slice name)
{
    while (name.n && name.p[0] == '.')
        name = slice_from(name, 1);
    while (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n > DOMAIN_NAME_MAX)
        return 0;
    for (size_t i = 0; i < name.n; i++) {
        char c = ascii_lower(name.p[i]);
        if (c == '.' ? name.p[i + 1] == '.'
                     : !ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_' && c != ':' && (uint8_t)c < 0x80)
            return 0;
        dst[i] = c;
    }
    return name.n;
}

int domain_set_add(struct domain_set *s, slice name, enum domain_scope scope)
{
    char lower[DOMAIN_NAME_MAX];
    slice key = slice_of(lower, domain_normal(lower, name));
    if (!key.n)
        return ERR_SYNTAX;
    int rc = grow_slots(s);
    if (rc || (rc = grow_bytes(s, ENTRY_HEAD + DOMAIN_NAME_MAX)))
        return rc;
    uint32_t i = slot_of(s, key);
    if (s->slots[i]) {
        char *has = &s->bytes[s->slots[i]]; /* offset + 1: the scope */
        *has = (char)(*has | (char)scope);
        return OK;
    }
    s->slots[i] = s->used + 1;
    s->bytes[s->used] = (char)(uint8_t)key.n;
    s->bytes[s->used + 1] = (char)scope;
    memcpy(s->bytes + s->used + ENTRY_HEAD, key.p, key.n);
    s->used += ENTRY_HEAD + (uint32_t)key.n;
    s->count++;
    return OK;
}

void domain_set_trim(struct domain_set *s)
{
    char *p = s->used ? realloc(s->bytes, s->used) : NULL;
    if (p) {
        s->bytes = p;
        s->room = s->used;
    }
}

bool domain_set_has(const struct domain_set *s, slice host, slice *entry)
{
    char lower[DOMAIN_NAME_MAX];
    if (!s->count)
        return false;
    slice rest = slice_of(lower, domain_normal(lower, host));
    enum domain_scope wanted = DOMAIN_SELF;
    while (rest.n) {
        uint32_t at = s->slots[slot_of(s, rest)];
        if (at && ((uint8_t)s->bytes[at] & wanted)) {
            if (entry)
                *entry = entry_name(s, at - 1);
            return true;
        }
        ptrdiff_t dot = slice_find(rest, '.');
        rest = dot < 0 ? SLICE_NONE : slice_from(rest, (size_t)dot + 1);
        wanted = DOMAIN_BELOW;
    }
    return false;
}
