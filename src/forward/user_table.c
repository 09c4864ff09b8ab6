/*
 * Shards of places: each a hash table with chains of 32-bit numbers over an array that never moves.
 */
#include "forward/user_table.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/map.h"

enum { SHARDS = 16, LOOKED_AT = 32, A_SECOND = 1000000 };

struct user_place {
    struct user_key key;
    uint32_t next; /* in its chain: number + 1; 0: none */
    uint32_t open;
    uint64_t free_at;           /* when the requests so far are paid for: the theoretical arrival time of GCRA */
    uint64_t bytes, period_end; /* taken in the period that ends there */
    uint64_t sent, sent_at;     /* what of all that was sent is not worked off yet, then */
};

struct shard {
    pthread_mutex_t lock;
    struct user_place *places;
    uint32_t *chains; /* number + 1 of the first place */
    uint32_t nplaces, used, mask, hand;
};

struct user_table {
    struct user_table *next;
    slice name;
    uint32_t users, refs;
    struct shard shards[SHARDS];
};

static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;
static struct user_table *tables;

struct user_key user_key_of(slice text)
{
    struct user_key k = { .v = { hash_bytes(text, false) } };
    const uint64_t again[2] = { k.v[0], text.n };
    uint64_t tail = hash_bytes(slice_of((const char *)again, sizeof(again)), false);
    k.v[1] = tail ^ hash_bytes(slice_from(text, text.n / 2), false);
    return k;
}

/* ---- tables ---- */

static void table_free(struct user_table *t)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        free(t->shards[i].places);
        free(t->shards[i].chains);
        pthread_mutex_destroy(&t->shards[i].lock);
    }
    free((char *)t->name.p);
    free(t);
}

static bool shard_init(struct shard *s, uint32_t places)
{
    uint32_t chains = 4;
    while (chains < places)
        chains *= 2;
    pthread_mutex_init(&s->lock, NULL);
    s->nplaces = places;
    s->mask = chains - 1;
    s->places = calloc(places, sizeof(*s->places)); /* pages that nobody needs stay untouched */
    s->chains = calloc(chains, sizeof(*s->chains));
    return s->places && s->chains;
}

static struct user_table *table_new(slice name, uint32_t users)
{
    struct user_table *t = calloc(1, sizeof(*t));
    char *text = malloc(name.n + 1);
    if (!t || !text) {
        free(t);
        free(text);
        return NULL;
    }
    if (name.n)
        memcpy(text, name.p, name.n);
    t->name = slice_of(text, name.n);
    t->users = users;
    t->refs = 1;
    bool good = true;
    for (uint32_t i = 0; i < SHARDS; i++)
        good &= shard_init(&t->shards[i], users / SHARDS + 1);
    if (good)
        return t;
    table_free(t);
    return NULL;
}

struct user_table *user_table_get(slice name, uint32_t users)
{
    pthread_mutex_lock(&tables_lock);
    struct user_table *t = tables;
    while (t && !(t->users == users && slice_eq(t->name, name)))
        t = t->next;
    if (t) {
        t->refs++;
    } else if ((t = table_new(name, users))) {
        t->next = tables;
        tables = t;
    }
    pthread_mutex_unlock(&tables_lock);
    return t;
}

