/* What the files of the schema share. */
#ifndef CONF_SCHEMA_PRIV_H
#define CONF_SCHEMA_PRIV_H

#include "conf/schema.h"

/* One directive of one feature; those of one name, which differ in context, are chained. */
struct schema_entry {
    const struct directive *directive;
    const struct feature *feature;
    unsigned index; /* in the schema: the bit in conf_scope.set */
    struct schema_entry *next;
};

/* Where it may stand, with what its feature says of all of its directives. */
static inline unsigned entry_contexts(const struct feature *f, const struct directive *d)
{
    return d->contexts | (f->forward && (d->contexts & CONF_SERVER) ? (unsigned)CONF_FORWARD : 0u);
}

/* Bytes that inheritance copies; 0: none. */
size_t directive_slot(const struct directive *d);
/* "http, server, location" */
void contexts_text(struct strb *b, unsigned contexts);
/* The context that a block of this name opens, CONF_MAIN for the empty name (the root); 0: none that is so called. */
unsigned context_of_block(slice name);
/* Usage, values and the like of a directive as lines of a hint, behind `first` (may be empty); in cf's arena. */
slice conf_hint(struct conf_ctx *cf, const struct conf_node *node, slice first);
/* The same for the directive that is being applied, if any. */
slice conf_usage(struct conf_ctx *cf);
/* As conf_error, with a line of hint before the usage. */
int conf_error_hint(struct conf_ctx *cf, const struct conf_node *node, int arg, slice hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Parses the arguments of a typed directive into its slot. OK, ERR_SYNTAX (reported) or ERR_NOMEM. */
int value_store(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node, void *slot);
/* Typed store and set function, as the directive's type asks for; `conf` is the feature's struct. */
int directive_run(struct conf_ctx *cf, const struct schema_entry *e, const struct conf_node *node, void *conf);

/* Which directive is being applied: set for the time that it is, so that blocks nest. */
struct conf_current {
    const struct schema_entry *entry;
    const struct conf_node *node;
};

static inline void conf_current_set(struct conf_ctx *cf, const struct schema_entry *e, const struct conf_node *node,
                                    struct conf_current *outer)
{
    *outer = (struct conf_current){ cf->entry, cf->node };
    cf->entry = e;
    cf->node = node;
}

static inline void conf_current_restore(struct conf_ctx *cf, const struct conf_current *outer)
{
    cf->entry = outer->entry;
    cf->node = outer->node;
}

static inline bool scope_is_set(const struct conf_scope *s, unsigned index)
{
    return s->set[index / 64] >> (index % 64) & 1;
}

static inline bool var_name_char(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '_';
}

#endif
