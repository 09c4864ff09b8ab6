#include "proxy/port_list.h"

#include "base/err.h"

static int parse_ports(slice text, struct port_range *out)
{
    slice low = text, high = text;
    uint64_t a, b;
    slice_cut(text, '-', &low, &high);
    if (slice_to_u64(low, &a) != OK || slice_to_u64(high, &b) != OK || a < 1 || b < a || b > UINT16_MAX)
        return ERR_SYNTAX;
    *out = (struct port_range){ (uint16_t)a, (uint16_t)b };
    return OK;
}

int port_list_read(struct conf_ctx *cf, const struct conf_node *node, struct port_list *out)
{
    struct port_range *v = arena_new_n(cf->arena, struct port_range, node->nargs);
    struct port_list l = { .v = v };
    if (!v)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < node->nargs; i++) {
        if (slice_eq(node->args[i].text, SLICE("all")))
            l.all = true;
        else if (parse_ports(node->args[i].text, &v[l.n]) == OK)
            l.n++;
        else
            return conf_error(cf, node, (int)i, "invalid port or range \"%.*s\"", SLICE_FMT(node->args[i].text));
    }
    *out = l;
    return OK;
}

bool port_list_has(const struct port_list *l, uint16_t port)
{
    bool found = l->all;
    for (uint32_t i = 0; i < l->n && !found; i++)
        found = port >= l->v[i].first && port <= l->v[i].last;
    return found;
}
