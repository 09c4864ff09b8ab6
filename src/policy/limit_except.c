/*
 * limit_except: another configuration for the methods that it does not name.
 *
 * Its block is a configuration inside the location that inherits from it, and holds access rules above all. It is
 * entered before the location's rewrite lines, which do not run for such a request (as in nginx).
 */
#include "policy/limit_except.h"

#include "base/attr.h"
#include "base/err.h"

/* SCOPE_LOCATION; nothing of it is inherited. */
struct limit_except {
    uint32_t allowed; /* bit per method */
    const struct location *inside;
};

_Static_assert(METHOD_COUNT <= 32, "a bit for every method");

static enum verdict limit_except_request(struct exchange *x, const void *conf)
{
    const struct limit_except *l = conf;
    if (l->allowed >> x->pass.method & 1)
        return VERDICT_NEXT;
    exchange_trace(x, &l->inside->pos, "limit_except does not name %.*s", SLICE_FMT(x->pass.method_text));
    x->pass.loc = l->inside;
    x->log = l->inside->log;
    return VERDICT_NEXT;
}

static bool limit_except_active(const void *conf)
{
    return ((const struct limit_except *)conf)->inside;
}

/* nginx's list, those of WebDAV included; letter case does not count here. METHOD_OTHER: not in it. */
static enum method named_method(slice name)
{
    for (unsigned m = METHOD_GET; m < METHOD_COUNT; m++) {
        if (slice_ieq(name, method_name(m)))
            return m == METHOD_TRACE || m == METHOD_CONNECT || m == METHOD_PURGE ? METHOD_OTHER : m;
    }
    return METHOD_OTHER;
}

static int set_limit_except(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct limit_except *l = conf;
    enum conf_context outer = cf->context;
    int rc = OK;
    for (uint32_t i = 0; i < node->nargs; i++) {
        enum method m = named_method(node->args[i].text);
        if (m == METHOD_OTHER)
            rc = conf_error(cf, node, (int)i, "invalid method \"%.*s\"", SLICE_FMT(node->args[i].text));
        l->allowed |= 1u << m;
    }
    if (l->allowed >> METHOD_GET & 1)
        l->allowed |= 1u << METHOD_HEAD;
    struct location *inside = conf_inside_enter(cf, node);
    if (!inside)
        return ERR_NOMEM;
    int block = conf_apply(cf, node, CONF_LIMIT_EXCEPT);
    conf_inside_leave(cf);
    cf->context = outer;
    l->inside = inside;
    return rc != OK ? rc : block;
}

static const struct directive directives[] = {
    {
        .name = "limit_except",
        .contexts = CONF_LOCATION,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_BLOCK,
        .scope = SCOPE_LOCATION,
        .set = set_limit_except,
        .usage = "limit_except METHOD ... { ... }",
        .doc = "Requests with other methods than those named (GET includes HEAD) meet the configuration of the block, "
               "which inherits from the location. The location's rewrite, if, set and return lines do not run for "
               "them.",
    },
};

struct feature limit_except_feature = {
    .name = "limit_except",
    .doc = "Rules for all but some methods.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct limit_except) },
};

const struct policy limit_except_policy = {
    .name = "limit_except",
    .feature = &limit_except_feature,
    .active = limit_except_active,
    .on_request = limit_except_request,
};
