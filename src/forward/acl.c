/*
 * Named conditions: their lines, the files that lines name, groups, and those that are there from the start.
 */
#include "forward/acl.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/nearest.h"

static const struct acl_type {
    slice name;
    enum fwd_acl_type type;
    bool regex; /* takes -i and +i */
} types[] = {
    { SLICE("src"), ACL_SRC, false },
    { SLICE("dst"), ACL_DST, false },
    { SLICE("localip"), ACL_LOCALIP, false },
    { SLICE("dstdomain"), ACL_DSTDOMAIN, false },
    { SLICE("dstdom_regex"), ACL_DSTDOM_REGEX, true },
    { SLICE("url_regex"), ACL_URL_REGEX, true },
    { SLICE("urlpath_regex"), ACL_URLPATH_REGEX, true },
    { SLICE("port"), ACL_PORT, false },
    { SLICE("method"), ACL_METHOD, false },
    { SLICE("proto"), ACL_PROTO, false },
    { SLICE("time"), ACL_TIME, false },
    { SLICE("proxy_auth"), ACL_PROXY_AUTH, true },
    { SLICE("browser"), ACL_BROWSER, true },
    { SLICE("referer_regex"), ACL_REFERER_REGEX, true },
    { SLICE("req_header"), ACL_REQ_HEADER, true },
    { SLICE("rep_header"), ACL_REP_HEADER, true },
    { SLICE("req_mime_type"), ACL_REQ_MIME_TYPE, true },
    { SLICE("rep_mime_type"), ACL_REP_MIME_TYPE, true },
    { SLICE("http_status"), ACL_HTTP_STATUS, false },
    { SLICE("maxconn"), ACL_MAXCONN, false },
    { SLICE("any-of"), ACL_ANY_OF, false },
    { SLICE("all-of"), ACL_ALL_OF, false },
};

/* squid.conf manual, "acl", what is predefined; own addresses are the egress guard's business. */
static const char *const predefined[][12] = {
    { "all", "src", "all" },
    { "localhost", "src", "127.0.0.1/32", "::1" },
    { "to_localhost", "dst", "127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128" },
    { "to_linklocal", "dst", "169.254.0.0/16", "fe80::/10" },
    { "CONNECT", "method", "CONNECT" },
};

ATTR_PRINTF(5, 0)
static void report(struct fwd_compile *c, enum conf_severity sev, const struct conf_node *node, int arg,
                   const char *fmt, va_list ap)
{
    char text[512];
    vsnprintf(text, sizeof(text), fmt, ap);
    struct conf_pos pos = arg >= 0 && (uint32_t)arg < node->nargs ? node->args[arg].pos : node->pos;
    conf_diag_add(c->diag, sev, pos, SLICE_NONE, "%s", text);
    c->errors += sev == CONF_EMERG;
}

int fwd_error(struct fwd_compile *c, const struct conf_node *node, int arg, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(c, CONF_EMERG, node, arg, fmt, ap);
    va_end(ap);
    return ERR_SYNTAX;
}

void fwd_warn(struct fwd_compile *c, const struct conf_node *node, int arg, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(c, CONF_WARN, node, arg, fmt, ap);
    va_end(ap);
}

static const struct acl_type *type_of(slice name)
{
    for (size_t i = 0; i < array_len(types); i++) {
        if (slice_eq(types[i].name, name))
            return &types[i];
    }
    return NULL;
}

bool fwd_is_keyword(slice word)
{
    static const slice more[] = {
        SLICE("acl"),  SLICE("http_access"), SLICE("http_reply_access"), SLICE("http_port"),
        SLICE("deny"), SLICE("allow"),       SLICE("include"),           SLICE("cache_peer")
    };
    for (size_t i = 0; i < array_len(more); i++) {
        if (slice_eq(more[i], word))
            return true;
    }
    return type_of(word) != NULL;
}

static struct fwd_acl *acl_new(struct fwd_acls *s, struct fwd_compile *c, slice name, enum fwd_acl_type type,
                               struct conf_pos pos)
{
    struct fwd_acl *a = arena_new(c->arena, struct fwd_acl);
    if (!a || !arena_dup(c->arena, name, &a->name) || map_put(&s->names, a->name, a))
        return NULL;
    a->type = type;
    a->pos = pos;
    a->last = &a->values;
    a->index = s->n++;
    *s->last = a;
    s->last = &a->next;
    return a;
}

int fwd_acls_init(struct fwd_acls *s, struct fwd_compile *c)
{
    *s = (struct fwd_acls){ 0 };
    s->last = &s->first;
    map_init(&s->names, true);
    for (size_t i = 0; i < array_len(predefined); i++) {
        const char *const *p = predefined[i];
        struct conf_node node = { .name = SLICE("acl") };
        struct fwd_acl *a = acl_new(s, c, slice_str(p[0]), type_of(slice_str(p[1]))->type, node.pos);
        if (!a)
            return ERR_NOMEM;
        a->predefined = true;
        for (size_t k = 2; p[k]; k++) {
            int rc = fwd_acl_value(a, c, &node, -1, slice_str(p[k]), false);
            if (rc)
                return rc;
        }
    }
    struct fwd_acl *manager = acl_new(s, c, SLICE("manager"), ACL_MANAGER, (struct conf_pos){ 0 });
    if (!manager)
        return ERR_NOMEM;
    manager->predefined = true;
    return OK;
}

