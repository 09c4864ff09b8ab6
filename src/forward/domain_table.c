/*
 * The table of names: head, slots, checks. A slot's place follows from the upper half of the hash, which is kept in it,
 * so that slots can move to a smaller table without their names.
 */
#include "forward/domain_table.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/map.h"
#include "base/memfile.h"

enum { SPARE = 8 };
static const char magic[8] = "HDOMAIN1";
static const size_t SLOT = sizeof(uint64_t) + sizeof(uint32_t);

static size_t size_of(uint32_t cap)
{
    return sizeof(struct domain_head) + SLOT * cap;
}

static uint32_t home(uint32_t cap, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * cap >> 32);
}

static uint32_t check_of(const struct domain_head *h, slice name)
{
    return (uint32_t)hash_keyed(h->key + 2, name);
}

/* Where the name is, or the free slot that ends the search; there is one. */
static uint32_t find(const struct domain_head *h, const uint64_t *slots, const uint32_t *checks, slice name,
                     uint64_t hash)
{
    uint32_t i = home(h->cap, hash);
    while (slots[i] && ((slots[i] ^ hash) > DOMAIN_MARKS || checks[i] != check_of(h, name)))
        i = i + 1 == h->cap ? 0 : i + 1;
    return i;
}

/* ---- making ---- */

static int room_for(struct domain_build *b, uint32_t names)
{
    struct domain_build made = { .fd = -1, .room = names };
    if (names > UINT32_MAX / 2)
        return ERR_LIMIT;
    uint32_t cap = names + names / 2 + SPARE;
    made.size = size_of(cap);
    int rc = memfile_new("hinge-names", &made.fd);
    if (rc == OK)
        rc = memfile_room(made.fd, made.size, &made.map);
    if (rc != OK) {
        if (made.fd >= 0)
            close(made.fd);
        return rc;
    }
    made.head = (struct domain_head *)(void *)made.map;
    made.slots = (uint64_t *)(void *)(made.map + sizeof(*made.head));
    made.checks = (uint32_t *)(void *)(made.slots + cap);
    memcpy(made.head->magic, magic, sizeof(magic));
    made.head->cap = cap;
    *b = made;
    return OK;
}

int domain_build_begin(struct domain_build *b, uint32_t names)
{
    int rc = room_for(b, names);
    if (rc == OK)
        rand_bytes(b->head->key, sizeof(b->head->key));
    return rc;
}

void domain_build_drop(struct domain_build *b)
{
    memfile_unmap(b->map, b->size);
    if (b->fd >= 0)
        close(b->fd);
    *b = (struct domain_build){ .fd = -1 };
}

int domain_build_add(struct domain_build *b, slice name, unsigned marks)
{
    const uint64_t hash = hash_keyed(b->head->key, name);
    uint32_t i = find(b->head, b->slots, b->checks, name, hash);
    if (!b->slots[i]) {
        if (b->head->count == b->room)
            return ERR_LIMIT;
        b->slots[i] = hash & ~(uint64_t)DOMAIN_MARKS;
        b->checks[i] = check_of(b->head, name);
        b->head->count++;
    }
    b->slots[i] |= marks & DOMAIN_MARKS;
    return OK;
}

/* Many names were there twice. */
static int shrink(struct domain_build *b)
{
    struct domain_build less;
    int rc = room_for(&less, b->head->count);
    if (rc != OK)
        return rc;
    memcpy(less.head->key, b->head->key, sizeof(less.head->key));
    less.head->count = b->head->count;
    for (uint32_t from = 0; from < b->head->cap; from++) {
        uint32_t to = home(less.head->cap, b->slots[from]);
        if (!b->slots[from])
            continue;
        while (less.slots[to])
            to = to + 1 == less.head->cap ? 0 : to + 1;
        less.slots[to] = b->slots[from];
        less.checks[to] = b->checks[from];
    }
    domain_build_drop(b);
    *b = less;
    return OK;
}

int domain_build_end(struct domain_build *b, const uint32_t notes[4], int *fd)
{
    int rc = b->head->count < b->room - b->room / 8 ? shrink(b) : OK;
    if (rc == OK) {
        memcpy(b->head->notes, notes, sizeof(b->head->notes));
        memfile_unmap(b->map, b->size);
        b->map = NULL;
        rc = memfile_seal(b->fd);
    }
    if (rc == OK) {
        *fd = b->fd;
        b->fd = -1;
    }
    domain_build_drop(b);
    return rc;
}

/* ---- reading ---- */

int domain_table_open(struct domain_table *t, int fd)
{
    slice all;
    int rc = memfile_map(fd, &all);
    if (rc != OK)
        return rc;
    const struct domain_head *h = (const struct domain_head *)(const void *)all.p;
    if (all.n < sizeof(*h) || memcmp(h->magic, magic, sizeof(magic)) != 0 || all.n != size_of(h->cap) ||
        h->count >= h->cap) {
        memfile_unmap(all.p, all.n);
        return ERR_SYNTAX;
    }
    const uint64_t *slots = (const uint64_t *)(const void *)(all.p + sizeof(*h));
    *t = (struct domain_table){ .head = h, .slots = slots, .checks = (const uint32_t *)(const void *)(slots + h->cap) };
    return OK;
}

void domain_table_close(struct domain_table *t)
{
    if (t->head)
        memfile_unmap((const char *)t->head, domain_table_size(t));
    *t = (struct domain_table){ 0 };
}

size_t domain_table_size(const struct domain_table *t)
{
    return t->head ? size_of(t->head->cap) : 0;
}

unsigned domain_table_get(const struct domain_table *t, slice name)
{
    const uint64_t hash = hash_keyed(t->head->key, name);
    return (unsigned)(t->slots[find(t->head, t->slots, t->checks, name, hash)] & DOMAIN_MARKS);
}