void user_table_drop(struct user_table *t)
{
    pthread_mutex_lock(&tables_lock);
    assert(t->refs);
    bool last = !--t->refs;
    for (struct user_table **at = &tables; last && *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    pthread_mutex_unlock(&tables_lock);
    if (last)
        table_free(t);
}

/* ---- places, under the shard's lock ---- */

static struct shard *shard_of(struct user_table *t, const struct user_key *k)
{
    return &t->shards[k->v[1] % SHARDS];
}

static uint32_t *chain_of(struct shard *s, const struct user_key *k)
{
    return &s->chains[k->v[0] & s->mask];
}

static struct user_place *find(struct shard *s, const struct user_key *k)
{
    for (uint32_t n = *chain_of(s, k); n; n = s->places[n - 1].next) {
        struct user_place *p = &s->places[n - 1];
        if (p->key.v[0] == k->v[0] && p->key.v[1] == k->v[1])
            return p;
    }
    return NULL;
}

/* Would a new place say the same? */
static bool owes_nothing(const struct user_place *p, uint64_t now)
{
    return !p->open && p->free_at <= now && (!p->bytes || p->period_end <= now) &&
           (!p->sent || p->sent_at + A_SECOND <= now);
}

static void unchain(struct shard *s, struct user_place *p)
{
    uint32_t number = (uint32_t)(p - s->places) + 1, *at = chain_of(s, &p->key);
    while (*at != number)
        at = &s->places[*at - 1].next;
    *at = p->next;
}

/* A place that was never taken, or one of the next few that nobody needs. */
static struct user_place *vacant(struct shard *s, uint64_t now)
{
    if (s->used < s->nplaces)
        return &s->places[s->used++];
    for (uint32_t i = 0; i < LOOKED_AT; i++) {
        struct user_place *p = &s->places[s->hand];
        s->hand = s->hand + 1 == s->nplaces ? 0 : s->hand + 1;
        if (owes_nothing(p, now)) {
            unchain(s, p);
            return p;
        }
    }
    return NULL;
}

static struct user_place *place_of(struct shard *s, const struct user_key *k, uint64_t now)
{
    struct user_place *p = find(s, k);
    if (p || !(p = vacant(s, now)))
        return p;
    uint32_t *chain = chain_of(s, k);
    *p = (struct user_place){ .key = *k, .next = *chain };
    *chain = (uint32_t)(p - s->places) + 1;
    return p;
}

static void new_period(struct user_place *p, const struct user_limits *l, uint64_t now)
{
    if (l->bytes && p->period_end <= now) {
        p->bytes = 0;
        p->period_end = now + l->period;
    }
}

/* ---- one request ---- */

static enum user_answer judge(struct user_place *p, const struct user_limits *l, uint64_t now, uint64_t *wait)
{
    uint64_t tolerance = l->interval * l->burst;
    if (l->connections && p->open >= l->connections)
        return USER_TOO_MANY;
    new_period(p, l, now);
    if (l->bytes && p->bytes >= l->bytes) {
        *wait = p->period_end - now;
        return USER_TOO_LARGE;
    }
    if (l->interval && p->free_at > now + tolerance) {
        *wait = p->free_at - tolerance - now;
        return USER_TOO_FAST;
    }
    return USER_ENTERS;
}

enum user_answer user_enter(struct user_table *t, const struct user_key *key, const struct user_limits *l, uint64_t now,
                            struct user_place **place, uint64_t *wait)
{
    struct shard *s = shard_of(t, key);
    *wait = 0;
    pthread_mutex_lock(&s->lock);
    struct user_place *p = place_of(s, key, now);
    enum user_answer a = p ? judge(p, l, now, wait) : USER_TABLE_FULL;
    if (a == USER_ENTERS) {
        p->open++;
        if (l->interval)
            p->free_at = (p->free_at > now ? p->free_at : now) + l->interval;
        *place = p;
    }
    pthread_mutex_unlock(&s->lock);
    return a;
}

bool user_took(struct user_table *t, struct user_place *place, const struct user_limits *l, uint64_t bytes,
               uint64_t now)
{
    struct shard *s = shard_of(t, &place->key); /* a held place keeps its key */
    pthread_mutex_lock(&s->lock);
    new_period(place, l, now);
    place->bytes = bytes > UINT64_MAX - place->bytes ? UINT64_MAX : place->bytes + bytes;
    bool left = !l->bytes || place->bytes < l->bytes;
    pthread_mutex_unlock(&s->lock);
    return left;
}

/* A rounding loses the user less than a byte a call. */
static void work_off(struct user_place *p, uint64_t rate, uint64_t now)
{
    uint64_t passed = now > p->sent_at ? now - p->sent_at : 0, done;
    if (passed >= A_SECOND || !checked_mul_u64(passed, rate, &done))
        done = rate;
    else
        done /= A_SECOND;
    if (!done)
        return;
    p->sent = p->sent > done ? p->sent - done : 0;
    p->sent_at = now;
}

uint64_t user_send(struct user_table *t, struct user_place *place, uint64_t rate, uint64_t want, uint64_t now)
{
    struct shard *s = shard_of(t, &place->key);
    pthread_mutex_lock(&s->lock);
    work_off(place, rate, now);
    uint64_t room = rate > place->sent ? rate - place->sent : 0;
    uint64_t n = want < room ? want : room;
    place->sent += n;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void user_unsend(struct user_table *t, struct user_place *place, uint64_t bytes)
{
    struct shard *s = shard_of(t, &place->key);
    pthread_mutex_lock(&s->lock);
    place->sent = place->sent > bytes ? place->sent - bytes : 0;
    pthread_mutex_unlock(&s->lock);
}

void user_leave(struct user_table *t, struct user_place *place)
{
    struct shard *s = shard_of(t, &place->key);
    pthread_mutex_lock(&s->lock);
    assert(place->open);
    place->open--;
    pthread_mutex_unlock(&s->lock);
}
