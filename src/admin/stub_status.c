/*
 * stub_status: the page that monitoring reads, in nginx's form, and its variables (ngx_http_stub_status_module).
 *
 * A connection is reading while part of a head has come, writing from the end of a head to the end of what follows it,
 * and waiting otherwise. The numbers are those of all workers.
 */
#include "base/attr.h"
#include "http/vars.h"
#include "proxy/http_block.h"
#include "proxy/policy.h"

extern struct feature stub_status_feature;

/* What the page shows. */
struct status {
    uint64_t active, accepted, handled, requests, reading, writing, waiting;
};

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0; /* workers go on counting while they are read */
}

static struct status status_now(void)
{
    uint64_t sum[COUNTERS];
    struct worker_now now;
    worker_sum(sum, &now);
    struct status s = {
        .active = minus(sum[COUNT_CONN_ACCEPTED], sum[COUNT_CONN_CLOSED]),
        .accepted = sum[COUNT_CONN_ACCEPTED] + sum[COUNT_CONN_REFUSED],
        .handled = sum[COUNT_CONN_ACCEPTED],
        .requests = sum[COUNT_REQUESTS] + sum[COUNT_REQUEST_BAD],
        .reading = now.reading,
        .writing = now.writing,
    };
    s.waiting = minus(s.active, s.reading + s.writing);
    return s;
}

static enum verdict status_select(struct exchange *x, const void *conf)
{
    struct status s = status_now();
    bool get = x->pass.method == METHOD_GET || x->pass.method == METHOD_HEAD;
    if (!get)
        return reply_set(x, 405, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
    slice body =
        arena_printf(&x->arena,
                     "Active connections: %llu \nserver accepts handled requests\n %llu %llu %llu \n"
                     "Reading: %llu Writing: %llu Waiting: %llu \n",
                     (unsigned long long)s.active, (unsigned long long)s.accepted, (unsigned long long)s.handled,
                     (unsigned long long)s.requests, (unsigned long long)s.reading, (unsigned long long)s.writing,
                     (unsigned long long)s.waiting);
    if (!body.p || reply_set(x, 200, SLICE("text/plain"), body, false) != OK)
        return VERDICT_DROP;
    return VERDICT_REPLY;
}

static const struct content status_content = { .name = "stub_status", .select = status_select };

static int set_stub_status(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return content_set(cf, node, &status_content, &stub_status_feature);
}

/* ---- variables ---- */

static int get_number(struct exchange *x, const struct var *v, slice *out)
{
    struct status s = status_now();
    return var_number(x, *(const uint64_t *)((const char *)&s + v->def->data), out);
}

#define NUMBER(variable, field, text)                                                                                  \
    {                                                                                                                  \
        .name = variable, .known = VAR_REQUEST, .data = offsetof(struct status, field), .get = get_number, .doc = text \
    }

static const struct var_def vars[] = {
    NUMBER("connections_active", active, "Client connections of all workers, idle ones included."),
    NUMBER("connections_reading", reading, "Client connections on which part of a request head has come."),
    NUMBER("connections_writing", writing, "Client connections with a request that is worked on or answered."),
    NUMBER("connections_waiting", waiting, "Client connections that wait for a request."),
};

static const struct directive directives[] = {
    {
        .name = "stub_status",
        .contexts = CONF_SERVER | CONF_LOCATION,
        .max_args = 1, /* before nginx 1.7.5 an argument was needed */
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .set = set_stub_status,
        .usage = "stub_status;",
        .doc = "Answers how many connections there are and were, in the plain text that monitoring tools know. The "
               "location `counters` tells more.",
    },
};

/* Nothing is configured but that it is there; a struct is what the content handler's configuration points to. */
struct stub_status_conf {
    bool unused;
};

struct feature stub_status_feature = {
    .name = "stub_status",
    .doc = "The status page of nginx.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = vars,
    .nvars = array_len(vars),
    .size = { [SCOPE_LOCATION] = sizeof(struct stub_status_conf) },
};
