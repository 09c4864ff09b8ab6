/*
 * The reader of squid.conf. Files that include others wait on a stack of their own; nothing recurses.
 */
#include "conf/squid.h"

#include "base/err.h"
#include "base/strb.h"

struct place {
    const struct conf_file *file;
    size_t at;
    uint32_t line;
};

struct reader {
    struct arena *arena;
    struct bundle *bundle;
    struct conf_diag *diag;
    struct place stack[CONF_MAX_INCLUDE_DEPTH];
    uint32_t depth, nfiles;
    bool failed;
    struct conf_node **last;
    struct conf_file **last_file;
    bool taken[SQUID_IF_DEPTH], other[SQUID_IF_DEPTH]; /* the branch is read; its `else` was seen */
    uint32_t ifs;
};

static int fault(struct reader *r, struct conf_pos pos, const char *what, slice which)
{
    conf_diag_add(r->diag, CONF_EMERG, pos, SLICE_NONE, "%s \"%.*s\"", what, SLICE_FMT(which));
    r->failed = true;
    return OK;
}

static int push_file(struct reader *r, slice path, struct conf_pos from)
{
    slice text;
    if (r->depth == CONF_MAX_INCLUDE_DEPTH || r->nfiles == CONF_MAX_FILES)
        return fault(r, from, "too many or too deeply included files at", path);
    int rc = bundle_file(r->bundle, path, &text);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc)
        return fault(r, from, "cannot read", path);
    if (text.n > CONF_MAX_FILE)
        return fault(r, from, "file is too large:", path);
    struct conf_file *f = arena_new(r->arena, struct conf_file);
    if (!f || !arena_dup(r->arena, path, &f->path))
        return ERR_NOMEM;
    f->text = text;
    *r->last_file = f;
    r->last_file = &f->next;
    r->nfiles++;
    r->stack[r->depth++] = (struct place){ .file = f, .line = 1 };
    return OK;
}

