/*
 * Loading a configuration in the engine, on a thread of its own, so that a large one delays neither a signal nor the
 * watchdog; and the list of all generations that are alive (app/engine_priv.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/engine_priv.h"
#include "app/user.h"
#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/logs.h"

/* ---- generations alive ---- */

struct living {
    struct gen_cleanup cleanup;
    struct list link;
    struct generation *gen;
};

static pthread_mutex_t living_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list living = { &living, &living };
static unsigned living_count;

/* The last connection that began in the generation is gone: scripts wait for this line after a reload. */
static void bury(struct gen_cleanup *c)
{
    struct living *l = container_of(c, struct living, cleanup);
    pthread_mutex_lock(&living_lock);
    list_del(&l->link);
    unsigned left = --living_count;
    pthread_mutex_unlock(&living_lock);
    log_line(log_main, LEVEL_NOTICE, 0, "generation %llu exited with code 0, %u alive", (unsigned long long)l->gen->id,
             left);
    free(l);
}

static bool register_living(struct generation *g)
{
    struct living *l = malloc(sizeof(*l));
    if (!l)
        return false;
    l->gen = g;
    generation_cleanup(g, &l->cleanup, bury);
    pthread_mutex_lock(&living_lock);
    list_add_tail(&living, &l->link);
    living_count++;
    pthread_mutex_unlock(&living_lock);
    return true;
}

void engine_reopen(struct engine *e, slice path, int fd)
{
    pthread_mutex_lock(&living_lock);
    for (struct list *l = living.next; l != &living; l = l->next)
        logs_replace(list_entry(l, struct living, link)->gen->bundle, path, fd);
    pthread_mutex_unlock(&living_lock);
    logs_next_epoch();
    if (e->current)
        log_main_set(&e->current->log);
}

/* ---- one load ---- */

static void explain(struct engine_load *l, const struct conf_diag *d, int rc)
{
    const struct conf_message *m = d->first;
    while (m && m->severity != CONF_EMERG)
        m = m->next;
    if (!m)
        snprintf(l->why, sizeof(l->why), "%s", err_name(rc));
    else if (m->pos.file)
        snprintf(l->why, sizeof(l->why), "%.*s in %.*s:%u", SLICE_FMT(m->text), SLICE_FMT(m->pos.file->path),
                 m->pos.line);
    else
        snprintf(l->why, sizeof(l->why), "%.*s", SLICE_FMT(m->text));
}

static void compile(struct engine_load *l)
{
    struct arena messages;
    struct conf_diag diag;
    struct generation *g;
    arena_init(&messages, NULL, 0, 4096, 0);
    conf_diag_init(&diag, &messages);
    int rc = generation_compile(&l->engine->schema, l->bundle, &diag, &g);
    if (rc < 0) {
        explain(l, &diag, rc);
        bundle_free(l->bundle);
    } else {
        g->id = l->id;
        l->gen = g;
    }
    l->bundle = NULL; /* the generation's, or gone */
    arena_done(&messages);
    if (l->gen && !register_living(l->gen)) {
        snprintf(l->why, sizeof(l->why), "%s", err_name(ERR_NOMEM));
        generation_unref(l->gen);
        l->gen = NULL;
    }
}

static void *run(void *arg)
{
    struct engine_load *l = arg;
    pthread_setname_np(pthread_self(), "loader");
    compile(l);
    atomic_store(&l->finished, true);
    engine_notify(l->engine);
    return NULL;
}

/* The first bundle says who the engine is to be: it becomes so before it reads anything else. */
static int open_bundle(struct engine *e, struct bundle **out)
{
    struct control_transfer *t = &e->transfer;
    struct bundle *b;
    int rc = bundle_load(t->memfd, t->fds, t->want, &b);
    if (rc < 0)
        return rc;
    t->have = 0; /* the descriptors are the bundle's now */
    rc = e->dropped ? OK : user_drop(b);
    if (rc < 0) {
        log_line(log_main, LEVEL_EMERG, 0, "cannot become the engine's user (%d: %s)", errno, strerror(errno));
        bundle_free(b);
        return rc;
    }
    e->dropped = true;
    *out = b;
    return OK;
}

int engine_load_start(struct engine *e)
{
    struct engine_load *l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_NOMEM;
    l->engine = e;
    l->id = e->transfer.id;
    int rc = open_bundle(e, &l->bundle);
    control_transfer_done(&e->transfer);
    if (rc == OK && pthread_create(&l->thread, NULL, run, l) != 0)
        rc = ERR_SYS;
    if (rc < 0) {
        bundle_free(l->bundle);
        free(l);
        return rc;
    }
    e->load = l;
    return OK;
}

/* What was compiled stays with whoever took l->gen. */
void engine_load_free(struct engine_load *l)
{
    pthread_join(l->thread, NULL);
    free(l);
}
