#include "proxy/forward_filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/generation.h"
#include "conf/nearest.h"
#include "forward/filter_store.h"
#include "proxy/forward_block.h"
#include "proxy/forward_deny.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy.h"

enum { LIST_FILES = 4096, LIST_NAME_MAX = 64 };

/* SCOPE_MAIN: names are known in all forward blocks. */
struct filter_main {
    struct filter_named *lists;
    struct list_file *files; /* their texts are given back once everything was read */
};

struct list_file {
    slice path;
    struct list_file *next;
};

/* ---- running ---- */

static const char *outcome(const struct filter_decision *d)
{
    switch (d->answer) {
    case FWD_NO:
        return d->rule ? "let pass" : "not filtered";
    case FWD_STUCK:
        return "blocked (a pattern gave up)";
    case FWD_NEED_USER:
        return "blocked (no user is known)";
    case FWD_NEED_ADDRESSES:
        return "undecided until its addresses are known";
    case FWD_YES:
        break;
    }
    return "blocked";
}

static void explain(struct exchange *x, const struct filter_decision *d, slice host)
{
    if (!d->rule)
        exchange_trace(x, NULL, "filter: %.*s is %s: no line speaks of it", SLICE_FMT(host), outcome(d));
    else if (d->list)
        exchange_trace(x, &d->rule->pos, "filter: %.*s is %s by \"%.*s\": list \"%.*s\", entry \"%.*s\"",
                       SLICE_FMT(host), outcome(d), SLICE_FMT(d->rule->text), SLICE_FMT(d->list->name),
                       SLICE_FMT(d->entry));
    else
        exchange_trace(x, &d->rule->pos, "filter: %.*s is %s by \"%.*s\"", SLICE_FMT(host), outcome(d),
                       SLICE_FMT(d->rule->text));
}

int forward_filter_decide(struct exchange *x, const struct fwd_request *v)
{
    const struct filter_level *l = exchange_conf(x, &forward_filter_feature);
    struct forward_exchange *f = x->proxy->forward;
    char record[1024];
    if (likely(!l->lines))
        return OK;
    f->filter = filter_decide(l->lines->first, v);
    explain(x, &f->filter, v->host);
    if (f->filter.answer == FWD_NO)
        return OK;
    if (f->filter.answer == FWD_NEED_ADDRESSES)
        return ERR_AGAIN;
    size_t n = filter_decision_text(record, sizeof(record), &f->filter, v);
    f->verdict = FORWARD_BLOCKED;
    worker_count(x->w, COUNT_FILTER_BLOCKED);
    exchange_log(x, LEVEL_WARN, "%s by filter: %.*s", outcome(&f->filter), (int)n, record);
    return ERR_REFUSED;
}

/* ---- filter_list ---- */

static struct filter_named *find_list(const struct filter_main *m, slice name)
{
    struct filter_named *l = m->lists;
    while (l && !slice_eq(l->name, name))
        l = l->next;
    return l;
}

/* The texts of a list, while it is being read. */
struct texts {
    slice *v, *paths;
    uint32_t n, cap;
};

static int texts_add(struct texts *t, slice path, slice text)
{
    if (t->n == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 8;
        slice *v = reallocarray(t->v, cap, sizeof(*v));
        t->v = v ? v : t->v;
        slice *paths = v ? reallocarray(t->paths, cap, sizeof(*paths)) : NULL;
        if (!paths)
            return ERR_NOMEM;
        t->paths = paths;
        t->cap = cap;
    }
    t->paths[t->n] = path;
    t->v[t->n++] = text;
    return OK;
}

static int one_file(struct conf_ctx *cf, const struct conf_node *node, int arg, slice path, struct texts *t)
{
    slice text;
    int rc = bundle_file(cf->bundle, path, &text);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc == ERR_LIMIT)
        return conf_error(cf, node, arg, "\"%.*s\" is too large for a list", SLICE_FMT(path));
    if (rc != OK)
        return conf_error(cf, node, arg, "cannot read \"%.*s\"", SLICE_FMT(path));
    if (t->n == LIST_FILES)
        return conf_error(cf, node, arg, "a list has at most %d files", LIST_FILES);
    return texts_add(t, path, text);
}

static int matching_files(struct conf_ctx *cf, const struct conf_node *node, int arg, slice pattern, struct texts *t)
{
    slice paths, path;
    int rc = bundle_glob(cf->bundle, pattern, &paths);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        return conf_error(cf, node, arg, "glob() \"%.*s\" failed", SLICE_FMT(pattern));
    if (!paths.n)
        conf_warn(cf, node, arg, "no file is \"%.*s\": the list is empty of it", SLICE_FMT(pattern));
    while (rc == OK && slice_cut(paths, '\0', &path, &paths))
        rc = one_file(cf, node, arg, path, t);
    return rc;
}

