#include "proxy/egress_dir.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "proxy/http_block.h"

unsigned egress_judge(const struct generation *g, const struct egress *e, const struct addr *to, const char **why)
{
    struct egress_own own = route_own(g);
    if (egress_is_own(&own, to)) {
        *why = "one of our own listening addresses";
        return 508;
    }
    *why = egress_refuses(e, to);
    return *why ? 403 : 0;
}

int egress_reply(struct exchange *x, unsigned status)
{
    slice text = status == 508 ? SLICE("508 Loop Detected: the target is this proxy itself\n")
                               : SLICE("403 Forbidden: the target's address may not be reached from here\n");
    int rc = reply_set(x, status, SLICE("text/plain"), text, false);
    x->plain_page = rc == OK;
    return rc;
}

/* ---- directives ---- */

static int set_line(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct egress_level *l = conf;
    slice text = node->args[0].text;
    bool loose;
    if (!l->lines) {
        l->lines = arena_new(cf->arena, struct egress_lines);
        if (l->lines)
            l->lines->last = &l->lines->first;
    }
    bool all = slice_eq(text, SLICE("all"));
    bool deny = slice_eq(node->name, SLICE("egress_deny"));
    for (int i = 0; i < (all ? 2 : 1); i++) {
        struct egress_line *line = arena_new(cf->arena, struct egress_line);
        if (!l->lines || !line)
            return ERR_NOMEM;
        line->deny = deny;
        line->net.v6 = (uint8_t)i;
        if (!all && cidr_parse(text, &line->net, &loose) != OK)
            return conf_error(cf, node, 0, "invalid parameter \"%.*s\"", SLICE_FMT(text));
        if (!all && loose)
            conf_warn(cf, node, 0, "low address bits of %.*s are meaningless", SLICE_FMT(text));
        *l->lines->last = line;
        l->lines->last = &line->next;
    }
    return OK;
}

/* A level that inherits the lines shares what its parent compiled. */
static int egress_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                         const void *parent)
{
    struct egress_lines *l = kind == SCOPE_LOCATION ? ((struct egress_level *)conf)->lines : NULL;
    if (!l || l->compiled)
        return OK;
    l->compiled = true;
    return egress_build(cf->arena, l->first, &l->rules);
}

#define LINE(text, about)                                                                                             \
    {                                                                                                                 \
        .name = text, .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION, .min_args = 1, .max_args = 1,              \
        .type = CONF_CUSTOM, .scope = SCOPE_LOCATION, .repeat = true, .offset = offsetof(struct egress_level, lines), \
        .size = sizeof(struct egress_lines *), .set = set_line, .usage = text " ADDRESS | CIDR | all;",               \
        .doc = about " Speaks of targets that are the client's choice only (proxy_pass with $host, $http_..., and "   \
                     "forward proxying). Of all lines of egress_allow and egress_deny the most specific network "     \
                     "decides, of two equal ones egress_deny; where none holds the address, those of the "            \
                     "special-purpose registries (private, loopback, link-local, ...) are refused with 403 and "      \
                     "public ones are reached. Our own listening addresses stay refused, with 508. A level with "     \
                     "any such line inherits none.",                                                                  \
    }

static const struct directive directives[] = {
    LINE("egress_allow", "Lets requests lead to these addresses although they are no public ones."),
    LINE("egress_deny", "Refuses requests that lead to these addresses, with 403."),
};

struct feature egress_feature = {
    .name = "egress",
    .forward = true,
    .doc = "Where requests may lead when the client chose the target.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct egress_level) },
    .finish = egress_finish,
};
