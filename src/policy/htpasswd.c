#include "policy/htpasswd.h"

#include "base/err.h"

/* NULL: the line is one of a user. */
static const char *read_line(slice line, struct htpasswd_user *u)
{
    slice rest;
    if (line.n && memchr(line.p, 0, line.n))
        return "there is a NUL in it";
    if (!slice_cut(line, ':', &u->name, &rest))
        return "there is no \":\" between a name and a password";
    if (!slice_cut(rest, ':', &u->stored, &rest))
        u->stored = rest;
    if (u->name.n == 0)
        return "the name is empty";
    if (u->stored.n == 0)
        return "the password is empty";
    if (u->stored.n > PASSWORD_STORED_MAX)
        return "the password is too long";
    if (password_kind(u->stored) == PASSWORD_UNKNOWN)
        return "the password has no form that is known (plain text needs {PLAIN} before it)";
    return NULL;
}

static int grow(struct arena *a, struct htpasswd *h)
{
    uint32_t cap = h->cap ? h->cap * 2 : 16;
    struct htpasswd_user *v = arena_new_n(a, struct htpasswd_user, cap);
    if (!v)
        return ERR_NOMEM;
    if (h->n)
        memcpy(v, h->v, h->n * sizeof(*v));
    h->v = v;
    h->cap = cap;
    return OK;
}

static int index_users(struct htpasswd *h, htpasswd_fault_fn fault, void *ctx)
{
    for (uint32_t i = 0; i < h->n; i++) {
        int rc = map_put(&h->users, h->v[i].name, &h->v[i]);
        if (rc == ERR_REFUSED)
            fault(ctx, (struct htpasswd_fault){ h->v[i].line, "a line before it has this name, and that one counts" });
        else if (rc != OK)
            return rc;
    }
    return OK;
}

int htpasswd_parse(struct arena *a, slice text, htpasswd_fault_fn fault, void *ctx, struct htpasswd *out)
{
    struct htpasswd *h = out;
    uint32_t number = 0;
    map_init(&h->users, false);
    while (text.n) {
        slice line = text;
        if (!slice_cut(text, '\n', &line, &text))
            text = SLICE_NONE;
        number++;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n == 0 || line.p[0] == '#')
            continue;
        struct htpasswd_user u = { .line = number };
        const char *why = read_line(line, &u);
        if (why) {
            fault(ctx, (struct htpasswd_fault){ number, why });
            continue;
        }
        if (h->n == HTPASSWD_USERS_MAX)
            return ERR_LIMIT;
        if (h->n == h->cap && grow(a, h) != OK)
            return ERR_NOMEM;
        h->v[h->n++] = u;
    }
    return index_users(h, fault, ctx);
}

void htpasswd_done(struct htpasswd *h)
{
    map_done(&h->users);
}

const struct htpasswd_user *htpasswd_find(const struct htpasswd *h, slice name, bool *known)
{
    const struct htpasswd_user *u = map_get(&h->users, name);
    *known = u != NULL;
    return u || h->n == 0 ? u : &h->v[hash_bytes(name, false) % h->n];
}
