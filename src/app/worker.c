#include "app/worker.h"

#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/core.h"
#include "app/engine_priv.h"
#include "base/attr.h"
#include "base/err.h"
#include "loop/job_pool.h"

enum { PAGES_BATCH = 64 };

uint64_t worker_connection_number(void)
{
    static _Atomic uint64_t last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

/* ---- generations ---- */

static struct worker_ref *whole(struct gen_ref *r)
{
    return container_of(r, struct worker_ref, ref);
}

static void free_ref(struct worker_ref *r)
{
    timer_drop(&r->thread->w.loop, &r->cut);
    generation_unref(r->ref.gen);
    free(r);
}

static void reap_ref(struct reap *reap)
{
    struct worker_ref *r = container_of(reap, struct worker_ref, reap);
    for (struct gen_ref **at = &r->thread->refs; *at; at = &(*at)->next) {
        if (*at != &r->ref)
            continue;
        *at = r->ref.next;
        break;
    }
    free_ref(r);
}

/* A draining worker is done when nobody holds any generation through it. */
static void end_if_idle(struct worker_thread *t)
{
    if (!t->w.draining)
        return;
    for (struct gen_ref *r = t->refs; r; r = r->next) {
        if (r->users)
            return;
    }
    loop_stop(&t->w.loop);
}

/* The caller is about to leave code that may still read the generation, hence the end of the turn. */
static void ref_idle(struct gen_ref *r)
{
    struct worker_ref *ref = whole(r);
    struct worker_thread *t = ref->thread;
    if (r != t->w.gen && !ref->leaving) {
        ref->leaving = true;
        loop_reap(&t->w.loop, &ref->reap, reap_ref);
    }
    end_if_idle(t);
}

static void cut_now(struct timer *timer)
{
    struct worker_ref *r = container_of(timer, struct worker_ref, cut);
    struct worker_thread *t = r->thread;
    const struct app *app = t->engine->app;
    for (size_t i = 0; i < app->nrooms; i++) {
        if (app->rooms[i]->cut)
            app->rooms[i]->cut(&t->w, &r->ref);
    }
}

/* No new work for this generation; what it has may take as long as worker_shutdown_timeout allows. */
static void retire_ref(struct gen_ref *r)
{
    struct worker_ref *ref = whole(r);
    uint64_t limit = core_conf(r->gen)->shutdown_timeout;
    r->current = false;
    if (r->users == 0)
        ref_idle(r);
    else if (limit)
        timer_set(&ref->thread->w.loop, &ref->cut, limit);
}

static struct gen_ref *new_ref(struct worker_thread *t, struct generation *g)
{
    struct worker_ref *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    generation_ref(g);
    r->ref = (struct gen_ref){ .gen = g, .current = true, .next = t->refs, .idle = ref_idle };
    r->thread = t;
    timer_init(&r->cut, cut_now);
    t->refs = &r->ref;
    return &r->ref;
}

/* ---- listeners ---- */

static const struct engine_listener *wanted(const struct engine *e, slice key)
{
    for (const struct engine_listener *l = e->listeners; l; l = l->next) {
        if (l->wanted && slice_eq(l->key, key))
            return l;
    }
    return NULL;
}

static struct listener *accepting(struct worker_thread *t, int fd)
{
    for (struct listener *l = t->listeners; l; l = l->next) {
        if (l->io.fd == fd)
            return l;
    }
    return NULL;
}

/* Queues of addresses that go are emptied in the generation that still knows them. */
static void leave_addresses(struct worker_thread *t)
{
    for (struct listener *l = t->listeners, *next; l; l = next) {
        next = l->next;
        if (!wanted(t->engine, l->key))
            accept_close(t, l, true);
    }
}

static int open_mine(struct worker_thread *t, const struct engine_listener *el)
{
    for (uint32_t i = 0; i < el->nfds; i++) {
        if (!engine_listener_mine(t->engine, el, i, t->w.index))
            continue;
        struct listener *l = accepting(t, el->fds[i]);
        if (!l && !(l = accept_open(t, el->key, &el->addr, el->fds[i])))
            return ERR_NOMEM;
        l->wanted = true;
    }
    return OK;
}

/* Takes on what is this worker's share now, gives up what is another's, and looks all of them up in the generation. */
static int share_listeners(struct worker_thread *t)
{
    const struct room_hooks *server = app_server_room(t->engine->app);
    for (struct listener *l = t->listeners; l; l = l->next)
        l->wanted = false;
    for (const struct engine_listener *el = t->engine->listeners; el; el = el->next) {
        if (el->wanted && open_mine(t, el) < 0)
            return ERR_NOMEM;
    }
    for (struct listener *l = t->listeners, *next; l; l = next) {
        next = l->next;
        if (!l->wanted)
            accept_close(t, l, false);
        else if (server && server->listener_conf)
            l->conf = server->listener_conf(t->w.gen->gen, l->key);
    }
    return OK;
}

/* ---- CPUs ---- */

static bool in_mask(const struct core_affinity *a, uint64_t mask, unsigned cpu)
{
    return a->n == 0 || (cpu < 64 && (mask >> cpu & 1));
}

/* The CPUs that the configuration gives this worker, out of those that the process may use. */
static void choose_cpus(const struct worker_thread *t, const struct core_affinity *a, const cpu_set_t *allowed,
                        cpu_set_t *out)
{
    uint64_t mask = a->n ? a->masks[t->w.index < a->n ? t->w.index : a->n - 1] : 0;
    unsigned count = 0, seen = 0;
    CPU_ZERO(out);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && in_mask(a, mask, cpu)) {
            CPU_SET(cpu, out);
            count++;
        }
    }
    for (unsigned cpu = 0; a->automatic && count && cpu < CPU_SETSIZE; cpu++) { /* one of them alone */
        if (CPU_ISSET(cpu, out) && seen++ != t->w.index % count)
            CPU_CLR(cpu, out);
    }
}

