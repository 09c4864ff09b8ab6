/*
 * A generation: one configuration, compiled, immutable, shared by all workers.
 *
 * It is made on a loader thread from a closed bundle, swapped in by each worker, and freed when the last reference is
 * gone. References are counted per worker in plain integers (struct gen_ref) and per process in one atomic, so that an
 * exchange costs no atomic operation.
 */
#ifndef CONF_GENERATION_H
#define CONF_GENERATION_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "conf/schema.h"

struct generation {
    struct arena arena;
    struct bundle *bundle;
    struct conf_file *files; /* in the order that -T prints; texts belong to the bundle */
    void **main;             /* SCOPE_MAIN structs by feature id */
    uint32_t nvars;          /* slots of the per-exchange value table */
    uint64_t id;             /* counts up with every load */
    struct log log; /* error_log of the main context: what inner levels inherit (take its address at any time) */
    _Atomic uint32_t refs;
    struct list cleanups; /* struct gen_cleanup: what must be undone besides memory (regexes, registry references) */
};

/* Embedded in or allocated beside what it cleans up; run once, in reverse order, when the generation is freed. */
struct gen_cleanup {
    struct list link;
    void (*fn)(struct gen_cleanup *c);
};

/*
 * Compiles what the bundle holds: parses its main file (option "conf", or the text of option "conf-text") and the text
 * of option "g", applies the schema.
 * With an open bundle this also gathers everything it names. Returns OK with one reference, ERR_SYNTAX (diag says why)
 * or ERR_NOMEM. The generation keeps, and at its end frees, the bundle; on failure it stays the
 * caller's.
 */
int generation_compile(const struct schema *s, struct bundle *b, struct conf_diag *diag, struct generation **out);
void generation_ref(struct generation *g);
void generation_unref(struct generation *g);
/* During compilation, from a set or finish function (cf->gen). */
void generation_cleanup(struct generation *g, struct gen_cleanup *c, void (*fn)(struct gen_cleanup *));

/* One worker's hold on a generation. Made when the worker takes the generation, freed by the worker. */
struct gen_ref {
    struct generation *gen;
    uint32_t users; /* connections and exchanges of this worker */
    bool current;   /* new work takes this one */
    struct gen_ref *next;
    void (*idle)(struct gen_ref *r); /* called when users falls to 0 and it is no longer current */
};

static inline struct gen_ref *gen_use(struct gen_ref *r)
{
    r->users++;
    return r;
}

static inline void gen_drop(struct gen_ref *r)
{
    if (--r->users == 0 && !r->current)
        r->idle(r);
}

#endif
