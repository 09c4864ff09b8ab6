#include "forward/filter_store.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"

/* Keyed digests under the process's random key: nobody who writes a list can make two of them meet. */
struct content {
    uint64_t digest, bytes;
    uint32_t files;
};

struct held_list {
    struct filter_list list;
    struct content content;
    uint32_t refs;
    struct held_list *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct held_list *all;

static struct content content_of(const slice *texts, uint32_t n)
{
    struct content c = { .files = n };
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t both[2] = { c.digest, hash_bytes(texts[i], false) };
        c.digest = hash_bytes(slice_of((const char *)both, sizeof(both)), false);
        c.bytes += texts[i].n;
    }
    return c;
}

static bool same(const struct content *a, const struct content *b)
{
    return a->digest == b->digest && a->bytes == b->bytes && a->files == b->files;
}

/* Under the lock. One more reference, or NULL. */
static struct held_list *find(const struct content *c)
{
    struct held_list *h = all;
    while (h && !same(&h->content, c))
        h = h->next;
    if (h)
        h->refs++;
    return h;
}

static void held_free(struct held_list *h)
{
    filter_list_done(&h->list);
    free(h);
}

static int compile(const slice *texts, uint32_t n, const struct content *c, struct held_list **out)
{
    struct held_list *h = calloc(1, sizeof(*h));
    int rc = h ? OK : ERR_NOMEM;
    for (uint32_t i = 0; i < n && rc == OK; i++)
        rc = filter_list_read(&h->list, texts[i]);
    if (rc != OK) {
        if (h)
            held_free(h);
        return rc;
    }
    filter_list_finish(&h->list);
    h->content = *c;
    h->refs = 1;
    *out = h;
    return OK;
}

int filter_store_get(const slice *texts, uint32_t n, const struct filter_list **out)
{
    const struct content c = content_of(texts, n);
    struct held_list *made = NULL;
    pthread_mutex_lock(&lock);
    struct held_list *h = find(&c);
    pthread_mutex_unlock(&lock);
    if (!h) {
        int rc = compile(texts, n, &c, &made); /* without the lock: it takes its time */
        if (rc != OK)
            return rc;
        pthread_mutex_lock(&lock);
        h = find(&c);
        if (!h) {
            made->next = all;
            all = h = made;
        }
        pthread_mutex_unlock(&lock);
    }
    if (made && made != h)
        held_free(made);
    *out = &h->list;
    return OK;
}

void filter_store_drop(const struct filter_list *l)
{
    struct held_list *h = NULL;
    pthread_mutex_lock(&lock);
    for (struct held_list **at = &all; *at; at = &(*at)->next) {
        if (&(*at)->list != l)
            continue;
        h = *at;
        assert(h->refs);
        if (--h->refs)
            h = NULL;
        else
            *at = h->next;
        break;
    }
    pthread_mutex_unlock(&lock);
    if (h)
        held_free(h);
}

uint32_t filter_store_count(uint32_t *refs)
{
    uint32_t n = 0;
    *refs = 0;
    pthread_mutex_lock(&lock);
    for (const struct held_list *h = all; h; h = h->next, n++)
        *refs += h->refs;
    pthread_mutex_unlock(&lock);
    return n;
}