static void bind_to_cpus(struct worker_thread *t, const struct core_affinity *a)
{
    cpu_set_t allowed, set;
    bool named = a->automatic || a->n;
    if ((!named && !t->bound) || sched_getaffinity(getpid(), sizeof(allowed), &allowed) < 0)
        return;
    set = allowed;
    if (named)
        choose_cpus(t, a, &allowed, &set);
    t->bound = named;
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0)
        log_line(log_main, LEVEL_WARN, 0, "worker %u could not be bound to its CPUs", t->w.index);
}

/* ---- letters ---- */

static void take(struct worker_thread *t, struct generation *g)
{
    const struct app *app = t->engine->app;
    struct gen_ref *old = t->w.gen, *ref = new_ref(t, g);
    if (!ref)
        goto failed;
    leave_addresses(t);
    t->w.gen = ref;
    t->w.max_connections = core_conf(g)->worker_connections;
    t->w.budget.limit = core_conf(g)->body_memory;
    for (size_t i = 0; old && i < app->nrooms; i++) {
        if (app->rooms[i]->gen_changed)
            app->rooms[i]->gen_changed(&t->w);
    }
    if (share_listeners(t) < 0)
        goto failed;
    bind_to_cpus(t, &core_conf(g)->affinity);
    if (old)
        retire_ref(old);
    return;
failed:
    atomic_store(&t->failed, true);
}

static void on_take(struct loop *l, struct mail *m)
{
    struct worker_thread *t = container_of(m, struct worker_thread, take);
    (void)l;
    take(t, t->taking);
    engine_ack(t->engine);
}

void worker_take(struct worker_thread *t, struct generation *g)
{
    t->taking = g;
    loop_mail(&t->w.loop, &t->take, on_take);
}

static void on_quit(struct loop *l, struct mail *m)
{
    struct worker_thread *t = container_of(m, struct worker_thread, quit);
    const struct app *app = t->engine->app;
    (void)l;
    if (t->w.draining)
        return;
    t->w.draining = true;
    t->w.leaving = !t->empty_queues;
    while (t->listeners)
        accept_close(t, t->listeners, t->empty_queues);
    for (size_t i = 0; i < app->nrooms; i++) {
        if (app->rooms[i]->drain)
            app->rooms[i]->drain(&t->w);
    }
    retire_ref(t->w.gen);
    engine_ack(t->engine);
}

