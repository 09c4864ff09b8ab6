/*
 * The directives of gzip, and $gzip_ratio. Names, defaults and levels are nginx's.
 */
#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/match.h"
#include "http/vars.h"
#include "policy/gzip.h"

static int set_gzip(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    ((struct gzip_conf *)conf)->pos = node->pos;
    return OK;
}

static const struct gzip_type *find_type(const struct gzip_types *t, slice name)
{
    static const struct gzip_type html = { { "text/html", 9 }, NULL };
    const struct gzip_type *at = t->first;
    while (at && !slice_ieq(at->name, name))
        at = at->next;
    return at || !slice_ieq(name, html.name) ? at : &html;
}

static int set_types(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct gzip_types *types = &((struct gzip_conf *)conf)->types;
    for (uint32_t i = 0; i < node->nargs; i++) {
        slice name = node->args[i].text;
        if (slice_eq(name, SLICE("*"))) {
            types->all = true;
            continue;
        }
        if (find_type(types, name)) {
            conf_warn(cf, node, (int)i, "duplicate MIME type \"%.*s\"", SLICE_FMT(name));
            continue;
        }
        struct gzip_type *t = arena_new(cf->arena, struct gzip_type);
        if (!t)
            return ERR_NOMEM;
        *t = (struct gzip_type){ name, types->first };
        types->first = t;
    }
    return OK;
}

static int set_disable(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct gzip_agents *d = &((struct gzip_conf *)conf)->disable;
    for (uint32_t i = 0; i < node->nargs; i++) {
        struct match m;
        if (slice_eq(node->args[i].text, SLICE("msie6"))) {
            d->msie6 = true;
            continue;
        }
        int rc = match_compile(cf, node, (int)i, node->args[i].text, true, &m);
        struct gzip_agent *a = rc == OK ? arena_new(cf->arena, struct gzip_agent) : NULL;
        if (!a)
            return rc == OK ? ERR_NOMEM : rc;
        *a = (struct gzip_agent){ m.regex, d->first };
        d->first = a;
    }
    return OK;
}

/* ---- $gzip_ratio ---- */

static int get_ratio(struct exchange *x, const struct var *v, slice *out)
{
    uint64_t in, written;
    if (!gzip_counts(x, &in, &written) || !written)
        return ERR_NOTFOUND;
    uint64_t hundredths = (in * 1000 / written + 5) / 10;
    slice s =
        arena_printf(&x->arena, "%llu.%02u", (unsigned long long)(hundredths / 100), (unsigned)(hundredths % 100));
    if (!s.p)
        return ERR_NOMEM;
    *out = s;
    return OK;
}

static const struct var_def vars[] = {
    { .name = "gzip_ratio",
      .known = VAR_END,
      .get = get_ratio,
      .doc = "How many times smaller gzip made the answer's body; empty when it did not." },
};

/* ---- the table ---- */

static const struct conf_value proxied_values[] = {
    { "off", GZIP_P_OFF },           { "expired", GZIP_P_EXPIRED },
    { "no-cache", GZIP_P_NO_CACHE }, { "no-store", GZIP_P_NO_STORE },
    { "private", GZIP_P_PRIVATE },   { "no_last_modified", GZIP_P_NO_LAST_MODIFIED },
    { "no_etag", GZIP_P_NO_ETAG },   { "auth", GZIP_P_AUTH },
    { "any", GZIP_P_ANY },           { NULL, 0 },
};

static const struct conf_value versions[] = { { "1.0", 0 }, { "1.1", 1 }, { NULL, 0 } };

#define HSL (CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LOCATION_IF)
#define SLOT(dname, dtype, member, text, usage_text, doc_text)                                            \
    .name = dname, .contexts = HSL, .min_args = 1, .max_args = 1, .type = dtype, .scope = SCOPE_LOCATION, \
    .offset = offsetof(struct gzip_conf, member), .def = text, .usage = usage_text, .doc = doc_text
