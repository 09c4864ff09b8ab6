/*
 * The manual: docs/directives.md, from the same tables that read the configuration, so that it cannot be wrong about
 * names, defaults and contexts. In the order of the features and of their tables.
 */
#include "base/err.h"
#include "base/strb.h"
#include "conf/schema_priv.h"

static void add_values(struct strb *b, const struct conf_value *values)
{
    strb_lit(b, "- Values:");
    for (const struct conf_value *v = values; v->name; v++)
        strb_printf(b, "%s `%s`", v == values ? "" : ",", v->name);
    strb_lit(b, "\n");
}

static void add_directive(struct strb *b, const struct feature *f, const struct directive *d)
{
    strb_printf(b, "### %s\n\n- Syntax: `%s`\n", d->name, d->usage);
    if (d->def)
        strb_printf(b, "- Default: `%s%s%s;`\n", d->name, *d->def ? " " : "", d->def);
    else
        strb_lit(b, "- Default: none\n");
    strb_lit(b, "- Context: ");
    contexts_text(b, entry_contexts(f, d));
    strb_lit(b, "\n");
    if (d->type == CONF_ENUM || d->type == CONF_BITS)
        add_values(b, d->values);
    if (d->repeat && d->type != CONF_BLOCK)
        strb_lit(b, "- May stand several times at one level\n");
    strb_printf(b, "\n%s\n\n", d->doc);
}

static const char *known_words(enum var_known k)
{
    switch (k) {
    case VAR_REQUEST:
        return "as soon as the request is there";
    case VAR_ROUTE:
        return "once the location is chosen";
    case VAR_UPSTREAM:
        return "once a backend is chosen";
    case VAR_RESPONSE:
        return "once the answer's head is there";
    case VAR_END:
        break;
    }
    return "at the end of the exchange";
}

static void add_vars(struct strb *b, const struct feature *f)
{
    if (f->nvars)
        strb_lit(b, "### Variables\n\n");
    for (size_t i = 0; i < f->nvars; i++) {
        const struct var_def *v = &f->vars[i];
        strb_printf(b, "- `$%s%s`: %s Known %s.\n", v->name, v->prefix ? "NAME" : "", v->doc, known_words(v->known));
    }
    if (f->nvars)
        strb_lit(b, "\n");
}

/* Lines of nginx's that are accepted and say nothing here. */
static void add_tuning(struct strb *b, const struct feature *f)
{
    bool any = false;
    for (size_t i = 0; i < f->ndirectives; i++) {
        const struct directive *d = &f->directives[i];
        if (d->type != CONF_TUNING)
            continue;
        if (!any)
            strb_lit(b, "### Accepted without effect\n\n");
        any = true;
        strb_printf(b, "- `%s`: %s\n", d->name, d->doc);
    }
    if (any)
        strb_lit(b, "\n");
}

int schema_manual(const struct schema *s, struct strb *out)
{
    strb_lit(out, "# Directives\n\nMade from the tables that read the configuration; not to be edited. "
                  "Sizes, times and the language itself are nginx's.\n\n");
    for (size_t i = 0; i < s->nfeatures; i++) {
        const struct feature *f = s->features[i];
        strb_printf(out, "## %s\n\n%s\n\n", f->name, f->doc);
        for (size_t k = 0; k < f->ndirectives; k++) {
            if (f->directives[k].type != CONF_TUNING)
                add_directive(out, f, &f->directives[k]);
        }
        add_vars(out, f);
        add_tuning(out, f);
    }
    return out->failed ? ERR_NOMEM : OK;
}
