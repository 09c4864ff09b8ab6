#include "proxy/bind.h"

#include "base/err.h"

int bind_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf *c = conf;
    slice text = node->args[0].text;
    if (node->nargs == 2 && slice_eq(node->args[1].text, SLICE("transparent")))
        return conf_error(cf, node, 1,
                          "\"transparent\" is not supported: it needs a privilege that the engine gives up, and routes "
                          "that bring the answers back");
    if (node->nargs == 2)
        return conf_error(cf, node, 1, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[1].text));
    c->bind = NULL;
    if (slice_eq(text, SLICE("off")))
        return OK;
    struct proxy_bind *b = arena_new(cf->arena, struct proxy_bind);
    if (!b)
        return ERR_NOMEM;
    int rc = template_compile(cf, &node->args[0], &b->text);
    if (rc != OK)
        return rc;
    if (template_literal(&b->text) && (addr_parse(text, &b->addr) != OK || b->addr.sa.sa_family == AF_UNIX))
        return conf_error(cf, node, 0, "invalid address \"%.*s\"", SLICE_FMT(text));
    c->bind = b;
    return OK;
}

int bind_address(struct exchange *x, const struct proxy_bind *b, const struct peer *peer, struct addr *out, bool *has)
{
    slice text;
    *has = false;
    if (peer->addr.sa.sa_family == AF_UNIX)
        return OK;
    if (template_literal(&b->text)) {
        *out = b->addr;
        *has = true;
        return OK;
    }
    int rc = exchange_eval(x, &b->text, &text);
    if (rc != OK || !text.n)
        return rc;
    struct addr a;
    if (addr_parse(text, &a) != OK || a.sa.sa_family == AF_UNIX) {
        exchange_log(x, LEVEL_ERROR, "invalid local address \"%.*s\"", SLICE_FMT(text));
        return OK;
    }
    *out = a;
    *has = true;
    return OK;
}
