#include "forward/squid_line.h"

#include "base/attr.h"
#include "base/err.h"

/* A new word behind the last one of the list. */
static struct fwd_word *add_word(struct fwd_policy *p, struct fwd_word **list, const struct conf_node *n, slice text)
{
    struct fwd_word *w = arena_new(p->c.arena, struct fwd_word);
    if (!w)
        return NULL;
    while (*list)
        list = &(*list)->next;
    w->text = text;
    w->pos = n->pos;
    fwd_rules_init(&w->rules, true);
    *list = w;
    return w;
}

int squid_line_acl(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    return fwd_acl_line(&p->acls, &p->c, n);
}

int squid_line_rules(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    struct fwd_rules *lists[] = { &p->http_access, &p->http_reply_access, &p->always_direct, &p->never_direct };
    return fwd_rules_line(lists[which], &p->acls, &p->c, n, 0);
}

int squid_line_outgoing(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    struct fwd_rule **made = p->outgoing.last;
    struct addr *a = arena_new(p->c.arena, struct addr);
    if (!a)
        return ERR_NOMEM;
    if (addr_parse_ip(squid_first_arg(n), 0, a))
        return fwd_error(&p->c, n, 0, "invalid address \"%.*s\"", SLICE_FMT(squid_first_arg(n)));
    int rc = fwd_rules_value(&p->outgoing, &p->acls, &p->c, n, 1, squid_first_arg(n));
    if (rc == OK)
        (*made)->address = a;
    return rc;
}

/* "3128", "10.0.0.1:3128", and options that change nothing; those that intercept are refused. */
int squid_line_port(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    uint64_t port;
    if (!n->nargs)
        return fwd_error(&p->c, n, -1, "\"http_port\" needs a port");
    slice spec = squid_first_arg(n), digits = slice_from(spec, (size_t)(slice_rfind(spec, ':') + 1));
    if (slice_to_u64(digits, &port) || !port || port > 65535)
        return fwd_error(&p->c, n, 0, "invalid port \"%.*s\"", SLICE_FMT(spec));
    for (uint32_t i = 1; i < n->nargs; i++) {
        slice o = n->args[i].text;
        if (!slice_starts(o, SLICE("name=")) && !slice_starts(o, SLICE("tcpkeepalive")))
            return fwd_error(&p->c, n, (int)i, "option \"%.*s\" of \"http_port\" is not supported", SLICE_FMT(o));
        fwd_warn(&p->c, n, (int)i, "option \"%.*s\" has no effect", SLICE_FMT(o));
    }
    return add_word(p, &p->ports, n, spec) ? OK : ERR_NOMEM;
}

int squid_line_header(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    struct fwd_header **h = which & 1 ? &p->reply_headers : &p->request_headers;
    if (n->nargs < 2)
        return fwd_error(&p->c, n, -1, "\"%.*s\" needs a field and more", SLICE_FMT(n->name));
    while (*h && !slice_ieq((*h)->name, squid_first_arg(n)))
        h = &(*h)->next;
    if (!*h && !(*h = arena_new(p->c.arena, struct fwd_header)))
        return ERR_NOMEM;
    if (!(*h)->name.n) {
        (*h)->name = squid_first_arg(n);
        fwd_rules_init(&(*h)->rules, true);
    }
    if (which < 2)
        return fwd_rules_line(&(*h)->rules, &p->acls, &p->c, n, 1);
    slice text = n->args[1].text;
    for (uint32_t i = 2; i < n->nargs; i++)
        text = arena_printf(p->c.arena, "%.*s %.*s", SLICE_FMT(text), SLICE_FMT(n->args[i].text));
    (*h)->replace = text;
    return text.p ? OK : ERR_NOMEM;
}

int squid_line_header_add(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (n->nargs < 2 || slice_find(n->args[1].text, '%') >= 0)
        return fwd_error(&p->c, n, n->nargs < 2 ? -1 : 1, "\"request_header_add\" takes a field and a constant value");
    struct fwd_word *w = add_word(p, &p->adds, n, squid_first_arg(n));
    if (!w)
        return ERR_NOMEM;
    w->more = n->args[1].text;
    return n->nargs > 2 ? fwd_rules_value(&w->rules, &p->acls, &p->c, n, 2, SLICE_NONE) : OK;
}

/* "STATUS:" before a page is one of an answer; that of a redirect stands before a URL, and no other one does. */
static const char *wrong_page(slice page)
{
    slice number, rest;
    uint64_t status;
    if (!slice_cut(page, ':', &number, &rest) || slice_to_u64(number, &status) != OK)
        return NULL;
    if (status < 200 || status > 599)
        return "is no status of an answer";
    if (status / 100 == 3)
        return slice_find(rest, ':') < 0 ? "needs a URL" : NULL;
    return slice_find(rest, ':') < 0 ? NULL : "needs a page";
}

