/*
 * What a configuration says about clients: limits, timeouts, buffers, how long a connection is kept and how it ends.
 *
 * Names, units, defaults and levels are nginx's (ngx_http_core_module's manual); a default that differs says so in its
 * text. Directives at http and server level go to struct client_server_conf, which the codec obeys while a head is
 * read; the rest to struct client_location_conf.
 */
#include "http/client_conf.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/units.h"
#include "http/chars.h"
#include "http/old_browser.h"

/* large_client_header_buffers NUMBER SIZE; a size below nginx's smallest connection pool is refused as there. */
static int set_large_buffers(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct client_server_conf *c = conf;
    uint64_t number, size;
    if (slice_to_u64(node->args[0].text, &number) != OK || number < 1 || number > 1024)
        return conf_error(cf, node, 0, "invalid number of buffers \"%.*s\"", SLICE_FMT(node->args[0].text));
    if (conf_size(node->args[1].text, &size) != OK || size < 512 || size > 16 << 20)
        return conf_error(cf, node, 1, "invalid size \"%.*s\": it must be between 512 and 16m",
                          SLICE_FMT(node->args[1].text));
    c->large_buffers = number;
    c->large_buffer_size = size;
    return OK;
}

/* keepalive_timeout TIME [HEADER_TIME]; the second one is for the Keep-Alive field alone. */
static int set_keepalive_timeout(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct client_location_conf *c = conf;
    uint64_t timeout, header = 0;
    if (conf_msec(node->args[0].text, &timeout) != OK)
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(node->args[0].text));
    if (node->nargs > 1 && conf_sec(node->args[1].text, &header) != OK)
        return conf_error(cf, node, 1, "invalid value \"%.*s\"", SLICE_FMT(node->args[1].text));
    c->keepalive_timeout = timeout;
    c->keepalive_header = header;
    return OK;
}

int temp_dir_read(struct conf_ctx *cf, const struct conf_node *node, const struct bundle_entry **dir)
{
    for (uint32_t i = 1; i < node->nargs; i++) {
        uint64_t level;
        if (slice_to_u64(node->args[i].text, &level) != OK || level < 1 || level > 3)
            return conf_error(cf, node, (int)i, "invalid value \"%.*s\"", SLICE_FMT(node->args[i].text));
    }
    slice path = bundle_path(cf->bundle, node->args[0].text);
    const struct bundle_entry *e = path.p ? bundle_descriptor(cf->bundle, BUNDLE_DIR, path) : NULL;
    if (!e)
        return ERR_NOMEM;
    *dir = e;
    return OK;
}

static int set_temp_path(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return temp_dir_read(cf, node, &((struct client_location_conf *)conf)->body_temp_dir);
}

static int set_in_file_only(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    if (slice_eq(node->args[0].text, SLICE("off")))
        return OK;
    return conf_error(cf, node, 0,
                      "\"client_body_in_file_only %.*s\" is not supported: request bodies are kept in memory or in "
                      "unlinked files, which no other program can open by name",
                      SLICE_FMT(node->args[0].text));
}

/* A value that holds no variables is known to be wrong now. */
static int check_size(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    uint64_t size;
    slice text = node->args[0].text;
    if (slice_find(text, '$') < 0 && conf_size(text, &size) != OK)
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(text));
    return OK;
}

static const struct conf_value compat_values[] = {
    { "bare_lf", COMPAT_BARE_LF },
    { "fragment", COMPAT_FRAGMENT },
    { NULL, 0 },
};

static const struct conf_value browser_values[] = {
    { "none", 0 },
    { "msie6", OLD_MSIE6 },
    { "safari", OLD_SAFARI },
    { NULL, 0 },
};

static const struct conf_value lingering_values[] = {
    { "off", 0 },
    { "on", 1 },
    { "always", 2 },
    { NULL, 0 },
};

/* A word of nginx's, or a text of the configuration's own. */
static int set_server_tokens(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct template *t = &((struct client_location_conf *)conf)->server_field;
    slice text = node->args[0].text;
    if (slice_eq(text, SLICE("on")) || slice_eq(text, SLICE("build"))) {
        *t = (struct template){ .source = SLICE("hinge/" HINGE_VERSION) };
        return OK;
    }
    if (slice_eq(text, SLICE("off"))) {
        *t = (struct template){ .source = SLICE("hinge") };
        return OK;
    }
    int rc = template_compile(cf, &node->args[0], t);
    if (rc == OK && template_literal(t) && !http_is_value(text))
        return conf_error(cf, node, 0, "invalid characters in \"%.*s\"", SLICE_FMT(text));
    return rc;
}

