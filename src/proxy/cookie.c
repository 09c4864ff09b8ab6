/*
 * A Set-Cookie value is cut into its attributes, the rules change some, and what was changed is composed anew; a cookie
 * that no rule touches keeps its bytes. Of each kind the first rule that applies wins. All of it after nginx's manual
 * (proxy_cookie_domain, proxy_cookie_path, proxy_cookie_flags), including what it is silent about: names and domains
 * compare without letter case, a path by its beginning, and a regular expression replaces the whole value.
 */
#include "proxy/cookie.h"

#include "base/err.h"
#include "base/strb.h"
#include "http/chars.h"
#include "proxy/proxy.h"

struct attr {
    slice name, value;
    bool has_value;
};

struct cookie {
    struct attr *v; /* [0] is the cookie itself */
    uint32_t n, cap;
    bool changed;
};

/* What proxy_cookie_flags can ask for. */
enum flag {
    FLAG_SECURE = 1,
    FLAG_NOSECURE = 2,
    FLAG_HTTPONLY = 4,
    FLAG_NOHTTPONLY = 8,
    FLAG_NOSAMESITE = 16,
    FLAG_STRICT = 32,
    FLAG_LAX = 64,
    FLAG_NONE = 128,
    FLAG_SAMESITE = FLAG_STRICT | FLAG_LAX | FLAG_NONE,
};

/* 0: no flag. */
static unsigned flag_of(slice s)
{
    static const struct {
        slice name;
        unsigned flag;
    } flags[] = {
        { { "secure", 6 }, FLAG_SECURE },          { { "nosecure", 8 }, FLAG_NOSECURE },
        { { "httponly", 8 }, FLAG_HTTPONLY },      { { "nohttponly", 10 }, FLAG_NOHTTPONLY },
        { { "nosamesite", 10 }, FLAG_NOSAMESITE }, { { "samesite=strict", 15 }, FLAG_STRICT },
        { { "samesite=lax", 12 }, FLAG_LAX },      { { "samesite=none", 13 }, FLAG_NONE },
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (slice_ieq(s, flags[i].name))
            return flags[i].flag;
    }
    return 0;
}

/* ---- reading and composing ---- */

static slice trim_spaces(slice s)
{
    while (s.n && s.p[0] == ' ')
        s = slice_from(s, 1);
    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

/* false: no memory. Room is left for the three flags. */
static bool read_cookie(struct arena *a, slice value, struct cookie *c)
{
    uint32_t n = 4;
    for (size_t i = 0; i < value.n; i++)
        n += value.p[i] == ';';
    *c = (struct cookie){ .v = arena_new_n(a, struct attr, n), .cap = n };
    if (!c->v)
        return false;
    bool more = true;
    while (more) {
        slice one = value;
        struct attr *at = &c->v[c->n++];
        more = slice_cut(value, ';', &one, &value);
        at->name = one;
        at->has_value = slice_cut(one, '=', &at->name, &at->value);
        at->name = trim_spaces(at->name);
        at->value = trim_spaces(at->value);
    }
    return true;
}

static int compose(struct arena *a, const struct cookie *c, slice *out)
{
    struct strb b;
    strb_init(&b, 0);
    for (uint32_t i = 0; i < c->n; i++) {
        if (i)
            strb_lit(&b, "; ");
        strb_add(&b, c->v[i].name);
        if (c->v[i].has_value) {
            strb_char(&b, '=');
            strb_add(&b, c->v[i].value);
        }
    }
    bool kept = !b.failed && arena_dup(a, strb_slice(&b), out);
    strb_done(&b);
    return kept ? OK : ERR_NOMEM;
}

/* ---- domain and path ---- */

static int by_regex(struct exchange *x, const struct cookie_rule *r, slice subject)
{
    int rc = match_exec(&r->match, x, subject);
    return rc < 0 && rc != ERR_NOMEM ? ERR_NOTFOUND : rc;
}

static slice undotted(slice s)
{
    return slice_starts(s, SLICE(".")) ? slice_from(s, 1) : s;
}

/* The whole domain, a dot in front of it aside. */
static int domain_rule(struct exchange *x, const struct cookie_rule *r, slice value, slice *out)
{
    slice from, to;
    int rc;
    if (r->is_regex) {
        rc = by_regex(x, r, value);
        return rc == OK ? exchange_eval(x, &r->to, out) : rc;
    }
    rc = exchange_eval(x, &r->from, &from);
    if (rc != OK)
        return rc;
    if (!slice_ieq(undotted(value), undotted(from)))
        return ERR_NOTFOUND;
    rc = exchange_eval(x, &r->to, &to);
    if (rc != OK)
        return rc;
    *out = undotted(to);
    if (undotted(value).n == value.n)
        return OK;
    *out = arena_printf(&x->arena, ".%.*s", SLICE_FMT(*out));
    return out->p ? OK : ERR_NOMEM;
}

/* The beginning of the path. */
static int path_rule(struct exchange *x, const struct cookie_rule *r, slice value, slice *out)
{
    slice from, to;
    int rc;
    if (r->is_regex) {
        rc = by_regex(x, r, value);
        return rc == OK ? exchange_eval(x, &r->to, out) : rc;
    }
    rc = exchange_eval(x, &r->from, &from);
    if (rc != OK)
        return rc;
    if (!slice_starts(value, from))
        return ERR_NOTFOUND;
    rc = exchange_eval(x, &r->to, &to);
    if (rc != OK)
        return rc;
    *out = arena_printf(&x->arena, "%.*s%.*s", SLICE_FMT(to), SLICE_FMT(slice_from(value, from.n)));
    return out->p ? OK : ERR_NOMEM;
}

typedef int (*rule_fn)(struct exchange *x, const struct cookie_rule *r, slice value, slice *out);

/* A value that could not stand in a field or would begin another attribute leaves the cookie as it is. */
static bool may_stand(slice value)
{
    return http_is_value(value) && slice_find(value, ';') < 0;
}

static int apply(struct exchange *x, const struct cookie_rule *r, rule_fn fn, struct cookie *c, struct attr *at)
{
    slice value = SLICE_NONE;
    for (; r; r = r->next) {
        int rc = fn(x, r, at->value, &value);
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc < 0)
            return rc;
        if (!may_stand(value))
            return OK;
        exchange_trace(x, &r->pos, "cookie \"%.*s\": %.*s=%.*s becomes %.*s", SLICE_FMT(c->v[0].name),
                       SLICE_FMT(at->name), SLICE_FMT(at->value), SLICE_FMT(value));
        at->value = value;
        c->changed = true;
        return OK;
    }
    return OK;
}

