#include "proxy/client_count.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/list.h"
#include "base/murmur.h"

enum { BUCKETS = 1024 };

struct client_key {
    uint8_t bytes[16];
    uint8_t family;
};

/* On the heap, while its count is not zero. */
struct counted {
    struct counted *next;
    struct client_key key;
    uint32_t n;
};

/* In the exchange's arena. */
struct count_hold {
    struct x_hold hold;
    struct client_key key;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counted *buckets[BUCKETS];

/* One client is one whichever listener it comes by: a mapped address is the IPv4 address that it is. */
static struct client_key key_of(const struct sockaddr *sa)
{
    struct client_key k = { .family = (uint8_t)sa->sa_family };
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six)) {
        k.family = AF_INET;
        memcpy(k.bytes, six->s6_addr + 12, 4);
        return k;
    }
    if (sa->sa_family == AF_INET)
        memcpy(k.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    else if (sa->sa_family == AF_INET6)
        memcpy(k.bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    return k;
}

/* The link that points to it, or to NULL where it would stand. With the lock. */
static struct counted **find(const struct client_key *k)
{
    uint32_t h = murmur_hash2(slice_of((const char *)k, sizeof(*k)));
    struct counted **at = &buckets[h % BUCKETS];
    while (*at && memcmp(&(*at)->key, k, sizeof(*k)) != 0)
        at = &(*at)->next;
    return at;
}

static void let_go(struct x_hold *hold, struct exchange *x)
{
    struct count_hold *h = container_of(hold, struct count_hold, hold);
    struct counted *gone = NULL;
    pthread_mutex_lock(&lock);
    struct counted **at = find(&h->key);
    if (--(*at)->n == 0) {
        gone = *at;
        *at = gone->next;
    }
    pthread_mutex_unlock(&lock);
    free(gone);
    exchange_unhold(x, hold);
}

int client_count_enter(struct exchange *x)
{
    struct count_hold *h = arena_new(&x->arena, struct count_hold);
    struct counted *fresh = calloc(1, sizeof(*fresh));
    if (!h || !fresh) {
        free(fresh);
        return ERR_NOMEM;
    }
    h->key = fresh->key = key_of(&x->client->peer.sa);
    pthread_mutex_lock(&lock);
    struct counted **at = find(&h->key);
    if (!*at) {
        *at = fresh;
        fresh = NULL;
    }
    (*at)->n++;
    pthread_mutex_unlock(&lock);
    free(fresh);
    exchange_hold(x, &h->hold, let_go);
    h->hold.still = true;
    return OK;
}

uint32_t client_count_of(void *ctx, const struct sockaddr *client)
{
    struct client_key k = key_of(client);
    pthread_mutex_lock(&lock);
    struct counted *c = *find(&k);
    uint32_t n = c ? c->n : 0;
    pthread_mutex_unlock(&lock);
    return n;
}
