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

static int parse_regex(struct conf_ctx *cf, const struct conf_node *node, int arg, struct server_name *out)
{
    slice text = node->args[arg].text;
    if (text.n == 1)
        return conf_error(cf, node, arg, "empty regex in server name \"%.*s\"", SLICE_FMT(text));
    out->regex = true;
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
    if (mask_parse(n.text, &n.kind, &n.key) != OK)
        return conf_error(cf, node, arg, "invalid server name or wildcard \"%.*s\"", SLICE_FMT(text));
    *out = n;
    return OK;
}

slice server_name_shown(const struct server_name *n)
{
    return !n->regex && n->kind == MASK_BOTH ? n->key : n->text;
}

/* ---- the table ---- */

static void table_cleanup(struct gen_cleanup *c)
{
    struct name_table *t = container_of(c, struct name_table, cleanup);
    masks_done(&t->masks);
}

struct name_table *name_table_new(struct conf_ctx *cf)
{
    struct name_table *t = arena_new(cf->arena, struct name_table);
    if (!t)
        return NULL;
    masks_init(&t->masks);
    t->regexes_end = &t->regexes;
    generation_cleanup(cf->gen, &t->cleanup, table_cleanup);
    return t;
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

/* A name that stands twice in one server is no conflict between servers, but nginx reports it alike. */
int name_table_add(struct conf_ctx *cf, struct name_table *t, const struct server_name *n, const struct server *s,
                   slice address)
{
    if (n->regex)
        return put_regex(cf, t, n, s);
    int rc = masks_put(&t->masks, n->kind, n->key, (void *)s);
    if (rc != ERR_REFUSED)
        return rc;
    conf_diag_add(cf->diag, CONF_WARN, n->node ? n->node->args[n->arg].pos : s->pos, SLICE_NONE,
                  "conflicting server name \"%.*s\" on %.*s, ignored", SLICE_FMT(n->text), SLICE_FMT(address));
    return OK;
}

const struct server *name_table_find(const struct name_table *t, struct exchange *x, slice host)
{
    const struct server *s = masks_find(&t->masks, host);
    if (s || host.n == 0)
        return s;
    for (const struct name_regex *r = t->regexes; r; r = r->next) {
        if (match_exec(r->match, x, host) == OK)
            return r->server;
    }
    return NULL;
}