/* ---- flags ---- */

static bool attr_is(const struct attr *at, slice name)
{
    return slice_ieq(at->name, name);
}

static void remove_attr(struct cookie *c, uint32_t i)
{
    c->n--;
    for (; i < c->n; i++)
        c->v[i] = c->v[i + 1];
    c->changed = true;
}

static void push(struct cookie *c, slice name, slice value)
{
    c->v[c->n++] = (struct attr){ name, value, value.n > 0 };
    c->changed = true;
}

static slice samesite_text(unsigned flags)
{
    return flags & FLAG_STRICT ? SLICE("Strict") : flags & FLAG_LAX ? SLICE("Lax") : SLICE("None");
}

static void set_flags(struct cookie *c, unsigned flags)
{
    for (uint32_t i = 1; i < c->n;) {
        struct attr *at = &c->v[i];
        bool secure = attr_is(at, SLICE("secure")), httponly = attr_is(at, SLICE("httponly")),
             samesite = attr_is(at, SLICE("samesite"));
        if ((secure && (flags & FLAG_NOSECURE)) || (httponly && (flags & FLAG_NOHTTPONLY)) ||
            (samesite && (flags & FLAG_NOSAMESITE))) {
            remove_attr(c, i);
            continue;
        }
        if (secure)
            flags &= ~(unsigned)FLAG_SECURE;
        if (httponly)
            flags &= ~(unsigned)FLAG_HTTPONLY;
        if (samesite && (flags & FLAG_SAMESITE)) {
            *at = (struct attr){ SLICE("SameSite"), samesite_text(flags), true };
            c->changed = true;
            flags &= ~(unsigned)FLAG_SAMESITE;
        }
        i++;
    }
    if (flags & FLAG_SECURE)
        push(c, SLICE("Secure"), SLICE_NONE);
    if (flags & FLAG_HTTPONLY)
        push(c, SLICE("HttpOnly"), SLICE_NONE);
    if (flags & FLAG_SAMESITE)
        push(c, SLICE("SameSite"), samesite_text(flags));
}

static int names_cookie(struct exchange *x, const struct cookie_rule *r, slice name)
{
    slice want;
    if (r->is_regex)
        return by_regex(x, r, name);
    int rc = exchange_eval(x, &r->from, &want);
    if (rc != OK)
        return rc;
    return slice_ieq(want, name) ? OK : ERR_NOTFOUND;
}

