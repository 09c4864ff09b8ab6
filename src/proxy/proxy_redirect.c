/*
 * Location and Refresh in answers, after nginx's manual ("proxy_redirect").
 *
 * A rule replaces the beginning of the URL, or all of it when a regular expression matches; the first rule that applies
 * wins. `default` maps the URL of proxy_pass back to the location's prefix; without a URI part, to "/". A Location that
 * is a path afterwards is completed with scheme and host, as nginx does for redirects that it makes itself.
 */
#include "proxy/proxy_redirect.h"

#include "base/err.h"

static struct template literal(slice s)
{
    return (struct template){ .source = s };
}

/* ---- load ---- */

static int rule_add(struct conf_ctx *cf, struct redirect_list *l, const struct redirect_rule *r)
{
    struct redirect_rule *v = arena_new_n(cf->arena, struct redirect_rule, l->n + 1);
    if (!v)
        return ERR_NOMEM;
    if (l->n)
        memcpy(v, l->v, l->n * sizeof(*v));
    v[l->n++] = *r;
    l->v = v;
    return OK;
}

static int rule_read(struct conf_ctx *cf, const struct conf_node *node, struct redirect_rule *r)
{
    slice from = node->args[0].text;
    int rc = template_compile(cf, &node->args[1], &r->to);
    if (rc != OK)
        return rc;
    if (!slice_starts(from, SLICE("~")))
        return template_compile(cf, &node->args[0], &r->from);
    bool icase = slice_starts(from, SLICE("~*"));
    r->is_regex = true;
    return match_compile(cf, node, 0, slice_from(from, icase ? 2 : 1), icase, &r->match);
}

int redirect_directive(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct proxy_conf *c = conf;
    struct redirect_list *l = &c->redirect;
    slice first = node->args[0].text;
    struct redirect_rule r = { .pos = node->pos };
    if (!node->pos.file) /* the default: what redirect_compile does when nothing is given */
        return OK;
    if (l->off || (node->nargs == 1 && slice_eq(first, SLICE("off")) && l->given))
        return conf_error(cf, node, -1, "\"proxy_redirect\" directive is duplicate");
    l->given = true;
    if (node->nargs == 1) {
        if (slice_eq(first, SLICE("off"))) {
            l->off = true;
            return OK;
        }
        if (!slice_eq(first, SLICE("default")))
            return conf_error(cf, node, 0, "invalid parameter \"%.*s\"", SLICE_FMT(first));
        r.is_default = true;
        return rule_add(cf, l, &r);
    }
    int rc = rule_read(cf, node, &r);
    return rc == OK ? rule_add(cf, l, &r) : rc;
}

/* What `default` means at this proxy_pass. */
static int rule_default(struct conf_ctx *cf, const struct proxy_conf *c, struct redirect_rule *out)
{
    slice from = c->pass;
    if (!c->has_uri)
        from = arena_printf(cf->arena, "%.*s/", SLICE_FMT(c->pass));
    if (!from.p)
        return ERR_NOMEM;
    *out = (struct redirect_rule){ .from = literal(from),
                                   .to = literal(c->has_uri ? c->location : SLICE("/")),
                                   .pos = c->node->pos };
    return OK;
}

int redirect_compile(struct conf_ctx *cf, struct proxy_conf *c)
{
    static struct redirect_rule only_default = { .is_default = true };
    const struct redirect_list *l = &c->redirect;
    struct redirect_list implied = { .v = &only_default, .n = c->set && !c->dynamic };
    if (!l->given)
        l = &implied;
    c->redirects = NULL;
    c->nredirects = 0;
    if (l->off || l->n == 0)
        return OK;
    struct redirect_rule *v = arena_new_n(cf->arena, struct redirect_rule, l->n);
    if (!v)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < l->n; i++) {
        v[c->nredirects] = l->v[i];
        if (l->v[i].is_default) {
            if (!c->set)
                continue; /* a level around the locations: each of them has its own */
            if (c->dynamic)
                return conf_error(
                    cf, c->node, -1,
                    "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables");
            int rc = rule_default(cf, c, &v[c->nredirects]);
            if (rc != OK)
                return rc;
        }
        c->nredirects++;
    }
    c->redirects = v;
    return OK;
}

/* ---- run ---- */

bool redirect_refresh(slice value, size_t *at)
{
    for (size_t i = 0; i + 4 <= value.n; i++) {
        if (slice_ieq(slice_of(value.p + i, 4), SLICE("url="))) {
            *at = i + 4;
            return true;
        }
    }
    return false;
}

/* Does the rule apply; what of the URL stays behind the replacement. ERR_NOTFOUND: it does not. */
static int rule_match(struct exchange *x, const struct redirect_rule *r, slice url, slice *rest)
{
    if (r->is_regex) {
        *rest = SLICE_NONE;
        int rc = match_exec(&r->match, x, url);
        return rc == ERR_LIMIT ? ERR_NOTFOUND : rc;
    }
    slice from;
    int rc = exchange_eval(x, &r->from, &from);
    if (rc != OK)
        return rc;
    if (!slice_starts(url, from))
        return ERR_NOTFOUND;
    *rest = slice_from(url, from.n);
    return OK;
}

int redirect_apply(struct exchange *x, const struct proxy_conf *conf, slice value, size_t at, slice *out)
{
    slice url = slice_from(value, at), rest, to;
    for (uint32_t i = 0; i < conf->nredirects; i++) {
        const struct redirect_rule *r = &conf->redirects[i];
        int rc = rule_match(x, r, url, &rest);
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc == OK)
            rc = exchange_eval(x, &r->to, &to);
        if (rc != OK)
            return rc;
        *out =
            arena_printf(&x->arena, "%.*s%.*s%.*s", SLICE_FMT(slice_upto(value, at)), SLICE_FMT(to), SLICE_FMT(rest));
        exchange_trace(x, r->pos.file ? &r->pos : NULL, "proxy_redirect: \"%.*s\" becomes \"%.*s\"", SLICE_FMT(value),
                       SLICE_FMT(*out));
        return out->p ? OK : ERR_NOMEM;
    }
    return ERR_NOTFOUND;
}