void fwd_acls_done(struct fwd_acls *s)
{
    for (struct fwd_acl *a = s->first; a; a = a->next) {
        for (struct fwd_value *v = a->values; v; v = v->next)
            regex_free(v->regex);
        addr_set_done(&a->addresses);
        domain_set_done(&a->domains);
    }
    map_done(&s->names);
    *s = (struct fwd_acls){ 0 };
}

static int unknown(struct fwd_acls *s, struct fwd_compile *c, const struct conf_node *node, int arg, slice name)
{
    struct nearest near;
    nearest_init(&near, name);
    for (const struct fwd_acl *a = s->first; a; a = a->next)
        nearest_offer(&near, a->name);
    if (near.best.n)
        return fwd_error(c, node, arg, "unknown acl \"%.*s\", did you mean \"%.*s\"?", SLICE_FMT(name),
                         SLICE_FMT(near.best));
    return fwd_error(c, node, arg, "unknown acl \"%.*s\"", SLICE_FMT(name));
}

int fwd_terms(struct fwd_acls *s, struct fwd_compile *c, const struct conf_node *node, uint32_t from,
              struct fwd_term **terms, uint32_t *n)
{
    uint32_t count = node->nargs > from ? node->nargs - from : 0;
    struct fwd_term *v = count ? arena_new_n(c->arena, struct fwd_term, count) : NULL;
    int rc = OK;
    if (count && !v)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        slice name = node->args[from + i].text;
        if (name.n && name.p[0] == '!') {
            v[i].negated = true;
            name = slice_from(name, 1);
        }
        v[i].acl = map_get(&s->names, name);
        if (!v[i].acl)
            rc = unknown(s, c, node, (int)(from + i), name);
    }
    if (rc)
        return rc;
    *terms = v;
    *n = count;
    return OK;
}

static int group_line(struct fwd_acls *s, struct fwd_compile *c, struct fwd_acl *a, const struct conf_node *node)
{
    struct fwd_term *terms;
    uint32_t n;
    int rc = fwd_terms(s, c, node, 2, &terms, &n);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        if (terms[i].acl->index >= a->index)
            return fwd_error(c, node, (int)i + 2, "acl \"%.*s\" must be defined before the group \"%.*s\"",
                             SLICE_FMT(terms[i].acl->name), SLICE_FMT(a->name));
    }
    uint32_t pieces = a->type == ACL_ALL_OF ? 1 : n, each = a->type == ACL_ALL_OF ? n : 1;
    for (uint32_t i = 0; i < pieces; i++) {
        struct fwd_value *v = arena_new(c->arena, struct fwd_value);
        if (!v)
            return ERR_NOMEM;
        v->terms = terms + i;
        v->nterms = each;
        *a->last = v;
        a->last = &v->next;
    }
    return OK;
}

