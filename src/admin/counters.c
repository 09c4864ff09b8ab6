/*
 * The directive `counters`: a location that answers what the engine has counted, in JSON. All workers together, since
 * the engine was started.
 */
#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "proxy/http_block.h"
#include "proxy/policy.h"

extern struct feature counters_feature;

enum { ANSWER_MAX = 16 << 10 };

static void add_name(struct strb *b, slice name)
{
    strb_char(b, '"');
    for (size_t i = 0; i < name.n; i++)
        strb_char(b, ascii_lower(name.p[i]));
    strb_lit(b, "\": ");
}

static void compose(struct strb *b)
{
    uint64_t sum[COUNTERS];
    struct worker_now now;
    worker_sum(sum, &now);
    strb_lit(b, "{\n  \"connections\": ");
    strb_dec(b, now.connections);
    for (unsigned i = 0; i < COUNTERS; i++) {
        strb_lit(b, ",\n  ");
        add_name(b, counter_name((enum counter)i));
        strb_dec(b, sum[i]);
    }
    strb_lit(b, "\n}\n");
}

static enum verdict counters_select(struct exchange *x, const void *conf)
{
    struct strb b;
    slice body;
    strb_init(&b, ANSWER_MAX);
    compose(&b);
    bool kept = !b.failed && arena_dup(&x->arena, strb_slice(&b), &body);
    strb_done(&b);
    if (!kept || reply_set(x, 200, SLICE("application/json"), body, false) != OK)
        return VERDICT_DROP;
    return VERDICT_REPLY;
}

static const struct content counters_content = { .name = "counters", .select = counters_select };

static int set_counters(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return content_set(cf, node, &counters_content, &counters_feature);
}

static const struct directive directives[] = {
    {
        .name = "counters",
        .contexts = CONF_LOCATION,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .set = set_counters,
        .usage = "counters;",
        .doc =
            "Answers what the engine has counted since it was started, in JSON: connections, requests, everything that "
            "was refused or cut by a limit, timeouts, attempts at backends. Keep such a location to addresses of "
            "your own, for example by a server that listens on 127.0.0.1.",
    },
};

/* Nothing is configured but that it is there; a struct is what the content handler's configuration points to. */
struct counters_conf {
    bool unused;
};

struct feature counters_feature = {
    .name = "counters",
    .doc = "What the engine counts.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct counters_conf) },
};
