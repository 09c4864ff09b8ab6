#include "proxy/location.h"

#include <string.h>

#include "base/attr.h"
#include "base/err.h"

/* A node stands for the text on the way to it. Children differ in the first byte of their label and are sorted by it.
 */
struct location_node {
    slice label;
    struct location_entry *exact, *prefix;
    struct location_node **child;
    unsigned char *first;
    unsigned n;
};

enum { NESTING_MAX = 64 }; /* CONF_MAX_DEPTH bounds it before */
enum { FILTER_MIN = 4 };   /* regular expressions for which a filter pays */

/* ---- building ---- */

static void tree_cleanup(struct gen_cleanup *c)
{
    map_done(&container_of(c, struct location_tree, cleanup)->named);
}

struct location_tree *location_tree_new(struct conf_ctx *cf)
{
    struct location_tree *t = arena_new(cf->arena, struct location_tree);
    if (!t)
        return NULL;
    t->root = arena_new(cf->arena, struct location_node);
    if (!t->root)
        return NULL;
    t->regexes_end = &t->regexes;
    map_init(&t->named, false);
    generation_cleanup(cf->gen, &t->cleanup, tree_cleanup);
    return t;
}

/* Index of the first child whose byte is not below c. */
static unsigned child_at(const struct location_node *n, unsigned char c)
{
    unsigned low = 0, high = n->n;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (n->first[mid] < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct location_node *child_of(const struct location_node *n, unsigned char c)
{
    unsigned i = child_at(n, c);
    return i < n->n && n->first[i] == c ? n->child[i] : NULL;
}

static bool child_add(struct arena *a, struct location_node *n, struct location_node *child)
{
    unsigned char c = (unsigned char)child->label.p[0];
    unsigned at = child_at(n, c);
    struct location_node **nodes = arena_new_n(a, struct location_node *, n->n + 1);
    unsigned char *first = arena_new_n(a, unsigned char, n->n + 1);
    if (!nodes || !first)
        return false;
    for (unsigned i = 0; i < n->n; i++) {
        nodes[i + (i >= at)] = n->child[i];
        first[i + (i >= at)] = n->first[i];
    }
    nodes[at] = child;
    first[at] = c;
    n->child = nodes;
    n->first = first;
    n->n++;
    return true;
}

static size_t common(slice a, slice b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n])
        n++;
    return n;
}

/* Cuts a node in two behind `at` bytes of its label; it keeps its address and becomes the upper half. */
static bool split(struct arena *a, struct location_node *n, size_t at)
{
    struct location_node *lower = arena_new(a, struct location_node);
    if (!lower)
        return false;
    *lower = *n;
    lower->label = slice_from(n->label, at);
    *n = (struct location_node){ .label = slice_upto(n->label, at) };
    return child_add(a, n, lower);
}

/* The node for the path, made if need be. */
static struct location_node *node_for(struct arena *a, struct location_node *n, slice path)
{
    while (path.n) {
        struct location_node *c = child_of(n, (unsigned char)path.p[0]);
        if (!c) {
            c = arena_new(a, struct location_node);
            if (!c)
                return NULL;
            c->label = path;
            return child_add(a, n, c) ? c : NULL;
        }
        size_t same = common(c->label, path);
        if (same < c->label.n && !split(a, c, same))
            return NULL;
        path = slice_from(path, same);
        n = c;
    }
    return n;
}

int location_tree_add(struct conf_ctx *cf, struct location_tree *t, enum location_kind kind, slice name,
                      struct location_entry *e)
{
    if (kind == LOCATION_REGEX) {
        *t->regexes_end = e;
        t->regexes_end = &e->next;
        return OK;
    }
    if (kind == LOCATION_NAMED)
        return map_put(&t->named, name, e);
    struct location_node *n = node_for(cf->arena, t->root, name);
    if (!n)
        return ERR_NOMEM;
    struct location_entry **place = kind == LOCATION_EXACT ? &n->exact : &n->prefix;
    if (*place)
        return ERR_REFUSED;
    *place = e;
    return OK;
}

int location_tree_finish(struct conf_ctx *cf, struct location_tree *t)
{
    unsigned n = 0;
    for (const struct location_entry *e = t->regexes; e && n < REGEX_FILTER_MAX; e = e->next)
        n++;
    if (n < FILTER_MIN)
        return OK;
    struct regex_pattern *patterns = arena_new_n(cf->arena, struct regex_pattern, n);
    t->filtered = arena_new_n(cf->arena, struct location_entry *, n);
    if (!patterns || !t->filtered)
        return ERR_NOMEM;
    for (struct location_entry *e = t->regexes; t->nfiltered < n; e = e->next) {
        patterns[t->nfiltered] = e->pattern;
        t->filtered[t->nfiltered++] = e;
    }
    t->filter = regex_filter_new(cf->arena, patterns, n);
    return t->filter ? OK : ERR_NOMEM;
}

