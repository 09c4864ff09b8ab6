/*
 * split_clients: divides requests by a hash of some text (ngx_http_split_clients_module of nginx's manual). Hash and
 * arithmetic are nginx's, so the same text falls into the same part.
 */
#include "policy/derived.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/murmur.h"

enum { WHOLE = 10000 }; /* hundredths of a percent */

struct part {
    const struct conf_node *line;
    uint32_t below; /* hashes below this one, beyond the part before */
    bool rest;      /* "*" */
    struct part *next;
};

struct split {
    struct derived derived; /* first */
    struct template key;
    struct part *first;
};

static int find(struct exchange *x, const struct derived *d, slice *out)
{
    const struct split *s = container_of(d, struct split, derived);
    slice key;
    int rc = exchange_eval(x, &s->key, &key);
    if (rc != OK)
        return rc;
    uint32_t hash = murmur_hash2(key);
    const struct part *p = s->first;
    while (p && !p->rest && hash >= p->below)
        p = p->next;
    exchange_trace(x, p ? &p->line->pos : &d->pos, "split_clients of \"%.*s\": %.*s", SLICE_FMT(key),
                   SLICE_FMT(p ? p->line->name : SLICE("none of the parts")));
    *out = p ? p->line->args[0].text : SLICE("");
    return OK;
}

/* "0.01%" to "100%", in hundredths. */
static int read_percent(slice text, uint32_t *out)
{
    slice whole, decimals = SLICE_NONE;
    uint64_t n = 0, hundredths = 0;
    if (!slice_ends(text, SLICE("%")))
        return ERR_SYNTAX;
    text = slice_upto(text, text.n - 1);
    whole = text;
    if (slice_cut(text, '.', &whole, &decimals) && decimals.n > 2)
        return ERR_SYNTAX;
    if ((whole.n && slice_to_u64(whole, &n) != OK) || (decimals.n && slice_to_u64(decimals, &hundredths) != OK))
        return ERR_SYNTAX;
    if (decimals.n == 1)
        hundredths *= 10;
    if (n > WHOLE || n * 100 + hundredths == 0)
        return ERR_SYNTAX;
    *out = (uint32_t)(n * 100 + hundredths);
    return OK;
}

static int read_line(struct conf_ctx *cf, struct split *s, const struct conf_node *line, struct part **end,
                     uint32_t *sum)
{
    struct part *p = arena_new(cf->arena, struct part);
    uint32_t share = 0;
    if (!p)
        return ERR_NOMEM;
    p->line = line;
    p->rest = slice_eq(line->name, SLICE("*"));
    if (line->nargs != 1)
        return conf_error(cf, line, -1, "a line of \"split_clients\" is a share and a value");
    if (!p->rest && read_percent(line->name, &share) != OK)
        return conf_error(cf, line, -1, "invalid percent value \"%.*s\"", SLICE_FMT(line->name));
    *sum = p->rest ? WHOLE : *sum + share;
    if (*sum > WHOLE)
        return conf_error(cf, line, -1, "percent total is greater than 100%%");
    uint32_t before = *end ? (*end)->below : 0;
    p->below = before + (uint32_t)(share * (uint64_t)UINT32_MAX / WHOLE);
    *(*end ? &(*end)->next : &s->first) = p;
    *end = p;
    return OK;
}

static int set_split(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct split *s = arena_new(cf->arena, struct split);
    struct part *end = NULL;
    uint32_t sum = 0;
    if (!s)
        return ERR_NOMEM;
    s->derived.find = find;
    int rc = template_compile(cf, &node->args[0], &s->key);
    if (rc == OK)
        rc = derived_define(cf, node, 1, &s->derived);
    if (rc == OK)
        rc = derived_from(cf, &s->derived, &s->key, false);
    for (const struct conf_node *line = node->children; rc == OK && line; line = line->next)
        rc = read_line(cf, s, line, &end, &sum);
    return rc;
}

static const struct directive directives[] = {
    {
        .name = "split_clients",
        .contexts = CONF_HTTP,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_MAIN,
        .repeat = true,
        .free_block = true,
        .set = set_split,
        .usage = "split_clients TEXT $VARIABLE { SHARE% VALUE; ... [* VALUE;] }",
        .doc =
            "Makes a variable whose value depends on a hash (MurmurHash2) of TEXT, which may hold variables: SHARE of "
            "all texts, in percent with two decimals at most, get VALUE, and * those that are left. Without * these "
            "get the empty text.",
    },
};

struct feature split_clients_feature = {
    .name = "split_clients",
    .doc = "Dividing requests by a hash.",
    .directives = directives,
    .ndirectives = array_len(directives),
};