#define HS  (CONF_HTTP | CONF_SERVER)
#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

/* One line of the table: a typed slot with one argument at server level, or at location level. */
#define SERVER_SLOT(dname, dtype, field, low, high, default_text, usage_text, doc_text)                     \
    {                                                                                                       \
        .name = dname, .contexts = HS, .min_args = 1, .max_args = 1, .type = dtype, .scope = SCOPE_SERVER,  \
        .offset = offsetof(struct client_server_conf, field), .min = low, .max = high, .def = default_text, \
        .usage = usage_text, .doc = doc_text,                                                               \
    }
#define LOCATION_SLOT(dname, dtype, field, low, high, default_text, usage_text, doc_text)                     \
    {                                                                                                         \
        .name = dname, .contexts = HSL, .min_args = 1, .max_args = 1, .type = dtype, .scope = SCOPE_LOCATION, \
        .offset = offsetof(struct client_location_conf, field), .min = low, .max = high, .def = default_text, \
        .usage = usage_text, .doc = doc_text,                                                                 \
    }
#define TUNING(dname, where, most, usage_text, doc_text)                                                             \
    {                                                                                                                \
        .name = dname, .contexts = where, .min_args = 1, .max_args = most, .type = CONF_TUNING, .usage = usage_text, \
        .doc = doc_text,                                                                                             \
    }

#define POOL_DOC  "Memory comes from arenas and slabs that need no tuning."
#define HASH_DOC  "Tables size themselves."
#define FILES_DOC "Small files are read and leave with their head, larger ones are sent by the kernel: nothing to tune."

