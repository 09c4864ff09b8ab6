/*
 * Locations of one level (a server's, or those nested in a location), compiled for searching.
 *
 * Prefixes and exact paths are in a radix tree: a search walks the path once, whatever the number of locations, and
 * allocates nothing. Regular expressions are tried in the order they were written; those that
 * cannot match are passed over by a filter.
 */
#ifndef PROXY_LOCATION_H
#define PROXY_LOCATION_H

#include "base/map.h"
#include "base/regex_filter.h"
#include "conf/generation.h"
#include "http/match.h"
#include "http/route.h"

/* LOCATION_INSIDE: a block that gives some requests of the level around it another configuration (`if`,
 * `limit_except`); it is never searched for. */
enum location_kind { LOCATION_BASE, LOCATION_PREFIX, LOCATION_EXACT, LOCATION_REGEX, LOCATION_NAMED, LOCATION_INSIDE };

struct location_tree;

/* A location as the search sees it. */
struct location_entry {
    const struct location *loc;
    struct location_tree *nested; /* NULL: none */
    struct match match;           /* LOCATION_REGEX */
    struct regex_pattern pattern; /* LOCATION_REGEX, as written */
    bool noregex;                 /* ^~ */
    struct location_entry *next;  /* regular expressions, in order */
};

struct location_node;

struct location_tree {
    struct location_node *root;
    struct location_entry *regexes, **regexes_end;
    struct location_entry **filtered; /* the first nfiltered of them, by their number in the filter */
    unsigned nfiltered;
    struct regex_filter *filter; /* NULL: they are too few */
    struct map named;            /* "name" without '@' -> struct location_entry */
    struct gen_cleanup cleanup;
};

/* In the generation's arena, freed with it; NULL when out of memory. */
struct location_tree *location_tree_new(struct conf_ctx *cf);
/* OK, ERR_REFUSED (there is one of that name and kind), ERR_NOMEM. `name` lives as long as the tree. */
int location_tree_add(struct conf_ctx *cf, struct location_tree *t, enum location_kind kind, slice name,
                      struct location_entry *e);
/* When all were added. OK or ERR_NOMEM. */
int location_tree_finish(struct conf_ctx *cf, struct location_tree *t);
/* Nothing to search (NULL: neither). */
bool location_tree_empty(const struct location_tree *t);
/* Is there a location = or prefix of exactly that path? */
bool location_tree_has(const struct location_tree *t, slice path);

/*
 * nginx's rule ("location" of its manual): an exact match ends the search; else the longest prefix is remembered, and
 * what is nested in it is searched the same way; then, unless that prefix has ^~ or something nested ended the search,
 * the first matching regular expression of this level wins, and what is nested in it is searched. Sets captures in x
 * (which may be NULL when there are no regular expressions).
 * OK with *out, ERR_NOTFOUND (nothing matches), ERR_LIMIT or ERR_NOMEM (an expression could not be tried).
 */
int location_find(const struct location_tree *t, struct exchange *x, slice path, const struct location **out);

/* What struct server.locations points to. */
struct server_locations {
    struct location_tree *tree;
    const struct location *none;   /* no location matches: the server level, without its rewrite rules, which ran */
    const struct location *failed; /* the search could not be done: answers 500 */
};

/* The location of a decoded path; sets x->pass.captures for a regular expression. Never NULL. (proxy/router.c) */
const struct location *route_location(const struct server *s, struct exchange *x, slice uri);
/* The named location, with or without '@', or NULL. (proxy/router.c) */
const struct location *route_named_location(const struct server *s, slice name);

#endif
