#include "tls/worker.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "tls/ticket.h"

struct tls_worker *tls_worker_new(struct loop *loop)
{
    struct tls_worker *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    map_init(&w->contexts, false);
    map_init(&w->sessions, false);
    w->loop = loop;
    return w;
}

static void context_free(struct tls_context *c)
{
    SSL_CTX_free(c->ctx);
    free(c);
}

struct tls_worker *tls_worker_inner(struct tls_worker *w)
{
    if (!w->inner && (w->inner = tls_worker_new(w->loop)))
        w->inner->count = w->count;
    return w->inner;
}

static void free_one(struct tls_worker *w)
{
    for (size_t i = 0; i < w->contexts.cap; i++) {
        if (w->contexts.slots[i].value)
            context_free(w->contexts.slots[i].value);
    }
    map_done(&w->contexts);
    tls_sessions_clear(w);
    map_done(&w->sessions);
    free(w->in);
    free(w->out);
    free(w->gather);
    free(w);
}

void tls_worker_free(struct tls_worker *w)
{
    while (w) {
        struct tls_worker *inner = w->inner;
        free_one(w);
        w = inner;
    }
}

static bool buffers(struct tls_worker *w)
{
    if (w->in && w->out && w->gather)
        return true;
    if (!w->in)
        w->in = malloc(TLS_IN);
    if (!w->out && (w->out = malloc(TLS_OUT)))
        w->out_cap = TLS_OUT;
    if (!w->gather)
        w->gather = malloc(TLS_RECORD);
    return w->in && w->out && w->gather;
}

struct tls_context *tls_context_for(struct tls_worker *w, const char key[TLS_KEY], tls_make_fn make, const void *what)
{
    struct tls_context *t = map_get(&w->contexts, slice_of(key, TLS_KEY));
    if (t)
        return t;
    if (!buffers(w))
        return NULL;
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    memcpy(t->key, key, TLS_KEY);
    int rc = make(what, t);
    if (rc == ERR_NOMEM || map_put(&w->contexts, slice_of(t->key, TLS_KEY), t) != OK) {
        context_free(t);
        return NULL;
    }
    return t;
}

static int make_server(const void *what, struct tls_context *out)
{
    return tls_context_make(what, out);
}

struct tls_context *tls_context_of(struct tls_worker *w, const struct tls_conf *c)
{
    return tls_context_for(w, c->key, make_server, c);
}

static void sweep(struct tls_worker *w, const struct tls_main *all)
{
    struct map kept;
    map_init(&kept, false);
    for (size_t i = 0; i < w->contexts.cap; i++) {
        struct tls_context *t = w->contexts.slots[i].value;
        if (!t)
            continue;
        slice key = slice_of(t->key, TLS_KEY);
        if (!all || !map_get(&all->by_key, key) || map_put(&kept, key, t) != OK)
            context_free(t);
    }
    map_done(&w->contexts);
    w->contexts = kept;
}

void tls_worker_sweep(struct tls_worker *w, const struct tls_main *all)
{
    for (; w; w = w->inner)
        sweep(w, all);
}

void tls_error_text(char *dst, size_t n)
{
    unsigned long e = ERR_peek_error();
    char text[160];
    ERR_error_string_n(e, text, sizeof(text));
    if (e)
        snprintf(dst, n, "SSL: %s", text);
    else
        snprintf(dst, n, "SSL: no further reason");
    ERR_clear_error();
}
