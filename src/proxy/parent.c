/*
 * Parents: from the words of a configuration to groups of chains.
 */
#include "proxy/parent.h"

#include "base/attr.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/strb.h"
#include "proxy/balance/balance.h"

enum { REQUESTS_MAX = 1000, IDLE_MS = 60000, AGE_MS = 3600000 };

static const struct {
    slice scheme;
    enum hop_kind kind;
    bool tls;
} schemes[] = {
    { SLICE("http"), HOP_HTTP, false },       { SLICE("https"), HOP_HTTP, true },
    { SLICE("connect"), HOP_CONNECT, false }, { SLICE("connect+tls"), HOP_CONNECT, true },
    { SLICE("socks5"), HOP_SOCKS5, false },   { SLICE("socks5+tls"), HOP_SOCKS5, true },
    { SLICE("socks4a"), HOP_SOCKS4A, false }, { SLICE("socks4a+tls"), HOP_SOCKS4A, true },
};

static int fail(const char **why, const char *text)
{
    *why = text;
    return ERR_SYNTAX;
}

/* %XX, for what a URL has another meaning for. A NUL would end a text of SOCKS 4. */
static int decoded(struct arena *a, slice s, slice *out, const char **why)
{
    char *p = arena_bytes(a, s.n + 1);
    size_t n = 0;
    if (!p)
        return ERR_NOMEM;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int hi = s.n - i > 2 ? ascii_hex(s.p[i + 1]) : -1, lo = hi < 0 ? -1 : ascii_hex(s.p[i + 2]);
            if (lo < 0)
                return fail(why, "invalid escape in the credentials");
            c = (char)(hi << 4 | lo);
            i += 2;
        }
        if (!c)
            return fail(why, "invalid character in the credentials");
        p[n++] = c;
    }
    *out = slice_of(p, n);
    return n > CREDENTIAL_MAX ? fail(why, "too long credentials") : OK;
}

static int credentials(struct arena *a, slice text, struct hop *h, const char **why)
{
    slice user, password = SLICE_NONE;
    if (!slice_cut(text, ':', &user, &password))
        user = text;
    int rc = decoded(a, user, &h->user, why);
    if (rc == OK)
        rc = decoded(a, password, &h->password, why);
    if (rc != OK)
        return rc;
    if (!h->user.n || (h->kind == HOP_SOCKS5 && !h->password.n))
        return fail(why, "no user, or no password");
    if (h->kind == HOP_SOCKS4A && h->password.n)
        return fail(why, "SOCKS 4a knows no password");
    return h->kind < HOP_SOCKS5 && slice_find(h->user, ':') >= 0 ? fail(why, "a colon in the user") : OK;
}

int hop_finish(struct arena *a, struct hop *h)
{
    const char *scheme = NULL;
    for (size_t i = 0; i < array_len(schemes); i++) {
        if (schemes[i].kind == h->kind && schemes[i].tls == h->tls)
            scheme = schemes[i].scheme.p;
    }
    if (h->at.is_unix)
        h->text = arena_printf(a, "%s://%.*s", scheme, SLICE_FMT(h->at.text));
    else
        h->text = arena_printf(a, "%s://%.*s:%u", scheme, SLICE_FMT(h->at.host), h->at.port);
    h->host = h->at.host;
    if (h->host.n > 2 && h->host.p[0] == '[')
        h->host = slice_of(h->host.p + 1, h->host.n - 2);
    if (!h->text.p)
        return ERR_NOMEM;
    if (h->kind >= HOP_SOCKS5 || !h->user.n)
        return OK;
    slice pair = arena_printf(a, "%.*s:%.*s", SLICE_FMT(h->user), SLICE_FMT(h->password));
    char *p = pair.p ? arena_bytes(a, 6 + base64_encoded(pair.n)) : NULL;
    if (!p)
        return ERR_NOMEM;
    memcpy(p, "Basic ", 6);
    h->basic = slice_of(p, 6 + base64_encode(p + 6, pair));
    return OK;
}

int hop_parse(struct arena *a, slice url, struct hop *out, const char **why)
{
    struct hop h = { 0 };
    size_t i = 0;
    slice rest = SLICE_NONE;
    for (; i < array_len(schemes); i++) {
        rest = slice_from(url, schemes[i].scheme.n);
        if (slice_istarts(url, schemes[i].scheme) && slice_starts(rest, SLICE("://")))
            break;
    }
    if (i == array_len(schemes))
        return fail(why, "no scheme that is known (http, https, connect, socks5, socks4a; +tls)");
    h.kind = schemes[i].kind;
    h.tls = schemes[i].tls;
    rest = slice_from(rest, 3);
    ptrdiff_t at = slice_rfind(rest, '@');
    int rc = at >= 0 ? credentials(a, slice_upto(rest, (size_t)at), &h, why) : OK;
    if (rc != OK)
        return rc;
    rest = slice_from(rest, (size_t)(at + 1));
    if (slice_ends(rest, SLICE("/")) && !slice_istarts(rest, SLICE("unix:")))
        rest.n--;
    rc = endpoint_parse(rest, 0, &h.at, why);
    if (rc == OK && !h.at.is_unix && !h.at.port)
        rc = fail(why, "no port");
    if (rc == OK)
        rc = hop_finish(a, &h);
    if (rc == OK)
        *out = h;
    return rc;
}

