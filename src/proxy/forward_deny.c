#include "proxy/forward_deny.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/schema.h"
#include "forward/deny_text.h"
#include "http/chars.h"
#include "http/vars.h"
#include "proxy/dial.h"
#include "proxy/forward_block.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy.h"
#include "proxy/squid_deny.h"

enum { PAGE_MAX = 1 << 20, ANSWER_MAX = 2 << 20 };

enum page_kind { PAGE_OFF, PAGE_TEXT, PAGE_REDIRECT };

struct deny_page {
    enum page_kind kind;
    struct deny_text page, address; /* address: of PAGE_REDIRECT */
};

/* SCOPE_LOCATION */
struct deny_level {
    const struct deny_page *page;
};

static const char default_page[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Access refused</title>\n<style>\n"
    "body { font: 16px/1.5 sans-serif; color: #222; background: #f4f4f4; margin: 0 }\n"
    "main { max-width: 36em; margin: 10vh auto; padding: 2em; background: #fff; border-top: 4px solid #b33 }\n"
    "h1 { font-size: 1.4em; margin-top: 0 }\ndt { color: #666 }\ndd { margin: 0 0 .6em; overflow-wrap: anywhere }\n"
    "</style>\n</head>\n<body>\n<main>\n<h1>The proxy has refused this request</h1>\n<dl>\n"
    "<dt>Address</dt><dd>$forward_host</dd>\n<dt>Reason</dt><dd>$forward_reason</dd>\n"
    "<dt>Asked by</dt><dd>$forward_user $forward_client</dd>\n</dl>\n"
    "<p>If you need it, ask whoever runs the proxy and name the address and the reason.</p>\n"
    "</main>\n</body>\n</html>\n";

/* ---- what is known of a decision ---- */

static slice decision_of(const struct exchange *x, const struct forward_exchange *f)
{
    const struct dial *d = x->proxy->dial;
    switch ((enum forward_verdict)f->verdict) {
    case FORWARD_UNDECIDED:
        return SLICE_NONE;
    case FORWARD_DENIED:
        return SLICE("denied");
    case FORWARD_BLOCKED:
        return SLICE("blocked");
    case FORWARD_LIMITED:
        return SLICE("limited");
    case FORWARD_ALLOWED:
        break;
    }
    return d && (d->status == 403 || d->status == 508) ? SLICE("guarded") : SLICE("allowed");
}

/* With an empty pointer: no memory. */
static slice reason_of(struct exchange *x, const struct forward_exchange *f)
{
    const struct filter_decision *d = &f->filter;
    if (f->verdict == FORWARD_DENIED)
        return SLICE("the access rules do not allow it");
    if (f->verdict == FORWARD_LIMITED)
        return slice_str(f->limit_reason);
    if (f->verdict != FORWARD_BLOCKED)
        return SLICE("");
    if (d->list)
        return arena_printf(&x->arena, "it is on the list %.*s", SLICE_FMT(d->list->name));
    return SLICE("the filter does not allow it");
}

static slice rule_of(struct exchange *x, const struct forward_exchange *f)
{
    char text[512];
    slice out;
    if (f->verdict == FORWARD_LIMITED)
        return f->limit_rule;
    if (f->filter.rule)
        return fwd_line_words(&x->arena, &f->filter.rule->pos, f->filter.rule->text);
    if (f->verdict == FORWARD_UNDECIDED || !f->conf->policy->http_access.n)
        return SLICE("");
    size_t n = fwd_decision_text(text, sizeof(text), &f->conf->policy->http_access, &f->rules);
    return arena_dup(&x->arena, slice_of(text, n), &out) ? out : SLICE_NONE;
}

static slice value_of(struct exchange *x, enum deny_value v)
{
    const struct forward_exchange *f = x->proxy->forward;
    const slice *user = x->slots[SLOT_USER];
    switch (v) {
    case DENY_DECISION:
        return decision_of(x, f);
    case DENY_REASON:
        return reason_of(x, f);
    case DENY_HOST:
        return f->host;
    case DENY_URL:
        return f->url;
    case DENY_RULE:
        return rule_of(x, f);
    case DENY_LIST:
        return f->filter.list ? f->filter.list->name : SLICE("");
    case DENY_ENTRY:
        return f->filter.entry;
    case DENY_USER:
        return user ? *user : SLICE("");
    case DENY_CLIENT:
        return exchange_client_text(x);
    case DENY_LITERAL:
        break;
    }
    return SLICE("");
}

static int get_value(struct exchange *x, const struct var *v, slice *out)
{
    if (!x->proxy || !x->proxy->forward)
        return ERR_NOTFOUND;
    return var_some(value_of(x, (enum deny_value)v->def->data), out);
}

/* ---- answering ---- */

static int write_text(struct exchange *x, const struct deny_text *t, enum deny_escape how, slice *out)
{
    slice values[DENY_VALUES] = { 0 };
    struct strb b;
    for (const struct deny_part *p = t->first; p; p = p->next) {
        if (p->value != DENY_LITERAL && !values[p->value].p)
            values[p->value] = value_of(x, p->value);
    }
    strb_init(&b, ANSWER_MAX);
    deny_text_write(&b, t, values, how);
    bool kept = !b.failed && arena_dup(&x->arena, strb_slice(&b), out);
    strb_done(&b);
    return kept ? OK : ERR_NOMEM;
}

static bool not_stored(struct exchange *x)
{
    return fields_add(
        &x->arena, &x->resp.fields,
        (struct field){ .name = SLICE("Cache-Control"), .value = SLICE("no-store"), .token = TOK_CACHE_CONTROL });
}

static unsigned status_of(const struct forward_exchange *f)
{
    return f->verdict == FORWARD_LIMITED ? f->limit_status : 403;
}

/* Whoever is over a limit may come again. */
static bool later(struct exchange *x)
{
    const struct forward_exchange *f = x->proxy->forward;
    struct field field = { .name = SLICE("Retry-After"), .token = TOK_RETRY_AFTER };
    if (f->verdict != FORWARD_LIMITED || f->limit_status != 429)
        return true;
    field.value = arena_printf(&x->arena, "%llu", (unsigned long long)f->limit_wait);
    return field.value.p && fields_add(&x->arena, &x->resp.fields, field);
}

static bool with_fields(struct exchange *x)
{
    return not_stored(x) && later(x);
}

/* A redirect says nothing to whoever asked for a tunnel, and a limit is gone in a moment: both get the page. */
int forward_deny(struct exchange *x)
{
    const struct deny_level *l = exchange_conf(x, &forward_deny_feature);
    const struct forward_exchange *f = x->proxy->forward;
    const struct deny_page *p = l->page;
    slice text;
    int rc = f->verdict == FORWARD_DENIED ? squid_deny(x, f->conf->policy, &f->rules) : ERR_NOTFOUND;
    if (rc != ERR_NOTFOUND)
        return rc == OK && not_stored(x) ? ERR_REFUSED : ERR_NOMEM;
    if (p->kind == PAGE_REDIRECT && f->verdict != FORWARD_LIMITED && x->req.form == TARGET_ABSOLUTE) {
        rc = write_text(x, &p->address, DENY_ADDRESS, &text);
        if (rc == OK)
            rc = reply_redirect(x, 302, text);
        return rc == OK && with_fields(x) ? ERR_REFUSED : ERR_NOMEM;
    }
    if (p->kind == PAGE_OFF)
        return reply_set(x, status_of(f), SLICE_NONE, SLICE_NONE, true) == OK && with_fields(x) ? ERR_REFUSED
                                                                                                : ERR_NOMEM;
    rc = write_text(x, &p->page, DENY_HTML, &text);
    if (rc == OK)
        rc = reply_set(x, status_of(f), SLICE("text/html; charset=utf-8"), text, false);
    return rc == OK && with_fields(x) ? ERR_REFUSED : ERR_NOMEM;
}

/* ---- load ---- */

static int compile(struct conf_ctx *cf, const struct conf_node *node, slice text, struct deny_text *out)
{
    slice bad;
    int rc = deny_text_compile(cf->arena, text, out, &bad);
    if (rc == ERR_SYNTAX)
        return conf_error(cf, node, 0,
                          "unknown \"$%.*s\": pages know $forward_decision, _reason, _host, _url, _rule, "
                          "_list, _entry, _user and _client",
                          SLICE_FMT(bad));
    return rc;
}

static int read_page(struct conf_ctx *cf, const struct conf_node *node, slice *text)
{
    slice path = bundle_conf_path(cf->bundle, node->args[0].text);
    int rc = path.p ? bundle_file(cf->bundle, path, text) : ERR_NOMEM;
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        return conf_error(cf, node, 0, "cannot read \"%.*s\"", SLICE_FMT(path));
    if (text->n > PAGE_MAX)
        return conf_error(cf, node, 0, "\"%.*s\" is larger than a megabyte", SLICE_FMT(path));
    return OK;
}

static int set_page(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    slice what = node->args[0].text, text = slice_str(default_page);
    struct deny_page *p = arena_new(cf->arena, struct deny_page);
    int rc = p ? OK : ERR_NOMEM;
    if (rc != OK)
        return rc;
    if (slice_eq(what, SLICE("off"))) {
        p->kind = PAGE_OFF;
    } else if (slice_starts(what, SLICE("http://")) || slice_starts(what, SLICE("https://"))) {
        p->kind = PAGE_REDIRECT;
        if (!http_is_value(what) || slice_find(what, ' ') >= 0)
            return conf_error(cf, node, 0, "invalid address \"%.*s\"", SLICE_FMT(what));
        rc = compile(cf, node, what, &p->address);
    } else {
        p->kind = PAGE_TEXT;
        if (!slice_eq(what, SLICE("default")))
            rc = read_page(cf, node, &text);
    }
    if (rc == OK)
        rc = compile(cf, node, text, &p->page);
    ((struct deny_level *)conf)->page = p;
    return rc;
}

static const struct directive directives[] = {
    { .name = "deny_page",
      .contexts = CONF_FORWARD,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct deny_level, page),
      .size = sizeof(struct deny_page *),
      .set = set_page,
      .def = "default",
      .usage = "deny_page default | off | FILE | URL;",
      .doc =
          "What clients get that http_access or the filter refuses. default: a page with the reason. off: the page of "
          "403 as everywhere. FILE: an HTML page of yours in UTF-8, looked for beside the configuration file, in "
          "which $forward_reason, $forward_host, $forward_url, $forward_rule, $forward_list, $forward_entry, "
          "$forward_user, $forward_client and $forward_decision stand for what they say, escaped for HTML. URL, which "
          "begins with http:// or https:// and may hold them too: clients are sent there by 302, but for CONNECT, "
          "which gets the default page. Answers are not to be stored by caches." },
};