static int apply_flags(struct exchange *x, const struct cookie_rule *r, struct cookie *c)
{
    unsigned flags = 0;
    slice text;
    int rc = ERR_NOTFOUND;
    while (r && (rc = names_cookie(x, r, c->v[0].name)) == ERR_NOTFOUND)
        r = r->next;
    if (!r || rc < 0)
        return rc == ERR_NOTFOUND ? OK : rc;
    for (uint32_t i = 0; i < r->nflags; i++) {
        rc = exchange_eval(x, &r->flag[i], &text);
        if (rc != OK)
            return rc;
        flags |= flag_of(text);
        exchange_trace(x, &r->pos, "cookie \"%.*s\": %.*s", SLICE_FMT(c->v[0].name), SLICE_FMT(text));
    }
    set_flags(c, flags);
    c->changed = true; /* as in nginx: what was looked at is composed anew */
    return OK;
}

int cookie_rewrite(struct exchange *x, const struct cookie_rules *rules, slice value, slice *out)
{
    struct cookie c;
    int rc = OK;
    if (!read_cookie(&x->arena, value, &c))
        return ERR_NOMEM;
    for (uint32_t i = 1; c.v[0].has_value && rc == OK && i < c.n; i++) {
        if (!c.v[i].has_value)
            continue;
        if (attr_is(&c.v[i], SLICE("domain")))
            rc = apply(x, rules->domain.first, domain_rule, &c, &c.v[i]);
        else if (attr_is(&c.v[i], SLICE("path")))
            rc = apply(x, rules->path.first, path_rule, &c, &c.v[i]);
    }
    if (rc == OK && c.v[0].has_value && rules->flags.first)
        rc = apply_flags(x, rules->flags.first, &c);
    if (rc != OK)
        return rc;
    if (c.changed)
        return compose(&x->arena, &c, out);
    *out = value;
    return OK;
}

/* ---- directives ---- */

/* `off`, or a new rule at the end of the list with its first argument read; *out is NULL for `off`. */
static int read_rule(struct conf_ctx *cf, const struct conf_node *node, struct cookie_list *l, bool icase, bool dots,
                     struct cookie_rule **out)
{
    struct conf_arg first = node->args[0];
    bool off = node->nargs == 1 && slice_eq(first.text, SLICE("off"));
    *out = NULL;
    if (l->off || (off && l->first))
        return conf_error(cf, node, -1, "\"%.*s\" directive is duplicate", SLICE_FMT(node->name));
    if (node->nargs == 1 && !off)
        return conf_error(cf, node, 0, "invalid parameter \"%.*s\"", SLICE_FMT(first.text));
    l->off = off;
    if (off)
        return OK;
    struct cookie_rule *r = arena_new(cf->arena, struct cookie_rule), **at = &l->first;
    if (!r)
        return ERR_NOMEM;
    r->pos = node->pos;
    while (*at)
        at = &(*at)->next;
    *at = *out = r;
    if (slice_starts(first.text, SLICE("~"))) {
        bool star = !icase && slice_starts(first.text, SLICE("~*"));
        r->is_regex = true;
        return match_compile(cf, node, 0, slice_from(first.text, star ? 2 : 1), icase || star, &r->match);
    }
    if (dots)
        first.text = undotted(first.text);
    return template_compile(cf, &first, &r->from);
}

static int read_pair(struct conf_ctx *cf, const struct conf_node *node, struct cookie_list *l, bool domain)
{
    struct cookie_rule *r;
    int rc = read_rule(cf, node, l, domain, domain, &r);
    if (rc != OK || !r)
        return rc;
    struct conf_arg to = node->args[1];
    if (domain)
        to.text = undotted(to.text);
    if (slice_find(to.text, ';') >= 0)
        return conf_error(cf, node, 1, "\"%.*s\" would begin another attribute", SLICE_FMT(to.text));
    return template_compile(cf, &to, &r->to);
}

int cookie_domain_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return read_pair(cf, node, &((struct proxy_conf *)conf)->cookies.domain, true);
}

int cookie_path_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return read_pair(cf, node, &((struct proxy_conf *)conf)->cookies.path, false);
}

int cookie_flags_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct cookie_rule *r;
    int rc = read_rule(cf, node, &((struct proxy_conf *)conf)->cookies.flags, true, false, &r);
    if (rc != OK || !r)
        return rc;
    r->nflags = node->nargs - 1;
    r->flag = arena_new_n(cf->arena, struct template, r->nflags);
    if (!r->flag)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < r->nflags; i++) {
        rc = template_compile(cf, &node->args[i + 1], &r->flag[i]);
        if (rc != OK)
            return rc;
        if (template_literal(&r->flag[i]) && !flag_of(r->flag[i].source))
            return conf_error(cf, node, (int)i + 1, "invalid parameter \"%.*s\"", SLICE_FMT(node->args[i + 1].text));
    }
    return OK;
}