static bool is_pattern(slice path)
{
    return slice_find(path, '*') >= 0 || slice_find(path, '?') >= 0 || slice_find(path, '[') >= 0;
}

static int all_files(struct conf_ctx *cf, const struct conf_node *node, struct texts *t)
{
    int rc = OK;
    for (uint32_t i = 1; i < node->nargs && rc == OK; i++) {
        slice path = bundle_conf_path(cf->bundle, node->args[i].text);
        if (!path.p)
            return ERR_NOMEM;
        rc = is_pattern(path) ? matching_files(cf, node, (int)i, path, t) : one_file(cf, node, (int)i, path, t);
    }
    return rc;
}

struct held {
    struct gen_cleanup cleanup;
    const struct filter_list *list;
};

static void let_go(struct gen_cleanup *c)
{
    filter_store_drop(container_of(c, struct held, cleanup)->list);
}

static int compile(struct conf_ctx *cf, const struct conf_node *node, const struct texts *t, struct filter_named *named)
{
    struct held *h = arena_new(cf->arena, struct held);
    int rc = h ? filter_store_get(t->v, t->n, &h->list) : ERR_NOMEM;
    if (rc == ERR_LIMIT)
        return conf_error(cf, node, 0, "the list has too many names");
    if (rc != OK)
        return rc;
    generation_cleanup(cf->gen, &h->cleanup, let_go);
    named->list = h->list;
    slice first = h->list->first_file < t->n ? t->paths[h->list->first_file] : SLICE_NONE;
    if (h->list->skipped)
        conf_warn(cf, node, 0,
                  "list \"%.*s\" has %u lines that are no rule for a name and do not count, the first is line %u of "
                  "\"%.*s\"",
                  SLICE_FMT(named->name), h->list->skipped, h->list->first_skipped, SLICE_FMT(first));
    return OK;
}

static bool is_name(slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && !(i && (s.p[i] == '-' || s.p[i] == '.')) && s.p[i] != '_')
            return false;
    }
    return s.n && s.n <= LIST_NAME_MAX;
}

static int remember_files(struct conf_ctx *cf, struct filter_main *m, const struct texts *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        struct list_file *f = arena_new(cf->arena, struct list_file);
        if (!f)
            return ERR_NOMEM;
        *f = (struct list_file){ .path = t->paths[i], .next = m->files };
        m->files = f;
    }
    return OK;
}

/* The names are in the lists: a text of many megabytes need not stay for as long as its generation does. */
static int finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent)
{
    if (kind != SCOPE_MAIN)
        return OK;
    for (const struct list_file *f = ((const struct filter_main *)conf)->files; f; f = f->next)
        bundle_file_done(cf->bundle, f->path);
    return OK;
}

static int set_list(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct filter_main *m = conf;
    struct texts t = { 0 };
    slice name = node->args[0].text;
    if (!is_name(name))
        return conf_error(cf, node, 0, "invalid name of a list \"%.*s\"", SLICE_FMT(name));
    if (find_list(m, name))
        return conf_error(cf, node, 0,
                          "there is a list \"%.*s\" already; one that several blocks use belongs into http",
                          SLICE_FMT(name));
    struct filter_named *named = arena_new(cf->arena, struct filter_named);
    if (!named)
        return ERR_NOMEM;
    named->name = name;
    int rc = all_files(cf, node, &t);
    if (rc == OK)
        rc = compile(cf, node, &t, named);
    if (rc == OK)
        rc = remember_files(cf, m, &t);
    free(t.v);
    free(t.paths);
    if (rc != OK)
        return rc;
    named->next = m->lists;
    m->lists = named;
    return OK;
}

/* ---- filter_block, filter_allow ---- */

static struct fwd_policy *policy_of(struct conf_ctx *cf)
{
    void *block = conf_scope_own(cf, cf->scope[SCOPE_LOCATION], &forward_feature);
    return block ? forward_policy(cf, block) : NULL;
}

int forward_terms(struct conf_ctx *cf, const struct conf_node *node, uint32_t from, struct fwd_term **terms,
                  uint32_t *n)
{
    struct fwd_policy *p = policy_of(cf);
    return p ? fwd_terms(&p->acls, &p->c, node, from, terms, n) : ERR_NOMEM;
}

slice forward_line_text(struct conf_ctx *cf, const struct conf_node *node)
{
    struct strb b;
    slice out = SLICE_NONE;
    strb_init(&b, 0);
    strb_add(&b, node->name);
    for (uint32_t i = 0; i < node->nargs; i++) {
        strb_char(&b, ' ');
        strb_add(&b, node->args[i].text);
    }
    if (b.failed || !arena_dup(cf->arena, strb_slice(&b), &out))
        out = SLICE_NONE;
    strb_done(&b);
    return out;
}

