#include "proxy/server_name.h"

#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"

/* ---- reading ---- */

static bool lower(struct arena *a, slice s, slice *out)
{
    slice copy;
    if (!arena_dup(a, s, &copy))
        return false;
    char *p = (char *)copy.p;
    for (size_t i = 0; i < copy.n; i++)
        p[i] = ascii_lower(p[i]);
    *out = copy;
    return true;
}

/* nginx matches host names that it has in lower case, so an expression with capitals is made to ignore letter case. */
static bool has_capitals(slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return true;
    }
    return false;
}

/* An asterisk stands for labels at one end of the name, and only there. */
static int classify(struct server_name *n)
{
    slice s = n->text;
    n->kind = NAME_EXACT;
    n->key = s;
    if (slice_starts(s, SLICE("*."))) {
        n->kind = NAME_HEAD;
        n->key = slice_from(s, 2);
    } else if (slice_starts(s, SLICE("."))) {
        n->kind = NAME_DOT;
        n->key = slice_from(s, 1);
    } else if (slice_ends(s, SLICE(".*"))) {
        n->kind = NAME_TAIL;
        n->key = slice_upto(s, s.n - 2);
    }
    bool bad = slice_find(n->key, '*') >= 0 || (n->kind != NAME_EXACT && n->key.n == 0);
    return bad || slice_starts(n->key, SLICE(".")) ? ERR_SYNTAX : OK;
}

static int parse_regex(struct conf_ctx *cf, const struct conf_node *node, int arg, struct server_name *out)
{
    slice text = node->args[arg].text;
    if (text.n == 1)
        return conf_error(cf, node, arg, "empty regex in server name \"%.*s\"", SLICE_FMT(text));
    out->kind = NAME_REGEX;
    out->text = out->key = text;
    return match_compile(cf, node, arg, slice_from(text, 1), has_capitals(text), &out->match);
}

static int own_hostname(struct arena *a, slice *out)
{
    char name[256];
    if (gethostname(name, sizeof(name) - 1) != 0)
        return ERR_SYS;
    name[sizeof(name) - 1] = '\0';
    return lower(a, slice_str(name), out) ? OK : ERR_NOMEM;
}

int server_name_parse(struct conf_ctx *cf, const struct conf_node *node, int arg, struct server_name *out)
{
    slice text = node->args[arg].text;
    struct server_name n = { .node = node, .arg = arg };
    if (slice_starts(text, SLICE("~"))) {
        int rc = parse_regex(cf, node, arg, &n);
        if (rc == OK)
            *out = n;
        return rc;
    }
    if (slice_ieq(text, SLICE("$hostname"))) {
        int rc = own_hostname(cf->arena, &n.text);
        if (rc != OK)
            return rc == ERR_NOMEM ? rc : conf_error(cf, node, arg, "the name of this host is not known");
    } else if (!lower(cf->arena, text, &n.text)) {
        return ERR_NOMEM;
    }
    if (memchr(n.text.p, '/', n.text.n))
        conf_warn(cf, node, arg, "server name \"%.*s\" has suspicious symbols", SLICE_FMT(text));
    if (classify(&n) != OK)
        return conf_error(cf, node, arg, "invalid server name or wildcard \"%.*s\"", SLICE_FMT(text));
    *out = n;
    return OK;
}

slice server_name_shown(const struct server_name *n)
{
    return n->kind == NAME_DOT ? n->key : n->text;
}

/* ---- the table ---- */

static void table_cleanup(struct gen_cleanup *c)
{
    struct name_table *t = container_of(c, struct name_table, cleanup);
    map_done(&t->exact);
    map_done(&t->head);
    map_done(&t->tail);
}

struct name_table *name_table_new(struct conf_ctx *cf)
{
    struct name_table *t = arena_new(cf->arena, struct name_table);
    if (!t)
        return NULL;
    map_init(&t->exact, false);
    map_init(&t->head, false);
    map_init(&t->tail, false);
    t->regexes_end = &t->regexes;
    generation_cleanup(cf->gen, &t->cleanup, table_cleanup);
    return t;
}

