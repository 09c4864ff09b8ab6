/*
 * The registry: what is remembered of peers for as long as the process lives.
 *
 * Generations come and go; the failures of a server and the place in its upstream's rotation must not start anew with
 * each reload. So they are kept here under the upstream's name and the peer's address, and a new generation is given
 * the same memory. Only loading looks anything up (under one lock); workers hold pointers and touch them by atomics.
 * What no configuration names any more stays: 64 bytes for each address ever named.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/map.h"
#include "proxy/upstream.h"

enum { CACHE_LINE = 64 };

_Static_assert(sizeof(struct peer_state) <= CACHE_LINE, "the state of a peer is one cache line");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map entries;

/* One zeroed cache line, found under kind + upstream + NUL + detail; made at its first use. NULL: no memory, or not
 * there and not to be made. */
static void *registry_line(char kind, slice upstream, slice detail, bool make)
{
    size_t n;
    if (!checked_add(upstream.n, detail.n, &n) || !checked_add(n, 2, &n))
        return NULL;
    char *key = malloc(n);
    if (!key)
        return NULL;
    key[0] = kind;
    if (upstream.n)
        memcpy(key + 1, upstream.p, upstream.n);
    key[1 + upstream.n] = '\0';
    if (detail.n)
        memcpy(key + 2 + upstream.n, detail.p, detail.n);

    pthread_mutex_lock(&lock);
    void *line = map_get(&entries, slice_of(key, n));
    if (!line && make) {
        line = aligned_alloc(CACHE_LINE, CACHE_LINE);
        if (line) {
            memset(line, 0, CACHE_LINE);
            if (map_put(&entries, slice_of(key, n), line) == OK) {
                key = NULL; /* the map keeps it */
            } else {
                free(line);
                line = NULL;
            }
        }
    }
    pthread_mutex_unlock(&lock);
    free(key);
    return line;
}

struct peer_state *registry_peer(slice upstream, slice addr)
{
    return registry_line('p', upstream, addr, true);
}

bool registry_knows(slice upstream, slice addr)
{
    return registry_line('p', upstream, addr, false);
}

_Atomic uint32_t *registry_cursor(slice upstream, bool backup)
{
    return registry_line('c', upstream, backup ? SLICE("backup") : SLICE("primary"), true);
}