static int nobodys_name(struct conf_ctx *cf, const struct conf_node *node, const struct filter_main *m)
{
    struct nearest near;
    slice name = node->args[0].text;
    nearest_init(&near, name);
    for (const struct filter_named *l = m->lists; l; l = l->next)
        nearest_offer(&near, l->name);
    if (near.best.n)
        return conf_error(cf, node, 0, "\"%.*s\" is neither a filter_list nor an acl; did you mean \"%.*s\"?",
                          SLICE_FMT(name), SLICE_FMT(near.best));
    return conf_error(cf, node, 0, "\"%.*s\" is neither a filter_list nor an acl that was defined before",
                      SLICE_FMT(name));
}

/* Lists stand first. A word that names a list and a condition could be meant as either. */
static int take_lists(struct conf_ctx *cf, const struct conf_node *node, struct filter_rule *r)
{
    const struct filter_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &forward_filter_feature);
    const struct fwd_policy *p = policy_of(cf);
    if (!m || !p || !(r->lists = arena_new_n(cf->arena, const struct filter_named *, node->nargs)))
        return ERR_NOMEM;
    while (r->nlists < node->nargs) {
        slice name = node->args[r->nlists].text;
        const struct filter_named *l = find_list(m, name);
        if (!l)
            break;
        if (map_get(&p->acls.names, name))
            return conf_error(cf, node, (int)r->nlists, "\"%.*s\" is the name of a filter_list and of an acl",
                              SLICE_FMT(name));
        r->lists[r->nlists++] = l;
    }
    if (!r->nlists && node->args[0].text.n && node->args[0].text.p[0] != '!' &&
        !map_get(&p->acls.names, node->args[0].text))
        return nobodys_name(cf, node, m);
    return OK;
}

static int set_rule(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct filter_level *l = conf;
    struct filter_rule *r = arena_new(cf->arena, struct filter_rule);
    if (!l->lines) {
        l->lines = arena_new(cf->arena, struct filter_lines);
        if (l->lines)
            l->lines->last = &l->lines->first;
    }
    if (!r || !l->lines)
        return ERR_NOMEM;
    r->allow = slice_eq(node->name, SLICE("filter_allow"));
    r->pos = node->pos;
    int rc = take_lists(cf, node, r);
    if (rc == OK)
        rc = forward_terms(cf, node, r->nlists, &r->terms, &r->nterms);
    if (rc != OK)
        return rc;
    r->text = forward_line_text(cf, node);
    *l->lines->last = r;
    l->lines->last = &r->next;
    return r->text.p ? OK : ERR_NOMEM;
}

/* ---- directives ---- */

#define RULE(text, about)                                                                                           \
    {                                                                                                               \
        .name = text, .contexts = CONF_FORWARD, .min_args = 1, .max_args = CONF_ANY_ARGS, .type = CONF_CUSTOM,      \
        .scope = SCOPE_LOCATION, .repeat = true, .offset = offsetof(struct filter_level, lines),                    \
        .size = sizeof(struct filter_lines *), .set = set_rule, .usage = text " LIST ... [[!]ACL ...];",            \
        .doc = about " whose host one of the lists holds, when all conditions hold. Without a LIST: any host. The " \
                     "first line of filter_block and filter_allow that holds decides; lists and conditions stand "  \
                     "before it. It is asked after http_access, about absolute form, CONNECT and SOCKS alike.",     \
    }

static const struct directive directives[] = {
    { .name = "filter_list",
      .contexts = CONF_HTTP | CONF_FORWARD,
      .min_args = 2,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .repeat = true,
      .set = set_list,
      .usage = "filter_list NAME FILE ...;",
      .doc =
          "A list of hosts from files, for filter_block and filter_allow. A line is a domain (ads.example: it and "
          "what is below; *.ads.example: what is below), a line of a hosts file (0.0.0.0 ads.example: that host), or "
          "a blocker's rule (||ads.example^, and @@||good.ads.example^ for an exception). Lines that look at more "
          "than a name do not count; how many there are is told. FILE may hold wildcards; a relative one is looked "
          "for beside the configuration file. Files are read when the configuration is loaded." },
    RULE("filter_block", "Refuses requests with 403"),
    RULE("filter_allow", "Lets requests pass the filter"),
};

struct feature forward_filter_feature = {
    .name = "forward_filter",
    .doc = "Which hosts a forward proxy leads to, by lists.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct filter_main), [SCOPE_LOCATION] = sizeof(struct filter_level) },
    .finish = finish,
};
