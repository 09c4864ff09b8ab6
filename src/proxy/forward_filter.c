#include "proxy/forward_filter.h"

#include <fcntl.h>
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

/* The files of a list, while it is being read. */
struct paths {
    struct conf_ctx *cf;
    const struct conf_node *node;
    slice *v;
    int *arg; /* which argument has named it */
    uint32_t n, cap;
};

static int add_path(struct paths *p, int arg, slice path)
{
    if (p->n == LIST_FILES)
        return conf_error(p->cf, p->node, arg, "a list has at most %d files", LIST_FILES);
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : 8;
        slice *v = reallocarray(p->v, cap, sizeof(*v));
        p->v = v ? v : p->v;
        int *args = v ? reallocarray(p->arg, cap, sizeof(*args)) : NULL;
        if (!args)
            return ERR_NOMEM;
        p->arg = args;
        p->cap = cap;
    }
    p->arg[p->n] = arg;
    p->v[p->n++] = path;
    return OK;
}

static int matching_files(struct paths *p, int arg, slice pattern)
{
    slice paths, path;
    int rc = bundle_glob(p->cf->bundle, pattern, &paths);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        return conf_error(p->cf, p->node, arg, "glob() \"%.*s\" failed", SLICE_FMT(pattern));
    if (!paths.n)
        conf_warn(p->cf, p->node, arg, "no file is \"%.*s\": the list is empty of it", SLICE_FMT(pattern));
    while (rc == OK && slice_cut(paths, '\0', &path, &paths))
        rc = add_path(p, arg, path);
    return rc;
}

static bool is_pattern(slice path)
{
    return slice_find(path, '*') >= 0 || slice_find(path, '?') >= 0 || slice_find(path, '[') >= 0;
}

static int all_paths(struct paths *p)
{
    int rc = OK;
    for (uint32_t i = 1; i < p->node->nargs && rc == OK; i++) {
        slice path = bundle_conf_path(p->cf->bundle, p->node->args[i].text);
        if (!path.p)
            return ERR_NOMEM;
        rc = is_pattern(path) ? matching_files(p, (int)i, path) : add_path(p, (int)i, path);
    }
    return rc;
}

static int read_files(void *files, const struct filter_sink *to)
{
    const struct paths *p = files;
    int rc = OK;
    for (uint32_t i = 0; i < p->n && rc == OK; i++) {
        rc = bundle_pieces(p->cf->bundle, p->v[i], to->piece, to->ctx);
        if (rc == ERR_LIMIT)
            return conf_error(p->cf, p->node, p->arg[i], "\"%.*s\" is too large for a list", SLICE_FMT(p->v[i]));
        if (rc != OK && rc != ERR_NOMEM && rc != ERR_AGAIN)
            return conf_error(p->cf, p->node, p->arg[i], "cannot read \"%.*s\"", SLICE_FMT(p->v[i]));
        rc = rc == OK ? to->end(to->ctx) : rc;
    }
    return rc;
}

struct let_go {
    struct gen_cleanup cleanup;
    struct filter_held *held;
};

static void drop_held(struct gen_cleanup *c)
{
    filter_store_drop(container_of(c, struct let_go, cleanup)->held);
}

static int compile(struct conf_ctx *cf, struct paths *p, slice name, int *fd)
{
    struct let_go *g = arena_new(cf->arena, struct let_go);
    int rc = g ? filter_store_get(read_files, p, &g->held) : ERR_NOMEM;
    if (rc == ERR_LIMIT)
        return conf_error(cf, p->node, 0, "the list has too many names");
    if (rc == ERR_AGAIN)
        return conf_error(cf, p->node, 0, "the files of list \"%.*s\" change while they are read", SLICE_FMT(name));
    if (rc != OK)
        return rc;
    generation_cleanup(cf->gen, &g->cleanup, drop_held);
    *fd = fcntl(filter_held_fd(g->held), F_DUPFD_CLOEXEC, 0);
    return *fd < 0 ? ERR_SYS : OK;
}

static void warn_of_lines(struct conf_ctx *cf, const struct paths *p, const struct filter_named *named)
{
    const struct filter_list *l = &named->list;
    slice first = l->first_file < p->n ? p->v[l->first_file] : SLICE_NONE;
    if (l->skipped)
        conf_warn(cf, p->node, 0,
                  "list \"%.*s\" has %u lines that are no rule for a name and do not count, the first is line %u of "
                  "\"%.*s\"",
                  SLICE_FMT(named->name), l->skipped, l->first_skipped, SLICE_FMT(first));
}

struct opened {
    struct gen_cleanup cleanup;
    struct filter_named named;
};

static void close_list(struct gen_cleanup *c)
{
    filter_list_close(&container_of(c, struct opened, cleanup)->named.list);
}

static int open_table(struct conf_ctx *cf, struct opened *o, const struct bundle_entry *e)
{
    int rc = filter_list_open(&o->named.list, e->fds[0]);
    if (rc == OK)
        generation_cleanup(cf->gen, &o->cleanup, close_list);
    return rc;
}

/* Whoever gathers makes the table, which the bundle keeps instead of the files; an engine is handed it. */
static int load(struct conf_ctx *cf, const struct conf_node *node, struct opened *o)
{
    struct bundle_entry *e = bundle_descriptor(cf->bundle, BUNDLE_TABLE, o->named.name);
    struct paths p = { .cf = cf, .node = node };
    if (!e)
        return bundle_closed(cf->bundle) ? ERR_NOTFOUND : ERR_NOMEM;
    if (e->nfds)
        return open_table(cf, o, e);
    int fd = -1, rc = all_paths(&p);
    e->fds = rc == OK ? malloc(sizeof(*e->fds)) : NULL;
    if (rc == OK)
        rc = e->fds ? compile(cf, &p, o->named.name, &fd) : ERR_NOMEM;
    if (rc == OK) {
        e->fds[0] = fd;
        e->nfds = 1;
        rc = open_table(cf, o, e);
    }
    if (rc == OK)
        warn_of_lines(cf, &p, &o->named);
    free(p.v);
    free(p.arg);
    return rc;
}

static bool is_name(slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && !(i && (s.p[i] == '-' || s.p[i] == '.')) && s.p[i] != '_')
            return false;
    }
    return s.n && s.n <= LIST_NAME_MAX;
}

static int set_list(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct filter_main *m = conf;
    slice name = node->args[0].text;
    if (!is_name(name))
        return conf_error(cf, node, 0, "invalid name of a list \"%.*s\"", SLICE_FMT(name));
    if (find_list(m, name))
        return conf_error(cf, node, 0,
                          "there is a list \"%.*s\" already; one that several blocks use belongs into http",
                          SLICE_FMT(name));
    struct opened *o = arena_new(cf->arena, struct opened);
    if (!o)
        return ERR_NOMEM;
    o->named.name = name;
    int rc = load(cf, node, o);
    if (rc != OK)
        return rc;
    o->named.next = m->lists;
    m->lists = &o->named;
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
};