static unsigned labels(slice s)
{
    unsigned n = 1;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '.';
    return n;
}

/* A name that stands twice in one server is no conflict between servers, but nginx reports it alike. */
static int put(struct conf_ctx *cf, struct map *m, const struct server_name *n, const struct server *s, slice address)
{
    int rc = map_put(m, n->key, (void *)s);
    if (rc != ERR_REFUSED)
        return rc;
    conf_diag_add(cf->diag, CONF_WARN, n->node ? n->node->args[n->arg].pos : s->pos, SLICE_NONE,
                  "conflicting server name \"%.*s\" on %.*s, ignored", SLICE_FMT(n->text), SLICE_FMT(address));
    return OK;
}

static int put_regex(struct conf_ctx *cf, struct name_table *t, const struct server_name *n, const struct server *s)
{
    struct name_regex *r = arena_new(cf->arena, struct name_regex);
    if (!r)
        return ERR_NOMEM;
    *r = (struct name_regex){ .match = &n->match, .server = s };
    *t->regexes_end = r;
    t->regexes_end = &r->next;
    return OK;
}

static int put_head(struct conf_ctx *cf, struct name_table *t, const struct server_name *n, const struct server *s,
                    slice address)
{
    unsigned l = labels(n->key);
    if (l > t->head_labels)
        t->head_labels = l;
    return put(cf, &t->head, n, s, address);
}

int name_table_add(struct conf_ctx *cf, struct name_table *t, const struct server_name *n, const struct server *s,
                   slice address)
{
    switch (n->kind) {
    case NAME_EXACT:
        return put(cf, &t->exact, n, s, address);
    case NAME_HEAD:
        return put_head(cf, t, n, s, address);
    case NAME_DOT:
        if (map_get(&t->exact, n->key))
            return put(cf, &t->exact, n, s, address); /* one report, and the wildcard half goes with it */
        int rc = put_head(cf, t, n, s, address);
        return rc == OK ? put(cf, &t->exact, n, s, address) : rc;
    case NAME_TAIL:
        if (labels(n->key) > t->tail_labels)
            t->tail_labels = labels(n->key);
        return put(cf, &t->tail, n, s, address);
    case NAME_REGEX:
        return put_regex(cf, t, n, s);
    }
    return ERR_SYNTAX;
}

/* The longest suffix of whole labels that is a key; the wildcard stands for one label at least. */
static const struct server *find_head(const struct name_table *t, slice host)
{
    unsigned have = labels(host);
    slice rest = host, label;
    while (have > 1 && slice_cut(rest, '.', &label, &rest)) {
        have--;
        if (have > t->head_labels)
            continue;
        const struct server *s = map_get(&t->head, rest);
        if (s)
            return s;
    }
    return NULL;
}

/* The longest prefix of whole labels that is a key. */
static const struct server *find_tail(const struct name_table *t, slice host)
{
    unsigned have = labels(host);
    slice rest = host;
    for (ptrdiff_t dot = slice_rfind(rest, '.'); dot > 0; dot = slice_rfind(rest, '.')) {
        rest = slice_upto(rest, (size_t)dot);
        have--;
        if (have > t->tail_labels)
            continue;
        const struct server *s = map_get(&t->tail, rest);
        if (s)
            return s;
    }
    return NULL;
}

const struct server *name_table_find(const struct name_table *t, struct exchange *x, slice host)
{
    const struct server *s = map_get(&t->exact, host);
    if (s || host.n == 0)
        return s;
    if (t->head_labels && (s = find_head(t, host)))
        return s;
    if (t->tail_labels && (s = find_tail(t, host)))
        return s;
    for (const struct name_regex *r = t->regexes; r; r = r->next) {
        if (match_exec(r->match, x, host) == OK)
            return r->server;
    }
    return NULL;
}