int squid_line_deny_info(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    const char *wrong = wrong_page(squid_first_arg(n));
    if (n->nargs < 2)
        return fwd_error(&p->c, n, -1, "\"deny_info\" needs a page and an acl");
    if (slice_eq(squid_first_arg(n), SLICE("TCP_RESET")))
        return fwd_error(&p->c, n, 0, "\"deny_info TCP_RESET\" is not supported");
    if (wrong)
        return fwd_error(&p->c, n, 0, "the status in \"%.*s\" %s", SLICE_FMT(squid_first_arg(n)), wrong);
    for (uint32_t i = 1; i < n->nargs; i++) {
        struct fwd_word *w =
            map_get(&p->acls.names, n->args[i].text) ? add_word(p, &p->deny_info, n, squid_first_arg(n)) : NULL;
        if (!w)
            return fwd_error(&p->c, n, (int)i, "unknown acl \"%.*s\"", SLICE_FMT(n->args[i].text));
        w->more = n->args[i].text;
    }
    return OK;
}

static int flag(struct fwd_policy *p, const struct conf_node *n, bool *out)
{
    slice v = squid_first_arg(n);
    if (n->nargs != 1 || (!slice_eq(v, SLICE("on")) && !slice_eq(v, SLICE("off"))))
        return fwd_error(&p->c, n, n->nargs ? 0 : -1, "\"%.*s\" is on or off", SLICE_FMT(n->name));
    *out = v.n == 2;
    return OK;
}

int squid_line_via(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    p->via_at = n->pos;
    return flag(p, n, &p->via);
}

int squid_line_nonhierarchical(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    return flag(p, n, &p->nonhierarchical_direct);
}

int squid_line_strip_query(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    bool on = true;
    int rc = flag(p, n, &on);
    p->log_query = !on;
    return rc;
}

/* The direct way first and parents behind it: nothing here does that. */
int squid_line_prefer_direct(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    bool on = false;
    int rc = flag(p, n, &on);
    return on ? fwd_error(&p->c, n, 0, "\"prefer_direct on\" is not supported") : rc;
}

int squid_line_forwarded(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    static const slice names[] = { SLICE("on"), SLICE("off"), SLICE("transparent"), SLICE("truncate"),
                                   SLICE("delete") };
    for (uint32_t i = 0; i < array_len(names); i++) {
        if (slice_eq(names[i], squid_first_arg(n))) {
            p->forwarded_for = (enum fwd_forwarded_for)i;
            p->forwarded_at = n->pos;
            return OK;
        }
    }
    return fwd_error(&p->c, n, 0, "invalid value of \"forwarded_for\"");
}

/* A number and a unit that may stand apart; no unit: `plain`. */
static int scaled(struct fwd_policy *p, const struct conf_node *n, uint32_t at, const char *const *units,
                  const uint64_t *scale, uint64_t plain, uint64_t *out)
{
    uint64_t v;
    slice number = at < n->nargs ? n->args[at].text : SLICE_NONE;
    slice unit = at + 1 < n->nargs ? n->args[at + 1].text : SLICE_NONE;
    if (slice_to_u64(number, &v) || v > 1u << 30)
        return fwd_error(&p->c, n, n->nargs > at ? (int)at : -1, "invalid number in \"%.*s\"", SLICE_FMT(n->name));
    for (uint32_t i = 0; unit.n && units[i]; i++) {
        if (slice_istarts(unit, slice_str(units[i]))) {
            *out = v * scale[i];
            return OK;
        }
    }
    *out = v * plain;
    return unit.n ? fwd_error(&p->c, n, (int)at + 1, "unknown unit \"%.*s\"", SLICE_FMT(unit)) : OK;
}

static int duration(struct fwd_policy *p, const struct conf_node *n, uint32_t at, uint64_t *out)
{
    static const char *const units[] = { "sec", "min", "hour", "day", "milli", NULL };
    static const uint64_t scale[] = { 1000, 60000, 3600000, 86400000, 1 };
    return scaled(p, n, at, units, scale, 1000, out);
}

int squid_line_time(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    p->time_at[which] = n->pos;
    return duration(p, n, 0, &p->times[which]);
}

int squid_line_size(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    static const char *const units[] = { "byte", "kb", "mb", "gb", NULL };
    static const uint64_t scale[] = { 1, 1 << 10, 1 << 20, 1 << 30 };
    p->size_at[which] = n->pos;
    return scaled(p, n, 0, units, scale, 1, &p->sizes[which]);
}

int squid_line_hostname(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (n->nargs != 1)
        return fwd_error(&p->c, n, -1, "\"%.*s\" needs one name", SLICE_FMT(n->name));
    *(which == 3   ? &p->manager
      : which == 2 ? &p->error_directory
      : which      ? &p->unique_hostname
                   : &p->visible_hostname) = squid_first_arg(n);
    return OK;
}

int squid_line_nameservers(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    struct addr a;
    for (uint32_t i = 0; i < n->nargs; i++) {
        if (addr_parse_ip(n->args[i].text, 53, &a))
            return fwd_error(&p->c, n, (int)i, "invalid address \"%.*s\"", SLICE_FMT(n->args[i].text));
        if (!add_word(p, &p->nameservers, n, n->args[i].text))
            return ERR_NOMEM;
    }
    return n->nargs ? OK : fwd_error(&p->c, n, -1, "\"dns_nameservers\" needs addresses");
}