/* ---- searching ---- */

/* The longest prefix among the entries, or the entry of exactly this path in *exact. */
static const struct location_entry *find_static(const struct location_tree *t, slice path,
                                                const struct location_entry **exact)
{
    const struct location_node *n = t->root;
    const struct location_entry *best = n->prefix;
    *exact = NULL;
    while (path.n) {
        n = child_of(n, (unsigned char)path.p[0]);
        if (!n || path.n < n->label.n || memcmp(path.p, n->label.p, n->label.n) != 0)
            return best;
        path = slice_from(path, n->label.n);
        if (n->prefix)
            best = n->prefix;
    }
    *exact = n->exact;
    return best;
}

bool location_tree_empty(const struct location_tree *t)
{
    return !t || (!t->regexes && !t->root->n && !t->root->exact && !t->root->prefix && t->named.count == 0);
}

bool location_tree_has(const struct location_tree *t, slice path)
{
    const struct location_node *n = t->root;
    while (path.n) {
        n = child_of(n, (unsigned char)path.p[0]);
        if (!n || !slice_starts(path, n->label))
            return false;
        path = slice_from(path, n->label.n);
    }
    return n->exact || n->prefix;
}

enum found { FOUND_NONE, FOUND_PREFIX, FOUND_FINAL };

static int find_level(const struct location_tree *t, struct exchange *x, slice path, unsigned depth,
                      const struct location **out);

/* FOUND_NONE when it does not match. */
static int try_regex(const struct location_entry *e, struct exchange *x, slice path, unsigned depth,
                     const struct location **out)
{
    int rc = match_exec(&e->match, x, path);
    if (rc == ERR_NOTFOUND)
        return FOUND_NONE;
    if (rc != OK)
        return rc;
    *out = e->loc;
    rc = e->nested ? find_level(e->nested, x, path, depth + 1, out) : FOUND_FINAL;
    return rc < 0 ? rc : FOUND_FINAL;
}

static int find_filtered(const struct location_tree *t, struct exchange *x, slice path, unsigned depth,
                         const struct location **out)
{
    uint64_t possible[REGEX_FILTER_WORDS];
    unsigned words = regex_filter_run(t->filter, path, possible);
    for (unsigned w = 0; w < words; w++) {
        for (uint64_t bits = possible[w]; bits; bits &= bits - 1) {
            int rc = try_regex(t->filtered[64 * w + (unsigned)__builtin_ctzll(bits)], x, path, depth, out);
            if (rc != FOUND_NONE)
                return rc;
        }
    }
    return FOUND_NONE;
}

static int find_regex(const struct location_tree *t, struct exchange *x, slice path, unsigned depth,
                      const struct location **out)
{
    const struct location_entry *e = t->regexes;
    if (t->filter) {
        int rc = find_filtered(t, x, path, depth, out);
        if (rc != FOUND_NONE)
            return rc;
        e = t->filtered[t->nfiltered - 1]->next; /* beyond what a filter takes */
    }
    for (; e; e = e->next) {
        int rc = try_regex(e, x, path, depth, out);
        if (rc != FOUND_NONE)
            return rc;
    }
    return FOUND_NONE;
}

/* enum found, or an error; *out is the best match so far. Nesting is bounded by the configuration's depth. */
static int find_level(const struct location_tree *t, struct exchange *x, slice path, unsigned depth,
                      const struct location **out)
{
    const struct location_entry *exact;
    if (depth > NESTING_MAX)
        return FOUND_NONE;
    const struct location_entry *best = find_static(t, path, &exact);
    if (exact) {
        *out = exact->loc;
        return FOUND_FINAL;
    }
    int rc = best ? FOUND_PREFIX : FOUND_NONE;
    if (best) {
        *out = best->loc;
        int inner = best->nested ? find_level(best->nested, x, path, depth + 1, out) : FOUND_NONE;
        if (inner < 0 || inner == FOUND_FINAL)
            return inner;
    }
    if (t->regexes && !(best && best->noregex)) {
        int regex = find_regex(t, x, path, depth, out);
        if (regex != FOUND_NONE)
            return regex;
    }
    return rc;
}

int location_find(const struct location_tree *t, struct exchange *x, slice path, const struct location **out)
{
    const struct location *found = NULL;
    int rc = find_level(t, x, path, 0, &found);
    if (rc < 0)
        return rc;
    if (!found)
        return ERR_NOTFOUND;
    *out = found;
    return OK;
}
