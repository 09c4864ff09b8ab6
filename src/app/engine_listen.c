/*
 * The engine's listening sockets (app/engine_priv.h).
 *
 * Every bundle brings all sockets of all its addresses, in the order in which the master made them. Those of an address
 * that was there before are the very same sockets under new numbers: the old numbers are kept, because workers wait on
 * them, and only what has been added since is taken.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/engine_priv.h"
#include "base/err.h"
#include "conf/bundle.h"

static struct engine_listener *find(struct engine *e, slice key)
{
    for (struct engine_listener *l = e->listeners; l; l = l->next) {
        if (slice_eq(l->key, key))
            return l;
    }
    return NULL;
}

static struct engine_listener *add(struct engine *e, slice key)
{
    struct addr addr;
    if (addr_parse(key, &addr) < 0)
        return NULL;
    struct engine_listener *l = calloc(1, sizeof(*l) + key.n + 1);
    if (!l)
        return NULL;
    memcpy(l + 1, key.p, key.n);
    l->key = slice_of((char *)(l + 1), key.n);
    l->addr = addr;
    l->shared = addr.sa.sa_family == AF_UNIX;
    l->next = e->listeners;
    e->listeners = l;
    return l;
}

static int take_sockets(struct engine_listener *l, struct bundle_entry *b)
{
    if (b->nfds > l->nfds) {
        int *fds = realloc(l->fds, b->nfds * sizeof(int));
        if (!fds)
            return ERR_NOMEM;
        l->fds = fds;
    }
    for (uint32_t i = 0; i < b->nfds; i++) {
        if (i < l->nfds)
            close(b->fds[i]);
        else
            l->fds[l->nfds++] = b->fds[i];
    }
    b->nfds = 0; /* the bundle has none any more */
    return OK;
}

int engine_listeners_join(struct engine *e, struct generation *g)
{
    for (struct engine_listener *l = e->listeners; l; l = l->next)
        l->wanted = false;
    for (struct bundle_entry *b = bundle_first(g->bundle); b; b = b->next) {
        if (b->kind != BUNDLE_LISTEN)
            continue;
        struct engine_listener *l = find(e, b->key);
        if (!l && !(l = add(e, b->key)))
            return ERR_NOMEM;
        if (take_sockets(l, b) < 0)
            return ERR_NOMEM;
        l->wanted = true;
    }
    return OK;
}

void engine_listeners_close(struct engine *e, bool all)
{
    for (struct engine_listener **at = &e->listeners; *at;) {
        struct engine_listener *l = *at;
        if (l->wanted && !all) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        for (uint32_t i = 0; i < l->nfds; i++)
            close(l->fds[i]);
        free(l->fds);
        free(l);
    }
}

bool engine_listener_mine(const struct engine *e, const struct engine_listener *l, uint32_t i, unsigned index)
{
    return l->shared || i % e->nworkers == index;
}
