/*
 * rewrite: `set`, `return` and `break`, compiled into one small program a level.
 *
 * The lines of a level run in the order in which they were written, first those of the server, then, each pass, those
 * of the location. They are not inherited (nginx's manual, ngx_http_rewrite_module). What `set` assigns stays for the
 * whole exchange.
 */
#include "base/attr.h"
#include "base/err.h"
#include "conf/schema.h"
#include "policy/rewrite.h"
#include "policy/types.h"
#include "proxy/policy.h"
#include "proxy/redirect.h"

enum op_kind { OP_SET, OP_RETURN, OP_BREAK };

struct op {
    enum op_kind kind;
    uint16_t status;
    bool text;             /* OP_RETURN: with a text or URL */
    struct var *var;       /* OP_SET */
    struct template value; /* of `set`; text or URL of `return` */
    struct op *next;
};

/* SCOPE_LOCATION: the program of one level; nothing of it is inherited. */
struct rewrite {
    struct op *first;
};

/* ---- running ---- */

static enum verdict answered(int rc)
{
    return rc == OK ? VERDICT_REPLY : VERDICT_DROP;
}

static bool redirects(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* A text is the whole answer: error_page does not look at it. A redirect or a bare code is one that it may replace. */
static enum verdict run_return(struct exchange *x, const struct op *op)
{
    slice text, location, type;
    if (op->status == 444)
        return VERDICT_DROP;
    if (!op->text)
        return answered(reply_set(x, op->status, SLICE_NONE, SLICE_NONE, op->status >= 300));
    if (exchange_eval(x, &op->value, &text) != OK)
        return VERDICT_DROP;
    if (redirects(op->status)) {
        int rc = redirect_location(x, text, &location);
        return answered(rc == OK ? reply_redirect(x, op->status, location) : rc);
    }
    x->error_paged = true;
    type = types_of(x);
    return answered(reply_set(x, op->status, type, text, false));
}

static enum verdict rewrite_request(struct exchange *x, const void *conf)
{
    slice value;
    for (const struct op *op = ((const struct rewrite *)conf)->first; op; op = op->next) {
        switch (op->kind) {
        case OP_SET:
            if (exchange_eval(x, &op->value, &value) != OK || exchange_var_assign(x, op->var, value) != OK)
                return VERDICT_DROP;
            break;
        case OP_RETURN:
            return run_return(x, op);
        case OP_BREAK:
            return VERDICT_NEXT;
        }
    }
    return VERDICT_NEXT;
}

static bool rewrite_active(const void *conf)
{
    return ((const struct rewrite *)conf)->first;
}

/* ---- directives ---- */

static struct op *add_op(struct conf_ctx *cf, struct rewrite *r, enum op_kind kind)
{
    struct op *op = arena_new(cf->arena, struct op), **at = &r->first;
    if (!op)
        return NULL;
    op->kind = kind;
    while (*at)
        at = &(*at)->next;
    *at = op;
    return op;
}

static int set_set(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    slice name = node->args[0].text;
    if (name.n < 2 || name.p[0] != '$')
        return conf_error(cf, node, 0, "invalid variable name \"%.*s\"", SLICE_FMT(name));
    name = slice_from(name, 1);
    struct op *op = add_op(cf, conf, OP_SET);
    if (!op)
        return ERR_NOMEM;
    int rc = template_compile(cf, &node->args[1], &op->value);
    if (rc != OK)
        return rc;
    size_t errors = cf->diag->errors;
    op->var = var_declare(cf, name, &node->args[0]);
    if (!op->var)
        return cf->diag->errors > errors ? ERR_SYNTAX : ERR_NOMEM;
    return var_derives(cf, op->var, &op->value);
}

static bool is_url(slice s)
{
    return slice_starts(s, SLICE("http://")) || slice_starts(s, SLICE("https://")) || slice_starts(s, SLICE("$scheme"));
}

static int set_return(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    uint64_t status = 302;
    slice first = node->args[0].text;
    bool url = slice_to_u64(first, &status) != OK;
    if ((url && (node->nargs == 2 || !is_url(first))) || (!url && (status < 200 || status > 999)))
        return conf_error(cf, node, 0, "invalid return code \"%.*s\"", SLICE_FMT(first));
    struct op *op = add_op(cf, conf, OP_RETURN);
    if (!op)
        return ERR_NOMEM;
    op->status = (uint16_t)status;
    op->text = url || node->nargs == 2;
    return op->text ? template_compile(cf, &node->args[node->nargs - 1], &op->value) : OK;
}

static int set_break(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return add_op(cf, conf, OP_BREAK) ? OK : ERR_NOMEM;
}

static const struct directive directives[] = {
    {
        .name = "set",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_set,
        .usage = "set $VARIABLE VALUE;",
        .doc =
            "Assigns a value, which may hold variables, to a variable. $args may be assigned too: it then is what goes "
            "out as the query.",
    },
    {
        .name = "return",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_return,
        .usage = "return CODE [TEXT];   return CODE URL;   return URL;",
        .doc =
            "Ends processing and answers. 301, 302, 303, 307 and 308 redirect to URL (a path is made absolute, see "
            "absolute_redirect); URL alone means 302; 444 closes the connection without an answer. Other codes answer "
            "TEXT with the type that the path has by types and default_type.",
    },
    {
        .name = "break",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_break,
        .usage = "break;",
        .doc = "The following set and return lines of this level are not run.",
    },
};

struct feature rewrite_feature = {
    .name = "rewrite",
    .doc = "Assigning variables and answering at once.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct rewrite) },
};

const struct policy rewrite_policy = {
    .name = "rewrite",
    .feature = &rewrite_feature,
    .active = rewrite_active,
    .on_request = rewrite_request,
};