static bool is_switch(const struct acl_type *t, slice text, bool *icase)
{
    if (!t->regex || (!slice_eq(text, SLICE("-i")) && !slice_eq(text, SLICE("+i"))))
        return false;
    *icase = text.p[0] == '-';
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line, cut off it; empty at its end, or where '#' begins a comment: where a word could. */
static slice cut_word(slice *line)
{
    size_t from = 0, to;
    while (from < line->n && is_blank(line->p[from]))
        from++;
    for (to = from; to < line->n && !is_blank(line->p[to]);)
        to++;
    slice word = slice_of(line->p + from, to - from);
    bool comment = word.n && word.p[0] == '#';
    *line = slice_from(*line, comment ? line->n : to);
    return comment ? SLICE("") : word;
}

/* A pattern or a name of a user may hold blanks: as in Squid it is all of its line. */
static slice cut_value(slice *line, bool whole)
{
    slice value = cut_word(line);
    for (slice more = value; whole && value.n && more.n;) {
        more = cut_word(line);
        if (more.n)
            value.n = (size_t)(more.p + more.n - value.p);
    }
    return value;
}

static int file_values(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg,
                       const struct acl_type *t, bool icase)
{
    slice text, line, value, path = bundle_conf_path(c->bundle, node->args[arg].text);
    int result = OK;
    if (!path.p)
        return ERR_NOMEM;
    if (bundle_file(c->bundle, path, &text))
        return fwd_error(c, node, arg, "cannot read \"%.*s\" of acl \"%.*s\"", SLICE_FMT(path), SLICE_FMT(a->name));
    while (text.n) {
        if (!slice_cut(text, '\n', &line, &text)) {
            line = text;
            text = SLICE_NONE;
        }
        while ((value = cut_value(&line, t->regex)).n) {
            int rc = is_switch(t, value, &icase) ? OK : fwd_acl_value(a, c, node, arg, value, icase);
            if (rc == ERR_NOMEM)
                return rc;
            result = rc ? rc : result;
        }
    }
    return result;
}

static int value_line(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, const struct acl_type *t)
{
    bool icase = false;
    int result = OK;
    for (uint32_t i = 2; i < node->nargs; i++) {
        const struct conf_arg *arg = &node->args[i];
        int rc = OK;
        if (arg->quoted)
            rc = file_values(a, c, node, (int)i, t, icase);
        else if (!is_switch(t, arg->text, &icase))
            rc = fwd_acl_value(a, c, node, (int)i, arg->text, icase);
        if (rc == ERR_NOMEM)
            return rc;
        result = rc ? rc : result;
    }
    return result;
}

static int unknown_type(struct fwd_compile *c, const struct conf_node *node)
{
    static const slice known[] = { SLICE("external"),
                                   SLICE("delay_pool"),
                                   SLICE("arp"),
                                   SLICE("ident"),
                                   SLICE("ssl::server_name"),
                                   SLICE("at_step"),
                                   SLICE("random"),
                                   SLICE("src_as"),
                                   SLICE("dst_as"),
                                   SLICE("srcdomain"),
                                   SLICE("srcdom_regex"),
                                   SLICE("snmp_community"),
                                   SLICE("rep_mime_type"),
                                   SLICE("req_mime_type"),
                                   SLICE("peername"),
                                   SLICE("hier_code"),
                                   SLICE("note"),
                                   SLICE("user_cert"),
                                   SLICE("ext_user"),
                                   SLICE("max_user_ip"),
                                   SLICE("proxy_auth_regex"),
                                   SLICE("myportname"),
                                   SLICE("localport"),
                                   SLICE("tag"),
                                   SLICE("eui64") };
    struct nearest near;
    slice name = node->args[1].text;
    for (size_t i = 0; i < array_len(known); i++) {
        if (slice_eq(known[i], name))
            return fwd_error(c, node, 1, "acl type \"%.*s\" of Squid is not supported", SLICE_FMT(name));
    }
    nearest_init(&near, name);
    for (size_t i = 0; i < array_len(types); i++)
        nearest_offer(&near, types[i].name);
    if (near.best.n)
        return fwd_error(c, node, 1, "unknown acl type \"%.*s\", did you mean \"%.*s\"?", SLICE_FMT(name),
                         SLICE_FMT(near.best));
    return fwd_error(c, node, 1, "unknown acl type \"%.*s\"", SLICE_FMT(name));
}

/* What old files define and Squid itself predefines: `acl manager proto cache_object` means what is there already. */
static bool defined_again(struct fwd_compile *c, const struct fwd_acl *a, const struct conf_node *node)
{
    if (!a || a->type != ACL_MANAGER)
        return false;
    fwd_warn(c, node, 0, "acl \"manager\" is predefined; the line has no effect");
    return true;
}

int fwd_acl_line(struct fwd_acls *s, struct fwd_compile *c, const struct conf_node *node)
{
    if (node->nargs < 2)
        return fwd_error(c, node, -1, "\"acl\" needs a name and a type");
    const struct acl_type *t = type_of(node->args[1].text);
    struct fwd_acl *a = map_get(&s->names, node->args[0].text);
    if (defined_again(c, a, node))
        return OK;
    if (!t)
        return unknown_type(c, node);
    if (a && a->type != t->type)
        return fwd_error(c, node, 1, "acl \"%.*s\" has another type already", SLICE_FMT(a->name));
    if (!a && !(a = acl_new(s, c, node->args[0].text, t->type, node->pos)))
        return ERR_NOMEM;
    if (node->nargs < 3) {
        fwd_warn(c, node, -1, "acl \"%.*s\" has no values here and matches nothing by this line", SLICE_FMT(a->name));
        return OK;
    }
    if (t->type == ACL_ANY_OF || t->type == ACL_ALL_OF)
        return group_line(s, c, a, node);
    return value_line(a, c, node, t);
}

int fwd_acls_finish(struct fwd_acls *s, struct fwd_compile *c)
{
    int rc = OK;
    for (struct fwd_acl *a = s->first; a; a = a->next) {
        addr_set_finish(&a->addresses);
        domain_set_trim(&a->domains);
        for (const struct fwd_value *v = a->values; v; v = v->next) {
            for (uint32_t i = 0; i < v->nterms; i++)
                a->depth = v->terms[i].acl->depth >= a->depth ? v->terms[i].acl->depth + 1 : a->depth;
        }
        if (a->depth > FWD_GROUP_DEPTH) {
            struct conf_node at = { .pos = a->pos };
            rc = fwd_error(c, &at, -1, "acl \"%.*s\" nests groups too deeply", SLICE_FMT(a->name));
        }
    }
    return rc;
}

bool fwd_acls_use(const struct fwd_acls *s, enum fwd_acl_type type)
{
    for (const struct fwd_acl *a = s->first; a; a = a->next) {
        if (a->type == type)
            return true;
    }
    return false;
}
