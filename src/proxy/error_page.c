#include "proxy/error_page.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/schema.h"
#include "proxy/http_block.h"

struct error_pages {
    struct error_page *first;
    bool recursive;
};

bool error_page_any(const struct location *l)
{
    const struct error_pages *all = conf_get(l->conf, &error_page_feature);
    return all->first;
}

bool error_page_recursive(const struct location *l)
{
    const struct error_pages *all = conf_get(l->conf, &error_page_feature);
    return all->recursive;
}

const struct error_page *error_page_find(const struct location *l, unsigned status)
{
    const struct error_pages *all = conf_get(l->conf, &error_page_feature);
    for (const struct error_page *p = all->first; p; p = p->next) {
        if (p->status == status)
            return p;
    }
    return NULL;
}

/* "=" or "=CODE" before the target; "=0" is "=". A final answer has no status below 200: clients would wait for
 * another.
 */
static int parse_overwrite(struct conf_ctx *cf, const struct conf_node *node, int arg, int *overwrite)
{
    slice text = slice_from(node->args[arg].text, 1);
    uint64_t code = 0;
    if (text.n && (slice_to_u64(text, &code) != OK || (code && code < 200) || code > 999))
        return conf_error(cf, node, arg, "invalid value \"%.*s\"", SLICE_FMT(node->args[arg].text));
    *overwrite = (int)code;
    return OK;
}

/* 494 to 497 are nginx's own names for kinds of 400; no client is to see them. */
static int seen_status(unsigned status)
{
    return status >= 494 && status <= 497 ? 400 : -1;
}

static int add_status(struct conf_ctx *cf, const struct conf_node *node, int arg, const struct error_page *like,
                      struct error_pages *all)
{
    uint64_t status;
    slice text = node->args[arg].text;
    if (slice_to_u64(text, &status) != OK || status == 499)
        return conf_error(cf, node, arg, "invalid value \"%.*s\"", SLICE_FMT(text));
    if (status < 300 || status > 599)
        return conf_error(cf, node, arg, "value \"%.*s\" must be between 300 and 599", SLICE_FMT(text));
    struct error_page *p = arena_new(cf->arena, struct error_page);
    if (!p)
        return ERR_NOMEM;
    *p = *like;
    p->status = (uint16_t)status;
    if (p->overwrite < 0)
        p->overwrite = seen_status(p->status);
    struct error_page **at = &all->first;
    while (*at)
        at = &(*at)->next;
    *at = p;
    return OK;
}

static int set_error_page(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct error_page page = { .pos = node->pos, .overwrite = -1 };
    uint32_t target = node->nargs - 1, codes = target;
    int rc = OK;
    if (slice_starts(node->args[target - 1].text, SLICE("="))) {
        codes--;
        if (codes == 0)
            return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(node->args[0].text));
        rc = parse_overwrite(cf, node, (int)codes, &page.overwrite);
    }
    if (rc == OK)
        rc = template_compile(cf, &node->args[target], &page.uri);
    if (rc == OK)
        rc = named_location_used(cf, node, (int)target);
    if (rc != OK)
        return rc;
    for (uint32_t i = 0; i < codes; i++) {
        int one = add_status(cf, node, (int)i, &page, conf);
        rc = one != OK ? one : rc;
    }
    return rc;
}

static const struct directive directives[] = {
    {
        .name = "error_page",
        .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LOCATION_IF,
        .min_args = 2,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .offset = offsetof(struct error_pages, first),
        .size = sizeof(struct error_page *),
        .set = set_error_page,
        .usage = "error_page CODE ... [=[CODE]] URI | @NAME | URL;",
        .doc =
            "What is answered instead of an answer with one of the codes: an internal redirect to URI (with GET) or to "
            "the named location, or a redirect of the client to URL. The client sees the first code, or the one "
            "behind =, or with = alone the code of what answers then. Answers of backends are looked at only with "
            "proxy_intercept_errors. An error on the way to the page is answered plainly, with its own status, unless "
            "recursive_error_pages is on.",
    },
    {
        .name = "recursive_error_pages",
        .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_FLAG,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct error_pages, recursive),
        .def = "off",
        .usage = "recursive_error_pages on | off;",
        .doc = "Whether error_page is looked at again for an answer that an error_page led to; ten times at most.",
    },
};

struct feature error_page_feature = {
    .name = "error_page",
    .doc = "Pages for errors.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct error_pages) },
};
