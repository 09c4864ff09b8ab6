/*
 * Which server, which location: the finished structures, and the functions that search them.
 */
#include "base/attr.h"
#include "base/err.h"
#include "h2/conf.h"
#include "http/client_conf.h"
#include "proxy/http_block.h"
#include "tls/conf.h"

/* ---- building ---- */

static struct listener_conf *listener_of(struct conf_ctx *cf, struct http_main *m, const struct listen_line *line)
{
    slice key = line->key;
    struct listener_conf *l = map_get(&m->listeners, key);
    if (l)
        return l;
    l = arena_new(cf->arena, struct listener_conf);
    if (!l)
        return NULL;
    l->key = key;
    if (line->node)
        l->pos = line->node->pos;
    l->names = name_table_new(cf);
    return l->names && map_put(&m->listeners, key, l) == OK ? l : NULL;
}

/* The address's first server serves what no name matches, until one claims that by default_server. */
static int add_listen(struct conf_ctx *cf, struct http_main *m, const struct server_build *s,
                      const struct listen_line *line, struct map *claimed)
{
    struct listener_conf *l = listener_of(cf, m, line);
    if (!l)
        return ERR_NOMEM;
    l->ssl = l->ssl || line->ssl;
    l->proxy_protocol = l->proxy_protocol || line->proxy_protocol; /* one line of an address is enough (nginx) */
    l->connect = l->connect || s->server->connect;
    l->http2 = l->http2 || line->http2;
    l->socks = s->server->forward && line->protocol != LISTEN_HTTP; /* a forward block shares no address */
    l->only_socks = l->socks && line->protocol == LISTEN_SOCKS;
    if (line->default_server) {
        int rc = map_put(claimed, line->key, l);
        if (rc == ERR_REFUSED)
            return conf_error(cf, line->node, 0, "a duplicate default server for %.*s", SLICE_FMT(line->key));
        if (rc != OK)
            return rc;
        l->default_server = s->server;
    } else if (!l->default_server) {
        l->default_server = s->server;
    }
    for (const struct server_name *n = s->names; n; n = n->next) {
        int rc = name_table_add(cf, l->names, n, s->server, line->key);
        if (rc != OK)
            return rc;
    }
    return OK;
}

/* Whoever claims an address that speaks TLS needs something to speak it with (nginx's words). */
static int check_certificates(struct conf_ctx *cf, struct http_main *m)
{
    int rc = OK;
    for (const struct server_build *s = m->servers; s; s = s->next) {
        for (const struct listen_line *line = s->listens; line; line = line->next) {
            const struct listener_conf *l = map_get(&m->listeners, line->key);
            const struct tls_conf *t = s->server->tls;
            if (!line->ssl || !l || l->default_server != s->server || !t || t->certs || t->reject)
                continue;
            rc = conf_error(cf, line->node, -1,
                            "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive");
        }
    }
    return rc;
}

static int add_listens(struct conf_ctx *cf, struct http_main *m)
{
    struct map claimed;
    int rc = OK;
    map_init(&claimed, false);
    for (const struct server_build *s = m->servers; s && rc != ERR_NOMEM; s = s->next) {
        for (const struct listen_line *l = s->listens; l && rc != ERR_NOMEM; l = l->next) {
            int one = add_listen(cf, m, s, l, &claimed);
            rc = one != OK ? one : rc;
        }
    }
    map_done(&claimed);
    return rc == OK ? check_certificates(cf, m) : rc;
}

static int own_addresses(struct conf_ctx *cf, struct http_main *m)
{
    m->own = arena_new_n(cf->arena, struct addr, m->listeners.count + 1);
    if (!m->own)
        return ERR_NOMEM;
    m->nown = 0;
    for (size_t i = 0; i < m->listeners.cap; i++) {
        const struct listener_conf *l = m->listeners.slots[i].value;
        if (l && addr_parse(l->key, &m->own[m->nown]) == OK)
            m->nown++;
    }
    return OK;
}

int router_build(struct conf_ctx *cf, struct http_main *m, const struct conf_scope *http)
{
    int rc = OK;
    for (struct server_build *s = m->servers; s; s = s->next) {
        struct server *server = s->server;
        server->conf = s->scope->conf;
        server->client = conf_get(server->conf, &client_feature);
        server->http2 = h2_conf(server)->on;
        server->tls = conf_get(server->conf, &ssl_feature);
        server->name = s->names ? server_name_shown(s->names) : SLICE_NONE; /* none: its block was refused */
        int one = location_build_all(cf, s, http);
        if (one == ERR_NOMEM)
            return one;
        rc = one != OK ? one : rc;
    }
    int listens = add_listens(cf, m);
    if (listens == OK)
        listens = own_addresses(cf, m);
    return rc != OK ? rc : listens;
}

/* ---- searching ---- */

const struct listener_conf *route_listener(const struct generation *g, slice key)
{
    const struct http_main *m = conf_get(g->main, &http_feature);
    return m ? map_get(&m->listeners, key) : NULL;
}

struct egress_own route_own(const struct generation *g)
{
    const struct http_main *m = conf_get(g->main, &http_feature);
    return m ? (struct egress_own){ m->own, m->nown } : (struct egress_own){ 0 };
}

const struct server *route_server(const struct listener_conf *l, struct exchange *x, slice host)
{
    const struct server *s = name_table_find(l->names, x, host);
    return s ? s : l->default_server;
}

const struct location *route_location(const struct server *s, struct exchange *x, slice uri)
{
    const struct server_locations *all = s->locations;
    const struct location *l;
    int rc = location_find(all->tree, x, uri, &l);
    if (rc == OK)
        return l;
    return rc == ERR_NOTFOUND ? all->none : all->failed;
}

const struct location *route_named_location(const struct server *s, slice name)
{
    const struct server_locations *all = s->locations;
    if (slice_starts(name, SLICE("@")))
        name = slice_from(name, 1);
    const struct location_entry *e = map_get(&all->tree->named, name);
    return e ? e->loc : NULL;
}