void worker_quit(struct worker_thread *t, bool empty)
{
    t->retiring = true;
    t->empty_queues = empty;
    loop_mail(&t->w.loop, &t->quit, on_quit);
}

static void on_stop(struct loop *l, struct mail *m)
{
    (void)m;
    loop_stop(l);
}

void worker_stop(struct worker_thread *t)
{
    t->retiring = true;
    loop_mail(&t->w.loop, &t->stop, on_stop);
}

/* ---- the thread ---- */

static int init_rooms(struct worker_thread *t)
{
    const struct app *app = t->engine->app;
    for (size_t i = 0; i < app->nrooms; i++) {
        int rc = app->rooms[i]->init ? app->rooms[i]->init(&t->w) : OK;
        if (rc < 0) {
            log_line(log_main, LEVEL_CRIT, 0, "worker %u: %s: %s", t->w.index, app->rooms[i]->name, err_name(rc));
            while (i-- > 0) {
                if (app->rooms[i]->done)
                    app->rooms[i]->done(&t->w);
            }
            return rc;
        }
    }
    return OK;
}

static void done_rooms(struct worker_thread *t)
{
    const struct app *app = t->engine->app;
    for (size_t i = app->nrooms; i-- > 0;) {
        if (app->rooms[i]->done)
            app->rooms[i]->done(&t->w);
    }
}

static void *run(void *arg)
{
    struct worker_thread *t = arg;
    char name[16];
    snprintf(name, sizeof(name), "worker %u", t->w.index);
    pthread_setname_np(pthread_self(), name);
    bind_to_cpus(t, &core_conf(t->taking)->affinity);
    t->w.gen = new_ref(t, t->taking);
    if (!t->w.gen || init_rooms(t) < 0) {
        atomic_store(&t->failed, true);
        engine_ack(t->engine);
    } else {
        t->w.max_connections = core_conf(t->taking)->worker_connections;
        t->w.budget.limit = core_conf(t->taking)->body_memory;
        if (share_listeners(t) < 0)
            atomic_store(&t->failed, true);
        engine_ack(t->engine);
        loop_run(&t->w.loop);
        while (t->listeners)
            accept_close(t, t->listeners, false);
        done_rooms(t);
        job_leave(&t->w.loop);
    }
    loop_reap_now(&t->w.loop); /* there is no further turn whose end would do it */
    accept_free(t);
    atomic_store(&t->ended, true);
    engine_notify(t->engine);
    return NULL;
}

static struct worker_thread *make(struct engine *e, unsigned index, struct generation *g)
{
    struct worker_thread *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->engine = e;
    t->taking = g;
    t->w.index = index;
    slab_init(&t->w.pages, EXCHANGE_PAGE, PAGES_BATCH);
    if (scratch_init(&t->w.scratch, SCRATCH_SIZE) < 0)
        goto no_scratch;
    if (loop_init(&t->w.loop) < 0)
        goto no_loop;
    t->w.loop.owner = &t->w;
    worker_list(&t->w);
    return t;
no_loop:
    scratch_done(&t->w.scratch);
no_scratch:
    free(t);
    return NULL;
}

static void destroy(struct worker_thread *t)
{
    worker_unlist(&t->w);
    while (t->refs) {
        struct gen_ref *r = t->refs;
        t->refs = r->next;
        free_ref(whole(r));
    }
    loop_done(&t->w.loop);
    scratch_done(&t->w.scratch);
    slab_done(&t->w.pages);
    free(t);
}

struct worker_thread *worker_start(struct engine *e, unsigned index, struct generation *g)
{
    struct worker_thread *t = make(e, index, g);
    if (!t)
        return NULL;
    if (pthread_create(&t->thread, NULL, run, t) == 0)
        return t;
    destroy(t);
    return NULL;
}

void worker_free(struct worker_thread *t)
{
    pthread_join(t->thread, NULL);
    destroy(t);
}
