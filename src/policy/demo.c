/*
 * demo_backend: a small server to try a proxy on. It answers in JSON which backend it is and what request it saw, after
 * whatever stood in front of it has changed it.
 */
#include "policy/demo.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/escape.h"

enum { ANSWER_MAX = 1 << 20 };

struct demo {
    slice name;
};

static void add_string(struct strb *b, slice s)
{
    strb_char(b, '"');
    escape_json_ascii(b, s);
    strb_char(b, '"');
}

static void add_member(struct strb *b, const char *name, slice value)
{
    strb_printf(b, ",\"%s\":", name);
    add_string(b, value);
}

static void add_fields(struct strb *b, const struct fields *f, bool *first)
{
    for (uint32_t i = 0; i < f->n; i++) {
        strb_add(b, *first ? SLICE("[") : SLICE(",["));
        *first = false;
        add_string(b, f->v[i].name);
        strb_char(b, ',');
        add_string(b, f->v[i].value);
        strb_char(b, ']');
    }
}

static void compose(struct exchange *x, const struct demo *d, struct strb *b)
{
    const struct request *r = &x->req;
    bool first = true;
    strb_lit(b, "{\"backend\":");
    add_string(b, d->name);
    add_member(b, "method", r->method_text);
    add_member(b, "target", r->target);
    add_member(b, "http", r->minor ? SLICE("1.1") : SLICE("1.0"));
    add_member(b, "host", r->authority);
    strb_lit(b, ",\"headers\":[");
    add_fields(b, &r->fields, &first);
    add_fields(b, &r->hop, &first);
    strb_char(b, ']');
    if (r->body.kind == BODY_LENGTH) {
        strb_lit(b, ",\"content_length\":");
        strb_dec(b, r->body.length);
    }
    add_member(b, "client", exchange_client_text(x));
    strb_lit(b, ",\"connection\":");
    strb_dec(b, x->client->number);
    strb_lit(b, ",\"connection_requests\":");
    strb_dec(b, x->client->requests);
    strb_lit(b, "}\n");
}

static enum verdict demo_select(struct exchange *x, const void *conf)
{
    struct strb b;
    slice body;
    strb_init(&b, ANSWER_MAX);
    compose(x, conf, &b);
    bool kept = !b.failed && arena_dup(&x->arena, strb_slice(&b), &body);
    strb_done(&b);
    if (!kept || reply_set(x, 200, SLICE("application/json"), body, false) != OK)
        return VERDICT_DROP;
    return VERDICT_REPLY;
}

static const struct content demo_content = { .name = "demo_backend", .select = demo_select };

static int set_demo(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    ((struct demo *)conf)->name = node->args[0].text;
    return content_set(cf, node, &demo_content, &demo_feature);
}

static const struct directive directives[] = {
    {
        .name = "demo_backend",
        .contexts = CONF_LOCATION,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct demo, name),
        .size = sizeof(slice),
        .set = set_demo,
        .usage = "demo_backend NAME;",
        .doc =
            "Answers with NAME and the request as it arrived, in JSON. For trying a proxy without servers behind it.",
    },
};

struct feature demo_feature = {
    .name = "demo",
    .doc = "A backend to try things on.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct demo) },
};
