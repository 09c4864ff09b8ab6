#include "admin/log_format.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/escape.h"

static const char combined[] = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
                               "\"$http_referer\" \"$http_user_agent\"";

/* Who asked a forward proxy for what, what was decided, and by which line. */
static const char forward[] = "$remote_addr $forward_user [$time_local] \"$request\" $status $body_bytes_sent "
                              "$forward_decision \"$forward_rule\" \"$forward_list\" \"$forward_entry\"";

/* Squid's own, as proxy/squid_log.h would make it of its codes. */
static const char squid[] = "$squid_ts.$squid_03_tu $squid_6_tr $squid_client $squid_result/$squid_03_status "
                            "$squid_sent $squid_method $squid_url $squid_user $squid_way/$squid_peer $squid_type";

static struct log_format *format_new(struct conf_ctx *cf, slice name, enum log_escape escape)
{
    struct log_format *f = arena_new(cf->arena, struct log_format);
    if (!f)
        return NULL;
    f->name = name;
    f->escape = escape;
    return f;
}

int log_format_predefined(struct conf_ctx *cf, slice name, struct log_format **out)
{
    static const struct {
        const char *name, *text;
    } formats[] = { { "combined", combined }, { "forward", forward }, { "squid", squid } };
    const char *found = NULL;
    for (size_t i = 0; i < array_len(formats); i++)
        found = slice_eq(name, slice_str(formats[i].name)) ? formats[i].text : found;
    if (!found)
        return ERR_NOTFOUND;
    const struct conf_arg text = { .text = slice_str(found), .quoted = true };
    struct log_format *f = format_new(cf, name, LOG_ESCAPE_DEFAULT);
    if (!f)
        return ERR_NOMEM;
    int rc = template_compile(cf, &text, &f->text);
    if (rc == OK)
        *out = f;
    return rc;
}

static int parse_escape(struct conf_ctx *cf, const struct conf_node *node, slice value, enum log_escape *out)
{
    if (slice_eq(value, SLICE("default")))
        *out = LOG_ESCAPE_DEFAULT;
    else if (slice_eq(value, SLICE("json")))
        *out = LOG_ESCAPE_JSON;
    else if (slice_eq(value, SLICE("none")))
        *out = LOG_ESCAPE_NONE;
    else
        return conf_error(cf, node, 1, "unknown log format escaping \"%.*s\"", SLICE_FMT(value));
    return OK;
}

/* The strings of a log_format line are one text. */
static int join(struct conf_ctx *cf, const struct conf_node *node, uint32_t first, slice *out)
{
    struct strb b;
    strb_init(&b, 0);
    for (uint32_t i = first; i < node->nargs; i++)
        strb_add(&b, node->args[i].text);
    bool kept = !b.failed && arena_dup(cf->arena, strb_slice(&b), out);
    strb_done(&b);
    return kept ? OK : ERR_NOMEM;
}

int log_format_parse(struct conf_ctx *cf, const struct conf_node *node, struct log_format **out)
{
    enum log_escape escape = LOG_ESCAPE_DEFAULT;
    uint32_t first = 1;
    int rc = OK;
    slice option = node->args[1].text;
    if (slice_starts(option, SLICE("escape="))) {
        rc = parse_escape(cf, node, slice_from(option, sizeof("escape=") - 1), &escape);
        first = 2;
    }
    if (rc == OK && first == node->nargs)
        rc = conf_error(cf, node, -1, "log format \"%.*s\" has no text", SLICE_FMT(node->args[0].text));
    struct log_format *f = rc == OK ? format_new(cf, node->args[0].text, escape) : NULL;
    if (!f)
        return rc == OK ? ERR_NOMEM : rc;
    struct conf_arg text = node->args[first];
    rc = join(cf, node, first, &text.text);
    if (rc == OK)
        rc = template_compile(cf, &text, &f->text);
    if (rc == OK)
        *out = f;
    return rc;
}

/* What has no value is "-" in the default escaping, as in nginx, and nothing in the others. */
static void add_value(enum log_escape escape, bool absent, slice value, struct strb *out)
{
    switch (escape) {
    case LOG_ESCAPE_DEFAULT:
        if (absent)
            strb_char(out, '-');
        else
            escape_log(out, value);
        break;
    case LOG_ESCAPE_JSON:
        escape_json(out, value);
        break;
    case LOG_ESCAPE_NONE:
        strb_add(out, value);
        break;
    }
}

void log_format_line(const struct log_format *f, struct exchange *x, struct strb *out)
{
    if (template_literal(&f->text))
        strb_add(out, f->text.source);
    for (uint32_t i = 0; i < f->text.nparts; i++) {
        const struct template_part *p = &f->text.parts[i];
        slice value = SLICE_NONE;
        if (!p->var) {
            strb_add(out, p->literal);
            continue;
        }
        bool absent = exchange_var(x, p->var, &value) != OK;
        add_value(f->escape, absent, absent ? SLICE_NONE : value, out);
    }
    strb_char(out, '\n');
}