int chain_finish(struct arena *a, struct chain *c, const char **why)
{
    struct strb b;
    for (uint32_t i = 1; i < c->n; i++) {
        if (c->hops[i].at.is_unix)
            return fail(why, "a unix domain socket can be the first hop only");
    }
    strb_init(&b, 0);
    for (uint32_t i = 0; i < c->n; i++)
        strb_printf(&b, "%s%.*s", i ? " -> " : "", SLICE_FMT(c->hops[i].text));
    c->absolute = c->hops[c->n - 1].kind == HOP_HTTP;
    bool kept = !b.failed && arena_dup(a, strb_slice(&b), &c->text);
    strb_done(&b);
    return kept ? OK : ERR_NOMEM;
}

/* ---- groups ---- */

/* What two connections must have in common to stand for each other. */
static uint64_t key_of(const struct chain *c, slice address)
{
    uint64_t key = hash_bytes(address, false) * 31 + hash_bytes(c->text, false);
    for (uint32_t i = 0; i < c->n; i++) {
        key = key * 31 + hash_bytes(c->hops[i].user, false);
        key = key * 31 + hash_bytes(c->hops[i].password, false);
    }
    if (c->tls)
        key = key * 31 + hash_bytes(slice_of(c->tls->key, TLS_KEY), false);
    return key;
}

static int peer_make(struct conf_ctx *cf, const struct upstream *u, const struct member *m, const struct addr *addr,
                     struct peer *p)
{
    char text[ADDR_TEXT_MAX];
    *p = m->peer;
    p->addr = *addr;
    p->server = m->chain->text;
    p->chain = m->chain;
    if (!arena_dup(cf->arena, slice_of(text, addr_text(text, addr)), &p->text))
        return ERR_NOMEM;
    slice name = arena_printf(cf->arena, "%.*s %.*s", SLICE_FMT(p->text), SLICE_FMT(m->chain->text));
    p->pool_key = key_of(m->chain, p->text);
    p->state = name.p ? registry_peer(u->name, name) : NULL;
    return p->state ? OK : ERR_NOMEM;
}

static int add_peers(struct conf_ctx *cf, struct upstream *u, const struct member *m)
{
    struct peer_set *set = m->peer.backup ? &u->backup : &u->primary;
    struct addr *v;
    uint32_t n;
    int rc = endpoint_resolve(cf, &m->chain->hops[0].at, &v, &n);
    if (rc == ERR_NOTFOUND)
        return conf_error(cf, m->node, -1, "host not found in \"%.*s\"", SLICE_FMT(m->chain->hops[0].text));
    if (rc != OK)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        if (u->npeers == PARENT_PEERS_MAX)
            return conf_error(cf, m->node, -1, "more than %d addresses of servers", PARENT_PEERS_MAX);
        rc = peer_make(cf, u, m, &v[i], &set->peers[set->n]);
        if (rc != OK)
            return rc;
        set->n++;
        u->npeers++;
        u->nlive += !m->peer.down;
    }
    return OK;
}

int parent_build(struct conf_ctx *cf, struct parent *p, const struct member *first, const struct balance_ops *balance,
                 uint64_t keepalive)
{
    struct upstream *u = arena_new(cf->arena, struct upstream);
    slice name = arena_printf(cf->arena, "parent %.*s", SLICE_FMT(p->name));
    if (!u || !name.p)
        return ERR_NOMEM;
    *u = (struct upstream){
        .name = name,
        .pos = p->pos,
        .implicit = true,
        .balance = balance ? balance : balance_methods[0],
        .keepalive = keepalive,
        .keepalive_requests = REQUESTS_MAX,
        .keepalive_timeout = IDLE_MS,
        .keepalive_time = AGE_MS,
    };
    u->primary.peers = arena_new_n(cf->arena, struct peer, PARENT_PEERS_MAX);
    u->backup.peers = arena_new_n(cf->arena, struct peer, PARENT_PEERS_MAX);
    u->primary.cursor = registry_cursor(name, false);
    u->backup.cursor = registry_cursor(name, true);
    if (!u->primary.peers || !u->backup.peers || !u->primary.cursor || !u->backup.cursor)
        return ERR_NOMEM;
    for (const struct member *m = first; m; m = m->next) {
        int rc = add_peers(cf, u, m);
        if (rc != OK)
            return rc;
        p->restricted = p->restricted || m->chain->access;
    }
    if (u->npeers == 1 && u->primary.n)
        u->primary.peers->alone = true;
    p->upstream = u;
    return u->balance->init(cf, u);
}

int parent_tls_file(struct conf_ctx *cf, const struct conf_node *node, slice path, struct tls_file **list,
                    const char *what)
{
    struct conf_node *n = path.n ? conf_node_new(cf->arena, node->name, node->pos, 1) : NULL;
    if (!n)
        return path.n ? ERR_NOMEM : OK;
    n->args[0].text = path;
    return tls_file_add(cf, n, list, what);
}

int parent_trust_system(struct conf_ctx *cf, const struct conf_node *node, struct tls_origin *o)
{
    static const slice path = SLICE("/etc/ssl/certs/ca-certificates.crt");
    slice text;
    int rc = bundle_file(cf->bundle, path, &text);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        return conf_error(cf, node, -1,
                          "this system's authorities are not in %.*s: name some for the parent's certificate, or turn "
                          "its check off",
                          SLICE_FMT(path));
    return parent_tls_file(cf, node, path, &o->trusted, "certificates of");
}
