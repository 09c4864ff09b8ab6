/*
 * The directive schema: one table per feature from which parsing, checks, error messages and the manual all come.
 *
 * A feature is a name, its directives, its variables, and the sizes of its configuration structs. A directive says in
 * which contexts it may stand, what arguments it takes, where its value goes, what it is when nobody sets it, and how
 * it is explained. Inheritance is generic: a value set at a level wins, else the outer level's is taken, else the
 * default, which is the very text that the manual prints. A child level that sets nothing of a feature shares its
 * parent's struct, so a thousand locations cost little.
 *
 * Arrays follow nginx's rule: a level that sets any of them starts a fresh one (a `set` function sees a zeroed slot the
 * first time at its level); a level that sets none inherits the whole.
 */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/slice.h"
#include "conf/diag.h"
#include "conf/tree.h"
#include "conf/var.h"

enum conf_context {
    CONF_MAIN = 1 << 0,
    CONF_EVENTS = 1 << 1,
    CONF_HTTP = 1 << 2,
    CONF_SERVER = 1 << 3,
    CONF_LOCATION = 1 << 4,
    CONF_UPSTREAM = 1 << 5,
    CONF_SERVER_IF = 1 << 6,    /* `if` of a server */
    CONF_LOCATION_IF = 1 << 7,  /* `if` of a location: a configuration of its own */
    CONF_LIMIT_EXCEPT = 1 << 8, /* likewise */
    CONF_FORWARD = 1 << 9,      /* a forward proxy; see feature.forward */
    CONF_PARENT = 1 << 10,      /* a parent of one; SCOPE_UPSTREAM too */
};

/* Which struct of a feature a directive writes to. */
enum conf_scope_kind {
    SCOPE_MAIN,     /* one per configuration */
    SCOPE_SERVER,   /* http and server level */
    SCOPE_LOCATION, /* http, server and location level */
    SCOPE_UPSTREAM, /* one per upstream block */
    SCOPE_KINDS,
};

enum conf_type {
    CONF_CUSTOM,   /* `set` does everything; `offset`/`size` name the slot that inheritance copies (size 0: none) */
    CONF_FLAG,     /* on | off -> bool */
    CONF_NUM,      /* uint64_t within min..max */
    CONF_SIZE,     /* uint64_t bytes */
    CONF_OFFSET,   /* uint64_t bytes, with g */
    CONF_MSEC,     /* uint64_t milliseconds */
    CONF_SEC,      /* uint64_t seconds */
    CONF_ENUM,     /* one of `values` -> uint32_t */
    CONF_BITS,     /* one or more of `values`, or-ed -> uint32_t */
    CONF_STRING,   /* slice */
    CONF_TEMPLATE, /* struct template */
    CONF_BLOCK,    /* `set` is called with the node and opens the block's context itself */
    CONF_TUNING,   /* nginx's tuning that means nothing here: accepted with one [warn]; `doc` says why */
};

struct conf_value {
    const char *name; /* NULL ends the list */
    uint32_t value;
};

struct conf_ctx;
struct schema_entry;

/* `conf` is the feature's struct for the directive's scope. Returns OK or the code that conf_error returned. */
typedef int (*conf_set_fn)(struct conf_ctx *cf, const struct conf_node *node, void *conf);

enum { CONF_ANY_ARGS = 255 };

struct directive {
    const char *name;
    unsigned contexts;
    uint8_t min_args, max_args; /* CONF_ANY_ARGS: no upper bound */
    enum conf_type type;
    enum conf_scope_kind scope;
    bool repeat;         /* may stand several times at one level (else: "directive is duplicate") */
    bool free_block;     /* the block's lines are data (types), not directives */
    size_t offset, size; /* of the slot; size may be 0 for typed slots */
    uint64_t min, max;   /* of numbers, sizes and times; max 0: none */
    const struct conf_value *values;
    const char *def; /* default as it would be written, arguments only ("60s", "8 4k"); NULL: none */
    /*
     * CONF_CUSTOM, CONF_BLOCK; for typed slots an optional check that runs after the store. It also gets the default,
     * at the outermost level, as a node without a place (pos.file NULL).
     */
    conf_set_fn set;
    const char *usage; /* "proxy_read_timeout TIME;" */
    const char *doc;   /* for the manual; plain sentences */
};

struct strb;

struct feature {
    const char *name;
    const char *doc;
    const struct directive *directives;
    size_t ndirectives;
    const struct var_def *vars;
    size_t nvars;
    size_t size[SCOPE_KINDS]; /* of the struct at each scope, 0: none */
    /*
     * Called once for each distinct struct after inheritance (parent NULL at the outermost level): checks that need
     * more than one directive, derived values. May be NULL. `node` is the block the scope belongs to. It is left out
     * where a directive of the feature was refused, so that an error is not followed by others that it causes; no
     * generation comes of that. A feature with checks that stand for themselves is called there too (finish_spoiled)
     * and looks at cf->spoiled.
     */
    int (*finish)(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent);
    bool finish_spoiled;
    bool forward; /* what may stand in a server block may stand in a forward block too */
    /*
     * May a level that sets nothing of the feature share the outer level's struct? NULL: always. For features whose
     * outer level says what inner ones get (add_header_inherit).
     */
    bool (*shared)(const void *outer);
    unsigned id;          /* dense; set by schema_init */
    unsigned first_index; /* of its directives in the schema; set by schema_init */
};

