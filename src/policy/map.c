/*
 * map: a variable whose value is looked up by another text (ngx_http_map_module of nginx's manual).
 *
 * Keys are found by hash, so that a hundred thousand cost what one costs; with `hostnames` they may be masks; regular
 * expressions are tried after them, in order, and set captures, which values may use.
 */
#include "policy/derived.h"

#include "base/attr.h"
#include "base/err.h"
#include "conf/generation.h"
#include "http/masks.h"
#include "http/match.h"

/* A line; its value is the text as written unless it holds variables. */
struct map_entry {
    const struct conf_node *line;
    const struct template *value;
};

struct map_regex {
    struct match match;
    struct map_entry entry;
    struct map_regex *next;
};

struct map_block {
    struct derived derived; /* first */
    struct template key;
    struct masks keys; /* -> struct map_entry */
    struct map_regex *regexes, **regexes_end;
    struct map_entry fallback; /* `default`; line NULL: the empty text */
    bool hostnames;
    struct gen_cleanup cleanup;
};

/* ---- asking ---- */

static const struct map_entry *find_regex(struct exchange *x, const struct map_block *m, slice key)
{
    for (const struct map_regex *r = m->regexes; r; r = r->next) {
        int rc = match_exec(&r->match, x, key);
        if (rc == OK)
            return &r->entry;
        if (rc != ERR_NOTFOUND) {
            exchange_log(x, LEVEL_ERROR, "\"%.*s\" gave up on \"%.*s\"", SLICE_FMT(r->entry.line->name),
                         SLICE_FMT(key));
            return NULL;
        }
    }
    return NULL;
}

static int find(struct exchange *x, const struct derived *d, slice *out)
{
    const struct map_block *m = container_of(d, struct map_block, derived);
    slice key;
    int rc = exchange_eval(x, &m->key, &key);
    if (rc != OK)
        return rc;
    if (m->hostnames && slice_ends(key, SLICE(".")))
        key = slice_upto(key, key.n - 1);
    const struct map_entry *e = masks_find(&m->keys, key);
    if (!e && key.n)
        e = find_regex(x, m, key);
    if (!e)
        e = &m->fallback;
    exchange_trace(x, e->line ? &e->line->pos : &d->pos, "map of \"%.*s\": %.*s", SLICE_FMT(key),
                   SLICE_FMT(e->line ? e->line->name : SLICE("no line, no default")));
    if (e->value)
        return exchange_eval(x, e->value, out);
    *out = e->line ? e->line->args[0].text : SLICE("");
    return OK;
}

/* ---- reading ---- */

static int read_value(struct conf_ctx *cf, struct map_block *m, const struct conf_node *line, struct map_entry *e)
{
    struct template *t;
    *e = (struct map_entry){ .line = line };
    if (slice_find(line->args[0].text, '$') < 0)
        return OK;
    t = arena_new(cf->arena, struct template);
    if (!t)
        return ERR_NOMEM;
    e->value = t;
    int rc = template_compile(cf, &line->args[0], t);
    return rc == OK ? derived_from(cf, &m->derived, t, true) : rc;
}

static int read_regex(struct conf_ctx *cf, struct map_block *m, const struct conf_node *line)
{
    struct map_regex *r = arena_new(cf->arena, struct map_regex);
    bool icase = slice_starts(line->name, SLICE("~*"));
    if (!r)
        return ERR_NOMEM;
    int rc = match_compile(cf, line, 0, slice_from(line->name, icase ? 2 : 1), icase, &r->match);
    if (rc == OK)
        rc = read_value(cf, m, line, &r->entry);
    *m->regexes_end = r;
    m->regexes_end = &r->next;
    return rc;
}

static int read_default(struct conf_ctx *cf, struct map_block *m, const struct conf_node *line)
{
    if (m->fallback.line)
        return conf_error(cf, line, -1, "duplicate default map parameter");
    return read_value(cf, m, line, &m->fallback);
}

/* A backslash in front makes a key of what would be a word of the language. */
static int read_key(struct conf_ctx *cf, struct map_block *m, const struct conf_node *line)
{
    struct map_entry *e = arena_new(cf->arena, struct map_entry);
    enum mask_kind kind = MASK_EXACT;
    slice text = slice_from(line->name, slice_starts(line->name, SLICE("\\"))), key = text;
    if (!e)
        return ERR_NOMEM;
    if (m->hostnames && mask_parse(text, &kind, &key) != OK)
        return conf_error(cf, line, -1, "invalid hostname or wildcard \"%.*s\"", SLICE_FMT(text));
    int rc = read_value(cf, m, line, e);
    if (rc == OK)
        rc = masks_put(&m->keys, kind, key, e);
    if (rc == ERR_REFUSED)
        return conf_error(cf, line, -1, "conflicting parameter \"%.*s\"", SLICE_FMT(text));
    return rc;
}

/* nginx's order: words alone, the number of words, `default`, expressions, keys. */
static int read_line(struct conf_ctx *cf, struct map_block *m, const struct conf_node *line)
{
    if (line->nargs == 0 && slice_eq(line->name, SLICE("hostnames"))) {
        m->hostnames = true;
        return OK;
    }
    if (line->nargs == 0 && slice_eq(line->name, SLICE("volatile"))) {
        m->derived.is_volatile = true;
        return OK;
    }
    if (line->nargs != 1)
        return conf_error(cf, line, -1, "invalid number of the map parameters");
    if (slice_eq(line->name, SLICE("default")))
        return read_default(cf, m, line);
    return slice_starts(line->name, SLICE("~")) ? read_regex(cf, m, line) : read_key(cf, m, line);
}

static void cleanup(struct gen_cleanup *c)
{
    masks_done(&container_of(c, struct map_block, cleanup)->keys);
}

static int set_map(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct map_block *m = arena_new(cf->arena, struct map_block);
    if (!m)
        return ERR_NOMEM;
    masks_init(&m->keys);
    m->regexes_end = &m->regexes;
    generation_cleanup(cf->gen, &m->cleanup, cleanup);
    m->derived.find = find;
    int rc = template_compile(cf, &node->args[0], &m->key);
    if (rc == OK)
        rc = derived_define(cf, node, 1, &m->derived);
    if (rc == OK)
        rc = derived_from(cf, &m->derived, &m->key, false);
    if (rc != OK)
        return rc;
    for (const struct conf_node *line = node->children; line; line = line->next) {
        int one = read_line(cf, m, line);
        if (one == ERR_NOMEM)
            return one;
        rc = one != OK ? one : rc;
    }
    return rc;
}

static const struct directive directives[] = {
    {
        .name = "map",
        .contexts = CONF_HTTP,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_MAIN,
        .repeat = true,
        .free_block = true,
        .set = set_map,
        .usage = "map TEXT $VARIABLE { [volatile;] [hostnames;] [default VALUE;] KEY VALUE; ... }",
        .doc =
            "Makes a variable whose value is the one beside the key that equals TEXT, which may hold variables. Letter "
            "case of keys does not count. With hostnames a key may be a mask: *.NAME, .NAME (with the name itself) or "
            "NAME.*. A key ~REGEX or ~*REGEX (any letter case) matches a part of TEXT; its groups may stand in the "
            "value. Order: the key that is equal, the longest mask at the front, the longest one at the end, the first "
            "expression, default, the empty text. A backslash in front of a key takes its special meaning away. The "
            "value is looked up once a request, when it is needed; with volatile each time.",
    },
};

struct feature map_feature = {
    .name = "map",
    .doc = "Variables looked up by others.",
    .directives = directives,
    .ndirectives = array_len(directives),
};
