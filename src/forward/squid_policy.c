/*
 * Squid's directives: the table, and what each line becomes.
 */
#include "forward/squid_policy.h"

#include "base/attr.h"
#include "base/err.h"
#include "conf/nearest.h"

static slice first_arg(const struct conf_node *n)
{
    return n->nargs ? n->args[0].text : SLICE_NONE;
}

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

static int line_acl(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    return fwd_acl_line(&p->acls, &p->c, n);
}

static int line_rules(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    struct fwd_rules *lists[] = { &p->http_access, &p->http_reply_access, &p->always_direct, &p->never_direct };
    return fwd_rules_line(lists[which], &p->acls, &p->c, n, 0);
}

static int line_outgoing(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    struct addr a;
    if (addr_parse_ip(first_arg(n), 0, &a))
        return fwd_error(&p->c, n, 0, "invalid address \"%.*s\"", SLICE_FMT(first_arg(n)));
    return fwd_rules_value(&p->outgoing, &p->acls, &p->c, n, 1, first_arg(n));
}

/* "3128", "10.0.0.1:3128", and options that change nothing; those that intercept are refused. */
static int line_port(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    uint64_t port;
    if (!n->nargs)
        return fwd_error(&p->c, n, -1, "\"http_port\" needs a port");
    slice spec = first_arg(n), digits = slice_from(spec, (size_t)(slice_rfind(spec, ':') + 1));
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

/* "%XX" and "%%" (squid.conf manual, "cache_peer", login=). NULL pointer: no memory, or a broken escape. */
static slice unescaped(struct arena *a, slice s)
{
    char *p = arena_bytes(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; p && i < s.n; i++) {
        int hi = s.n - i > 2 ? ascii_hex(s.p[i + 1]) : -1, lo = hi < 0 ? -1 : ascii_hex(s.p[i + 2]);
        bool twice = s.n - i > 1 && s.p[i + 1] == '%';
        if (s.p[i] != '%') {
            p[n++] = s.p[i];
        } else if (twice) {
            p[n++] = '%';
            i++;
        } else if (lo >= 0) {
            p[n++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            return SLICE_NONE;
        }
    }
    return p ? slice_of(p, n) : SLICE_NONE;
}

/* What the client sends as credentials stays here, whatever a line asks for. */
static int peer_login(struct fwd_policy *p, struct fwd_peer *peer, const struct conf_node *n, uint32_t i, slice v)
{
    slice user, password;
    if (!slice_cut(v, ':', &user, &password))
        return fwd_error(&p->c, n, (int)i, "\"login=\" takes USER:PASSWORD: a client's own credentials go no further");
    if (slice_eq(user, SLICE("*")))
        return fwd_error(&p->c, n, (int)i, "\"login=*:\" is not supported: parents are not told who the client is");
    peer->user = unescaped(p->c.arena, user);
    peer->password = unescaped(p->c.arena, password);
    return peer->user.n && peer->password.p ? OK : fwd_error(&p->c, n, (int)i, "invalid credentials in \"login=\"");
}

static int peer_number(struct fwd_policy *p, const struct conf_node *n, uint32_t i, slice v, uint32_t *out)
{
    uint64_t number;
    if (slice_to_u64(v, &number) || !number || number > 1 << 20)
        return fwd_error(&p->c, n, (int)i, "invalid number in \"%.*s\"", SLICE_FMT(n->args[i].text));
    *out = (uint32_t)number;
    return OK;
}

/* NAME=VALUE. ERR_NOTFOUND: none that we know. */
static int peer_value(struct fwd_policy *p, struct fwd_peer *peer, const struct conf_node *n, uint32_t i, slice o)
{
    const struct {
        slice name;
        slice *text;
        uint32_t *number;
    } known[] = {
        { SLICE("name"), &peer->name, NULL },          { SLICE("tls-cafile"), &peer->ca_file, NULL },
        { SLICE("sslcafile"), &peer->ca_file, NULL },  { SLICE("tls-cert"), &peer->cert_file, NULL },
        { SLICE("sslcert"), &peer->cert_file, NULL },  { SLICE("tls-key"), &peer->key_file, NULL },
        { SLICE("sslkey"), &peer->key_file, NULL },    { SLICE("tls-domain"), &peer->domain, NULL },
        { SLICE("ssldomain"), &peer->domain, NULL },   { SLICE("weight"), NULL, &peer->weight },
        { SLICE("max-conn"), NULL, &peer->max_conns }, { SLICE("connect-fail-limit"), NULL, &peer->fail_limit },
    };
    slice name, v;
    uint32_t seconds = 0;
    if (!slice_cut(o, '=', &name, &v))
        return ERR_NOTFOUND;
    if (slice_eq(name, SLICE("login")))
        return peer_login(p, peer, n, i, v);
    if (slice_eq(name, SLICE("connect-timeout"))) {
        int rc = peer_number(p, n, i, v, &seconds);
        peer->connect_timeout = (uint64_t)seconds * 1000;
        return rc;
    }
    if (slice_eq(name, SLICE("sslflags")) || slice_eq(name, SLICE("tls-flags"))) {
        peer->unverified = slice_eq(v, SLICE("DONT_VERIFY_PEER"));
        return peer->unverified ? OK : ERR_NOTFOUND;
    }
    for (size_t k = 0; k < array_len(known); k++) {
        if (!slice_eq(known[k].name, name))
            continue;
        if (known[k].number)
            return peer_number(p, n, i, v, known[k].number);
        *known[k].text = v;
        return v.n ? OK : ERR_NOTFOUND;
    }
    return ERR_NOTFOUND;
}

static int peer_option(struct fwd_policy *p, struct fwd_peer *peer, const struct conf_node *n, uint32_t i)
{
    static const slice so_anyway[] = { SLICE("no-query"),          SLICE("no-digest"), SLICE("proxy-only"),
                                       SLICE("no-netdb-exchange"), SLICE("no-delay"),  SLICE("no-tproxy"),
                                       SLICE("tls-default-ca"),    SLICE("default") };
    slice o = n->args[i].text;
    int rc = OK;
    if (slice_eq(o, SLICE("round-robin")))
        peer->round_robin = true;
    else if (slice_eq(o, SLICE("tls")) || slice_eq(o, SLICE("ssl")))
        peer->tls = true;
    else
        rc = peer_value(p, peer, n, i, o);
    for (size_t k = 0; k < array_len(so_anyway) && rc == ERR_NOTFOUND; k++)
        rc = slice_eq(o, so_anyway[k]) ? OK : ERR_NOTFOUND;
    peer->default_peer = peer->default_peer || slice_eq(o, SLICE("default"));
    if (rc == ERR_NOTFOUND)
        return fwd_error(&p->c, n, (int)i, "option \"%.*s\" of \"cache_peer\" is not supported", SLICE_FMT(o));
    return rc;
}

/* cache_peer HOST parent PORT ICP-PORT options */
static int line_peer(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    uint64_t port, icp;
    if (n->nargs < 4 || !slice_eq(n->args[1].text, SLICE("parent")))
        return fwd_error(&p->c, n, n->nargs > 1 ? 1 : -1, "\"cache_peer\" needs HOST parent PORT ICP-PORT");
    if (slice_to_u64(n->args[2].text, &port) || !port || port > 65535 || slice_to_u64(n->args[3].text, &icp))
        return fwd_error(&p->c, n, 2, "invalid port of \"cache_peer\"");
    if (icp)
        fwd_warn(&p->c, n, 3, "ICP is not spoken: the port has no effect");
    struct fwd_peer *peer = arena_new(p->c.arena, struct fwd_peer), **last = &p->peers;
    if (!peer)
        return ERR_NOMEM;
    *peer = (struct fwd_peer){ .host = first_arg(n), .name = first_arg(n), .port = (uint16_t)port, .pos = n->pos };
    peer->weight = 1;
    peer->fail_limit = 10;
    fwd_rules_init(&peer->access, true);
    for (uint32_t i = 4; i < n->nargs; i++) {
        int rc = peer_option(p, peer, n, i);
        if (rc)
            return rc;
    }
    for (; *last; last = &(*last)->next) {
        if (slice_eq((*last)->name, peer->name))
            return fwd_error(&p->c, n, 0, "a second peer \"%.*s\" needs a name=", SLICE_FMT(peer->name));
    }
    *last = peer;
    return OK;
}

static int line_peer_access(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    for (struct fwd_peer *peer = p->peers; peer; peer = peer->next) {
        if (slice_eq(peer->name, first_arg(n)))
            return fwd_rules_line(&peer->access, &p->acls, &p->c, n, 1);
    }
    return fwd_error(&p->c, n, n->nargs ? 0 : -1, "unknown peer \"%.*s\"", SLICE_FMT(first_arg(n)));
}

static int line_header(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    struct fwd_header **h = which & 1 ? &p->reply_headers : &p->request_headers;
    if (n->nargs < 2)
        return fwd_error(&p->c, n, -1, "\"%.*s\" needs a field and more", SLICE_FMT(n->name));
    while (*h && !slice_ieq((*h)->name, first_arg(n)))
        h = &(*h)->next;
    if (!*h && !(*h = arena_new(p->c.arena, struct fwd_header)))
        return ERR_NOMEM;
    if (!(*h)->name.n) {
        (*h)->name = first_arg(n);
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

static int line_header_add(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (n->nargs < 2 || slice_find(n->args[1].text, '%') >= 0)
        return fwd_error(&p->c, n, n->nargs < 2 ? -1 : 1, "\"request_header_add\" takes a field and a constant value");
    struct fwd_word *w = add_word(p, &p->adds, n, first_arg(n));
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

static int line_deny_info(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    const char *wrong = wrong_page(first_arg(n));
    if (n->nargs < 2)
        return fwd_error(&p->c, n, -1, "\"deny_info\" needs a page and an acl");
    if (slice_eq(first_arg(n), SLICE("TCP_RESET")))
        return fwd_error(&p->c, n, 0, "\"deny_info TCP_RESET\" is not supported");
    if (wrong)
        return fwd_error(&p->c, n, 0, "the status in \"%.*s\" %s", SLICE_FMT(first_arg(n)), wrong);
    for (uint32_t i = 1; i < n->nargs; i++) {
        struct fwd_word *w =
            map_get(&p->acls.names, n->args[i].text) ? add_word(p, &p->deny_info, n, first_arg(n)) : NULL;
        if (!w)
            return fwd_error(&p->c, n, (int)i, "unknown acl \"%.*s\"", SLICE_FMT(n->args[i].text));
        w->more = n->args[i].text;
    }
    return OK;
}

static int flag(struct fwd_policy *p, const struct conf_node *n, bool *out)
{
    slice v = first_arg(n);
    if (n->nargs != 1 || (!slice_eq(v, SLICE("on")) && !slice_eq(v, SLICE("off"))))
        return fwd_error(&p->c, n, n->nargs ? 0 : -1, "\"%.*s\" is on or off", SLICE_FMT(n->name));
    *out = v.n == 2;
    return OK;
}

static int line_via(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    p->via_at = n->pos;
    return flag(p, n, &p->via);
}

static int line_nonhierarchical(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    return flag(p, n, &p->nonhierarchical_direct);
}

static int line_strip_query(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    bool on = true;
    int rc = flag(p, n, &on);
    p->log_query = !on;
    return rc;
}

/* The direct way first and parents behind it: nothing here does that. */
static int line_prefer_direct(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    bool on = false;
    int rc = flag(p, n, &on);
    return on ? fwd_error(&p->c, n, 0, "\"prefer_direct on\" is not supported") : rc;
}

static int line_forwarded(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    static const slice names[] = { SLICE("on"), SLICE("off"), SLICE("transparent"), SLICE("truncate"),
                                   SLICE("delete") };
    for (uint32_t i = 0; i < array_len(names); i++) {
        if (slice_eq(names[i], first_arg(n))) {
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

static int line_time(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    p->time_at[which] = n->pos;
    return duration(p, n, 0, &p->times[which]);
}

static int line_size(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    static const char *const units[] = { "byte", "kb", "mb", "gb", NULL };
    static const uint64_t scale[] = { 1, 1 << 10, 1 << 20, 1 << 30 };
    p->size_at[which] = n->pos;
    return scaled(p, n, 0, units, scale, 1, &p->sizes[which]);
}

static int line_hostname(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (n->nargs != 1)
        return fwd_error(&p->c, n, -1, "\"%.*s\" needs one name", SLICE_FMT(n->name));
    *(which == 3   ? &p->manager
      : which == 2 ? &p->error_directory
      : which      ? &p->unique_hostname
                   : &p->visible_hostname) = first_arg(n);
    return OK;
}

static int line_nameservers(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
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

static int line_format(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (n->nargs != 2)
        return fwd_error(&p->c, n, -1, "\"logformat\" needs a name and codes");
    struct fwd_word *w = add_word(p, &p->formats, n, first_arg(n));
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
static int line_log(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    uint32_t at = 1;
    if (!n->nargs)
        return fwd_error(&p->c, n, -1, "\"access_log\" needs a place");
    struct fwd_word *w = add_word(p, &p->logs, n, first_arg(n));
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

static int line_auth(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    slice what = n->nargs > 2 ? n->args[1].text : SLICE_NONE;
    if (!slice_eq(first_arg(n), SLICE("basic")) || !what.n)
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

static int line_idle(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    static const char *const why[] = { " here",
                                       ": the forward side does not cache",
                                       ": logs are rotated from outside, then opened anew on USR1",
                                       ": error_log has a level",
                                       ": neighbours are not asked by UDP",
                                       ": core files are the system's business",
                                       ": request_timeout and client_idle_pconn_timeout hold for it too",
                                       ": connections are kept and half closed as HTTP/1.1 has it",
                                       ": only HTTP is spoken to targets",
                                       ": names are kept as \"resolver\" has it",
                                       ": pages are short and in English",
                                       ": requests are counted when maxconn needs it" };
    fwd_warn(&p->c, n, -1, "\"%.*s\" has no effect%s", SLICE_FMT(n->name), why[which]);
    return OK;
}

/* Of the processes, not of the proxy: whoever starts us with that file as the whole configuration has minded it. */
static int line_main(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (!n->nargs)
        return fwd_error(&p->c, n, -1, "\"%.*s\" needs a value", SLICE_FMT(n->name));
    if (!bundle_option(p->c.bundle, SLICE("squid")).n)
        fwd_warn(&p->c, n, -1, "\"%.*s\" has no effect inside of a forward block: say so outside of http",
                 SLICE_FMT(n->name));
    return OK;
}

static int line_refused(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    return fwd_error(&p->c, n, -1, "\"%.*s\" of Squid is not supported", SLICE_FMT(n->name));
}

static const struct squid_directive {
    slice name;
    int (*line)(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
    uint32_t which;
} table[] = {
    { SLICE("acl"), line_acl },
    { SLICE("http_access"), line_rules, 0 },
    { SLICE("http_reply_access"), line_rules, 1 },
    { SLICE("always_direct"), line_rules, 2 },
    { SLICE("never_direct"), line_rules, 3 },
    { SLICE("tcp_outgoing_address"), line_outgoing },
    { SLICE("http_port"), line_port },
    { SLICE("cache_peer"), line_peer },
    { SLICE("cache_peer_access"), line_peer_access },
    { SLICE("request_header_access"), line_header, 0 },
    { SLICE("reply_header_access"), line_header, 1 },
    { SLICE("request_header_replace"), line_header, 2 },
    { SLICE("reply_header_replace"), line_header, 3 },
    { SLICE("request_header_add"), line_header_add },
    { SLICE("deny_info"), line_deny_info },
    { SLICE("via"), line_via },
    { SLICE("nonhierarchical_direct"), line_nonhierarchical },
    { SLICE("prefer_direct"), line_prefer_direct },
    { SLICE("forwarded_for"), line_forwarded },
    { SLICE("auth_param"), line_auth },
    { SLICE("visible_hostname"), line_hostname, 0 },
    { SLICE("unique_hostname"), line_hostname, 1 },
    { SLICE("error_directory"), line_hostname, 2 },
    { SLICE("cache_mgr"), line_hostname, 3 },
    { SLICE("dns_nameservers"), line_nameservers },
    { SLICE("access_log"), line_log },
    { SLICE("logformat"), line_format },
    { SLICE("connect_timeout"), line_time, FWD_CONNECT_TIMEOUT },
    { SLICE("read_timeout"), line_time, FWD_READ_TIMEOUT },
    { SLICE("write_timeout"), line_time, FWD_WRITE_TIMEOUT },
    { SLICE("request_timeout"), line_time, FWD_REQUEST_TIMEOUT },
    { SLICE("client_lifetime"), line_time, FWD_CLIENT_LIFETIME },
    { SLICE("client_idle_pconn_timeout"), line_time, FWD_CLIENT_IDLE_PCONN_TIMEOUT },
    { SLICE("server_idle_pconn_timeout"), line_time, FWD_SERVER_IDLE_PCONN_TIMEOUT },
    { SLICE("forward_timeout"), line_time, FWD_FORWARD_TIMEOUT },
    { SLICE("dns_timeout"), line_time, FWD_DNS_TIMEOUT },
    { SLICE("peer_connect_timeout"), line_time, FWD_PEER_CONNECT_TIMEOUT },
    { SLICE("request_header_max_size"), line_size, FWD_REQUEST_HEADER_MAX_SIZE },
    { SLICE("reply_header_max_size"), line_size, FWD_REPLY_HEADER_MAX_SIZE },
    { SLICE("request_body_max_size"), line_size, FWD_REQUEST_BODY_MAX_SIZE },
    { SLICE("client_ip_max_connections"), line_size, FWD_CLIENT_IP_MAX_CONNECTIONS },
    { SLICE("pid_filename"), line_main },
    { SLICE("cache_log"), line_main },
    { SLICE("cache_effective_user"), line_main },
    { SLICE("cache_effective_group"), line_main },
    { SLICE("max_filedescriptors"), line_main },
    { SLICE("max_filedesc"), line_idle },
    { SLICE("workers"), line_main },
    { SLICE("shutdown_lifetime"), line_main },
    { SLICE("coredump_dir"), line_idle, 5 },
    { SLICE("logfile_rotate"), line_idle, 2 },
    { SLICE("debug_options"), line_idle, 3 },
    { SLICE("error_default_language"), line_idle, 10 },
    { SLICE("httpd_suppress_version_string"), line_idle },
    { SLICE("icp_port"), line_idle, 4 },
    { SLICE("htcp_port"), line_idle, 4 },
    { SLICE("snmp_port"), line_idle, 4 },
    { SLICE("udp_incoming_address"), line_idle, 4 },
    { SLICE("udp_outgoing_address"), line_idle, 4 },
    { SLICE("icp_access"), line_idle, 4 },
    { SLICE("htcp_access"), line_idle, 4 },
    { SLICE("snmp_access"), line_idle, 4 },
    { SLICE("request_start_timeout"), line_idle, 6 },
    { SLICE("pconn_timeout"), line_time, FWD_SERVER_IDLE_PCONN_TIMEOUT },
    { SLICE("persistent_request_timeout"), line_time, FWD_CLIENT_IDLE_PCONN_TIMEOUT },
    { SLICE("half_closed_clients"), line_idle, 7 },
    { SLICE("server_persistent_connections"), line_idle, 7 },
    { SLICE("client_persistent_connections"), line_idle, 7 },
    { SLICE("pipeline_prefetch"), line_idle, 7 },
    { SLICE("buffered_logs"), line_idle },
    { SLICE("client_db"), line_idle, 11 },
    { SLICE("log_mime_hdrs"), line_idle },
    { SLICE("strip_query_terms"), line_strip_query },
    { SLICE("dns_v4_first"), line_idle, 9 },
    { SLICE("dns_defnames"), line_idle, 9 },
    { SLICE("positive_dns_ttl"), line_idle, 9 },
    { SLICE("negative_dns_ttl"), line_idle, 9 },
    { SLICE("hosts_file"), line_idle, 9 },
    { SLICE("ipcache_size"), line_idle, 9 },
    { SLICE("ipcache_low"), line_idle, 9 },
    { SLICE("ipcache_high"), line_idle, 9 },
    { SLICE("fqdncache_size"), line_idle, 9 },
    { SLICE("memory_pools"), line_idle },
    { SLICE("memory_pools_limit"), line_idle },
    { SLICE("ftp_user"), line_idle, 8 },
    { SLICE("ftp_passive"), line_idle, 8 },
    { SLICE("unlinkd_program"), line_idle, 1 },
    { SLICE("mime_table"), line_idle, 8 },
    { SLICE("pinger_enable"), line_idle },
    { SLICE("pinger_program"), line_idle },
    { SLICE("quick_abort_pct"), line_idle, 1 },
    { SLICE("negative_ttl"), line_idle, 1 },
    { SLICE("collapsed_forwarding"), line_idle, 1 },
    { SLICE("range_offset_limit"), line_idle, 1 },
    { SLICE("memory_replacement_policy"), line_idle, 1 },
    { SLICE("memory_cache_mode"), line_idle, 1 },
    { SLICE("store_avg_object_size"), line_idle, 1 },
    { SLICE("store_objects_per_bucket"), line_idle, 1 },
    { SLICE("hierarchy_stoplist"), line_idle, 1 },
    { SLICE("minimum_expiry_time"), line_idle, 1 },
    { SLICE("reload_into_ims"), line_idle, 1 },
    { SLICE("refresh_all_ims"), line_idle, 1 },
    { SLICE("vary_ignore_expire"), line_idle, 1 },
    { SLICE("offline_mode"), line_refused },
    { SLICE("send_hit"), line_idle, 1 },
    { SLICE("store_miss"), line_idle, 1 },
    { SLICE("refresh_pattern"), line_idle, 1 },
    { SLICE("cache"), line_idle, 1 },
    { SLICE("cache_mem"), line_idle, 1 },
    { SLICE("cache_dir"), line_idle, 1 },
    { SLICE("maximum_object_size"), line_idle, 1 },
    { SLICE("minimum_object_size"), line_idle, 1 },
    { SLICE("maximum_object_size_in_memory"), line_idle, 1 },
    { SLICE("cache_replacement_policy"), line_idle, 1 },
    { SLICE("cache_store_log"), line_idle, 1 },
    { SLICE("cache_swap_low"), line_idle, 1 },
    { SLICE("cache_swap_high"), line_idle, 1 },
    { SLICE("quick_abort_min"), line_idle, 1 },
    { SLICE("quick_abort_max"), line_idle, 1 },
    { SLICE("https_port"), line_refused },
    { SLICE("ssl_bump"), line_refused },
    { SLICE("sslcrtd_program"), line_refused },
    { SLICE("delay_pools"), line_refused },
    { SLICE("delay_class"), line_refused },
    { SLICE("delay_parameters"), line_refused },
    { SLICE("delay_access"), line_refused },
    { SLICE("icap_enable"), line_refused },
    { SLICE("icap_service"), line_refused },
    { SLICE("adaptation_access"), line_refused },
    { SLICE("url_rewrite_program"), line_refused },
    { SLICE("url_rewrite_access"), line_refused },
    { SLICE("redirect_program"), line_refused },
    { SLICE("external_acl_type"), line_refused },
    { SLICE("store_id_program"), line_refused },
    { SLICE("tcp_outgoing_mark"), line_refused },
    { SLICE("follow_x_forwarded_for"), line_refused },
    { SLICE("ecap_enable"), line_refused },
    { SLICE("ecap_service"), line_refused },
    { SLICE("icap_preview_enable"), line_refused },
    { SLICE("icap_preview_size"), line_refused },
    { SLICE("icap_send_client_ip"), line_refused },
    { SLICE("icap_send_client_username"), line_refused },
    { SLICE("icap_class"), line_refused },
    { SLICE("icap_access"), line_refused },
    { SLICE("icap_service_failure_limit"), line_refused },
    { SLICE("icap_persistent_connections"), line_idle },
    { SLICE("adaptation_service_set"), line_refused },
    { SLICE("adaptation_service_chain"), line_refused },
    { SLICE("loadable_modules"), line_refused },
    { SLICE("url_rewrite_children"), line_refused },
    { SLICE("url_rewrite_host_header"), line_refused },
    { SLICE("url_rewrite_bypass"), line_refused },
    { SLICE("url_rewrite_extras"), line_refused },
    { SLICE("redirector_access"), line_refused },
    { SLICE("redirect_children"), line_refused },
    { SLICE("location_rewrite_program"), line_refused },
    { SLICE("authenticate_ttl"), line_refused },
    { SLICE("authenticate_ip_ttl"), line_refused },
    { SLICE("delay_initial_bucket_level"), line_refused },
    { SLICE("client_delay_pools"), line_refused },
    { SLICE("client_delay_access"), line_refused },
    { SLICE("client_delay_parameters"), line_refused },
    { SLICE("response_delay_pool"), line_refused },
    { SLICE("response_delay_pool_access"), line_refused },
    { SLICE("sslproxy_cert_error"), line_refused },
    { SLICE("sslproxy_flags"), line_refused },
    { SLICE("sslproxy_cafile"), line_refused },
    { SLICE("sslcrtd_children"), line_refused },
    { SLICE("sslproxy_cert_adapt"), line_refused },
    { SLICE("tls_outgoing_options"), line_refused },
    { SLICE("sslpassword_program"), line_refused },
    { SLICE("tcp_outgoing_tos"), line_refused },
    { SLICE("clientside_tos"), line_refused },
    { SLICE("clientside_mark"), line_refused },
    { SLICE("mark_client_packet"), line_refused },
    { SLICE("qos_flows"), line_refused },
    { SLICE("wccp_router"), line_refused },
    { SLICE("wccp2_router"), line_refused },
    { SLICE("wccp2_service"), line_refused },
    { SLICE("wccp2_forwarding_method"), line_refused },
    { SLICE("wccp2_return_method"), line_refused },
    { SLICE("ftp_port"), line_refused },
    { SLICE("cache_peer_domain"), line_refused },
    { SLICE("neighbor_type_domain"), line_refused },
    { SLICE("adapted_http_access"), line_refused },
    { SLICE("spoof_client_ip"), line_refused },
    { SLICE("forward_max_tries"), line_refused },
    { SLICE("client_request_buffer_max_size"), line_refused },
    { SLICE("reply_body_max_size"), line_refused },
    { SLICE("reply_header_add"), line_refused },
    { SLICE("store_id_access"), line_refused },
    { SLICE("cachemgr_passwd"), line_idle },
    { SLICE("htcp_clr_access"), line_refused },
    { SLICE("miss_access"), line_refused },
    { SLICE("ident_lookup_access"), line_refused },
    { SLICE("ident_timeout"), line_idle },
    { SLICE("stats_collection"), line_idle },
    { SLICE("logfile_daemon"), line_idle },
    { SLICE("on_unsupported_protocol"), line_refused },
    { SLICE("host_verify_strict"), line_refused },
    { SLICE("client_dst_passthru"), line_refused },
    { SLICE("host_strict_verify"), line_refused },
    { SLICE("check_hostnames"), line_idle },
    { SLICE("allow_underscore"), line_idle },
    { SLICE("append_domain"), line_refused },
    { SLICE("ignore_expect_100"), line_refused },
    { SLICE("acl_uses_indirect_client"), line_refused },
    { SLICE("delay_pool_uses_indirect_client"), line_refused },
    { SLICE("log_uses_indirect_client"), line_refused },
    { SLICE("windows_ipaddrchangemonitor"), line_refused },
    { SLICE("chroot"), line_refused },
    { SLICE("hopeless_kid_revival_delay"), line_idle },
    { SLICE("cpu_affinity_map"), line_idle },
    { SLICE("snmp_community"), line_idle },
    { SLICE("as_whois_server"), line_idle },
    { SLICE("err_page_stylesheet"), line_idle, 10 },
    { SLICE("email_err_data"), line_idle, 10 },
    { SLICE("err_html_text"), line_idle, 10 },
    { SLICE("uri_whitespace"), line_refused },
    { SLICE("umask"), line_idle },
    { SLICE("relaxed_header_parser"), line_idle },
    { SLICE("tproxy"), line_refused },
    { SLICE("httpd_accel_host"), line_refused },
    { SLICE("httpd_accel_port"), line_refused },
    { SLICE("accel_no_pmtu_disc"), line_refused },
};

_Static_assert(array_len(table) <= FWD_DIRECTIVES, "struct fwd_policy.warned");

int fwd_policy_init(struct fwd_policy *p, struct arena *a, struct bundle *b, struct conf_diag *d)
{
    *p = (struct fwd_policy){ .c = { .arena = a, .bundle = b, .diag = d }, .via = true };
    p->auth_case = p->nonhierarchical_direct = true;
    fwd_rules_init(&p->http_access, false);
    fwd_rules_init(&p->http_reply_access, true);
    fwd_rules_init(&p->always_direct, false);
    fwd_rules_init(&p->never_direct, false);
    fwd_rules_init(&p->outgoing, false);
    return fwd_acls_init(&p->acls, &p->c);
}

void fwd_policy_done(struct fwd_policy *p)
{
    fwd_acls_done(&p->acls);
}

int fwd_policy_line(struct fwd_policy *p, const struct conf_node *node)
{
    for (size_t i = 0; i < array_len(table); i++) {
        if (!slice_eq(table[i].name, node->name))
            continue;
        if (table[i].line == line_idle && p->warned[i]) /* once is enough of refresh_pattern */
            return OK;
        p->warned[i] = true;
        return table[i].line(p, node, table[i].which);
    }
    return ERR_NOTFOUND;
}

static int unknown_line(struct fwd_policy *p, const struct conf_node *node)
{
    struct nearest near;
    nearest_init(&near, node->name);
    for (size_t i = 0; i < array_len(table); i++)
        nearest_offer(&near, table[i].name);
    if (near.best.n)
        return fwd_error(&p->c, node, -1, "unknown directive \"%.*s\", did you mean \"%.*s\"?", SLICE_FMT(node->name),
                         SLICE_FMT(near.best));
    return fwd_error(&p->c, node, -1, "unknown directive \"%.*s\"", SLICE_FMT(node->name));
}

int fwd_policy_nodes(struct fwd_policy *p, const struct conf_node *first)
{
    int result = OK;
    for (const struct conf_node *n = first; n; n = n->next) {
        int rc = fwd_policy_line(p, n);
        if (rc == ERR_NOTFOUND)
            rc = unknown_line(p, n);
        if (rc == ERR_NOMEM)
            return rc;
        result = rc ? rc : result;
    }
    return result;
}

int fwd_policy_finish(struct fwd_policy *p)
{
    return fwd_acls_finish(&p->acls, &p->c);
}