/* Files of a glob are pushed last first, so that the first is read first. */
static int include_one(struct reader *r, const struct conf_arg *arg)
{
    slice all, path = bundle_conf_path(r->bundle, arg->text);
    if (!path.p)
        return ERR_NOMEM;
    if (slice_find(path, '*') < 0 && slice_find(path, '?') < 0 && slice_find(path, '[') < 0)
        return push_file(r, path, arg->pos);
    int rc = bundle_glob(r->bundle, path, &all);
    if (rc == ERR_NOMEM)
        return rc;
    while (rc == OK && all.n) {
        size_t end = all.n - 1, from = end;
        while (from && all.p[from - 1])
            from--;
        rc = push_file(r, slice_of(all.p + from, end - from), arg->pos);
        all.n = from;
    }
    return rc == ERR_NOMEM ? rc : OK;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* One line as it stands, without its end; *more: the next one belongs to it. */
static slice bare_line(struct place *p, bool *more)
{
    slice rest = slice_from(p->file->text, p->at);
    ptrdiff_t nl = slice_find(rest, '\n');
    slice one = nl < 0 ? rest : slice_upto(rest, (size_t)nl);
    p->at += one.n + (nl >= 0);
    p->line += nl >= 0;
    if (one.n && one.p[one.n - 1] == '\r')
        one.n--;
    *more = nl >= 0 && one.n && one.p[one.n - 1] == '\\';
    return one;
}

/* The next line with those that continue it. OK, ERR_LIMIT or ERR_NOMEM. A comment is never continued. */
static int next_line(struct reader *r, struct place *p, slice *line)
{
    bool more;
    struct strb b;
    slice one = bare_line(p, &more), start = slice_trim(one);
    if (!more || start.p[0] == '#') {
        *line = one;
        return OK;
    }
    strb_init(&b, CONF_MAX_TOKEN);
    strb_add(&b, slice_upto(one, one.n - 1));
    while (more) {
        one = bare_line(p, &more);
        strb_char(&b, ' ');
        strb_add(&b, more ? slice_upto(one, one.n - 1) : one);
    }
    int rc = b.failed ? ERR_LIMIT : arena_dup(r->arena, strb_slice(&b), line) ? OK : ERR_NOMEM;
    strb_done(&b);
    return rc;
}

/* "acl NAME TYPE" at the front, with a type that nobody writes in a sentence by chance. */
static bool begins_acl(slice s)
{
    static const char *const types[] = { " src ", " dst ", " dstdomain ", " port ", " proxy_auth ", " method ", NULL };
    slice name, rest;
    if (!slice_cut(slice_from(s, sizeof("acl ") - 1), ' ', &name, &rest) || !name.n)
        return false;
    rest = slice_of(rest.p - 1, rest.n + 1);
    for (size_t i = 0; types[i]; i++) {
        if (slice_starts(rest, slice_str(types[i])))
            return true;
    }
    return false;
}

/* A whole configuration behind one `#`: somebody lost the line ends. */
static void look_at_comment(struct reader *r, struct conf_pos pos, slice text)
{
    const char *at = text.p, *end = text.p + text.n;
    while ((at = memmem(at, (size_t)(end - at), "acl ", 4))) {
        slice rest = slice_of(at, (size_t)(end - at));
        if (begins_acl(rest) && memmem(rest.p, rest.n, "http_access ", sizeof("http_access ") - 1)) {
            conf_diag_add(r->diag, CONF_WARN, pos, SLICE_NONE,
                          "this comment holds \"acl\" and \"http_access\": are line ends missing?");
            return;
        }
        at += 4;
    }
}

static bool next_word(struct reader *r, slice line, size_t *at, struct conf_arg *out, struct conf_pos pos, int *rc)
{
    while (*at < line.n && blank(line.p[*at]))
        ++*at;
    pos.column = (uint32_t)*at + 1;
    if (*at == line.n)
        return false;
    if (line.p[*at] == '#') {
        look_at_comment(r, pos, slice_from(line, *at));
        return false;
    }
    bool quoted = line.p[*at] == '"';
    size_t from = *at + quoted, to = from;
    while (to < line.n && (quoted ? line.p[to] != '"' : !blank(line.p[to])))
        to++;
    if (quoted && to == line.n) {
        *rc = fault(r, pos, "missing closing quote in", line);
        return false;
    }
    *at = to + quoted;
    *out = (struct conf_arg){ .quoted = quoted, .pos = pos };
    if (!arena_dup(r->arena, slice_of(line.p + from, to - from), &out->text))
        *rc = ERR_NOMEM;
    return *rc == OK;
}

/* "true", "false", "N = M". */
static int condition(struct reader *r, const struct conf_node *n, bool *holds)
{
    uint64_t a, b;
    if (n->nargs == 1 && (slice_eq(n->args[0].text, SLICE("true")) || slice_eq(n->args[0].text, SLICE("false")))) {
        *holds = n->args[0].text.n == 4;
        return OK;
    }
    if (n->nargs == 3 && slice_eq(n->args[1].text, SLICE("=")) && slice_to_u64(n->args[0].text, &a) == OK &&
        slice_to_u64(n->args[2].text, &b) == OK) {
        *holds = a == b;
        return OK;
    }
    *holds = false;
    return fault(r, n->pos, "unsupported condition in", n->name);
}

static bool reading(const struct reader *r)
{
    for (uint32_t i = 0; i < r->ifs; i++) {
        if (!r->taken[i])
            return false;
    }
    return true;
}

/* true: the line was about conditions. */
static bool conditional(struct reader *r, const struct conf_node *n)
{
    bool holds = false;
    if (slice_eq(n->name, SLICE("if"))) {
        if (r->ifs == SQUID_IF_DEPTH) {
            fault(r, n->pos, "too many nested", n->name);
            return true;
        }
        if (reading(r))
            condition(r, n, &holds);
        r->other[r->ifs] = false;
        r->taken[r->ifs++] = holds;
    } else if (slice_eq(n->name, SLICE("else"))) {
        if (!r->ifs || r->other[r->ifs - 1]) {
            fault(r, n->pos, "unexpected", n->name);
            return true;
        }
        r->other[r->ifs - 1] = true;
        r->taken[r->ifs - 1] = !r->taken[r->ifs - 1];
    } else if (slice_eq(n->name, SLICE("endif"))) {
        if (!r->ifs)
            fault(r, n->pos, "unexpected", n->name);
        r->ifs -= r->ifs > 0;
    } else {
        return false;
    }
    return true;
}

static int add_node(struct reader *r, struct conf_node *n)
{
    if (conditional(r, n) || !reading(r))
        return OK;
    if (slice_eq(n->name, SLICE("include"))) {
        int rc = n->nargs ? OK : fault(r, n->pos, "no file behind", n->name);
        for (uint32_t i = n->nargs; i-- && rc == OK;)
            rc = include_one(r, &n->args[i]);
        return rc;
    }
    *r->last = n;
    r->last = &n->next;
    return OK;
}

static int parse_line(struct reader *r, slice line, struct conf_pos pos)
{
    struct conf_arg word;
    size_t at = 0, room = 0;
    int rc = OK;
    if (memchr(line.p ? line.p : "", 0, line.n))
        return fault(r, pos, "NUL in", SLICE("line"));
    if (!next_word(r, line, &at, &word, pos, &rc))
        return rc;
    struct conf_node *n = arena_new(r->arena, struct conf_node);
    if (!n)
        return ERR_NOMEM;
    n->name = word.text;
    n->pos = word.pos;
    bool raw = slice_eq(n->name, SLICE("logformat"));
    while (!(raw && n->nargs == 1) && next_word(r, line, &at, &word, pos, &rc)) {
        if (n->nargs == CONF_MAX_ARGS)
            return fault(r, pos, "too many words in", n->name);
        if (n->nargs == room) {
            struct conf_arg *v = arena_new_n(r->arena, struct conf_arg, room = room ? room * 2 : 4);
            if (!v)
                return ERR_NOMEM;
            if (n->nargs)
                memcpy(v, n->args, n->nargs * sizeof(*v));
            n->args = v;
        }
        n->args[n->nargs++] = word;
    }
    if (rc == OK && raw && n->nargs == 1) { /* room for 4 */
        n->args[1] = (struct conf_arg){ .pos = n->args[0].pos };
        if (!arena_dup(r->arena, slice_trim(slice_from(line, at)), &n->args[1].text))
            return ERR_NOMEM;
        n->nargs = 2;
    }
    return rc ? rc : add_node(r, n);
}

static int read_all(struct reader *r)
{
    while (r->depth) {
        struct place *p = &r->stack[r->depth - 1];
        struct conf_pos pos = { .file = p->file, .line = p->line, .column = 1 };
        slice line;
        if (p->at >= p->file->text.n) {
            r->depth--;
            continue;
        }
        int rc = next_line(r, p, &line);
        if (rc == ERR_LIMIT)
            rc = fault(r, pos, "line too long in", p->file->path);
        else if (rc == OK)
            rc = parse_line(r, line, pos);
        if (rc)
            return rc;
    }
    return OK;
}

int squid_parse(struct arena *a, struct bundle *b, struct conf_diag *diag, slice path, struct conf_pos from,
                struct conf_node **nodes, struct conf_file **files)
{
    struct conf_node *first = NULL;
    struct conf_file *read = NULL;
    struct reader r = { .arena = a, .bundle = b, .diag = diag, .last = &first, .last_file = &read };
    slice full = bundle_conf_path(b, path);
    int rc = full.p ? push_file(&r, full, from) : ERR_NOMEM;
    if (rc == OK)
        rc = read_all(&r);
    if (rc)
        return rc;
    if (r.ifs)
        fault(&r, from, "missing \"endif\" in", full);
    while (files && *files)
        files = &(*files)->next;
    if (files)
        *files = read;
    *nodes = first;
    return r.failed ? ERR_SYNTAX : OK;
}