#define VALUE(text, value, about)                                                       \
    {                                                                                   \
        .name = text, .known = VAR_ROUTE, .data = value, .get = get_value, .doc = about \
    }

static const struct var_def vars[] = {
    VALUE(
        "forward_decision", DENY_DECISION,
        "What a forward block decided: allowed, denied (http_access), blocked (filter), limited (a limit of the user), "
        "guarded (the target's addresses may not be reached)."),
    VALUE("forward_reason", DENY_REASON, "Why it refused, in words."),
    VALUE("forward_host", DENY_HOST, "The host that the client asks for."),
    VALUE("forward_url", DENY_URL, "The URL that the client asks for; of CONNECT the host and port."),
    VALUE("forward_rule", DENY_RULE, "The line that decided: FILE:LINE and its words."),
    VALUE("forward_list", DENY_LIST, "The filter_list that holds the host, when a filter line decided."),
    VALUE("forward_entry", DENY_ENTRY, "The name in that list."),
    VALUE("forward_user", DENY_USER, "The user whose password was checked."),
    VALUE("forward_client", DENY_CLIENT, "The client's address."),
};

struct feature forward_deny_feature = {
    .name = "forward_deny",
    .doc = "What a forward proxy says when it refuses.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .vars = vars,
    .nvars = array_len(vars),
    .size = { [SCOPE_LOCATION] = sizeof(struct deny_level) },
};