/* All features; made once at start from app/features.def and then only read. */
struct schema {
    struct feature *const *features;
    size_t nfeatures, ndirectives;
    struct map directives; /* name -> struct schema_entry chain */
    struct map vars;       /* plain names -> var_def; families are searched in order */
    struct arena arena;
};

/*
 * OK or ERR_NOMEM. Faults of a table (a name twice in one context, a slot outside its struct, a missing usage or doc)
 * are bugs of ours and asserted.
 */
int schema_init(struct schema *s, struct feature *const *features, size_t n);
void schema_done(struct schema *s);
/* docs/directives.md, whole. The same schema always gives the same bytes. */
int schema_manual(const struct schema *s, struct strb *out);

/* One level of inheritance: a struct per feature, each its own or its parent's. */
struct conf_scope {
    enum conf_scope_kind kind;
    const struct conf_node *node;
    struct conf_scope *parent; /* the outer level of the same kind, or NULL */
    void **conf;               /* by feature id */
    uint64_t *set;             /* bit per schema directive: set at this level */
    bool *spoiled;             /* by feature id: a line of it was refused here or around; filled by the merge */
    bool merged;
};

/* What every set function gets. */
struct conf_ctx {
    const struct schema *schema;
    struct arena *arena; /* of the generation: lives as long as the configuration does */
    struct bundle *bundle;
    struct conf_diag *diag;
    struct conf_scope *scope[SCOPE_KINDS]; /* current, innermost */
    enum conf_context context;
    struct map vars;                   /* name -> struct var, of this configuration */
    struct var *first_var, **last_var; /* in the order of their index */
    uint32_t nvars;
    struct var_source *first_source, **last_source; /* what var_derives was told */
    struct generation *gen;                         /* what the block handlers of higher rooms build; opaque here */
    /* The directive that is being applied; NULL outside of conf_apply. For the usage lines of errors. */
    const struct schema_entry *entry;
    const struct conf_node *node;
    struct map warned; /* names of CONF_TUNING directives seen */
    bool spoiled;      /* while finish runs: what it sees lacks a line that was refused */
    bool partial;      /* the files could not be read whole: what seems to be missing may be there */
};

/*
 * Ready for conf_apply in CONF_MAIN: the scope of SCOPE_MAIN is entered. Those of SCOPE_SERVER and SCOPE_LOCATION are
 * entered by the handler of the http block, those of SCOPE_UPSTREAM by that of each upstream block. OK or ERR_NOMEM;
 * conf_ctx_done is due in both cases. `gen` stays NULL.
 */
int conf_ctx_init(struct conf_ctx *cf, const struct schema *s, struct arena *a, struct bundle *b, struct conf_diag *d);
void conf_ctx_done(struct conf_ctx *cf);

/* A new level below cf->scope[kind]; NULL when out of memory. It becomes current; conf_scope_leave makes its parent so.
 */
struct conf_scope *conf_scope_enter(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node);
void conf_scope_leave(struct conf_ctx *cf, struct conf_scope *s);

/* The feature's struct at this level, made on first use while the level is being read. NULL when out of memory. */
void *conf_scope_own(struct conf_ctx *cf, struct conf_scope *s, const struct feature *f);

/*
 * Applies every directive of the block in the given context; errors are collected, so all lines are looked at. OK,
 * ERR_SYNTAX when some line was wrong (reported), or ERR_NOMEM at once. A value that was refused counts as not set.
 */
int conf_apply(struct conf_ctx *cf, const struct conf_node *block, enum conf_context context);

/*
 * Before anything is applied, for --lenient: moves what stands too far out into the http, server or location block that
 * is missing around it, and tells each repair. OK or ERR_NOMEM. (conf/lenient.c)
 */
int conf_lenient(struct conf_ctx *cf, struct conf_node *root);

/*
 * After everything was applied, with errors or without: inheritance and finish for the level, outer levels that are not
 * merged yet first. Doing it again changes nothing. OK, ERR_SYNTAX (reported) or ERR_NOMEM.
 */
int conf_scope_merge(struct conf_ctx *cf, struct conf_scope *s);

/* Was this directive written at this very level? */
bool conf_scope_has(const struct conf_ctx *cf, const struct conf_scope *s, const struct feature *f, size_t directive);

static inline void *conf_get(void *const *conf, const struct feature *f)
{
    return conf[f->id];
}

/*
 * Report and return ERR_SYNTAX. arg: index of the offending argument, or -1 for the directive itself. The usage line of
 * the directive is added as the hint.
 */
int conf_error(struct conf_ctx *cf, const struct conf_node *node, int arg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void conf_warn(struct conf_ctx *cf, const struct conf_node *node, int arg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
