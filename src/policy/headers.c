/*
 * headers: `add_header`. What it adds goes to every answer of the location, whoever made it, when the status is one of
 * nginx's list or the line says `always`. Etag and Last-Modified replace what is there; everything else is added.
 */
#include "policy/headers.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/chars.h"

struct add_line {
    slice name;
    uint16_t token;
    bool always;
    struct template value;
    struct add_line *next;
};

/* SCOPE_LOCATION; a level with a line of its own inherits none. */
struct headers {
    struct add_line *first;
};

/* ngx_http_headers_module's manual, "add_header". */
static bool usual_status(unsigned status)
{
    switch (status) {
    case 200:
    case 201:
    case 204:
    case 206:
    case 301:
    case 302:
    case 303:
    case 304:
    case 307:
    case 308:
        return true;
    default:
        return false;
    }
}

/* Connection is no field of ours to write: it can only ask that the client's connection be closed. */
static int add_one(struct exchange *x, const struct add_line *line)
{
    slice value;
    if (exchange_eval(x, &line->value, &value) != OK)
        return ERR_NOMEM;
    if (line->token == TOK_CONNECTION) {
        x->req.keep_alive = x->req.keep_alive && !slice_ieq(value, SLICE("close"));
        return OK;
    }
    if (line->token == TOK_ETAG || line->token == TOK_LAST_MODIFIED)
        fields_remove(&x->resp.fields, line->token);
    if (value.n == 0)
        return OK;
    struct field f = { .name = line->name, .value = value, .token = line->token };
    return fields_add(&x->arena, &x->resp.fields, f) ? OK : ERR_NOMEM;
}

static int headers_response(struct exchange *x, const void *conf)
{
    bool usual = usual_status(x->resp.status);
    int rc = OK;
    for (const struct add_line *l = ((const struct headers *)conf)->first; l && rc == OK; l = l->next) {
        if (usual || l->always)
            rc = add_one(x, l);
    }
    return rc;
}

static bool headers_active(const void *conf)
{
    return ((const struct headers *)conf)->first;
}

/* ---- directives ---- */

static int check_name(struct conf_ctx *cf, const struct conf_node *node, slice name, enum token t)
{
    if (!http_is_token(name))
        return conf_error(cf, node, 0, "\"%.*s\" is no name of a header field", SLICE_FMT(name));
    if (t == TOK_CONTENT_LENGTH || t == TOK_TRANSFER_ENCODING)
        return conf_error(cf, node, 0, "\"%.*s\" cannot be added: how a message is framed follows from its body alone",
                          SLICE_FMT(name));
    return OK;
}

static int set_add_header(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct headers *h = conf;
    struct add_line *line = arena_new(cf->arena, struct add_line), **at = &h->first;
    if (!line)
        return ERR_NOMEM;
    line->name = node->args[0].text;
    line->token = (uint16_t)token_find(line->name);
    if (node->nargs == 3 && !slice_eq(node->args[2].text, SLICE("always")))
        return conf_error(cf, node, 2, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[2].text));
    line->always = node->nargs == 3;
    int rc = check_name(cf, node, line->name, line->token);
    if (rc == OK)
        rc = template_compile(cf, &node->args[1], &line->value);
    if (rc != OK)
        return rc;
    while (*at)
        at = &(*at)->next;
    *at = line;
    return OK;
}

static int set_add_trailer(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return conf_error(cf, node, -1,
                      "\"add_trailer\" is not supported by this version; trailers of backends are passed on");
}

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LOCATION_IF)

static const struct directive directives[] = {
    {
        .name = "add_header",
        .contexts = HSL,
        .min_args = 2,
        .max_args = 3,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .offset = offsetof(struct headers, first),
        .size = sizeof(struct add_line *),
        .set = set_add_header,
        .usage = "add_header NAME VALUE [always];",
        .doc =
            "Adds a field to answers with status 200, 201, 204, 206, 301, 302, 303, 304, 307 or 308; with always, to "
            "every answer. An empty value adds nothing. A level with any add_header inherits none of outer levels.",
    },
    {
        .name = "add_trailer",
        .contexts = HSL,
        .min_args = 2,
        .max_args = 3,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        .set = set_add_trailer,
        .usage = "add_trailer NAME VALUE [always];",
        .doc = "Not supported by this version.",
    },
};

struct feature headers_feature = {
    .name = "headers",
    .doc = "Fields added to answers.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct headers) },
};

const struct policy headers_policy = {
    .name = "headers",
    .feature = &headers_feature,
    .active = headers_active,
    .on_response = headers_response,
};
