/*
 * The tester, about what travels in the clear: a backend out in the world that is spoken to by http://, and a host that
 * is served by https and, without being led there, by http as well.
 */
#include <string.h>

#include "base/attr.h"
#include "net/guard.h"
#include "proxy/proxy.h"
#include "proxy/tester.h"
#include "proxy/tester_priv.h"
#include "proxy/upstream.h"

/* ---- backends ---- */

static const struct peer *public_peer(const struct peer_set *set)
{
    for (uint32_t i = 0; i < set->n; i++) {
        if (!set->peers[i].down && !guard_special(&set->peers[i].addr))
            return &set->peers[i];
    }
    return NULL;
}

void tester_clear_pass(struct conf_ctx *cf, const struct proxy_conf *c)
{
    if (c->dynamic || c->tls || !c->upstream)
        return;
    const struct peer *p = public_peer(&c->upstream->primary);
    if (!p)
        p = public_peer(&c->upstream->backup);
    if (p)
        TESTER_WARN(cf, c->node->pos,
                    SLICE("everybody on the way reads and changes what is passed: https:// and proxy_ssl_verify"),
                    "proxy_pass sends requests in the clear to %.*s, a public address", SLICE_FMT(p->text));
}

/* ---- twins ---- */

enum { PORT_CLEAR = 80 };

static bool listens(const struct server_build *s, bool ssl)
{
    for (const struct listen_line *l = s->listens; l; l = l->next) {
        if (ssl ? l->ssl : !l->ssl && l->addr.sa.sa_family != AF_UNIX && addr_port(&l->addr) == PORT_CLEAR)
            return true;
    }
    return false;
}

/* Does some line of the server lead to https, or does it answer everything itself? What is said of it then is not
 * proved. */
static bool leads_away(const struct server_build *s)
{
    const struct conf_node *top = s->base.node;
    if (text_child(top, "return"))
        return true;
    for (const struct conf_node *n = text_next(top, top); n; n = text_next(n, top)) {
        if (slice_starts(n->name, SLICE("proxy_")) || slice_starts(n->name, SLICE("ssl_")))
            continue; /* these may say https and mean backends */
        for (uint32_t i = 0; i < n->nargs; i++) {
            slice text = n->args[i].text;
            if (text.n && memmem(text.p, text.n, "https", 5))
                return true;
        }
    }
    return false;
}

static const struct server_build *twin_of(const struct map *secure, const struct server_build *s, slice *name)
{
    for (const struct server_name *n = s->names; n; n = n->next) {
        const struct server_build *t = n->regex || !n->text.n ? NULL : map_get(secure, n->text);
        if (t) {
            *name = n->text;
            return t;
        }
    }
    return NULL;
}

static void check_twin(struct conf_ctx *cf, const struct server_build *s, const struct server_build *t, slice name)
{
    slice hint =
        arena_printf(cf->arena, "\"server { listen 80; server_name %.*s; return 301 https://$host$request_uri; }\"",
                     SLICE_FMT(name));
    if (s == t)
        TESTER_WARN(cf, s->base.node->pos, hint,
                    "\"%.*s\" is served by http on port 80 as by https: nobody is led to https", SLICE_FMT(name));
    else
        TESTER_WARN(
            cf, s->base.node->pos, hint,
            "\"%.*s\" is served by http on port 80 although the server of %.*s serves it by https: nobody is led there",
            SLICE_FMT(name), SLICE_FMT(text_place(cf, t->base.node, s->base.node)));
}

void tester_twins(struct conf_ctx *cf, const struct http_main *m)
{
    struct map secure;
    slice name;
    map_init(&secure, false);
    for (const struct server_build *s = m->servers; s; s = s->next) {
        for (const struct server_name *n = listens(s, true) ? s->names : NULL; n; n = n->next) {
            if (!n->regex && n->text.n)
                map_put(&secure, n->text, (void *)(uintptr_t)s); /* the first one; without memory it is not spoken of */
        }
    }
    for (const struct server_build *s = secure.count ? m->servers : NULL; s; s = s->next) {
        const struct server_build *t = !s->server->forward && listens(s, false) ? twin_of(&secure, s, &name) : NULL;
        if (t && !leads_away(s))
            check_twin(cf, s, t, name);
    }
    map_done(&secure);
}