#define LIST(dname, member, fn, usage_text, doc_text)                                              \
    .name = dname, .contexts = HSL, .min_args = 1, .max_args = CONF_ANY_ARGS, .type = CONF_CUSTOM, \
    .scope = SCOPE_LOCATION, .offset = offsetof(struct gzip_conf, member),                         \
    .size = sizeof(((struct gzip_conf *)0)->member), .set = fn, .usage = usage_text, .doc = doc_text
#define TUNING(dname, most, usage_text, doc_text)                                                              \
    .name = dname, .contexts = HSL, .min_args = 1, .max_args = most, .type = CONF_TUNING, .usage = usage_text, \
    .doc = doc_text

static const struct directive directives[] = {
    { SLOT("gzip", CONF_FLAG, on, "off", "gzip on | off;",
           "Compresses answers with status 200, 403 and 404 for clients that accept gzip. Their ETag becomes a weak "
           "one, "
           "Accept-Ranges and the length go. What a backend sends piece by piece is sent on within some 30 ms, with "
           "proxy_buffering off at once."),
      .set = set_gzip },
    { LIST("gzip_types", types, set_types, "gzip_types TYPE ... | *;",
           "The content types that are compressed, besides text/html; *: all. Parameters of a type do not count.") },
    { SLOT("gzip_min_length", CONF_SIZE, min_length, "20", "gzip_min_length SIZE;",
           "Answers whose Content-Length is smaller are not compressed.") },
    { SLOT(
          "gzip_comp_level", CONF_NUM, level, "1", "gzip_comp_level LEVEL;",
          "1 to 9. Built with ISA-L, 1 and 2 are its levels 1 and 2, 3 to 6 its level 3; 7 to 9 are zlib's, which cost "
          "ten times as much. Built without, all are zlib's."),
      .min = 1, .max = 9 },
    { SLOT("gzip_vary", CONF_FLAG, vary, "off", "gzip_vary on | off;",
           "Adds Vary: Accept-Encoding to answers that are compressed for those who accept it, unless it is there.") },
    {
        .name = "gzip_proxied",
        .contexts = HSL,
        .min_args = 1,
        .max_args = CONF_ANY_ARGS,
        .type = CONF_BITS,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct gzip_conf, proxied),
        .values = proxied_values,
        .def = "off",
        .usage =
            "gzip_proxied off | expired | no-cache | no-store | private | no_last_modified | no_etag | auth | any ...;",
        .doc = "Which answers to requests that came through a proxy (Via) are compressed, by what they say about "
               "caching.",
    },
    { SLOT("gzip_http_version", CONF_ENUM, minor, "1.1", "gzip_http_version 1.0 | 1.1;",
           "The lowest version of HTTP for which answers are compressed."),
      .values = versions },
    { LIST("gzip_disable", disable, set_disable, "gzip_disable REGEX ...;",
           "Clients whose User-Agent matches get no compressed answers; msie6 stands for Internet Explorer 4 to 6."),
      .repeat = true },
    { SLOT(
        "gzip_memory", CONF_SIZE, memory, "64m", "gzip_memory SIZE;",
        "How much memory compressing may take in a worker: some 170 KB for each answer under way at level 1, 270 KB at "
        "most. Beyond it answers go as they are, and are counted.") },
    { TUNING("gzip_buffers", 2, "gzip_buffers NUMBER SIZE;", "Compressed bytes are written on as they are made.") },
    { TUNING("gzip_window", 1, "gzip_window SIZE;", "The window is always 32k.") },
    { TUNING("gzip_hash", 1, "gzip_hash SIZE;", "The compressor's tables need no tuning.") },
    { TUNING("gzip_no_buffer", 1, "gzip_no_buffer on | off;", "Nothing is held back that could go.") },
    { TUNING("postpone_gzipping", 1, "postpone_gzipping SIZE;", "Nothing is held back that could go.") },
};

struct feature gzip_feature = {
    .name = "gzip",
    .doc = "Compressing answers.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = vars,
    .nvars = array_len(vars),
    .size = { [SCOPE_LOCATION] = sizeof(struct gzip_conf) },
};
