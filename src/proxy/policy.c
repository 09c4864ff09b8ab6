#include "proxy/policy.h"

#include "base/err.h"

/* The struct of a policy's feature here, or NULL when it has none. */
static const void *conf_of(const struct policy *p, void *const *conf)
{
    return p->feature ? conf[p->feature->id] : NULL;
}

static bool active(const struct policy_entry *e, const struct location *l, void *const *outer)
{
    const struct policy *p = e->policy;
    const void *here = conf_of(p, l->conf);
    bool own_level = e->phase == PHASE_REWRITE || p->own_level;
    if (own_level && outer && here == conf_of(p, outer))
        return false;
    if (!p->active && !p->active_at)
        return true;
    return (p->active && p->active(here)) || (p->active_at && p->active_at(l));
}

enum use { USE_REQUEST, USE_RESPONSE, USE_END };

static bool has_use(const struct policy *p, enum use use)
{
    switch (use) {
    case USE_REQUEST:
        return p->on_request;
    case USE_RESPONSE:
        return p->on_response;
    case USE_END:
        return p->on_end;
    }
    return false;
}

static const struct policy_use no_policies[1];

/* The array for one use, ended by an empty entry. */
static const struct policy_use *build(struct arena *a, enum use use, const struct location *l, void *const *outer)
{
    size_t n = 0;
    for (size_t i = 0; i < policy_count; i++)
        n += has_use(policy_table[i].policy, use) && active(&policy_table[i], l, outer);
    if (n == 0)
        return no_policies;
    struct policy_use *uses = arena_new_n(a, struct policy_use, n + 1);
    if (!uses)
        return NULL;
    size_t at = 0;
    for (unsigned phase = 0; phase < PHASES; phase++) {
        for (size_t i = 0; i < policy_count; i++) {
            const struct policy_entry *e = &policy_table[i];
            if (e->phase != phase || !has_use(e->policy, use) || !active(e, l, outer))
                continue;
            uses[at++] = (struct policy_use){
                .policy = e->policy, .conf = conf_of(e->policy, l->conf), .phase = (uint8_t)phase, .number = (uint8_t)i
            };
        }
    }
    return uses;
}

int policies_build(struct arena *a, struct location *loc, void *const *outer)
{
    const struct policy_use *request = build(a, USE_REQUEST, loc, outer);
    const struct policy_use *response = build(a, USE_RESPONSE, loc, outer);
    const struct policy_use *end = build(a, USE_END, loc, outer);
    if (!request || !response || !end)
        return ERR_NOMEM;
    loc->policies = request;
    loc->response_policies = response;
    loc->end_policies = end;
    return OK;
}
