#include "http/match.h"

#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/regex_proof.h"
#include "conf/bundle.h"
#include "conf/generation.h"

struct match_cleanup {
    struct gen_cleanup cleanup;
    struct regex *regex;
};

static void cleanup(struct gen_cleanup *c)
{
    regex_free(container_of(c, struct match_cleanup, cleanup)->regex);
}

static int declare_names(struct conf_ctx *cf, const struct conf_node *node, int arg, struct match *m)
{
    slice name;
    unsigned group, n = 0;
    while (regex_name(m->regex, n, &name, &group))
        n++;
    if (n == 0)
        return OK;
    m->names = arena_new_n(cf->arena, struct match_name, n);
    if (!m->names)
        return ERR_NOMEM;
    size_t errors = cf->diag->errors;
    for (unsigned i = 0; i < n; i++) {
        slice own;
        regex_name(m->regex, i, &name, &group);
        if (!arena_dup(cf->arena, name, &own))
            return ERR_NOMEM;
        struct var *v = var_declare(cf, own, &node->args[arg]);
        if (!v)
            return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
        v->client = true;
        m->names[i] = (struct match_name){ v, group };
    }
    m->nnames = n;
    return OK;
}

/* For -t, start and reload: an engine's bundle was looked at before. */
static void warn_of_explosion(struct conf_ctx *cf, const struct conf_node *node, int arg, slice pattern,
                              const struct regex *r)
{
    char attack[REGEX_ATTACK_MAX];
    size_t n;
    if (bundle_closed(cf->bundle) || !regex_explodes(r, pattern, attack, &n))
        return;
    conf_diag_add(
        cf->diag, CONF_WARN, node->args[arg].pos,
        SLICE("a group that repeats holds something that repeats or chooses: say what separates its turns, or "
              "make it possessive"),
        "\"%.*s\" takes exponentially long on some requests (%zu bytes are enough), which will fail",
        SLICE_FMT(pattern), n);
}

int match_compile(struct conf_ctx *cf, const struct conf_node *node, int arg, slice pattern, bool icase,
                  struct match *out)
{
    char why[160] = "";
    size_t at = 0;
    struct match m = { 0 };
    struct match_cleanup *c = arena_new(cf->arena, struct match_cleanup);
    if (!c)
        return ERR_NOMEM;
    int rc = regex_new(pattern, icase, &m.regex, why, sizeof(why), &at);
    if (rc == ERR_SYNTAX) {
        slice rest = slice_from(pattern, at);
        if (rest.n == 0)
            return conf_error(cf, node, arg, "pcre2_compile() failed: %s in \"%.*s\"", why, SLICE_FMT(pattern));
        return conf_error(cf, node, arg, "pcre2_compile() failed: %s in \"%.*s\" at \"%.*s\"", why, SLICE_FMT(pattern),
                          SLICE_FMT(rest));
    }
    if (rc != OK)
        return rc;
    c->regex = m.regex;
    generation_cleanup(cf->gen, &c->cleanup, cleanup);
    warn_of_explosion(cf, node, arg, pattern, m.regex);
    rc = declare_names(cf, node, arg, &m);
    if (rc == OK)
        *out = m;
    return rc;
}

int match_exec(const struct match *m, struct exchange *x, slice subject)
{
    slice captures[REGEX_GROUPS];
    int n = regex_match(m->regex, subject, captures, REGEX_GROUPS);
    if (n < 0)
        return n;
    if (!x) /* only whether it matches is asked */
        return OK;
    x->pass.ncaptures = (uint8_t)(n < REGEX_CAPTURES ? n : REGEX_CAPTURES);
    memcpy(x->pass.captures, captures, x->pass.ncaptures * sizeof(slice));
    for (unsigned i = 0; i < m->nnames; i++) {
        unsigned g = m->names[i].group;
        slice value = g < (unsigned)n ? captures[g] : SLICE_NONE;
        if (!exchange_var_set(x, m->names[i].var, value))
            return ERR_NOMEM;
    }
    return OK;
}