int squid_line_format(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (n->nargs != 2)
        return fwd_error(&p->c, n, -1, "\"logformat\" needs a name and codes");
    struct fwd_word *w = add_word(p, &p->formats, n, squid_first_arg(n));
    if (!w)
        return ERR_NOMEM;
    w->more = n->args[1].text;
    return OK;
}

/* "daemon:/path", "stdio:/path", "/path": a file. "syslog:facility.severity". */
static int log_target(struct fwd_policy *p, const struct conf_node *n, struct fwd_word *w)
{
    slice module, place, facility = SLICE("local4"), severity = SLICE("info");
    if (!slice_cut(w->text, ':', &module, &place))
        return w->text.n && w->text.p[0] == '/'
                   ? OK
                   : fwd_error(&p->c, n, 0, "a log needs a full path: \"%.*s\"", SLICE_FMT(w->text));
    if (slice_eq(module, SLICE("stdio")) || slice_eq(module, SLICE("daemon"))) {
        w->text = place;
        return OK;
    }
    if (!slice_eq(module, SLICE("syslog")))
        return fwd_error(&p->c, n, 0, "logs to \"%.*s\" are not supported", SLICE_FMT(module));
    if (place.n && !slice_cut(place, '.', &facility, &severity))
        facility = place;
    w->text = arena_printf(p->c.arena, "syslog:server=unix:/dev/log,facility=%.*s,severity=%.*s,tag=squid",
                           SLICE_FMT(facility), SLICE_FMT(severity));
    return w->text.p ? OK : ERR_NOMEM;
}

/* access_log TARGET [FORMAT | option=value...] [acl...] */
int squid_line_log(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    uint32_t at = 1;
    if (!n->nargs)
        return fwd_error(&p->c, n, -1, "\"access_log\" needs a place");
    struct fwd_word *w = add_word(p, &p->logs, n, squid_first_arg(n));
    if (!w)
        return ERR_NOMEM;
    w->none = slice_eq(w->text, SLICE("none"));
    w->more = SLICE("squid");
    if (w->none)
        return n->nargs == 1 ? OK : fwd_error(&p->c, n, 1, "\"access_log none\" with conditions is not supported");
    int rc = log_target(p, n, w);
    if (rc != OK)
        return rc;
    if (at < n->nargs && slice_find(n->args[at].text, '=') < 0 && !map_get(&p->acls.names, n->args[at].text) &&
        n->args[at].text.p[0] != '!')
        w->more = n->args[at++].text;
    for (; at < n->nargs && slice_find(n->args[at].text, '=') >= 0; at++) {
        slice o = n->args[at].text;
        if (slice_starts(o, SLICE("logformat=")))
            w->more = slice_from(o, sizeof("logformat=") - 1);
        else
            fwd_warn(&p->c, n, (int)at, "option \"%.*s\" of \"access_log\" has no effect", SLICE_FMT(o));
    }
    return n->nargs > at ? fwd_rules_value(&w->rules, &p->acls, &p->c, n, at, SLICE_NONE) : OK;
}

int squid_line_auth(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    slice what = n->nargs > 2 ? n->args[1].text : SLICE_NONE;
    if (!slice_eq(squid_first_arg(n), SLICE("basic")) || !what.n)
        return fwd_error(&p->c, n, n->nargs ? 0 : -1, "only \"auth_param basic\" with a value is supported");
    if (slice_eq(what, SLICE("program"))) {
        if (n->nargs != 4 || !slice_ends(n->args[2].text, SLICE("basic_ncsa_auth")))
            return fwd_error(&p->c, n, 2, "the only program of \"auth_param basic\" is basic_ncsa_auth FILE");
        p->auth = true;
        p->auth_at = n->pos;
        p->auth_file = n->args[3].text;
    } else if (slice_eq(what, SLICE("realm"))) {
        p->auth_realm = n->args[2].text;
        for (uint32_t i = 3; i < n->nargs; i++)
            p->auth_realm = arena_printf(p->c.arena, "%.*s %.*s", SLICE_FMT(p->auth_realm), SLICE_FMT(n->args[i].text));
        return p->auth_realm.p ? OK : ERR_NOMEM;
    } else if (slice_eq(what, SLICE("credentialsttl"))) {
        return duration(p, n, 2, &p->auth_ttl);
    } else if (slice_eq(what, SLICE("casesensitive"))) {
        p->auth_case = slice_eq(n->args[2].text, SLICE("on"));
    } else if (slice_eq(what, SLICE("children"))) {
        fwd_warn(&p->c, n, 1, "passwords are checked without a helper: \"children\" has no effect");
    } else {
        return fwd_error(&p->c, n, 1, "\"auth_param basic %.*s\" is not supported", SLICE_FMT(what));
    }
    return OK;
}