static const struct directive directives[] = {
    SERVER_SLOT("client_header_timeout", CONF_MSEC, header_timeout, 0, 0, "60s", "client_header_timeout TIME;",
                "How long a client may take to send the whole head of a request. Then the answer is 408."),
    SERVER_SLOT("client_header_buffer_size", CONF_SIZE, header_buffer_size, 1, 16 << 20, "1k",
                "client_header_buffer_size SIZE;",
                "The memory that a connection takes when part of a request's head has come; when that is full it takes "
                "large_client_header_buffers, one after the other. A head that comes whole takes neither."),
    {
        .name = "large_client_header_buffers",
        .contexts = HS,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_SERVER,
        .offset = offsetof(struct client_server_conf, large_buffers),
        .size = 2 * sizeof(uint64_t),
        .def = "4 8k",
        .set = set_large_buffers,
        .usage = "large_client_header_buffers NUMBER SIZE;",
        .doc = "SIZE bounds the request line (beyond it: 414) and each header line (431); NUMBER times SIZE bounds the "
               "whole head (431). A larger client_header_buffer_size is the bound of both.",
    },
    SERVER_SLOT(
        "max_headers", CONF_NUM, max_fields, 1, 1000, "100", "max_headers NUMBER;",
        "The largest number of header fields in a request; more are answered with 431. nginx's default is 1000."),
    SERVER_SLOT(
        "underscores_in_headers", CONF_FLAG, underscores, 0, 0, "off", "underscores_in_headers on | off;",
        "Whether field names with underscores are valid. Off, they are handled as ignore_invalid_headers says."),
    SERVER_SLOT("ignore_invalid_headers", CONF_FLAG, ignore_invalid, 0, 0, "on", "ignore_invalid_headers on | off;",
                "Whether fields with unusual names (other than letters, digits, hyphens) are dropped and counted, or "
                "passed. A name that is no token of RFC 9110 is a 400 in any case."),
    SERVER_SLOT("merge_slashes", CONF_FLAG, merge_slashes, 0, 0, "on", "merge_slashes on | off;",
                "Whether adjacent slashes of a path count as one."),
    {
        .name = "http1_compat",
        .contexts = HS,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_BITS,
        .scope = SCOPE_SERVER,
        .offset = offsetof(struct client_server_conf, compat),
        .values = compat_values,
        .usage = "http1_compat NAME ...;",
        .doc =
            "The only leniency of the HTTP/1 parser, off by default; each use by a client is counted. bare_lf: a line "
            "of a head may end in LF alone, of a request and of a backend's answer. fragment: a \"#...\" in the target "
            "is cut. For requests the listener's default server decides, for answers the request's own.",
    },
    LOCATION_SLOT("client_body_timeout", CONF_MSEC, body_timeout, 0, 0, "60s", "client_body_timeout TIME;",
                  "The longest pause between two reads of a request body. Then the answer is 408."),
    LOCATION_SLOT("send_timeout", CONF_MSEC, send_timeout, 0, 0, "60s", "send_timeout TIME;",
                  "The longest pause between two writes of an answer. Then the connection is closed."),
    {
        .name = "keepalive_timeout",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct client_location_conf, keepalive_timeout),
        .size = 2 * sizeof(uint64_t),
        .def = "75s",
        .set = set_keepalive_timeout,
        .usage = "keepalive_timeout TIME [HEADER_TIME];",
        .doc = "How long an idle client connection stays open; 0 closes it after each answer. HEADER_TIME is what the "
               "answer's Keep-Alive field says, which is left out without it.",
    },
    LOCATION_SLOT("keepalive_requests", CONF_NUM, keepalive_requests, 0, 0, "1000", "keepalive_requests NUMBER;",
                  "How many requests one client connection may carry."),
    LOCATION_SLOT("keepalive_time", CONF_MSEC, keepalive_time, 0, 0, "1h", "keepalive_time TIME;",
                  "How long requests are taken from one client connection; it closes after the next answer."),
    {
        .name = "keepalive_disable",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_BITS,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct client_location_conf, keepalive_disable),
        .values = browser_values,
        .def = "msie6",
        .usage = "keepalive_disable none | msie6 | safari ...;",
        .doc = "Browsers whose connections are not kept, by their User-Agent. msie6: old Internet Explorers, after a "
               "POST. safari: Safari and its like on macOS, after any request.",
    },
    LOCATION_SLOT("client_max_body_size", CONF_OFFSET, max_body_size, 0, 0, "1m", "client_max_body_size SIZE;",
                  "The largest request body; a larger one is answered with 413. 0: any size."),
    LOCATION_SLOT(
        "client_body_buffer_size", CONF_SIZE, body_buffer_size, 1, 1 << 30, "16k", "client_body_buffer_size SIZE;",
        "How much of a request body is held in memory. With proxy_request_buffering on, a larger one goes to a "
        "temporary file, by way of a buffer of that size, but of 64k at least."),
    {
        .name = "client_body_temp_path",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 4,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct client_location_conf, body_temp_dir),
        .size = sizeof(const struct bundle_entry *),
        .def = "/var/tmp",
        .set = set_temp_path,
        .usage = "client_body_temp_path PATH [LEVEL1 [LEVEL2 [LEVEL3]]];",
        .doc =
            "Directory for request bodies that do not fit in memory. The files are unlinked as soon as they are open, "
            "so the levels of directories are accepted without need.",
    },
    {
        .name = "client_body_in_file_only",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .set = set_in_file_only,
        .usage = "client_body_in_file_only off;",
        .doc = "Only \"off\": request bodies are never kept in files that have a name.",
    },
    TUNING("client_body_in_single_buffer", HSL, 1, "client_body_in_single_buffer on | off;",
           "A buffered body always lies in as few pieces as arrived."),
    {
        .name = "lingering_close",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_ENUM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct client_location_conf, lingering_close),
        .values = lingering_values,
        .def = "on",
        .usage = "lingering_close off | on | always;",
        .doc =
            "Whether a connection that is closed while the client may still send is read on for a while, so that the "
            "client sees the answer and not a reset.",
    },
    LOCATION_SLOT("lingering_time", CONF_MSEC, lingering_time, 0, 0, "30s", "lingering_time TIME;",
                  "How long such reading lasts at most."),
    LOCATION_SLOT("lingering_timeout", CONF_MSEC, lingering_timeout, 0, 0, "5s", "lingering_timeout TIME;",
                  "How long such reading waits for more."),
    {
        .name = "limit_rate_after",
        .contexts = HSL | CONF_LOCATION_IF,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_TEMPLATE,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct client_location_conf, limit_rate_after),
        .def = "0",
        .set = check_size,
        .usage = "limit_rate_after SIZE;",
        .doc = "How many bytes of a body go before limit_rate begins to count; it may hold variables.",
    },
    LOCATION_SLOT("tcp_nodelay", CONF_FLAG, tcp_nodelay, 0, 0, "on", "tcp_nodelay on | off;",
                  "Whether TCP_NODELAY is set on client connections."),
    LOCATION_SLOT(
        "chunked_transfer_encoding", CONF_FLAG, chunked, 0, 0, "on", "chunked_transfer_encoding on | off;",
        "Whether an answer whose length is not known goes in chunks to clients of HTTP/1.1. Off, its end is the "
        "end of the connection, as for HTTP/1.0."),
    LOCATION_SLOT("reset_timedout_connection", CONF_FLAG, reset_timedout, 0, 0, "off",
                  "reset_timedout_connection on | off;",
                  "Whether a client connection that timed out is closed with a reset, which frees its memory at once."),
    {
        .name = "server_tokens",
        .contexts = HSL,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct client_location_conf, server_field),
        .size = sizeof(struct template),
        .def = "on",
        .set = set_server_tokens,
        .usage = "server_tokens on | off | build | TEXT;",
        .doc =
            "What the Server field and the foot of error pages say: name and version, the name alone, or TEXT, which "
            "may hold variables. An empty TEXT leaves both out. build is the same as on.",
    },
    TUNING("connection_pool_size", HS, 1, "connection_pool_size SIZE;", POOL_DOC),
    TUNING("request_pool_size", HS, 1, "request_pool_size SIZE;", POOL_DOC),
    TUNING("server_names_hash_max_size", CONF_HTTP, 1, "server_names_hash_max_size SIZE;", HASH_DOC),
    TUNING("server_names_hash_bucket_size", CONF_HTTP, 1, "server_names_hash_bucket_size SIZE;", HASH_DOC),
    TUNING("types_hash_max_size", HSL, 1, "types_hash_max_size SIZE;", HASH_DOC),
    TUNING("types_hash_bucket_size", HSL, 1, "types_hash_bucket_size SIZE;", HASH_DOC),
    TUNING("variables_hash_max_size", CONF_HTTP, 1, "variables_hash_max_size SIZE;", HASH_DOC),
    TUNING("variables_hash_bucket_size", CONF_HTTP, 1, "variables_hash_bucket_size SIZE;", HASH_DOC),
    TUNING("map_hash_max_size", CONF_HTTP, 1, "map_hash_max_size SIZE;", HASH_DOC),
    TUNING("map_hash_bucket_size", CONF_HTTP, 1, "map_hash_bucket_size SIZE;", HASH_DOC),
    TUNING("tcp_nopush", HSL, 1, "tcp_nopush on | off;", "Head and first body bytes always leave in one segment."),
    TUNING("sendfile", HSL | CONF_LOCATION_IF, 1, "sendfile on | off;", FILES_DOC),
    TUNING("sendfile_max_chunk", HSL, 1, "sendfile_max_chunk SIZE;", FILES_DOC),
    TUNING("aio", HSL, 1, "aio on | off | threads[=POOL];", FILES_DOC),
    TUNING("aio_write", HSL, 1, "aio_write on | off;", FILES_DOC),
    TUNING("directio", HSL, 1, "directio SIZE | off;", FILES_DOC),
    TUNING("directio_alignment", HSL, 1, "directio_alignment SIZE;", FILES_DOC),
    TUNING("output_buffers", HSL, 2, "output_buffers NUMBER SIZE;", FILES_DOC),
    TUNING("read_ahead", HSL, 1, "read_ahead SIZE;", FILES_DOC),
    TUNING("postpone_output", HSL, 1, "postpone_output SIZE;", "What can leave together leaves together."),
    TUNING("msie_padding", HSL, 1, "msie_padding on | off;", "Error pages are never padded."),
    TUNING("msie_refresh", HSL, 1, "msie_refresh on | off;", "Redirects are always redirects."),
    TUNING("subrequest_output_buffer_size", HSL, 1, "subrequest_output_buffer_size SIZE;", POOL_DOC),
};

struct feature client_feature = {
    .name = "client",
    .forward = true,
    .doc = "How clients are read, answered and kept.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_SERVER] = sizeof(struct client_server_conf),
              [SCOPE_LOCATION] = sizeof(struct client_location_conf) },
};
