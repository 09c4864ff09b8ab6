#include "conf/generation.h"

#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"

enum { GENERATION_CHUNK = 64 << 10 };

static struct generation *generation_new(void)
{
    struct generation *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    arena_init(&g->arena, NULL, 0, GENERATION_CHUNK, 0);
    list_init(&g->cleanups);
    atomic_store(&g->refs, 1);
    return g;
}

static void run_cleanups(struct generation *g)
{
    while (!list_empty(&g->cleanups)) {
        struct gen_cleanup *c = list_entry(g->cleanups.next, struct gen_cleanup, link);
        list_del(&c->link);
        c->fn(c);
    }
}

static void generation_free(struct generation *g)
{
    run_cleanups(g);
    if (g->bundle)
        bundle_free(g->bundle);
    arena_done(&g->arena);
    free(g);
}

/* The main context's text: the built-in one when the command line asked for it, else the file; then the text of -g. */
static int parse_all(struct conf_ctx *cf, struct conf_node *roots[2])
{
    struct bundle *b = cf->bundle;
    slice text = bundle_option(b, SLICE("conf-text")), more = bundle_option(b, SLICE("g"));
    int rc = text.n ? conf_parse_text(cf->arena, b, cf->diag, SLICE("built-in configuration"), text, &roots[0])
                    : conf_parse(cf->arena, b, cf->diag, bundle_option(b, SLICE("conf")), &roots[0], &cf->gen->files);
    if (rc < 0 && rc != ERR_SYNTAX)
        return rc;
    if (more.n) {
        int rc2 = conf_parse_text(cf->arena, b, cf->diag, SLICE("command line"), more, &roots[1]);
        rc = rc2 < 0 ? rc2 : rc;
    }
    return rc;
}

/* Everything is done even after an error, so that a user is told all that is wrong at once. */
static int build(struct conf_ctx *cf)
{
    struct conf_node *roots[2] = { NULL, NULL };
    int rc = parse_all(cf, roots);
    if (roots[0] && bundle_option(cf->bundle, SLICE("lenient")).n && conf_lenient(cf, roots[0]) < 0)
        return ERR_NOMEM;
    cf->partial = rc != OK;
    for (size_t i = array_len(roots); i-- > 0 && rc != ERR_NOMEM;) {
        int applied = roots[i] ? conf_apply(cf, roots[i], CONF_MAIN) : OK;
        rc = applied < 0 ? applied : rc;
    }
    if (rc != ERR_NOMEM && !cf->partial) {
        int merged = conf_scope_merge(cf, cf->scope[SCOPE_MAIN]);
        rc = merged < 0 ? merged : rc;
    }
    if (rc != ERR_NOMEM && vars_check(cf) < 0)
        rc = ERR_SYNTAX;
    return rc == OK && cf->diag->errors ? ERR_SYNTAX : rc;
}

int generation_compile(const struct schema *s, struct bundle *b, struct conf_diag *diag, struct generation **out)
{
    struct generation *g = generation_new();
    if (!g)
        return ERR_NOMEM;
    struct conf_ctx cf;
    int rc = conf_ctx_init(&cf, s, &g->arena, b, diag);
    if (rc == OK) {
        cf.gen = g;
        cf.context = CONF_MAIN;
        rc = build(&cf);
        g->nvars = cf.nvars;
        g->main = cf.scope[SCOPE_MAIN] ? cf.scope[SCOPE_MAIN]->conf : NULL;
        conf_ctx_done(&cf);
    }
    if (rc < 0) {
        generation_free(g); /* the bundle is not in it yet: it stays the caller's */
        return rc;
    }
    g->bundle = b;
    *out = g;
    return OK;
}

void generation_ref(struct generation *g)
{
    atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
}

void generation_unref(struct generation *g)
{
    if (atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) == 1)
        generation_free(g);
}

/* The newest stands first: cleanups run in reverse order. */
void generation_cleanup(struct generation *g, struct gen_cleanup *c, void (*fn)(struct gen_cleanup *))
{
    c->fn = fn;
    list_add(&g->cleanups, &c->link);
}
