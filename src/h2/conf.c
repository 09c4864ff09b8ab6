/*
 * The http2_* directives: nginx's, and limits that are ours. The listener's default server decides for a connection.
 */
#include "h2/conf.h"

#include "base/attr.h"
#include "base/err.h"

/* nginx's own words about directives that it no longer has a use for. */
static int obsolete(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    static const struct {
        const char *name, *instead;
    } old[] = {
        { "http2_recv_timeout", "client_header_timeout" },
        { "http2_idle_timeout", "keepalive_timeout" },
        { "http2_max_field_size", "large_client_header_buffers" },
        { "http2_max_header_size", "large_client_header_buffers" },
        { "http2_max_requests", "keepalive_requests" },
    };
    for (size_t i = 0; i < array_len(old); i++) {
        if (slice_eq(node->name, slice_str(old[i].name))) {
            conf_warn(cf, node, -1, "the \"%s\" directive is obsolete, use the \"%s\" directive instead", old[i].name,
                      old[i].instead);
            return OK;
        }
    }
    conf_warn(cf, node, -1, "the \"%.*s\" directive is obsolete, ignored", SLICE_FMT(node->name));
    return OK;
}

#define HS  (CONF_HTTP | CONF_SERVER | CONF_FORWARD)
#define HSL (CONF_HTTP | CONF_SERVER | CONF_FORWARD | CONF_LOCATION)
#define SLOT(dname, dtype, field, low, high, default_text, usage_text, doc_text)                           \
    {                                                                                                      \
        .name = dname, .contexts = HS, .min_args = 1, .max_args = 1, .type = dtype, .scope = SCOPE_SERVER, \
        .offset = offsetof(struct h2_server_conf, field), .min = low, .max = high, .def = default_text,    \
        .usage = usage_text, .doc = doc_text,                                                              \
    }
#define OBSOLETE(dname, where, usage_text, doc_text)                                                                \
    {                                                                                                               \
        .name = dname, .contexts = where, .min_args = 1, .max_args = 1, .type = CONF_CUSTOM, .scope = SCOPE_SERVER, \
        .set = obsolete, .usage = usage_text, .doc = doc_text,                                                      \
    }
#define TUNING(dname, where, usage_text, doc_text)                                                                \
    {                                                                                                             \
        .name = dname, .contexts = where, .min_args = 1, .max_args = 1, .type = CONF_TUNING, .usage = usage_text, \
        .doc = doc_text,                                                                                          \
    }

#define PUSH_DOC "Server push is gone from nginx and from browsers; nothing is pushed."

static const struct directive directives[] = {
    SLOT(
        "http2", CONF_FLAG, on, 0, 0, "off", "http2 on | off;",
        "Whether HTTP/2 is spoken: with TLS clients that ask for it by ALPN, and with clients of a plain listener that "
        "begin with its preface (prior knowledge). HTTP/1 is served on the same address. The default server of an "
        "address decides."),
    SLOT("http2_max_concurrent_streams", CONF_NUM, max_streams, 1, 1000, "128", "http2_max_concurrent_streams NUMBER;",
         "How many requests of one connection may be under way at a time; those beyond are refused, and the client may "
         "send them again."),
    SLOT("http2_body_preread_size", CONF_SIZE, window, 0, 1 << 24, "64k", "http2_body_preread_size SIZE;",
         "How much of a request body a client may send before somebody takes it: the window of each stream. The "
         "smallest value used is 1k."),
    SLOT("http2_max_resets", CONF_NUM, max_resets, 1, 1000000, "100", "http2_max_resets NUMBER;",
         "How many streams a client may reset within a minute while they are younger than a second, or make us reset "
         "by breaking the rules. Then the connection is closed (rapid reset, CVE-2023-44487; MadeYouReset, "
         "CVE-2025-8671)."),
    SLOT("http2_max_control_frames", CONF_NUM, max_control, 1, 1000000, "1000", "http2_max_control_frames NUMBER;",
         "How many frames that carry no request (PING, SETTINGS, WINDOW_UPDATE, PRIORITY, DATA of a few bytes) a "
         "client may send at once; a tenth of the number comes back every second. Then the connection is closed."),
    SLOT("http2_header_memory", CONF_SIZE, header_memory, 4096, 1 << 30, "1m", "http2_header_memory SIZE;",
         "What the header fields of all requests under way on one connection may take when decoded; requests beyond "
         "are refused."),
    SLOT(
        "http2_idle_ping", CONF_MSEC, idle_ping, 0, 0, "0", "http2_idle_ping TIME;",
        "A client that has been silent for that long is sent a PING, and is taken for dead when it stays silent for as "
        "long again: the connection is closed. That finds out about clients that vanished while requests of theirs "
        "are under way; keepalive_timeout goes on to end connections without. 0: no PING is sent."),
    {
        .name = "http2_chunk_size",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_SIZE,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct h2_location_conf, chunk),
        .min = 1,
        .max = 16384,
        .def = "8k",
        .usage = "http2_chunk_size SIZE;",
        .doc = "The largest DATA frame of an answer.",
    },
    OBSOLETE("http2_recv_timeout", HS, "http2_recv_timeout TIME;", "Obsolete: client_header_timeout is used."),
    OBSOLETE("http2_idle_timeout", HS, "http2_idle_timeout TIME;", "Obsolete: keepalive_timeout is used."),
    OBSOLETE("http2_max_field_size", HS, "http2_max_field_size SIZE;",
             "Obsolete: large_client_header_buffers is used."),
    OBSOLETE("http2_max_header_size", HS, "http2_max_header_size SIZE;",
             "Obsolete: large_client_header_buffers is used."),
    OBSOLETE("http2_max_requests", HS, "http2_max_requests NUMBER;", "Obsolete: keepalive_requests is used."),
    OBSOLETE("http2_max_concurrent_pushes", HS, "http2_max_concurrent_pushes NUMBER;", PUSH_DOC),
    TUNING("http2_push", HSL, "http2_push URI | off;", PUSH_DOC),
    TUNING("http2_push_preload", HSL, "http2_push_preload on | off;", PUSH_DOC),
    TUNING("http2_recv_buffer_size", CONF_HTTP, "http2_recv_buffer_size SIZE;",
           "A worker reads into one buffer of its own, whatever the protocol."),
    TUNING("http2_pool_size", HS, "http2_pool_size SIZE;", "Memory comes from arenas and slabs that need no tuning."),
    TUNING("http2_streams_index_size", HS, "http2_streams_index_size NUMBER;", "Tables size themselves."),
};

struct feature h2_feature = {
    .name = "h2",
    .doc = "HTTP/2 with clients.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_SERVER] = sizeof(struct h2_server_conf), [SCOPE_LOCATION] = sizeof(struct h2_location_conf) },
};
